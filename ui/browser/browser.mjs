// A Chromium without a network of its own, and pages that remember what went wrong in them.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/** Starts the system's Chromium, or the one CHROMIUM names. */
export function launch() {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  return chromium.launch({ executablePath, args: FLAGS, headless: true });
}

/** A page in a context of its own, with everything that went wrong in it in `page.faults`. */
export async function openPage(browser, base, { scheme = 'light', width = 1600, height = 1000 } = {}) {
  const context = await browser.newContext({
    baseURL: base,
    colorScheme: scheme,
    viewport: { width, height },
    reducedMotion: 'reduce',
    timezoneId: 'UTC',
  });
  context.setDefaultTimeout(20000);
  const page = await context.newPage();
  const faults = [];
  page.faults = faults;
  // Violations also reach the console; this says which directive and what was blocked.
  await page.exposeFunction('reportViolation', (text) => faults.push(`CSP violation: ${text}`));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (e) => {
      window.reportViolation(`${e.effectiveDirective} blocked ${e.blockedURI || 'inline'} ${e.sourceFile ?? ''}`);
    });
  });
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on('pageerror', (error) => faults.push(`page error: ${error.message}`));
  page.on('response', async (answer) => {
    if (answer.status() < 400) return;
    const body = await answer.text().catch(() => '');
    faults.push(`status ${answer.status()}: ${answer.url()} ${body.replace(/<[^>]*>|\s+/g, ' ').trim().slice(0, 300)}`);
  });
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText ?? '';
    // A page that is left aborts what it was still loading.
    if (why !== 'net::ERR_ABORTED') faults.push(`request failed: ${request.url()} ${why}`);
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== base && !['data:', 'blob:'].includes(url.protocol)) {
      faults.push(`request to a foreign origin: ${request.url()}`);
    }
  });
  return page;
}

/** Serious and critical findings of axe, one line each. */
export async function accessibilityFindings(page) {
  await page.evaluate(AXE);
  const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return result.violations
    .filter((v) => v.impact === 'serious' || v.impact === 'critical')
    .map((v) => `axe ${v.impact} ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.target.join(' ')).join(', ')} (${v.nodes.length})`);
}

/** Waits until the page has loaded and no fragment is on its way. */
export async function settled(page) {
  await page.waitForLoadState('load');
  // A page with a live stream never falls silent; what it shows is there by then.
  await page.waitForLoadState('networkidle', { timeout: 5000 }).catch(() => {});
}
