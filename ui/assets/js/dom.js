// Building the page. Text is only ever set as text: telemetry is hostile.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'onclick' || name === 'oninput' || name === 'onchange') node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children.flat(2)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

export const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
export const icon = (name) =>
  svg('svg', { class: 'icon', 'aria-hidden': 'true' }, svg('use', { href: `${document.body.dataset.icons}#${name}` }));

// The resolved colour of a custom property, in the theme in force.
const probe = document.createElement('span');
export function colour(token) {
  if (!probe.isConnected) {
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `var(--${token})`;
  return getComputedStyle(probe).color;
}

// The data a page carries for a script.
export const island = (root) => JSON.parse(root.querySelector('script[type="application/json"]').textContent);

let hide;
export function toast(text) {
  const box = document.getElementById('toast');
  box.textContent = text;
  clearTimeout(hide);
  hide = setTimeout(() => { box.textContent = ''; }, 2600);
}

export async function copy(text, said) {
  try {
    await navigator.clipboard.writeText(text);
    toast(said);
  } catch {
    toast('The browser did not allow copying');
  }
}

// Calls back now and whenever the theme changes.
const themed = new Set();
export function onTheme(callback) {
  themed.add(callback);
}
export const themeChanged = () => themed.forEach((callback) => callback());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', themeChanged);
