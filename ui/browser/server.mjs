// A `headrope demo` for the checks to look at.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const START_MS = 120_000;

/** Starts the demo and returns its address and a function that ends it. */
export async function startDemo(binary) {
  const child = spawn(binary, ['demo', '--listen', '127.0.0.1:0', '--otlp-grpc', '127.0.0.1:0', '--otlp-http', '127.0.0.1:0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
    await ended;
    clearTimeout(timer);
  };
  let timer;
  try {
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('the demo printed no address')), START_MS);
    });
    const gone = ended.then((code) => { throw new Error(`the demo ended with ${code}`); });
    const base = await Promise.race([address(child.stdout), late, gone]);
    return { base, stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function address(stdout) {
  for await (const line of createInterface({ input: stdout })) {
    if (!line.startsWith('{')) continue;
    const bound = JSON.parse(line).listening;
    if (bound) {
      // The pipe must stay drained for as long as the demo lives.
      stdout.resume();
      return `http://${bound.ui}`;
    }
  }
  throw new Error('the demo closed its output');
}

/** Waits until the shop's services are stored: the first pages are not looked at while empty. */
export async function shopIsThere(base, services = 12, deadlineMs = 120_000) {
  const until = Date.now() + deadlineMs;
  const query = 'SELECT count(DISTINCT service_name) FROM spans';
  let last = 'nothing asked';
  while (Date.now() < until) {
    try {
      const answer = await fetch(`${base}/api/v1/sql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query }),
      });
      last = await answer.text();
      if (answer.ok && Number(JSON.parse(last).rows[0][0]) >= services) return;
    } catch (error) {
      last = error.message;
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(`fewer than ${services} services stored within ${deadlineMs / 1000} s; last answer: ${last}`);
}
