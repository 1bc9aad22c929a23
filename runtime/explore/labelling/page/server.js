// Questions to the server, and the answers that it has not taken.

const PATIENCE_MS = 15000, TRIES = 30, WAIT_MS = 1000;
const UNSENT = "perch-explore unsent";

/** The server refused: it says why, and `body` is all that it said. */
export class Refusal extends Error {
  constructor(status, body) {
    super(body.error || "the server refused");
    Object.assign(this, { status, body });
  }
}

/** Nobody is there, or somebody who does not know this page's address. */
export class Gone extends Error {
  constructor(moved) {
    super(moved ? "the server was started again and has a new address" : "the server does not answer");
    this.moved = moved;
  }
}

async function request(path, body, patience_ms = PATIENCE_MS) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  try {
    return await fetch(path, { ...options, cache: "no-store", signal: AbortSignal.timeout(patience_ms) });
  } catch {
    throw new Gone(false);
  }
}

async function refuse(response) {
  const body = await response.json().catch(() => ({}));
  if (response.status === 404 && (await request("learning")).status === 404) throw new Gone(true); // nothing is here
  throw new Refusal(response.status, body);
}

/** What the server answers; with `body` it is a POST. */
export async function ask(path, body, patience_ms) {
  const response = await request(path, body, patience_ms);
  if (!response.ok) await refuse(response);
  try {
    return await response.json();
  } catch {
    throw new Gone(false); // it died while it spoke
  }
}

/** The bytes of a clip, which may take its time to be made. */
export async function bytes(path) {
  let response = await request(path);
  for (let i = 0; response.status === 503 && i < TRIES; i++) {
    await new Promise(done => setTimeout(done, WAIT_MS));
    response = await request(path);
  }
  if (!response.ok) await refuse(response);
  return response.arrayBuffer().catch(() => { throw new Gone(false); });
}

/** Answers that are not on the server's disk. They outlive the page and its address. */
export const unsent = {
  all() {
    try { return JSON.parse(localStorage.getItem(UNSENT)) || []; } catch { return []; }
  },
  of(file) { return this.all().filter(entry => entry.file === file); },
  put(entry) { this.write([...this.without(entry), entry]); },
  drop(entry) { this.write(this.without(entry)); },
  without({ file, row_id }) { return this.all().filter(other => other.file !== file || other.row_id !== row_id); },
  write(entries) {
    try { localStorage.setItem(UNSENT, JSON.stringify(entries)); } catch { /* a browser that keeps nothing */ }
  },
};
