// The panel beside the timeline: everything about one span.

import { el, icon } from './dom.js';
import { duration, share } from './format.js';

const side = document.getElementById('side');
let wanted = -1;
let logLines;

const plain = (value) => {
  if (typeof value === 'string') return value;
  if (value && typeof value === 'object') {
    if (typeof value.$double === 'string') return value.$double;
    if (typeof value.$bytes === 'string') return `bytes ${value.$bytes}`;
  }
  return JSON.stringify(value);
};

const section = (title, count, ...children) =>
  el('section', {}, el('h3', {}, title, count === undefined ? '' : el('span', { class: 'count' }, count)), children);

function attributes(values, search) {
  const keys = Object.keys(values ?? {});
  if (!keys.length) return el('p', { class: 'dim' }, 'None.');
  return el('dl', { class: 'attrs' }, keys.sort().map((key) => {
    const value = values[key];
    const text = plain(value);
    const long = text.includes('\n') || text.length > 160;
    const typed = ['string', 'number', 'boolean'].includes(typeof value);
    const href = new URL('/traces', location.href);
    if (search && typed && text.length < 300) {
      for (const sticky of ['from', 'to', 'tz']) {
        const kept = new URLSearchParams(location.search).get(sticky);
        if (kept) href.searchParams.set(sticky, kept);
      }
      // A text that reads as another type is quoted, so that the search keeps its type.
      const other = typeof value === 'string' && /^(true|false|".*"|-?\d.*)$/.test(value);
      href.searchParams.set('tag', `${key}=${other ? JSON.stringify(value) : text}`);
    }
    return el('div', {},
      el('dt', {}, key.split('.').flatMap((part, n) => (n ? ['.', el('wbr'), part] : [part]))),
      el('dd', { class: typeof value === 'string' ? 'text' : 'typed' }, long ? el('pre', { tabindex: '0', class: key.endsWith('stacktrace') ? 'trace-lines' : null }, text) : text,
        search && typed && text.length < 300 ? el('a', { class: 'more-like', href: href.href, title: 'Traces with this', 'aria-label': `Traces with ${key} of this value` }, icon('search')) : ''));
  }));
}

const fact = (label, value, title) => el('div', {}, el('dt', {}, label), el('dd', { title }, value));

function facts(model, data) {
  const { span } = data;
  const critical = span.critical.reduce((sum, part) => sum + part.to_ns - part.from_ns, 0);
  return el('dl', { class: 'facts in-side' },
    fact('Duration', el('b', {}, duration(span.duration_ns)), `${span.duration_ns} ns`),
    fact('Self', duration(span.self_ns), 'Not covered by children'),
    fact('Of the trace', share(span.duration_ns / model.duration)),
    fact('Critical', critical ? `${duration(critical)}` : 'not on it'),
    fact('Begins', `+${duration(span.offset_ns)}`),
    fact('Kind', span.kind.toLowerCase()),
    fact('Start', el('span', { class: 'mono' }, data.start), data.zone),
    fact('Span', [el('span', { class: 'mono' }, span.span_id), el('button', { class: 'copy', type: 'button', 'data-copy': span.span_id, 'aria-label': 'Copy the span id', title: 'Copy' }, icon('copy'))]),
  );
}

function events(data) {
  const { span } = data;
  if (!span.events.length) return '';
  return section('Events', span.events.length, span.events.map((event, n) =>
    el('details', { class: 'event', open: event.name === 'exception' },
      el('summary', {}, el('span', { class: 'mono dim' }, data.events[n]), ' ', el('b', {}, event.name)),
      attributes(event.attributes, false))));
}

function links(data) {
  const { span } = data;
  if (!span.links.length) return '';
  return section('Links', span.links.length, el('ul', { class: 'links' }, span.links.map((link, n) =>
    el('li', {}, el('a', { class: 'link mono', href: data.links[n] }, link.trace_id), attributes(link.attributes, false)))));
}

const line = (log) => el('li', {},
  el('span', { class: 'mono dim' }, log.time), ' ',
  el('span', { class: `level ${log.level}`, title: log.severity }, log.letter), ' ',
  el('span', {}, log.body.split('\n')[0]));

async function logs(model, data, box) {
  try {
    logLines ??= model.get('logs');
    const all = await logLines;
    const mine = all.filter((log) => log.span === data.span.span_id);
    const others = all.length - mine.length;
    const around = el('a', { class: 'link', href: data.logs }, `Logs of ${data.span.service} around it`);
    box.replaceChildren(
      mine.length ? el('ul', { class: 'lines' }, mine.map(line)) : el('p', { class: 'dim' }, 'No record carries this span.'),
      others ? el('details', { class: 'event' }, el('summary', {}, `${others} more of this trace`), el('ul', { class: 'lines' }, all.filter((l) => !mine.includes(l)).map(line))) : '',
      around);
  } catch (failure) {
    logLines = undefined;
    box.replaceChildren(el('p', { class: 'dim' }, failure.message));
  }
}

export async function show(model, index) {
  wanted = index;
  let data;
  try {
    data = await model.get(`spans/${index}`);
  } catch (failure) {
    side.replaceChildren(el('p', { class: 'none' }, failure.message));
    return null;
  }
  if (wanted !== index) return null;
  const { span } = data;
  const tone = model.tones[model.shape.service[index]];
  const box = el('div', {}, el('p', { class: 'dim' }, 'Reading…'));
  side.replaceChildren(
    el('header', { class: `side-head svc-${tone}` },
      el('p', {}, el('i', { class: 'dot', 'aria-hidden': 'true' }), el('a', { href: data.service }, span.service)),
      el('h2', {}, span.name || '(no name)'),
      span.status_code === 'ERROR' ? el('p', { class: 'failure' }, icon('circle-alert'), el('span', {}, span.status_message || 'failed')) : '',
      span.orphan ? el('p', { class: 'remark' }, icon('unlink'), 'Its parent did not arrive.') : '',
      span.skew_ns ? el('p', { class: 'remark' }, icon('clock'), `Shifted by ${duration(span.skew_ns)}: clocks disagree.`) : '',
      el('p', { class: 'go' }, el('a', { class: 'button', href: data.operation }, 'Operation'), el('a', { class: 'button', href: data.traces }, 'Traces like it'), el('a', { class: 'button', href: data.logs }, 'Logs'))),
    facts(model, data),
    events(data),
    section('Attributes', Object.keys(span.attributes ?? {}).length, attributes(span.attributes, true)),
    section('Logs', undefined, box),
    links(data),
    section('Resource', Object.keys(span.resource ?? {}).length, attributes(span.resource, true)),
    section('Scope', undefined, el('p', { class: 'dim mono' }, span.scope_name ? `${span.scope_name} ${span.scope_version}` : 'None.')),
  );
  side.scrollTop = 0;
  logs(model, data, box);
  return span.span_id;
}
