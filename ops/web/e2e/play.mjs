// A headless Chromium that watches as a viewer would, and tells as JSON what it saw.
//
//   node play.mjs '{"url": "http://127.0.0.1:8441/watch/c_…", "format": "hls", "untilS": 13, "screenshot": "a.png"}'
//
// Run from a folder whose node_modules holds playwright-core. Ends with 0 when the page was watched, whatever it
// showed; the caller judges what is printed.

import { createRequire } from 'node:module';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const require = createRequire(path.join(process.cwd(), 'package.json'));
const { chromium } = require('playwright-core');

const job = { format: 'hls', untilS: 13, limitMs: 60_000, width: 1280, height: 800, ...JSON.parse(process.argv[2]) };
const profile = await mkdtemp(path.join(tmpdir(), 'mcsp-browser-'));
const seen = { errors: [], hosts: [], media: [], currentTimeS: 0, startMs: null, notice: null, pop: null, title: null };

const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  viewport: { width: job.width, height: job.height },
  ignoreHTTPSErrors: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--disable-quic', '--autoplay-policy=no-user-gesture-required',
  ],
});

try {
  const page = context.pages()[0] ?? await context.newPage();
  page.on('console', (message) => { if (message.type() === 'error') seen.errors.push(message.text()); });
  page.on('pageerror', (error) => seen.errors.push(String(error)));
  page.on('response', (response) => {
    const url = new URL(response.url());
    if (!seen.hosts.includes(url.host)) seen.hosts.push(url.host);
    if (url.pathname.startsWith('/media/')) {
      seen.media.push({
        host: url.host,
        name: url.pathname.split('/').slice(3).join('/'),
        status: response.status(),
        cache: response.headers()['cache-status'] ?? null,
      });
    }
  });

  const started = Date.now();
  await page.goto(`${job.url}#guest`, { waitUntil: 'domcontentloaded' });
  await page.evaluate(() => { document.getElementById('video').muted = true; });
  if (job.format === 'dash') {
    await page.waitForFunction(() => document.getElementById('video').currentTime > 0, null, { timeout: job.limitMs });
    await page.selectOption('#format', 'dash');
    await page.waitForFunction(() => document.getElementById('video').currentTime < 1, null, { timeout: job.limitMs });
    seen.media.length = 0;
  }
  try {
    await page.waitForFunction(() => document.getElementById('video').currentTime > 0.2, null, { timeout: job.limitMs });
    seen.startMs = Date.now() - started;
    await page.waitForFunction((until) => document.getElementById('video').currentTime >= until, job.untilS, { timeout: job.limitMs });
  } catch (error) {
    seen.timedOut = String(error).split('\n')[0];
  }
  Object.assign(seen, await page.evaluate(() => {
    const video = document.getElementById('video');
    const notice = document.getElementById('notice');
    return {
      currentTimeS: video.currentTime,
      width: video.videoWidth,
      height: video.videoHeight,
      notice: notice.hidden ? null : notice.textContent,
      title: document.getElementById('title').textContent,
      pop: document.querySelector('[data-fact="pop"]').textContent,
      qualities: [...document.getElementById('quality').options].map((option) => option.text),
      overflows: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    };
  }));
  if (job.screenshot) await page.screenshot({ path: job.screenshot });
} finally {
  await context.close();
  await rm(profile, { recursive: true, force: true });
}
process.stdout.write(`${JSON.stringify(seen)}\n`);
