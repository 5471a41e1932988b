// The REST API as the page uses it. The access token lives in memory only; the refresh cookie is HttpOnly.

let accessToken = null;
let refreshing = null;

// A refresh token is good once, and one that comes twice ends the session: it is how theft is found. So of all tabs and of
// all pages that follow each other in a tab, one refreshes at a time, and each by the cookie that the last one got.
const LOCK = 'mcsp.refresh';
const SESSION = 'mcsp.session';
// When a refresh began whose answer no page has seen yet, Unix milliseconds.
const BEGUN = 'mcsp.refresh-begun';
// For a refresh and its answer.
const REFRESH_TIMEOUT_MS = 10_000;
// For the tabs before this one.
const LOCK_TIMEOUT_MS = 30_000;
// A page that went away leaves its refresh to the browser, which takes the new cookie; so long it is given.
const SETTLE_MS = 3_000;

/** An RFC 9457 problem as an error. */
export class Problem extends Error {
  constructor(status, body, retryAfterS) {
    super(body?.detail || body?.title || `The server answered ${status}.`);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

async function send(method, path, body, options) {
  const headers = { accept: 'application/json, application/problem+json' };
  if (body) headers['content-type'] = 'application/json';
  if (accessToken) headers.authorization = `Bearer ${accessToken}`;
  let response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method, headers, body: body && JSON.stringify(body), credentials: 'same-origin', ...options,
    });
  } catch {
    throw new Problem(0, { detail: 'The network is away. Check the connection and try again.' });
  }
  const text = await response.text();
  let json = null;
  try { json = text ? JSON.parse(text) : null; } catch { /* not JSON: the status says enough */ }
  if (!response.ok) throw new Problem(response.status, json, Number(response.headers.get('retry-after')) || null);
  return json;
}

async function call(method, path, body) {
  try {
    return await send(method, path, body);
  } catch (error) {
    if (error.status !== 401 || !(await refresh())) throw error;
    return send(method, path, body);
  }
}

function signedIn(answer) {
  accessToken = answer.access_token;
  localStorage.setItem(SESSION, '1');
  return answer.user;
}

const wait = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Does `work` while no other tab of this site does any. Where browsers have no locks, they keep no secure cookie either. */
async function alone(work) {
  const begin = async () => {
    const begun = Number(localStorage.getItem(BEGUN));
    if (begun) await wait(Math.min(begun + SETTLE_MS - Date.now(), SETTLE_MS));
    return work();
  };
  if (!navigator.locks) return begin();
  try {
    return await navigator.locks.request(LOCK, { signal: AbortSignal.timeout(LOCK_TIMEOUT_MS) }, begin);
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem(0, { detail: 'Another tab of this page is busy. Try again.' });
  }
}

async function trade() {
  // Another tab may have signed out, or heard that the session has ended, while this one waited.
  if (!localStorage.getItem(SESSION)) return null;
  localStorage.setItem(BEGUN, Date.now());
  try {
    const options = { keepalive: true, signal: AbortSignal.timeout(REFRESH_TIMEOUT_MS) };
    const user = signedIn(await send('POST', '/auth/refresh', undefined, options));
    localStorage.removeItem(BEGUN);
    return user;
  } catch (error) {
    if (error.status === 401) localStorage.removeItem(SESSION);
    // Without an answer the refresh may still be under way.
    if (error.status) localStorage.removeItem(BEGUN);
    throw error;
  }
}

/** Trades the refresh cookie for a token; null when there is no session. Calls at the same time share one request. */
export function refresh() {
  if (!localStorage.getItem(SESSION)) return Promise.resolve(null);
  refreshing ??= alone(trade)
    .catch(() => null)
    .then((user) => {
      if (!user) accessToken = null;
      return user;
    })
    .finally(() => { refreshing = null; });
  return refreshing;
}

// The cookie changes by these too, so no refresh may be under way.
const enter = (path, body) => alone(async () => signedIn(await send('POST', path, body)));

export const login = (email, password) => enter('/auth/login', { email, password });

export const register = (email, password, displayName) =>
  enter('/auth/register', { email, password, display_name: displayName, role: 'viewer' });

/** Makes an account of random name and password that this browser alone knows. */
export function guest() {
  const random = Array.from(crypto.getRandomValues(new Uint8Array(18)), (b) => b.toString(16).padStart(2, '0')).join('');
  return register(`guest-${random.slice(0, 16)}@guest.invalid`, random, 'Guest');
}

export async function logout() {
  try { await call('POST', '/auth/logout'); } finally {
    accessToken = null;
    localStorage.removeItem(SESSION);
  }
}

export const content = (id) => call('GET', `/content/${encodeURIComponent(id)}`);
export const play = (id) => call('GET', `/play/${encodeURIComponent(id)}`);
