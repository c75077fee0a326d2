// What the browser tells the system. Every event gets an id before it is first sent and stays in the outbox
// (localStorage) until the system has acknowledged it, so a lost connection loses nothing and a retry counts once.

const KEY = "waggle.outbox";
const MAX_WAITING = 500;
const BATCH = 100;
const FIRST_RETRY_MS = 2000;
const LAST_RETRY_MS = 60000;

const { user, session } = document.body.dataset;
let waiting = read();
let isSending = false;
let retryMs = FIRST_RETRY_MS;
let timer = 0;

/** A name nobody else gives. `crypto.randomUUID` needs a secure context, `getRandomValues` does not. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The event with whose it is, when it was and an id, ready to be sent now or later. */
export function complete(event) {
  return {
    event_id: `web-${newId()}`,
    ...(user ? { user_id: user } : {}),
    session_id: session,
    timestamp: new Date().toISOString(),
    ...event,
  };
}

/** Puts an event into the outbox and sends it soon. Resolves at once; `waggle:counted` tells when it was acknowledged. */
export function record(event, delayMs = 0) {
  keep([...waiting, complete(event)].slice(-MAX_WAITING));
  schedule(delayMs);
}

/** Sends what waits, oldest first. */
export async function flush() {
  clearTimeout(timer);
  timer = 0;
  if (isSending || waiting.length === 0) return;
  isSending = true;
  const batch = waiting.slice(0, BATCH);
  let isDone = false;
  try {
    const response = await fetch("/v1/events", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ events: batch }),
      keepalive: true,
    });
    // Refused as a whole for what it is: the same batch would be refused again.
    isDone = response.ok || (response.status >= 400 && response.status < 500 && response.status !== 429);
    if (response.ok) {
      const report = await response.json().catch(() => ({}));
      const refused = new Set((report.rejected ?? []).map((rejection) => rejection.index));
      tell(batch.filter((_, index) => !refused.has(index)));
    }
  } catch {
    // No connection: the batch stays.
  }
  isSending = false;
  if (isDone) {
    const sent = new Set(batch.map((event) => event.event_id));
    keep(waiting.filter((event) => !sent.has(event.event_id)));
    retryMs = FIRST_RETRY_MS;
    if (waiting.length > 0) schedule(0);
  } else {
    schedule(retryMs);
    retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
  }
}

/** Says that events are counted; also for those that the shop's server sent. */
export function tell(events) {
  if (events.length > 0) document.dispatchEvent(new CustomEvent("waggle:counted", { detail: { events } }));
}

function schedule(delayMs) {
  if (timer && delayMs > 0) return;
  clearTimeout(timer);
  timer = setTimeout(flush, delayMs);
}

function read() {
  try {
    const list = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(list) ? list : [];
  } catch {
    return [];
  }
}

function keep(list) {
  waiting = list;
  try {
    localStorage.setItem(KEY, JSON.stringify(list));
  } catch {
    // A browser that keeps nothing still sends what it has.
  }
}

// A page that goes away hands the rest to the browser. It stays in the outbox too: nobody will see the answer, and the
// ids make a second sending harmless.
addEventListener("pagehide", () => {
  if (waiting.length > 0 && !isSending) {
    const body = new Blob([JSON.stringify({ events: waiting.slice(0, BATCH) })], { type: "application/json" });
    navigator.sendBeacon("/v1/events", body);
  }
});
addEventListener("online", () => schedule(0));
if (waiting.length > 0) schedule(0);
