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
  await step('why leads to a verdict that can be passed on', async () => {
    await page.goto('/');
    await page.getByRole('link', { name: 'Why?' }).click();
    await page.waitForURL((url) => url.pathname === '/verdict');
    await settled(page);
    const said = await page.locator('[data-testid="verdict"] .said').innerText();
    const parts = await page.locator('[data-testid="ledger"] tbody tr').count();
    assert(parts >= 2, `${parts} parts in the ledger`);
    const link = await page.locator('[data-testid="verdict"]').getByRole('link', { name: 'Markdown' }).getAttribute('href');
    const answer = await page.request.get(`${base}${link}`);
    const card = await answer.text();
    // The page begins the sentence with a capital letter.
    const heading = `# ${said}`.toLowerCase();
    assert(answer.ok() && card.toLowerCase().startsWith(heading.slice(0, 40)), card.slice(0, 200));
    await page.getByRole('button', { name: 'Copy as Markdown' }).click();
    await page.locator('#toast').getByText('Copied').waitFor();
    await page.getByRole('link', { name: 'A day before' }).click();
    await page.waitForURL(/reference=1d/);
    await settled(page);
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
    const spans = await page.locator('[data-testid="spans"] tbody tr').count();
    assert(spans >= 20, `${spans} spans in the table of ${found.trace}`);
    // The tree draws the rows in view only.
    const rows = await page.locator('[role="treegrid"] [role="row"]').count();
    assert(rows >= 5, `${rows} rows in the tree of ${found.trace}`);
  });
  await step('a span shows its attributes', async () => {
    await page.locator('[role="treegrid"] [role="row"]').nth(1).click();
    await page.getByRole('complementary', { name: 'Span' }).getByText('service.name').first().waitFor();
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
  await step('services are ranked by calls, slowest and total time', () => rankings(page, 'Services', 10));
  await step('so are operations', async () => {
    await page.getByRole('group', { name: 'Rank', exact: true }).getByRole('link', { name: 'Operations' }).click();
    await page.waitForURL(/scope=operation/);
    await rankings(page, 'Operations', 10);
  });
  await step('SQL runs from the workbench', () => runSql(page));
  await page.context().close();
  return found;
}

/** Clicks the first visible link of the page's content whose path matches; returns where it led. */
async function follow(page, pattern) {
  const links = page.locator('main a[href]:visible');
  const paths = await links.evaluateAll((all) => all.map((a) => new URL(a.getAttribute('href'), location.href).pathname));
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

async function rankings(page, scope, least) {
  if (!new URL(page.url()).pathname.startsWith('/services')) await page.goto('/services');
  await settled(page);
  for (const by of ['calls', 'slowest', 'total_time']) {
    const rows = await page.locator(`[data-testid="rank-${by}"] tbody tr`).count();
    assert(rows >= least, `${scope} ranked by ${by}: ${rows} rows`);
  }
  const services = await page.locator('[data-testid="inventory"] tbody tr').count();
  assert(services >= 12, `${services} services in the inventory`);
}

async function runSql(page) {
  await page.goto('/sql');
  await settled(page);
  const editor = page.locator('.cm-content, textarea').first();
  await editor.click();
  await page.keyboard.press('Control+A');
  // Key by key, as a person types: brackets close themselves and completions open on the way.
  await page.keyboard.type('SELECT service_name, count(*) AS n FROM spans GROUP BY service_name ORDER BY n DESC');
  await page.keyboard.press('Control+Enter');
  await page.locator('main table tbody tr').nth(11).waitFor();
}
