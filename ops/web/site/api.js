// The REST API as the page uses it. The access token lives in memory only; the refresh cookie is HttpOnly.

let accessToken = null;
let refreshing = null;

/** An RFC 9457 problem as an error. */
export class Problem extends Error {
  constructor(status, body, retryAfterS) {
    super(body?.detail || body?.title || `The server answered ${status}.`);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

async function send(method, path, body) {
  const headers = { accept: 'application/json, application/problem+json' };
  if (body) headers['content-type'] = 'application/json';
  if (accessToken) headers.authorization = `Bearer ${accessToken}`;
  let response;
  try {
    response = await fetch(`/api/v1${path}`, { method, headers, body: body && JSON.stringify(body), credentials: 'same-origin' });
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
  localStorage.setItem('mcsp.session', '1');
  return answer.user;
}

/** Trades the refresh cookie for a token; null when there is no session. Calls at the same time share one request. */
export function refresh() {
  if (!localStorage.getItem('mcsp.session')) return Promise.resolve(null);
  refreshing ??= send('POST', '/auth/refresh')
    .then(signedIn)
    .catch((error) => {
      if (error.status === 401) localStorage.removeItem('mcsp.session');
      accessToken = null;
      return null;
    })
    .finally(() => { refreshing = null; });
  return refreshing;
}

export const login = async (email, password) => signedIn(await send('POST', '/auth/login', { email, password }));

export const register = async (email, password, displayName) =>
  signedIn(await send('POST', '/auth/register', { email, password, display_name: displayName, role: 'viewer' }));

/** Makes an account of random name and password that this browser alone knows. */
export function guest() {
  const random = Array.from(crypto.getRandomValues(new Uint8Array(18)), (b) => b.toString(16).padStart(2, '0')).join('');
  return register(`guest-${random.slice(0, 16)}@guest.invalid`, random, 'Guest');
}

export async function logout() {
  try { await call('POST', '/auth/logout'); } finally {
    accessToken = null;
    localStorage.removeItem('mcsp.session');
  }
}

export const content = (id) => call('GET', `/content/${encodeURIComponent(id)}`);
export const play = (id) => call('GET', `/play/${encodeURIComponent(id)}`);
