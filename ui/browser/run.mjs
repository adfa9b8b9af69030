// Looks at every page in a real browser.
//
//   node run.mjs --base http://127.0.0.1:8080 [--out DIR]     against a running server with the demo's data
//   HEADROPE_BIN=target/release/headrope node run.mjs         starts `headrope demo` itself
//
// Walks the triage path by clicking, then visits every page in dark and light at two widths. A check
// fails on console errors, violations of the content security policy, failed or foreign requests,
// sideways scrolling and serious findings of axe. Screenshots go to --out (default artifacts/browser).
// Ends with `N passed, N failed`.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { accessibilityFindings, launch, openPage, settled } from './browser.mjs';
import { assert, Report } from './report.mjs';
import { shopIsThere, startDemo } from './server.mjs';
import { statements } from './sql.mjs';
import { walk } from './walk.mjs';

const SIZES = [{ width: 1600, height: 1000 }, { width: 1280, height: 800 }];
const SCHEMES = ['light', 'dark'];

async function main() {
  const { values } = parseArgs({ options: { base: { type: 'string' }, out: { type: 'string' } } });
  const out = path.resolve(values.out ?? 'artifacts/browser');
  await mkdir(out, { recursive: true });
  const binary = process.env.HEADROPE_BIN ?? 'target/release/headrope';
  const server = values.base
    ? { base: new URL(values.base).origin, stop: async () => {} }
    : await startDemo(binary);
  const report = new Report();
  let browser;
  try {
    await report.check('the shop is there', () => shopIsThere(server.base));
    browser = await launch();
    const found = await walk(browser, server.base, report);
    await statements(browser, server.base, report, pages(found).map(([, address]) => address));
    for (const scheme of SCHEMES) {
      for (const size of SIZES) {
        await visitAll(browser, server.base, report, pages(found), { scheme, ...size }, out);
      }
    }
  } finally {
    await browser?.close();
    await server.stop();
  }
  return report.finish();
}

function pages(found) {
  return [
    ['overview', '/'],
    ['verdict', '/verdict'],
    ['services', '/services'],
    ['service', found.service],
    ['operation', found.operation],
    ['traces', '/traces'],
    ['trace', found.trace ?? found.exemplar],
    ['logs', '/logs'],
    ['sql', '/sql'],
  ];
}

async function visitAll(browser, base, report, all, look, out) {
  for (const [name, address] of all) {
    const label = `${name} ${look.scheme} ${look.width}`;
    await report.check(label, async () => {
      assert(address, 'its address was not found on the way');
      const page = await openPage(browser, base, look);
      try {
        const answer = await page.goto(address);
        await settled(page);
        await page.screenshot({ path: path.join(out, `${name}-${look.scheme}-${look.width}.png`) });
        const faults = [
          ...page.faults,
          ...policyFaults(answer),
          ...(await layoutFaults(page, look)),
          ...(await accessibilityFindings(page)),
        ];
        assert(faults.length === 0, `\n     ${faults.join('\n     ')}`);
      } finally {
        await page.context().close();
      }
    });
  }
}

function policyFaults(answer) {
  const faults = [];
  if (answer.status() !== 200) faults.push(`status ${answer.status()}`);
  const policy = answer.headers()['content-security-policy'] ?? '';
  if (!/default-src 'none'|default-src 'self'/.test(policy)) faults.push(`weak policy: ${policy || 'none'}`);
  if (/unsafe-inline|unsafe-eval|\*/.test(policy)) faults.push(`policy allows too much: ${policy}`);
  return faults;
}

/** One heading, a title, a language, no sideways scrolling, and a background that fits the scheme. */
async function layoutFaults(page, { scheme }) {
  const seen = await page.evaluate(() => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    // The canvas starts white, as the page does; the body paints over the root.
    canvas.fillStyle = '#fff';
    canvas.fillRect(0, 0, 1, 1);
    for (const element of [document.documentElement, document.body]) {
      canvas.fillStyle = getComputedStyle(element).backgroundColor;
      canvas.fillRect(0, 0, 1, 1);
    }
    const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
    return {
      title: document.title,
      language: document.documentElement.lang,
      headings: document.querySelectorAll('h1').length,
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      brightness: (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255,
    };
  });
  const faults = [];
  if (!seen.title) faults.push('no title');
  if (!seen.language) faults.push('no language');
  if (seen.headings !== 1) faults.push(`${seen.headings} first-level headings`);
  if (seen.overflow > 0) faults.push(`scrolls sideways by ${seen.overflow} px`);
  if (scheme === 'dark' ? seen.brightness > 0.3 : seen.brightness < 0.7) {
    faults.push(`background of brightness ${seen.brightness.toFixed(2)} in ${scheme}`);
  }
  return faults;
}

main().then(
  (code) => { process.exitCode = code; },
  (error) => {
    console.error(error);
    console.log('0 passed, 1 failed');
    process.exitCode = 1;
  },
);
