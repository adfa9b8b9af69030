// The SQL workbench: editor, run, download.

import { copy, el, island, toast } from './dom.js';
import { count, duration } from './format.js';
import { result } from './sql-result.js';
import { mount } from './sql-editor.js';

const bench = document.getElementById('workbench');
const tables = island(bench);
const stats = document.getElementById('stats');
const cancel = document.getElementById('cancel');
const box = document.getElementById('result');
const URL_SQL = '/api/v1/sql';
const MIME = { csv: 'text/csv', json: 'application/json', parquet: 'application/vnd.apache.parquet', arrow: 'application/vnd.apache.arrow.stream' };
let running = null;

async function ask(sql, accept, signal) {
  const answer = await fetch(URL_SQL, {
    method: 'POST', signal, headers: { 'content-type': 'application/json', accept }, body: JSON.stringify({ query: sql }),
  });
  if (answer.ok) return answer;
  let detail = `The server answered ${answer.status}`;
  try {
    detail = (await answer.json()).detail ?? detail;
  } catch {
    // Not a problem document: the status has to do.
  }
  throw new Error(detail);
}

function figures(answer, elapsed) {
  const s = answer.stats ?? {};
  const parts = [`${count(answer.rows.length)} rows`, duration(Math.round(elapsed * 1e6))];
  if (s.segments_scanned !== undefined) parts.push(`${count(s.segments_scanned)} segments read, ${count(s.segments_pruned ?? 0)} skipped`);
  if (s.truncated) parts.push('cut off: add a LIMIT or a filter');
  return parts.join(' · ');
}

const editor = await mount(document.getElementById('editor'), tables, { run });

async function run(prefix = '') {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  cancel.hidden = false;
  stats.textContent = 'Running…';
  box.hidden = false;
  box.setAttribute('aria-busy', 'true');
  const sql = editor.text();
  const url = new URL(location.href);
  url.searchParams.set('q', sql);
  history.replaceState(null, '', url);
  const began = performance.now();
  try {
    const answer = await (await ask(prefix + sql, 'application/json', mine.signal)).json();
    stats.textContent = figures(answer, performance.now() - began);
    result(box, answer);
  } catch (failure) {
    if (mine !== running) return;
    const stopped = failure.name === 'AbortError';
    stats.textContent = stopped ? 'Cancelled' : 'Failed';
    box.replaceChildren(el('div', { class: 'sql-error', role: stopped ? null : 'alert' }, stopped ? 'The statement was cancelled.' : failure.message));
  } finally {
    if (mine === running) {
      running = null;
      cancel.hidden = true;
      box.removeAttribute('aria-busy');
    }
  }
}

document.getElementById('run').addEventListener('click', () => run());
document.getElementById('explain').addEventListener('click', () => run('EXPLAIN '));
cancel.addEventListener('click', () => running?.abort());

for (const button of document.querySelectorAll('[data-download]')) {
  button.addEventListener('click', async () => {
    const kind = button.dataset.download;
    try {
      const blob = await (await ask(editor.text(), MIME[kind])).blob();
      const link = el('a', { href: URL.createObjectURL(blob), download: `headrope.${kind}` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 30_000);
    } catch (failure) {
      toast(failure.message);
    }
  });
}
document.getElementById('as-curl').addEventListener('click', () => {
  const body = JSON.stringify({ query: editor.text() }).replaceAll("'", "'\\''");
  copy(`curl -sS '${location.origin}${URL_SQL}' -H 'content-type: application/json' -H 'accept: text/csv' -d '${body}'`, 'Copied as curl');
});

bench.addEventListener('click', (event) => {
  const field = event.target.closest('[data-insert]');
  if (field) editor.insert(field.dataset.insert);
});
const filter = document.getElementById('schema-filter');
filter.addEventListener('input', () => {
  const wanted = filter.value.trim().toLowerCase();
  for (const table of bench.querySelectorAll('.schema details')) {
    let any = false;
    for (const item of table.querySelectorAll('li')) {
      item.hidden = !item.textContent.toLowerCase().includes(wanted);
      any ||= !item.hidden;
    }
    if (wanted) table.open = any;
  }
});

if (bench.dataset.run === 'true') run();
