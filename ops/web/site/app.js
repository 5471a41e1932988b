// The page: who is here, what they came for, and the player under it.

import * as api from './api.js';
import { Player, isRefused, supported } from './player.js';

const $ = (id) => document.getElementById(id);
const video = $('video');
const player = new Player(video);
const contentId = location.pathname.match(/^\/watch\/(c_[a-z]{2}_[0-9a-z]{26})\/?$/)?.[1] ?? null;

// How often an item that is still being made is asked for, and how often at most.
const POLL_MS = 2000;
const POLLS_MAX = 900;
// A media URL is good for one PoP and a while. When it is refused, the page asks for another, this often at most.
const RENEW_MS = 60_000;
let renewedAt = -Infinity;

function show(section) {
  for (const name of ['watch', 'open', 'sign-in']) $(name).hidden = name !== section;
}

function notice(text) {
  $('notice').textContent = text ?? '';
  $('notice').hidden = !text;
}

function overlay(text) {
  $('status').textContent = text ?? '';
  $('status').hidden = !text;
}

function account(user) {
  $('account').hidden = !user;
  $('account-name').textContent = user?.display_name ?? '';
}

function fact(name, text) {
  document.querySelector(`[data-fact="${name}"]`).textContent = text;
}

function minutes(ms) {
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

function describe(item) {
  document.title = `${item.metadata.title} – MCSP`;
  $('title').textContent = item.metadata.title;
  $('description').textContent = item.metadata.description;
  const facts = [item.media_type === 'AUDIO' ? 'Audio' : 'Video'];
  if (item.duration_ms) facts.push(minutes(item.duration_ms));
  if (item.residency === 'NG') facts.push('Kept in Nigeria');
  if (item.status === 'PUBLISHED' && !item.complete) facts.push('More qualities on their way');
  $('facts').textContent = facts.join(' · ');
  $('stage').classList.toggle('sound', item.media_type === 'AUDIO');
}

const wait = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

async function whenPlayable() {
  for (let poll = 0; poll < POLLS_MAX; poll += 1) {
    const item = await api.content(contentId);
    describe(item);
    if (item.status === 'PUBLISHED') return item;
    if (['BLOCKED', 'FAILED', 'REMOVED', 'DELETED'].includes(item.status)) {
      throw new Error(item.status_reason || 'This cannot be played.');
    }
    const stage = item.stages?.at(-1);
    const working = stage ? `${stage.stage}: ${stage.percent} %` : 'Getting it ready…';
    overlay(item.status === 'PENDING_MODERATION' ? 'Waiting for review before it is published.' : working);
    await wait(POLL_MS);
  }
  throw new Error('It is still not ready. Come back later.');
}

function fillQualities() {
  const select = $('quality');
  const chosen = select.value;
  const options = [{ id: 'auto', label: 'Automatic' }, ...player.qualities()];
  select.replaceChildren(...options.map(({ id, label }) => new Option(label, id)));
  select.value = options.some((option) => option.id === chosen) ? chosen : 'auto';
  select.disabled = false;
}

function stopped(error) {
  if (isRefused(error) && performance.now() - renewedAt > RENEW_MS) {
    renewedAt = performance.now();
    return start(video.currentTime || null);
  }
  notice(`The player stopped (code ${error?.code}). Reload to try again.`);
  return undefined;
}

async function start(atS = null) {
  notice(null);
  overlay('Starting…');
  try {
    if (!supported()) throw new Error('This browser cannot play streams.');
    const item = await whenPlayable();
    const session = await api.play(contentId);
    const thumbnail = item.thumbnails[0];
    if (thumbnail) video.poster = `${session.media_base_url.replace(/\/$/, '')}/${thumbnail}`;
    fact('pop', new URL(session.hls_url).host);
    await player.load($('format').value === 'dash' ? session.dash_url : session.hls_url, atS);
    fillQualities();
    overlay(null);
    // A browser may want a gesture first; its own play button is there for that.
    await video.play().catch(() => {});
  } catch (error) {
    overlay(null);
    if (error.status === 401) return show('sign-in');
    if (error.code) return stopped(error);
    notice(error.message);
  }
  return undefined;
}

async function enter(user) {
  account(user);
  if (!contentId) return show('open');
  if (!user) return show('sign-in');
  show('watch');
  return start();
}

player.addEventListener('failed', (event) => stopped(event.detail));
player.addEventListener('quality', () => fact('rendition', player.current()));
player.addEventListener('buffering', (event) => overlay(event.detail && video.currentTime > 0 ? 'Loading…' : null));
player.addEventListener('started', (event) => fact('startup', `${event.detail} ms`));
player.addEventListener('segment', (event) => {
  fact('pop', new URL(event.detail.uri).host);
  fact('cache', event.detail.headers['cache-status'] ?? 'not told');
  fact('rendition', player.current());
});
video.addEventListener('timeupdate', () => {
  const ranges = video.buffered;
  const ahead = ranges.length ? Math.max(0, ranges.end(ranges.length - 1) - video.currentTime) : 0;
  fact('buffer', `${ahead.toFixed(1)} s`);
});
$('quality').addEventListener('change', (event) => player.choose(event.target.value));
$('format').addEventListener('change', () => start());

$('open-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const id = new FormData(event.target).get('content').match(/c_[a-z]{2}_[0-9a-z]{26}/)?.[0];
  if (id) location.assign(`/watch/${id}`);
  else notice('That is not a content id. It looks like c_ng_ followed by 26 letters and digits.');
});

async function signIn(action) {
  notice(null);
  try { await enter(await action()); } catch (error) { notice(error.message); }
}

$('sign-in-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const email = form.get('email');
  const password = form.get('password');
  const registers = event.submitter?.value === 'register';
  signIn(() => (registers ? api.register(email, password, email.split('@')[0]) : api.login(email, password)));
});
$('guest').addEventListener('click', () => signIn(api.guest));
$('sign-out').addEventListener('click', async () => {
  await player.unload();
  await api.logout().catch(() => {});
  enter(null);
});

document.addEventListener('keydown', (event) => {
  const typing = event.target.closest?.('input, select, textarea, button, summary, video');
  if ($('watch').hidden || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const actions = {
    ' ': () => (video.paused ? video.play() : video.pause()),
    k: () => (video.paused ? video.play() : video.pause()),
    ArrowLeft: () => { video.currentTime -= 10; },
    ArrowRight: () => { video.currentTime += 10; },
    m: () => { video.muted = !video.muted; },
    f: () => (document.fullscreenElement ? document.exitFullscreen() : $('stage').requestFullscreen()),
  };
  const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (action) {
    event.preventDefault();
    action();
  }
});

const known = await api.refresh();
if (!known && contentId && location.hash === '#guest') {
  history.replaceState(null, '', location.pathname);
  await signIn(api.guest);
} else {
  await enter(known);
}
