// Tabs of one browser and pages that follow each other, on a server that is as strict as ours: a refresh token that comes
// twice ends the session.
//
//   node refresh.mjs SITE_FOLDER
//
// Run from a folder whose node_modules holds playwright-core. Prints as JSON what came of it, and what the server saw.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const require = createRequire(path.join(process.cwd(), 'package.json'));
const { chromium } = require('playwright-core');

const api = await readFile(path.join(process.argv[2], 'api.js'));
const TABS = 4;
const ROUNDS = 5;

// The server: one session, and what was done with it.
const server = { token: null, spent: new Set(), refreshes: 0, underWay: 0, atOnceMax: 0, thefts: 0, delayMs: 0 };
let issued = 0;

const wait = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

function answer(response, status, body, token) {
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' };
  if (token !== undefined) {
    headers['set-cookie'] = `mcsp_refresh=${token}; Path=/api/v1/auth; Max-Age=${token ? 3600 : 0}; HttpOnly; SameSite=Strict`;
  }
  response.writeHead(status, headers).end(JSON.stringify(body));
}

function signIn(response, status) {
  issued += 1;
  server.token = `r_ng_${issued}`;
  answer(response, status, { access_token: `a${issued}`, user: { user_id: 'u', display_name: 'Guest' } }, server.token);
}

async function refresh(request, response) {
  const token = /mcsp_refresh=([^;]+)/.exec(request.headers.cookie ?? '')?.[1];
  server.underWay += 1;
  server.atOnceMax = Math.max(server.atOnceMax, server.underWay);
  if (server.spent.has(token)) {
    server.thefts += 1;
    server.token = null;
  }
  const good = token && token === server.token;
  if (good) {
    server.spent.add(token);
    server.token = null;
    server.refreshes += 1;
  }
  await wait(server.delayMs);
  server.underWay -= 1;
  if (good) signIn(response, 200);
  else answer(response, 401, { title: 'Sign in first' }, '');
}

const http = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://localhost');
  if (pathname === '/api/v1/auth/refresh') return refresh(request, response);
  if (pathname === '/api/v1/auth/register') return signIn(response, 201);
  if (pathname === '/api.js') return response.writeHead(200, { 'content-type': 'text/javascript' }).end(api);
  return response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>tab</title>');
});
await new Promise((resolve) => { http.listen(0, '127.0.0.1', resolve); });
const url = `http://127.0.0.1:${http.address().port}/`;

const profile = await mkdtemp(path.join(tmpdir(), 'mcsp-browser-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--disable-quic',
  ],
});

const seen = { atOnce: [], afterReload: null, afterReloads: null, afterEnd: null };
const renew = (tab) => tab.evaluate(async () => Boolean(await (await import('/api.js')).refresh()));
const renewAndForget = (tab) => tab.evaluate(() => { import('/api.js').then((module) => module.refresh()); });

/** Resolves when the server has a refresh under way. */
async function untilUnderWay() {
  const until = Date.now() + 20_000;
  while (server.underWay === 0 && Date.now() < until) await wait(5);
}

try {
  const tabs = await Promise.all(Array.from({ length: TABS }, async () => {
    const tab = await context.newPage();
    await tab.goto(url);
    return tab;
  }));
  await tabs[0].evaluate(async () => { await (await import('/api.js')).guest(); });

  // Every tab at the same moment, again and again.
  server.delayMs = 60;
  for (let round = 0; round < ROUNDS; round += 1) seen.atOnce.push(...await Promise.all(tabs.map(renew)));

  // A page that goes away while its refresh is under way, and the one that follows it.
  server.delayMs = 700;
  await renewAndForget(tabs[0]);
  await untilUnderWay();
  await tabs[0].reload();
  seen.afterReload = await renew(tabs[0]);

  // The same in haste, and with another tab that waits for its turn.
  await renewAndForget(tabs[0]);
  await untilUnderWay();
  const other = renew(tabs[1]);
  await tabs[0].reload();
  await renewAndForget(tabs[0]);
  await tabs[0].reload();
  seen.afterReloads = [await renew(tabs[0]), await other];

  // Once the session has ended, the tabs that waited for their turn do not ask.
  server.delayMs = 60;
  const before = server.refreshes;
  server.token = 'another';
  seen.afterEnd = await Promise.all(tabs.map(renew));
  seen.refreshesAfterEnd = server.refreshes - before;
} finally {
  await context.close();
  http.close();
  await rm(profile, { recursive: true, force: true });
}
const { refreshes, atOnceMax, thefts } = server;
process.stdout.write(`${JSON.stringify({ ...seen, refreshes, atOnceMax, thefts })}\n`);
