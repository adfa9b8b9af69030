// What the pages say about SQL is true: every statement they offer runs, every column they list exists
// and no column is left out.

import { assert } from './report.mjs';
import { openPage, settled } from './browser.mjs';

async function ask(page, base, query) {
  const answer = await page.request.post(`${base}/api/v1/sql`, { data: { query, max_rows: 1 } });
  const text = await answer.text();
  assert(answer.ok(), `status ${answer.status()} for ${query}: ${text.slice(0, 300)}`);
  return JSON.parse(text);
}

/** Statements of the page's links to the workbench. */
function offered(page) {
  return page.locator('main a[href*="/sql?"]').evaluateAll((all) => all
    .map((a) => new URL(a.getAttribute('href'), location.href).searchParams.get('q'))
    .filter(Boolean));
}

export async function statements(browser, base, report, addresses) {
  const page = await openPage(browser, base);
  await report.check('sql: every statement the pages offer runs', async () => {
    const all = new Map();
    for (const address of addresses.filter(Boolean)) {
      await page.goto(address);
      await settled(page);
      for (const query of await offered(page)) all.set(query, address);
    }
    assert(all.size >= 10, `only ${all.size} statements were offered`);
    for (const query of all.keys()) await ask(page, base, query);
  });
  await report.check('sql: the workbench lists the columns there are', async () => {
    await page.goto('/sql');
    const tables = await page.locator('.schema-list details').evaluateAll((all) => all.map((details) => ({
      name: details.querySelector('summary b').textContent,
      columns: [...details.querySelectorAll('[data-insert]')].map((button) => button.dataset.insert),
    })));
    assert(tables.length === 8, `${tables.length} tables`);
    for (const { name, columns } of tables) {
      const { columns: real } = await ask(page, base, `SELECT * FROM ${name} LIMIT 0`);
      const want = real.map((column) => column.name).sort().join(' ');
      assert(columns.slice().sort().join(' ') === want, `${name} is said to have ${columns.join(' ')}; it has ${want}`);
    }
  });
  await page.context().close();
}
