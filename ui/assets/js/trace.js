// The timeline of a trace: only rows in sight are in the page.

import { colour, el, icon, island, onTheme, toast } from './dom.js';
import { duration } from './format.js';
import { Model } from './trace-model.js';
import { show } from './trace-panel.js';

const ROW = 24;
const tree = document.getElementById('tree');
const space = document.getElementById('rows');
const ruler = document.getElementById('ruler');
const minimap = document.getElementById('minimap');
const model = new Model(island(document.getElementById('trace')));
let from = 0;
let to = model.duration;
let path = true;
let found = [];

const share = (ns) => (ns - from) / (to - from);
const percent = (value) => `${(value * 100).toFixed(3)}%`;

function bar(i, row) {
  const { offset, duration: lengths } = model.shape;
  const start = share(offset[i]);
  const end = share(offset[i] + lengths[i]);
  const cell = el('div', { role: 'gridcell', class: 'time' });
  const label = duration(lengths[i]);
  if (end < 0 || start > 1) {
    cell.append(el('span', { class: `beyond ${end < 0 ? 'left' : 'right'}` }, end < 0 ? '‹ ' : '', label, end < 0 ? '' : ' ›'));
    return cell;
  }
  const left = Math.max(start, 0);
  const right = Math.min(end, 1);
  const box = el('div', { class: 'span-bar' });
  box.style.left = percent(left);
  box.style.width = percent(right - left);
  cell.append(box);
  if (path && row) {
    for (let n = 0; n < row.critical.length; n += 2) {
      const a = Math.max(share(row.critical[n]), 0);
      const b = Math.min(share(row.critical[n + 1]), 1);
      if (b <= a) continue;
      const line = el('div', { class: 'crit' });
      line.style.left = percent(a);
      line.style.width = percent(b - a);
      cell.append(line);
    }
  }
  for (const at of row?.events ?? []) {
    const x = share(at);
    if (x < 0 || x > 1) continue;
    const mark = el('i', { class: 'event-mark' });
    mark.style.left = percent(x);
    cell.append(mark);
  }
  const text = el('span', { class: 'span-label' }, label);
  // Behind the bar if there is room, else before it, else inside it.
  if (right < 0.86) text.style.left = `calc(${percent(right)} + 6px)`;
  else if (left > 0.14) text.style.right = `calc(${percent(1 - left)} + 6px)`;
  else { text.classList.add('inside'); text.style.right = `calc(${percent(1 - right)} + 6px)`; }
  cell.append(text);
  return cell;
}

function rowOf(i, place) {
  const { depth, below, service } = model.shape;
  const row = model.rows.get(i);
  const folded = model.folded.has(i);
  const twist = below[i] > 0
    ? el('span', { class: 'twist', 'data-twist': i }, icon(folded ? 'chevron-right' : 'chevron-down'), folded ? el('b', {}, below[i] + 1) : '')
    : el('span', { class: 'twist leaf' });
  const indent = el('span', { class: 'indent' });
  indent.style.width = `${Math.min(depth[i], 24) * 12}px`;
  const node = el(
    'div',
    {
      role: 'row', id: `span-${i}`, 'data-span': i, 'aria-level': depth[i] + 1, 'aria-rowindex': place + 1,
      'aria-selected': i === model.selected ? 'true' : 'false',
      'aria-expanded': below[i] > 0 ? String(!folded) : null,
      class: `span-row svc-${model.tones[service[i]]}${model.failed(i) ? ' failed' : ''}${model.matches && !model.matches.has(i) ? ' faint' : ''}${model.matches?.has(i) ? ' match' : ''}`,
    },
    el('div', { role: 'gridcell', class: 'what' }, indent, twist, el('i', { class: 'dot', 'aria-hidden': 'true' }),
      el('span', { class: 'svc' }, model.services[service[i]]),
      model.failed(i) ? icon('circle-alert') : '', model.orphan(i) ? icon('unlink') : '',
      el('span', { class: 'op', title: row?.name }, row ? row.name : '…')),
    bar(i, row),
  );
  node.style.transform = `translateY(${place * ROW}px)`;
  return node;
}

function ticks() {
  const parts = [];
  for (let n = 0; n <= 4; n += 1) {
    const tick = el('span', {}, duration(Math.round(from + ((to - from) * n) / 4)));
    tick.style.left = percent(n / 4);
    if (n === 4) tick.classList.add('last');
    parts.push(tick);
  }
  ruler.replaceChildren(el('span', { class: 'head' }, 'Service and operation'), el('div', { class: 'ticks' }, parts));
}

function draw() {
  const first = Math.max(Math.floor(tree.scrollTop / ROW) - 8, 0);
  const last = Math.min(first + Math.ceil(tree.clientHeight / ROW) + 16, model.visible.length);
  const inSight = model.visible.slice(first, last);
  model.need(inSight, draw);
  space.style.height = `${model.visible.length * ROW}px`;
  space.replaceChildren(...inSight.map((i, n) => rowOf(i, first + n)));
  tree.setAttribute('aria-rowcount', model.visible.length);
  if (model.place.has(model.selected)) tree.setAttribute('aria-activedescendant', `span-${model.selected}`);
  document.getElementById('unzoom').hidden = from <= 0 && to >= model.duration;
}

let asked = false;
function later() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; draw(); });
}

// The whole trace, one line per span or less, with the part in sight.
function overview() {
  const scale = devicePixelRatio || 1;
  const width = minimap.clientWidth;
  const height = minimap.clientHeight;
  minimap.width = width * scale;
  minimap.height = height * scale;
  const c = minimap.getContext('2d');
  c.scale(scale, scale);
  c.clearRect(0, 0, width, height);
  const { offset, duration: lengths, service } = model.shape;
  const colours = model.tones.map((t) => colour(`svc-${t}`));
  const bad = colour('bad');
  const step = height / model.count;
  const thick = Math.min(Math.max(step - 0.5, 0.7), 3);
  c.globalAlpha = model.count > 500 ? 0.6 : 0.9;
  for (const failing of [false, true]) {
    for (let i = 0; i < model.count; i += 1) {
      if (model.failed(i) !== failing) continue;
      c.fillStyle = failing ? bad : colours[service[i]];
      c.fillRect((offset[i] / model.duration) * width, i * step, Math.max((lengths[i] / model.duration) * width, 1), failing ? Math.max(thick, 1.5) : thick);
    }
  }
  c.globalAlpha = 1;
  if (from > 0 || to < model.duration) {
    const a = (from / model.duration) * width;
    const b = (to / model.duration) * width;
    c.fillStyle = colour('bg');
    c.globalAlpha = 0.72;
    c.fillRect(0, 0, a, height);
    c.fillRect(b, 0, width - b, height);
    c.globalAlpha = 1;
    c.strokeStyle = colour('accent');
    c.strokeRect(a + 0.5, 0.5, Math.max(b - a - 1, 1), height - 1);
  }
}

function zoom(a, b) {
  const least = Math.max(model.duration / 1e5, 1000);
  let low = Math.max(Math.min(a, b), 0);
  let high = Math.min(Math.max(a, b), model.duration);
  if (high - low < least) {
    const middle = (low + high) / 2;
    low = Math.max(middle - least / 2, 0);
    high = Math.min(low + least, model.duration);
  }
  from = low;
  to = high;
  ticks();
  overview();
  later();
}

const scaleBy = (factor) => {
  const middle = (from + to) / 2;
  const half = ((to - from) / 2) * factor;
  zoom(middle - half, middle + half);
};
const pan = (part) => {
  const by = Math.min(Math.max((to - from) * part, -from), model.duration - to);
  zoom(from + by, to + by);
};

function select(i, { scroll = true, address = true } = {}) {
  model.selected = i;
  if (!model.place.has(i)) model.reveal(i);
  if (scroll) {
    space.style.height = `${model.visible.length * ROW}px`;
    const top = model.place.get(i) * ROW;
    if (top < tree.scrollTop + ROW || top > tree.scrollTop + tree.clientHeight - 3 * ROW) {
      tree.scrollTop = Math.max(top - tree.clientHeight / 3, 0);
    }
  }
  later();
  show(model, i).then((id) => {
    if (!address || !id) return;
    const url = new URL(location.href);
    url.searchParams.set('span', id);
    history.replaceState(null, '', url);
  });
}

const step = (by) => select(model.visible[Math.min(Math.max(model.place.get(model.selected) + by, 0), model.visible.length - 1)]);
const error = (by) => select(model.next(model.selected, by, (i) => model.failed(i)));
const redraw = () => { if (!model.place.has(model.selected)) model.reveal(model.selected); later(); };

tree.addEventListener('scroll', later, { passive: true });
tree.addEventListener('click', (event) => {
  const twist = event.target.closest('[data-twist]');
  const row = event.target.closest('[data-span]');
  if (twist) { model.toggle(Number(twist.dataset.twist)); later(); }
  else if (row) select(Number(row.dataset.span), { scroll: false });
});

// Drag over the minimap or the ruler to zoom.
function drag(surface, low, high, left = 0) {
  surface.addEventListener('pointerdown', (event) => {
    const box = surface.getBoundingClientRect();
    const at = (e) => {
      const part = Math.min(Math.max((e.clientX - box.left - left) / (box.width - left), 0), 1);
      return low() + part * (high() - low());
    };
    const begin = at(event);
    surface.setPointerCapture(event.pointerId);
    const end = (e) => {
      surface.removeEventListener('pointerup', end);
      if (Math.abs(e.clientX - event.clientX) > 4) zoom(begin, at(e));
      else if (surface === minimap && (from > 0 || to < model.duration)) pan((begin - (from + to) / 2) / (to - from));
    };
    surface.addEventListener('pointerup', end);
  });
}

function findNext(by) {
  if (!found.length) return;
  const at = found.indexOf(model.selected);
  const next = at < 0 ? (by > 0 ? found.findIndex((i) => i > model.selected) : -1) : at + by;
  select(found[(next + found.length) % found.length]);
  document.getElementById('found').textContent = `${found.indexOf(model.selected) + 1} of ${found.length}`;
}

let typed;
const findBox = document.getElementById('find');
findBox.addEventListener('input', () => {
  clearTimeout(typed);
  typed = setTimeout(async () => {
    const q = findBox.value.trim();
    try {
      found = q ? await model.get('find', { q }) : [];
    } catch (failure) {
      toast(failure.message);
      return;
    }
    model.matches = q ? new Set(found) : null;
    document.getElementById('found').textContent = q ? (found.length ? `${found.length} found` : 'none') : '';
    later();
    if (found.length && !model.matches.has(model.selected)) findNext(1);
  }, 180);
});
findBox.addEventListener('keydown', (event) => {
  if (event.key === 'Enter') { event.preventDefault(); findNext(event.shiftKey ? -1 : 1); }
  if (event.key === 'Escape') { findBox.value = ''; findBox.dispatchEvent(new Event('input')); tree.focus(); }
});

const button = (id, act) => document.getElementById(id).addEventListener('click', act);
button('prev-error', () => error(-1));
button('next-error', () => error(1));
button('fold', () => { model.foldAll(true); redraw(); });
button('unfold', () => { model.foldAll(false); redraw(); });
button('unzoom', () => zoom(0, model.duration));
button('critical', togglePath);
function togglePath() {
  path = !path;
  document.getElementById('critical').setAttribute('aria-pressed', String(path));
  later();
}

const PAGE = {
  f: () => step(1), b: () => step(-1), e: () => error(1), E: () => error(-1), c: togglePath,
  '.': () => select(model.sibling(model.selected, 1)), ',': () => select(model.sibling(model.selected, -1)),
  s: () => { tree.scrollTop += tree.clientHeight / 2; }, w: () => { tree.scrollTop -= tree.clientHeight / 2; },
  a: () => pan(-0.1), d: () => pan(0.1), A: () => pan(-0.5), D: () => pan(0.5),
  '[': () => { model.foldAll(false); redraw(); }, ']': () => { model.foldAll(true); redraw(); },
  o: () => { model.level(false); redraw(); }, p: () => { model.level(true); redraw(); },
  Escape: () => zoom(0, model.duration),
};
const ELSEWHERE = { ArrowUp: () => scaleBy(0.7), ArrowDown: () => scaleBy(1 / 0.7), ArrowLeft: () => pan(-0.1), ArrowRight: () => pan(0.1) };
const INSIDE = {
  ArrowDown: () => step(1), ArrowUp: () => step(-1),
  ArrowLeft: () => {
    if (model.shape.below[model.selected] > 0 && !model.folded.has(model.selected)) { model.toggle(model.selected, true); later(); }
    else if (model.parent[model.selected] >= 0) select(model.parent[model.selected]);
  },
  ArrowRight: () => { model.toggle(model.selected, false); later(); },
  Home: () => select(0), End: () => select(model.visible[model.visible.length - 1]),
  PageDown: () => step(Math.floor(tree.clientHeight / ROW) - 1), PageUp: () => step(1 - Math.floor(tree.clientHeight / ROW)),
  Enter: () => document.getElementById('side').focus(),
  ' ': () => { model.toggle(model.selected); later(); },
};
document.addEventListener('keydown', (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === 'b') {
    event.preventDefault();
    findBox.focus();
    findBox.select();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest('input, textarea, select, details.menu, dialog')) return;
  const arrows = event.target === tree ? INSIDE : event.target === document.body || event.target.id === 'main' ? ELSEWHERE : {};
  const act = PAGE[event.key] ?? arrows[event.key];
  if (!act || (event.key.length > 1 && event.defaultPrevented)) return;
  event.preventDefault();
  act();
});

try {
  await model.ready();
  drag(minimap, () => 0, () => model.duration);
  drag(ruler.parentElement.querySelector('.ruler'), () => from, () => to, tree.clientWidth * 0.4);
  ticks();
  overview();
  select(model.selected, { address: false });
  new ResizeObserver(() => { overview(); later(); }).observe(tree);
  onTheme(() => { overview(); later(); });
} catch (failure) {
  toast(`The trace could not be drawn: ${failure.message}`);
}
