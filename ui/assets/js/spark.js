// Small lines in tables: traffic of a service over the window, fetched as rows come into sight.

import { svg } from './dom.js';

const WIDTH = 64;
const HEIGHT = 18;
const waiting = [];
let running = 0;

function draw(node, values) {
  const most = Math.max(...values, 1);
  const step = WIDTH / Math.max(values.length - 1, 1);
  const points = values.map((v, i) => `${(i * step).toFixed(1)},${(HEIGHT - 1 - (v / most) * (HEIGHT - 2)).toFixed(1)}`);
  node.replaceChildren(
    svg('polygon', { class: 'area', points: `0,${HEIGHT} ${points.join(' ')} ${WIDTH},${HEIGHT}` }),
    svg('polyline', { points: points.join(' ') }),
  );
}

async function next() {
  const node = waiting.shift();
  if (!node) return;
  running += 1;
  try {
    const query = new URLSearchParams(location.search);
    query.set('service', node.dataset.spark);
    const answer = await fetch(`/ui/series?${query}`);
    if (answer.ok) draw(node, (await answer.json()).calls);
  } catch {
    // A missing line is no loss: the figure beside it says the same.
  } finally {
    running -= 1;
    next();
  }
}

const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    sight.unobserve(entry.target);
    waiting.push(entry.target);
    if (running < 3) next();
  }
});
document.querySelectorAll('[data-spark]').forEach((node) => sight.observe(node));
