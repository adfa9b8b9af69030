// Charts over time. Colours are tokens, times are in the zone of the page, dragging over a chart
// looks at that window, and all charts of a page share one crosshair.

import { colour, el, island, onTheme } from './dom.js';
import { UNITS, clock, clockSeconds, day, rateUpTo, stamp, zone } from './format.js';

const GROUP = 'time';
const TOKENS = {
  traffic: 'chart-traffic', p50: 'chart-p50', p95: 'chart-p95', p99: 'chart-p99',
  bad: 'bad-fill', warn: 'warn-fill', quiet: 'quiet-fill',
};
const token = (tone) => TOKENS[tone] ?? tone;
const DASH = { p50: [2, 3] };

// Whether the window has more than one date in the zone of the page.
const days = day(Number(document.body.dataset.from)) !== day(Number(document.body.dataset.to));
const at = days ? stamp : clockSeconds;

function axisTimes(splits, spanSeconds) {
  let before = '';
  return splits.map((s) => {
    const at = s * 1000;
    const date = day(at);
    const text = spanSeconds < 300 ? clockSeconds(at) : clock(at);
    const label = date !== before && (before !== '' || spanSeconds > 86400) ? `${text}\n${date}` : text;
    before = date;
    return label;
  });
}

// Even steps of time, or of thousands of a unit that people count in.
const NS = [1, 2, 5, 10, 20, 50, 100, 200, 500].flatMap((n) => [n, n * 1e3, n * 1e6, n * 1e9])
  .concat([60e9, 120e9, 300e9, 600e9, 1800e9, 3600e9, 7200e9]).sort((a, b) => a - b);
const BYTES = Array.from({ length: 42 }, (_, n) => 2 ** n);

function series(line, kind, at, lines) {
  const stroke = () => colour(token(line.tone));
  const fill = (alpha) => () => colour(token(line.tone)).replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
  const base = { label: line.label, stroke, width: 1.4, points: { show: false }, spanGaps: false };
  if (kind === 'area') return { ...base, fill: fill(0.14) };
  if (kind === 'bars' || kind === 'stack') {
    return { ...base, width: 0, fill: stroke, paths: uPlot.paths.bars({ size: [0.86, 40], align: 1 }) };
  }
  const single = alone(line.values);
  if (single.length) base.points = { show: true, size: 4, width: 0, fill: stroke, filter: () => single };
  return { ...base, width: line.tone === 'p99' ? 1.6 : 1.3, dash: DASH[line.tone], fill: lines === 1 ? fill(0.12) : undefined };
}

// Stacked bars are drawn as running sums, the tallest first.
function columns(data) {
  const values = data.lines.map((l) => l.values);
  if (data.kind !== 'stack') return values;
  const sums = [];
  let below = null;
  for (const row of values) {
    below = row.map((v, i) => (v ?? 0) + (below ? below[i] : 0));
    sums.push(below);
  }
  return sums.reverse();
}

// An identifier as long as a sentence keeps its ends.
const short = (label) => (label.length > 20 ? `${label.slice(0, 9)}…${label.slice(-6)}` : label);

// Points without a neighbour, which no line shows.
const alone = (values) =>
  [...values.keys()].filter((i) => values[i] !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null);

function legend(figure, data, unit) {
  const box = figure.querySelector('[data-legend]');
  const many = data.lines.length > 4;
  const cells = data.lines.map((line) => {
    const mark = el('i');
    const value = el('b');
    const item = el('span', { title: line.label }, mark, many ? '' : `${short(line.label)} `, value);
    return { line, mark, value, item };
  });
  const when = el('span', {}, '');
  box.replaceChildren(when, ...(many ? [] : cells.map((c) => c.item)));
  const paint = () => cells.forEach((c) => { c.mark.style.color = colour(token(c.line.tone)); });
  paint();
  onTheme(paint);
  return (index) => {
    when.textContent = index === null ? '' : at(data.times[index]);
    if (many) {
      const ranked = cells
        .map((c) => ({ c, v: index === null ? null : c.line.values[index] }))
        .filter((r) => r.v !== null).sort((a, b) => b.v - a.v).slice(0, 2);
      box.replaceChildren(when, ...(index === null
        ? [`${cells.length} series`]
        : ranked.map(({ c, v }) => { c.value.textContent = `${short(c.line.label)} ${unit(v)}`; return c.item; })));
      return;
    }
    for (const c of cells) {
      const v = index === null ? null : c.line.values[index];
      c.value.textContent = v === null || v === undefined ? (index === null ? '' : '–') : unit(v);
    }
  };
}

function look(from, to) {
  const url = new URL(location.href);
  url.searchParams.set('from', new Date(Math.floor(from * 1000)).toISOString());
  url.searchParams.set('to', new Date(Math.ceil(to * 1000)).toISOString());
  url.searchParams.delete('cursor');
  location.assign(url);
}

function options(data, plot, say, unit) {
  const span = (document.body.dataset.to - document.body.dataset.from) / 1000;
  const axis = { stroke: () => colour('text-dim'), font: `11px ${getComputedStyle(document.body).fontFamily}`, ticks: { show: false }, gap: 6 };
  const grid = { stroke: () => colour('chart-grid'), width: 1 };
  const top = { ns: 1e6, share: 0.01, count: 4, rate: 0.1, bytes: 1024, byterate: 1024, plain: 1 }[data.unit];
  return {
    width: plot.clientWidth,
    height: plot.clientHeight,
    tzDate: (s) => uPlot.tzDate(new Date(s * 1e3), zone),
    padding: [6, 14, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: GROUP, setSeries: false },
      y: false,
      points: { size: 6, show: data.kind === 'line' || data.kind === 'area' },
      drag: { x: true, y: false, setScale: false, dist: 6 },
    },
    scales: {
      x: { time: true, range: () => [document.body.dataset.from / 1000, document.body.dataset.to / 1000] },
      y: { range: (_, __, max) => [0, Math.max((max ?? 0) * 1.08, top)] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: days ? 38 : 24, space: 70, values: (_, splits) => axisTimes(splits, span) },
      {
        ...axis, grid, size: 58, space: 34, values: (_, splits) => splits.map((v) => (v === 0 ? '0' : unit(v))),
        incrs: data.unit === 'ns' ? NS : data.unit.startsWith('byte') ? BYTES : undefined,
      },
    ],
    series: [
      { label: 'time' },
      ...(data.kind === 'stack' ? [...data.lines].reverse() : data.lines).map((l, i) => series(l, data.kind, i, data.lines.length)),
    ],
    hooks: {
      setCursor: [(u) => say(u.cursor.left >= 0 ? u.cursor.idx ?? null : null)],
      setSelect: [(u) => {
        if (u.select.width < 6) return;
        look(u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x'));
      }],
    },
  };
}

function draw(figure) {
  const data = island(figure);
  const plot = figure.querySelector('.plot');
  const most = Math.max(...data.lines.flatMap((l) => l.values.map((v) => v ?? 0)), 0);
  const unit = data.unit === 'rate' ? rateUpTo(most) : UNITS[data.unit];
  const say = legend(figure, data, unit);
  const chart = new uPlot(
    options(data, plot, say, unit),
    [data.times.map((t) => t / 1000), ...columns(data)],
    plot,
  );
  say(null);
  new ResizeObserver(() => {
    if (plot.clientWidth > 0) chart.setSize({ width: plot.clientWidth, height: plot.clientHeight });
  }).observe(plot);
  onTheme(() => chart.redraw());
}

document.querySelectorAll('[data-chart]').forEach(draw);
