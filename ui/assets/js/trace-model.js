// The spans of a trace. The shape of the whole tree is small and held here; names and details come
// from the server by window.

const WINDOW = 500;

export class Model {
  constructor(head) {
    Object.assign(this, { id: head.id, duration: Math.max(head.duration, 1), count: head.count, services: head.services, tones: head.tones });
    this.path = `/ui/traces/${head.id}`;
    this.selected = head.selected;
    this.folded = new Set();
    this.rows = new Map(head.rows.map((row, i) => [head.at + i, row]));
    this.asked = new Set();
    this.matches = null;
    this.shape = head.shape;
  }

  async ready() {
    this.shape ??= await this.get('shape');
    this.parents();
    this.list();
  }

  async get(what, query = {}) {
    const parameters = new URLSearchParams(location.search);
    for (const [key, value] of Object.entries(query)) parameters.set(key, value);
    const answer = await fetch(`${this.path}/${what}?${parameters}`);
    if (!answer.ok) throw new Error((await answer.json()).detail);
    return answer.json();
  }

  parents() {
    const { depth } = this.shape;
    this.parent = new Int32Array(this.count).fill(-1);
    const open = [];
    for (let i = 0; i < this.count; i += 1) {
      while (open.length && depth[open[open.length - 1]] >= depth[i]) open.pop();
      if (open.length) this.parent[i] = open[open.length - 1];
      open.push(i);
    }
  }

  // Spans in sight: all but those under a folded one.
  list() {
    this.visible = [];
    this.place = new Map();
    for (let i = 0; i < this.count; i += 1) {
      this.place.set(i, this.visible.length);
      this.visible.push(i);
      if (this.folded.has(i)) i += this.shape.below[i];
    }
  }

  failed(i) { return (this.shape.flags[i] & 1) !== 0; }
  critical(i) { return (this.shape.flags[i] & 2) !== 0; }
  orphan(i) { return (this.shape.flags[i] & 4) !== 0; }

  toggle(i, fold = !this.folded.has(i)) {
    if (this.shape.below[i] === 0) return;
    if (fold) this.folded.add(i);
    else this.folded.delete(i);
    this.list();
  }

  foldAll(fold) {
    this.folded.clear();
    if (fold) for (let i = 0; i < this.count; i += 1) if (this.shape.below[i] > 0 && this.shape.depth[i] > 0) this.folded.add(i);
    this.list();
  }

  // One level: unfold the shallowest folded, or fold the deepest unfolded.
  level(fold) {
    const { depth, below } = this.shape;
    let at = fold ? -1 : Infinity;
    for (const i of this.visible) {
      if (below[i] === 0 || this.folded.has(i) === fold) continue;
      at = fold ? Math.max(at, depth[i]) : Math.min(at, depth[i]);
    }
    for (const i of this.visible) {
      if (below[i] === 0 || depth[i] !== at) continue;
      if (fold) this.folded.add(i);
      else this.folded.delete(i);
    }
    this.list();
  }

  // Unfolds everything above a span.
  reveal(i) {
    for (let up = this.parent[i]; up >= 0; up = this.parent[up]) this.folded.delete(up);
    this.list();
  }

  // The next span from `from` that satisfies a test, round the end.
  next(from, step, test) {
    for (let n = 1; n <= this.count; n += 1) {
      const i = (((from + n * step) % this.count) + this.count) % this.count;
      if (test(i)) return i;
    }
    return from;
  }

  sibling(from, step) {
    const { depth, below } = this.shape;
    if (step > 0) {
      const after = from + below[from] + 1;
      return after < this.count && depth[after] === depth[from] ? after : from;
    }
    for (let i = from - 1; i >= 0 && depth[i] >= depth[from]; i -= 1) if (depth[i] === depth[from]) return i;
    return from;
  }

  // Fetches the windows that hold these spans; calls back when something new arrived.
  need(spans, arrived) {
    const windows = new Set();
    for (const i of spans) if (!this.rows.has(i)) windows.add(Math.floor(i / WINDOW));
    for (const w of windows) {
      if (this.asked.has(w)) continue;
      this.asked.add(w);
      this.get('rows', { at: w * WINDOW, n: WINDOW }).then((rows) => {
        rows.forEach((row, n) => this.rows.set(w * WINDOW + n, row));
        arrived();
      }, () => this.asked.delete(w));
    }
  }
}
