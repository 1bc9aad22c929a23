// What a tab remembers while it is open, and the id by which the server knows it.

export function remembered(name) { try { return JSON.parse(sessionStorage.getItem(name)); } catch { return null; } }
export function remember(name, value) {
  try { sessionStorage.setItem(name, JSON.stringify(value)); } catch { /* a browser that keeps nothing */ }
  return value;
}

const FREED_MS = 500; // a tab that is loaded again frees its id at once

/** Whether no other tab has this id. It is held for as long as the page is there. */
function hold(id) {
  return new Promise(done => {
    navigator.locks.request(`perch-explore ${id}`, { signal: AbortSignal.timeout(FREED_MS) }, () => {
      done(true);
      return new Promise(() => {});
    }).catch(() => done(false));
  });
}

/** This tab's id. One that was duplicated gets another, and does not begin at the other's window. */
export async function claimTab() {
  const id = remembered("tab");
  if (id && await hold(id)) return id;
  if (id) remember("at", { ...remembered("at"), key: "" });
  const made = Array.from(crypto.getRandomValues(new Uint32Array(4))).join("-");
  await hold(made);
  return remember("tab", made);
}
