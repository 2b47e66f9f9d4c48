// Requests to the server that sent this page, and to no other.

const KEY = "two-tower-key";

/** What the server refused or could not do. */
export class Problem extends Error {
  constructor(status, { code, message, hint } = {}) {
    super(message || `HTTP ${status}`);
    Object.assign(this, { status, code, hint });
  }
}

// For this tab alone: closing it forgets the key.
export const key = () => sessionStorage.getItem(KEY) ?? "";
export function setKey(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

function headers(more = {}) {
  return key() ? { ...more, Authorization: `Bearer ${key()}` } : more;
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { code: "away" });
  }
  if (response.ok) return response;
  let told = {};
  try { told = await response.json(); } catch { /* no JSON: the status says it all */ }
  throw new Problem(response.status, told.detail && !told.message ? { message: String(told.detail) } : told);
}

/** Call a function of docs/app.md by its name. */
export async function call(name, args, signal) {
  const sent = { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(args), signal };
  return (await answer(`/v1/${name}`, sent)).json();
}

/** Read what the page shows beyond these functions. */
export async function read(name, args = {}, signal) {
  const query = new URLSearchParams(Object.entries(args).filter(([, value]) => value !== null && value !== undefined && value !== ""));
  return (await answer(`/explorer/api/${name}${query.size ? `?${query}` : ""}`, { headers: headers(), signal })).json();
}

export async function readBytes(name, signal) {
  return (await answer(`/explorer/api/${name}`, { headers: headers(), signal })).arrayBuffer();
}

export async function send(name, args, signal) {
  const sent = { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(args), signal };
  return (await answer(`/explorer/api/${name}`, sent)).json();
}
