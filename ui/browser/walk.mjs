// The triage path, by clicking: symptom → service → operation → trace → its logs, and SQL.

import { assert } from './report.mjs';
import { openPage, settled } from './browser.mjs';

const SERVICE = /^\/services\/[^/?]+$/;
const OPERATION = /^\/services\/[^/?]+\/operations\/[^/?]+$/;
const TRACE = /^\/traces\/[0-9a-f]{32}$/;

/** Walks the path and returns the addresses found on it. */
export async function walk(browser, base, report) {
  const page = await openPage(browser, base);
  const found = {};
  const step = (name, run) => report.check(`walk: ${name}`, async () => {
    page.faults.length = 0;
    await run();
    assert(page.faults.length === 0, page.faults.join('\n     '));
  });

  await step('the overview names a service to look at', async () => {
    await page.goto('/');
    await settled(page);
    found.service = await follow(page, SERVICE);
  });
  await step('the service lists its operations', async () => {
    await page.goto(found.service);
    await settled(page);
    found.operation = await follow(page, OPERATION);
  });
  await step('the operation offers exemplar traces', async () => {
    found.exemplar = await follow(page, TRACE);
  });
  await step('a trace of 20 spans and more opens with its spans', async () => {
    found.trace = await longTrace(page, base);
    await page.goto(found.trace);
    await settled(page);
    const rows = await page.locator('[role="treegrid"] [role="row"], [role="tree"] [role="treeitem"]').count();
    assert(rows >= 20, `${rows} rows in the tree of ${found.trace}`);
  });
  await step('a span shows its attributes', async () => {
    await page.locator('[role="treegrid"] [role="row"], [role="tree"] [role="treeitem"]').nth(1).click();
    await page.getByText(/service\.name|http\.|db\.|rpc\./).first().waitFor();
  });
  await step('the trace leads to its logs', async () => {
    const id = found.trace.split('/').pop().split('?')[0];
    const link = page.locator(`a[href*="/logs"][href*="${id}"]`).first();
    await link.click();
    await settled(page);
    assert(new URL(page.url()).pathname === '/logs', `at ${page.url()}`);
    const rows = await page.locator('main table tbody tr').count();
    assert(rows > 0, 'the trace has no log lines');
  });
  await step('back brings the trace back', async () => {
    await page.goBack();
    await settled(page);
    assert(TRACE.test(new URL(page.url()).pathname), `at ${page.url()}`);
  });
  for (const by of ['calls', 'slowest', 'total_time']) {
    await step(`services ranked by ${by}`, () => ranking(page, by));
  }
  await step('SQL runs from the workbench', () => runSql(page));
  await page.context().close();
  return found;
}

/** Clicks the first visible link of the page's content whose path matches; returns where it led. */
async function follow(page, pattern) {
  const links = page.locator('main a[href]:visible');
  const paths = await links.evaluateAll((all) => all.map((a) => new URL(a.href).pathname));
  const at = paths.findIndex((path) => pattern.test(path));
  assert(at >= 0, `no link to ${pattern} on ${page.url()}`);
  await links.nth(at).click();
  await page.waitForURL((url) => pattern.test(url.pathname));
  await settled(page);
  return page.url().slice(new URL(page.url()).origin.length);
}

/** The address of a trace with at least 20 spans and some log lines, asked of SQL. */
async function longTrace(page, base) {
  const query = `SELECT s.trace_id AS id FROM
      (SELECT trace_id, count(*) AS n FROM spans GROUP BY trace_id HAVING count(*) >= 20) s
      JOIN (SELECT DISTINCT trace_id FROM logs) l ON l.trace_id = s.trace_id ORDER BY s.n DESC LIMIT 1`;
  const answer = await page.request.post(`${base}/api/v1/sql`, { data: { query } });
  assert(answer.ok(), `SQL answered ${answer.status()}: ${await answer.text()}`);
  const { rows } = await answer.json();
  assert(rows.length === 1, 'no trace of 20 spans with logs');
  return `/traces/${rows[0][0]}`;
}

async function ranking(page, by) {
  await page.goto('/services');
  await settled(page);
  const link = page.locator(`main a[href*="by=${by}"]`).first();
  if (await link.count()) {
    await link.click();
  } else {
    await page.goto(`/services?by=${by}`);
  }
  await settled(page);
  const names = await page.locator('main table').first().locator('tbody tr').count();
  assert(names >= 12, `${names} services ranked by ${by}`);
}

async function runSql(page) {
  await page.goto('/sql');
  await settled(page);
  const editor = page.locator('.cm-content, textarea').first();
  await editor.click();
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText('SELECT service_name, count(*) AS n FROM spans GROUP BY service_name ORDER BY n DESC');
  await page.keyboard.press('Control+Enter');
  await page.locator('main table tbody tr').nth(11).waitFor();
}
