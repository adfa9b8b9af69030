// A result: a grid of which only the rows in sight are in the page, and a simple chart.

import { colour, el, onTheme } from './dom.js';
import { clock, duration, exact, scaled, stamp, zone } from './format.js';

const ROW = 25;
const CHUNK = 200;
const numeric = (type) => ['smallint', 'integer', 'bigint', 'real', 'double', 'decimal'].includes(type);
const temporal = (type) => type === 'timestamp' || type === 'date';

function text(value, column) {
  if (value === null || value === undefined) return el('span', { class: 'null' }, 'null');
  if (typeof value === 'object') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (column.name.endsWith('_ns')) return el('span', { title: exact(value) }, duration(value));
    return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(9)));
  }
  if (temporal(column.type)) return el('span', { title: value }, String(value).replace(/\.?0+Z$/, 'Z'));
  // A plan, a statement or a stack trace keeps its lines.
  if (String(value).includes('\n')) return el('pre', { class: 'cell-lines' }, value);
  return String(value);
}

function cell(value, column) {
  const id = (column.name === 'trace_id' || column.name.endsWith('trace_id')) && /^[0-9a-f]{32}$/.test(value);
  const content = id ? el('a', { class: 'link', href: `/traces/${value}${location.search.replace(/([?&])q=[^&]*/, '$1')}` }, value) : text(value, column);
  return el('td', { class: numeric(column.type) ? 'num' : temporal(column.type) || id ? 'mono' : null, title: typeof value === 'string' && value.length > 60 ? value : null }, content);
}

// Rows are added as they come into sight: a table of ten thousand rows starts as one of two hundred.
function grid(answer) {
  const body = el('tbody');
  const rows = [...answer.rows.keys()];
  let shown = 0;
  const more = () => {
    const until = Math.min(shown + CHUNK, rows.length);
    for (; shown < until; shown += 1) {
      const row = answer.rows[rows[shown]];
      body.append(el('tr', {}, el('td', { class: 'n' }, exact(shown + 1)), answer.columns.map((c, i) => cell(row[i], c))));
    }
  };
  const heads = answer.columns.map((column, i) => {
    const head = el('th', { scope: 'col', 'aria-sort': 'none', class: numeric(column.type) ? 'num' : null });
    let down = false;
    head.append(el('button', { type: 'button', title: column.type, onclick: () => {
      down = !down;
      rows.sort((a, b) => {
        const [x, y] = [answer.rows[a][i], answer.rows[b][i]];
        if (x === null || y === null) return (x === null) - (y === null);
        const order = typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y));
        return down ? -order : order;
      });
      for (const other of heads) other.setAttribute('aria-sort', 'none');
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      body.replaceChildren();
      shown = 0;
      more();
    } }, column.name));
    return head;
  });
  const table = el('table', { class: 'grid compact sheet' }, el('thead', {}, el('tr', {}, el('th', { scope: 'col', class: 'n' }, '#'), heads)), body);
  const scroll = el('div', { class: 'scroll sheet-scroll', tabindex: '0', role: 'region', 'aria-label': 'Rows' }, table);
  scroll.addEventListener('scroll', () => {
    if (shown < rows.length && scroll.scrollTop + scroll.clientHeight > scroll.scrollHeight - 20 * ROW) more();
  }, { passive: true });
  more();
  return scroll;
}

// Chart: the first time column across, or else the rows in order; a line per chosen figure, split by
// the first text column if there is one.
const LINES = 8;
function chart(answer, y) {
  const { columns, rows } = answer;
  const time = columns.findIndex((c) => temporal(c.type));
  const split = columns.findIndex((c) => c.type === 'text');
  if (time < 0) return bars(answer, y, split);
  const groups = new Map();
  for (const row of rows) {
    const key = split < 0 ? columns[y].name : String(row[split]);
    if (!groups.has(key)) groups.set(key, new Map());
    groups.get(key).set(Date.parse(row[time]) / 1000, row[y]);
  }
  const names = [...groups.keys()].slice(0, LINES);
  const xs = [...new Set(rows.map((r) => Date.parse(r[time]) / 1000))].sort((a, b) => a - b);
  const show = columns[y].name.endsWith('_ns') ? duration : scaled;
  const plot = el('div', { class: 'plot', role: 'img', 'aria-label': `${columns[y].name} over time; the rows below say the same` });
  const say = el('span', { class: 'legend' });
  const paint = (index) => say.replaceChildren(index === null ? '' : stamp(xs[index] * 1000), ...names.map((name, n) => {
    const mark = el('i');
    mark.style.color = colour(`svc-${n}`);
    const v = index === null ? null : groups.get(name).get(xs[index]);
    return el('span', {}, mark, name.slice(0, 28), ' ', el('b', {}, v === null || v === undefined ? '' : show(v)));
  }));
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const draw = () => {
    const u = new uPlot({
      width: plot.clientWidth, height: 190, legend: { show: false }, padding: [8, 6, 0, 0],
      tzDate: (s) => uPlot.tzDate(new Date(s * 1e3), zone),
      cursor: { y: false, drag: { x: true, y: false } },
      axes: [
        { stroke: () => colour('text-dim'), font, grid: { show: false }, ticks: { show: false }, size: 24, space: 80, values: (_, s) => s.map((v) => clock(v * 1000)) },
        { stroke: () => colour('text-dim'), font, grid: { stroke: () => colour('chart-grid'), width: 1 }, ticks: { show: false }, size: 62, space: 36, values: (_, s) => s.map(show) },
      ],
      series: [{}, ...names.map((name, n) => ({ label: name, stroke: () => colour(`svc-${n}`), width: 1.4, spanGaps: true, points: { show: xs.length < 40 } }))],
      hooks: { setCursor: [(c) => paint(c.cursor.left >= 0 ? c.cursor.idx ?? null : null)] },
    }, [xs, ...names.map((name) => xs.map((x) => groups.get(name).get(x) ?? null))], plot);
    onTheme(() => { u.redraw(); paint(null); });
  };
  paint(null);
  requestAnimationFrame(draw);
  return el('figure', { class: 'chart' }, el('figcaption', {}, say), plot);
}

function bars(answer, y, label) {
  const top = answer.rows.slice(0, 25).filter((r) => typeof r[y] === 'number');
  const most = Math.max(...top.map((r) => r[y]), 0) || 1;
  const show = answer.columns[y].name.endsWith('_ns') ? duration : scaled;
  return el('ul', { class: 'sql-bars' }, top.map((row, n) => {
    const fill = el('i');
    fill.style.width = `${Math.max((row[y] / most) * 100, 0)}%`;
    return el('li', {}, el('span', { class: 'name' }, label < 0 ? `row ${n + 1}` : String(row[label])), el('span', { class: 'track' }, fill), el('b', {}, show(row[y])));
  }));
}

export function result(box, answer) {
  const choices = answer.columns.map((c, i) => [c, i]).filter(([c]) => numeric(c.type));
  const place = el('div', { class: 'sql-chart', hidden: true });
  const pick = el('select', { 'aria-label': 'Figure to draw', onchange: () => place.replaceChildren(chart(answer, Number(pick.value))) },
    choices.map(([c, i]) => el('option', { value: i }, c.name)));
  pick.hidden = true;
  const toggle = el('button', { type: 'button', class: 'plain', 'aria-pressed': 'false', onclick: () => {
    const on = place.hidden;
    place.hidden = !on;
    pick.hidden = !on;
    toggle.setAttribute('aria-pressed', String(on));
    if (on) place.replaceChildren(chart(answer, Number(pick.value)));
  } }, 'Chart');
  if (!answer.rows.length) {
    box.replaceChildren(el('p', { class: 'none' }, 'No rows. Widen the time in the WHERE clause, or take a condition away.'));
    return;
  }
  box.replaceChildren(
    el('header', {}, el('h2', {}, `${exact(answer.rows.length)} rows`), el('p', {}, `${answer.columns.length} columns`), el('span', { class: 'result-tools' }, choices.length ? [pick, toggle] : '')),
    place, grid(answer));
}
