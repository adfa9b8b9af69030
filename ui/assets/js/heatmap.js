// Calls by time and duration, on a canvas. A click opens the traces of a cell, a drag those of a
// region; the keyboard moves a cell and opens it. The table below says the same.

import { colour, island, onTheme } from './dom.js';
import { clock, duration, exact, stamp } from './format.js';

const LEFT = 58;
const BOTTOM = 22;

function mix(a, b, t) {
  const parse = (text) => text.match(/[\d.]+/g).slice(0, 3).map(Number);
  const [x, y] = [parse(a), parse(b)];
  return `rgb(${x.map((v, i) => Math.round(v + (y[i] - v) * t)).join(' ')})`;
}

// Round durations inside the bounds: decades, and steps between where few fit.
function round(bounds) {
  const low = Math.max(bounds[0], 1);
  const high = bounds[bounds.length - 1];
  const decades = Math.log10(high / low);
  const steps = decades > 4 ? [1] : decades > 1.6 ? [1, 3] : [1, 2, 5];
  const all = [];
  for (let power = 1; power <= high; power *= 10) for (const s of steps) if (s * power >= low && s * power <= high) all.push(s * power);
  return all;
}

function heatmap(root) {
  const data = island(root);
  const canvas = root.querySelector('canvas');
  const say = root.querySelector('.heat-say');
  const columns = data.times.length;
  const rows = data.bounds.length - 1;
  if (columns === 0 || rows < 1) return;
  const cells = new Map();
  let most = 1;
  for (let n = 0; n < data.cells.length; n += 4) {
    const [t, b, count, errors] = data.cells.slice(n, n + 4);
    cells.set(t * rows + b, { t, b, count, errors });
    most = Math.max(most, count);
  }
  let at = null;
  let box = null;

  const size = () => ({ w: canvas.clientWidth - LEFT, h: canvas.clientHeight - BOTTOM });
  const x = (t) => LEFT + (t / columns) * size().w;
  const y = (b) => size().h - (b / rows) * size().h;
  // Where a duration lies among the rows; between two bounds by its logarithm.
  const row = (ns) => {
    const b = Math.max(data.bounds.findLastIndex((bound) => bound <= ns), 0);
    if (b >= rows) return rows;
    const [low, high] = [Math.max(data.bounds[b], 1), data.bounds[b + 1]];
    return b + Math.log(ns / low) / Math.log(high / low);
  };
  const cellAt = (event) => {
    const r = canvas.getBoundingClientRect();
    const t = Math.floor(((event.clientX - r.left - LEFT) / size().w) * columns);
    const b = Math.floor((1 - (event.clientY - r.top) / size().h) * rows);
    return { t: Math.min(Math.max(t, 0), columns - 1), b: Math.min(Math.max(b, 0), rows - 1) };
  };

  function axes(c) {
    c.fillStyle = colour('text-dim');
    c.strokeStyle = colour('chart-grid');
    c.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    c.textBaseline = 'middle';
    c.textAlign = 'right';
    for (const ns of round(data.bounds)) {
      const line = Math.round(y(row(ns))) + 0.5;
      c.beginPath();
      c.moveTo(LEFT, line);
      c.lineTo(LEFT + size().w, line);
      c.stroke();
      c.fillText(duration(ns), LEFT - 8, Math.min(Math.max(line, 6), size().h - 4));
    }
    c.textAlign = 'center';
    const labels = Math.max(Math.floor(size().w / 90), 1);
    const hop = Math.max(Math.ceil(columns / labels), 1);
    for (let t = Math.floor(hop / 2); t < columns; t += hop) c.fillText(clock(data.times[t]), Math.min(x(t), LEFT + size().w - 16), size().h + 13);
  }

  function draw() {
    const scale = devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * scale;
    canvas.height = canvas.clientHeight * scale;
    const c = canvas.getContext('2d');
    c.scale(scale, scale);
    axes(c);
    const [low, high, bad, line] = ['heat-0', 'heat-1', 'bad-fill', 'text-strong'].map(colour);
    const w = size().w / columns;
    const h = size().h / rows;
    const gap = w > 5 ? 1 : 0;
    for (const cell of cells.values()) {
      const strength = 0.08 + 0.92 * (Math.log1p(cell.count) / Math.log1p(most));
      const failing = cell.errors / cell.count >= 0.2;
      c.globalAlpha = failing ? 0.45 + 0.55 * strength : 1;
      c.fillStyle = failing ? bad : mix(low, high, strength);
      c.fillRect(x(cell.t), y(cell.b + 1), Math.max(w - gap, 1), Math.max(h - gap, 1));
    }
    c.globalAlpha = 1;
    c.strokeStyle = line;
    c.lineWidth = 1.5;
    const frame = box ?? (at && { t0: at.t, t1: at.t, b0: at.b, b1: at.b });
    if (frame) c.strokeRect(x(frame.t0), y(frame.b1 + 1), (frame.t1 - frame.t0 + 1) * w, (frame.b1 - frame.b0 + 1) * h);
  }

  function region(frame) {
    let count = 0;
    let errors = 0;
    for (const cell of cells.values()) {
      if (cell.t < frame.t0 || cell.t > frame.t1 || cell.b < frame.b0 || cell.b > frame.b1) continue;
      count += cell.count;
      errors += cell.errors;
    }
    return { count, errors };
  }

  function tell(frame) {
    const { count, errors } = region(frame);
    say.textContent = `${stamp(data.times[frame.t0])} · ${duration(data.bounds[frame.b0])} – ${duration(data.bounds[frame.b1 + 1])} · ${exact(count)} calls, ${exact(errors)} failed`;
  }

  const one = (cell) => ({ t0: cell.t, t1: cell.t, b0: cell.b, b1: cell.b });
  function open(frame) {
    if (region(frame).count === 0) return;
    const url = new URL(data.traces, location.href);
    url.searchParams.set('from', new Date(data.times[frame.t0]).toISOString());
    url.searchParams.set('to', new Date(data.times[frame.t1] + data.step).toISOString());
    url.searchParams.set('min', `${data.bounds[frame.b0]}ns`);
    url.searchParams.set('max', `${data.bounds[frame.b1 + 1] - 1}ns`);
    location.assign(url);
  }

  let down = null;
  canvas.addEventListener('pointerdown', (event) => {
    down = cellAt(event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', (event) => {
    at = cellAt(event);
    box = down && {
      t0: Math.min(down.t, at.t), t1: Math.max(down.t, at.t), b0: Math.min(down.b, at.b), b1: Math.max(down.b, at.b),
    };
    tell(box ?? one(at));
    draw();
  });
  canvas.addEventListener('pointerup', () => {
    if (down) open(box ?? one(down));
    down = null;
    box = null;
  });
  canvas.addEventListener('pointerleave', () => {
    if (down) return;
    at = null;
    say.textContent = '';
    draw();
  });
  canvas.addEventListener('keydown', (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (event.key === 'Enter' && at) open(one(at));
    if (!by) return;
    event.preventDefault();
    at ??= { t: columns - 1, b: rows - 1 };
    at = { t: Math.min(Math.max(at.t + by[0], 0), columns - 1), b: Math.min(Math.max(at.b + by[1], 0), rows - 1) };
    tell(one(at));
    draw();
  });
  new ResizeObserver(draw).observe(canvas);
  onTheme(draw);
}

document.querySelectorAll('[data-heatmap]').forEach(heatmap);
