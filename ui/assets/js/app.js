// The frame of every page: menus, keys, theme, zone, refresh, sharing. Everything here has a plain
// link or form that works without it.

import { copy, el, themeChanged, toast } from './dom.js';

const root = document.documentElement;
const { refresh, zoneChoice, zone } = document.body.dataset;
const remember = (name, value) => {
  document.cookie = `${name}=${value}; path=/; max-age=31536000; samesite=lax`;
};

// The server cannot know the browser's zone: tell it, and ask again if it guessed otherwise.
const mine = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
remember('hr_browser_tz', mine);
if (zoneChoice === 'browser' && zone !== mine && !sessionStorage.getItem('zone-told')) {
  sessionStorage.setItem('zone-told', mine);
  location.reload();
}

// Menus: one open at a time, closed by Escape or a click elsewhere.
const menus = [...document.querySelectorAll('details.menu')];
for (const menu of menus) {
  menu.addEventListener('toggle', () => {
    if (menu.open) menus.filter((m) => m !== menu).forEach((m) => { m.open = false; });
  });
}
document.addEventListener('pointerdown', (event) => {
  for (const menu of menus) if (menu.open && !menu.contains(event.target)) menu.open = false;
});
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  for (const menu of menus) {
    if (!menu.open) continue;
    menu.open = false;
    menu.querySelector('summary').focus();
  }
});

document.getElementById('themes').addEventListener('click', (event) => {
  const link = event.target.closest('[data-theme-choice]');
  if (!link) return;
  event.preventDefault();
  remember('hr_theme', link.dataset.themeChoice);
  root.dataset.theme = link.dataset.themeChoice;
  for (const other of document.querySelectorAll('[data-theme-choice]')) other.removeAttribute('aria-current');
  link.setAttribute('aria-current', 'true');
  themeChanged();
});

document.querySelector('.rail-fold').addEventListener('click', (event) => {
  event.preventDefault();
  const slim = root.dataset.rail !== 'slim';
  remember('hr_rail', slim ? 'slim' : 'wide');
  if (slim) root.dataset.rail = 'slim';
  else delete root.dataset.rail;
  window.dispatchEvent(new Event('resize'));
});

// A link with fixed time. The trace page adds the selected span to it.
const shareButton = document.getElementById('share');
const share = () => {
  const url = new URL(shareButton.dataset.share, location.href);
  const span = new URL(location.href).searchParams.get('span');
  if (span) url.searchParams.set('span', span);
  return copy(url.href, 'Link with fixed time copied');
};
shareButton.addEventListener('click', share);

// Refresh: only while somebody looks.
if (refresh) {
  const state = document.getElementById('refresh-state');
  let left = Number(refresh);
  setInterval(() => {
    if (document.hidden || document.querySelector('details.menu[open], dialog[open]')) {
      if (state) state.textContent = 'paused';
      return;
    }
    left -= 1;
    if (state) state.textContent = `${Math.max(left, 0)} s`;
    if (left <= 0) location.reload();
  }, 1000);
}

// Suggestions, fetched when first needed.
const search = document.getElementById('search');
search.addEventListener('focus', async () => {
  try {
    const answer = await fetch(`/ui/services${location.search}`);
    if (!answer.ok) return;
    document.getElementById('search-names').replaceChildren(
      ...(await answer.json()).map((name) => el('option', { value: name })),
    );
  } catch {
    // Suggestions are a convenience: without them the box still searches.
  }
}, { once: true });
document.querySelector('[list="zone-names"]').addEventListener('focus', () => {
  const names = Intl.supportedValuesOf ? Intl.supportedValuesOf('timeZone') : [];
  document.getElementById('zone-names').replaceChildren(...names.map((name) => el('option', { value: name })));
}, { once: true });

// Keys.
const keys = document.getElementById('keys');
document.getElementById('help').addEventListener('click', () => keys.showModal());
const GO = { o: '/', v: '/verdict', s: '/services', t: '/traces', l: '/logs', q: '/sql' };
let gone = 0;
const typing = (target) => target.closest('input, textarea, select, [contenteditable="true"], .sql-editor');
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || keys.open) return;
  if (Date.now() - gone < 1200 && GO[event.key]) {
    gone = 0;
    event.preventDefault();
    event.stopImmediatePropagation();
    const link = [...document.querySelectorAll('.rail li a')].find((a) => new URL(a.href).pathname === GO[event.key]);
    location.assign(link.href);
    return;
  }
  const act = {
    '/': () => { search.focus(); search.select(); },
    '?': () => keys.showModal(),
    g: () => { gone = Date.now(); },
    r: () => location.reload(),
    t: () => {
      const menu = document.getElementById('time-menu');
      menu.open = true;
      menu.querySelector('a').focus();
    },
    y: share,
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

// Copy buttons anywhere on a page.
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-copy]');
  if (button) copy(button.dataset.copy, 'Copied');
});
window.addEventListener('unhandledrejection', () => toast('Something on this page failed; reload it'));
