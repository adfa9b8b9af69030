// Figures as the server prints them: three significant digits and a unit.

const trim = (text) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);

function digits(value) {
  const size = Math.abs(value);
  const places = size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3;
  const text = trim(value.toFixed(places));
  return text === '-0' ? '0' : text;
}

export function scaled(value) {
  if (!Number.isFinite(value)) return '–';
  for (const [unit, name] of [[1e12, ' T'], [1e9, ' G'], [1e6, ' M'], [1e3, ' k']]) {
    if (Math.abs(value) >= unit * 0.9995) return digits(value / unit) + name;
  }
  return digits(value);
}

export const exact = (value) => Math.round(value).toLocaleString('en-US');
export const count = (value) => (value < 10000 ? exact(value) : scaled(value));

export function duration(ns) {
  if (ns < 0) return `−${duration(-ns)}`;
  if (ns === 0) return '0';
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 999_500) return `${digits(ns / 1e3)} µs`;
  if (ns < 999_500_000) return `${digits(ns / 1e6)} ms`;
  if (ns < 59_950_000_000) return `${digits(ns / 1e9)} s`;
  const s = Math.round(ns / 1e9);
  if (s < 3600) return `${Math.floor(s / 60)} m ${String(s % 60).padStart(2, '0')} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${String(Math.floor(s / 60) % 60).padStart(2, '0')} m`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

export function bytes(value) {
  for (const [unit, name] of [[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [1024, 'KiB']]) {
    if (Math.abs(value) >= unit) return `${digits(value / unit)} ${name}`;
  }
  return `${digits(value)} B`;
}

export function share(value) {
  const percent = value * 100;
  if (percent === 0) return '0 %';
  if (Math.abs(percent) < 0.01) return '<0.01 %';
  return `${digits(Math.abs(percent) < 1 ? Math.round(percent * 100) / 100 : percent)} %`;
}

// Calls per second; per minute below one a second, per hour below one a minute.
const RATES = [[1, 's'], [60, 'min'], [3600, 'h']];
const rateIn = ([factor, name]) => (value) => (value > 0 ? `${scaled(value * factor)}/${name}` : `0/${name}`);
// One unit for all figures up to the greatest.
export const rateUpTo = (most) => rateIn(RATES.find(([factor]) => most * factor >= 1) ?? RATES[most > 0 ? 2 : 0]);
export const rate = (value) => rateUpTo(value)(value);

export const UNITS = { ns: duration, rate, share, count, bytes, byterate: (value) => `${bytes(value)}/s`, plain: scaled };

// Times in the zone of the page.
export const zone = document.body.dataset.zone;
const parts = (options) => {
  const format = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hourCycle: 'h23', ...options });
  return (ms) => format.format(ms);
};
export const clock = parts({ hour: '2-digit', minute: '2-digit' });
export const clockSeconds = parts({ hour: '2-digit', minute: '2-digit', second: '2-digit' });
export const day = parts({ day: 'numeric', month: 'short' });
export const stamp = parts({ day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit' });
