/**
 * Imports that are to be started: one after another, as fast as the server allows.
 *
 * Rule 1:  what waits survives a reload of the page (session storage) and starts once only: each
 *          has its Idempotency-Key from the beginning.
 * Rule 2:  a limit (429), a break and a server that is not ready are waited out; a refusal is final.
 */

const STORED = "bookline.queue";
const PAUSE_MS = { UNREACHABLE: 2_000, UNAVAILABLE: 3_000, RATE_LIMIT_EXCEEDED: 5_000, INTERNAL_ERROR: 5_000 };

/** `onStarted(answer, entry)`, `onRefused(entry, error)`, `onChange(queue)`, `onKey()`. */
export function createQueue(client, { onStarted, onRefused, onChange, onKey }) {
  let waiting = restore();
  let pause = null; // {until, code, message}
  let isRunning = false;
  let wakeUp = () => {};

  function add(pieces, source) {
    waiting.push(...pieces.map((text) => ({ text, source, key: newKey() })));
    run();
  }

  function clear() {
    waiting = [];
    pause = null;
    wakeUp();
    keep();
  }

  async function run() {
    keep();
    if (isRunning) return;
    isRunning = true;
    while (waiting.length) await startNext(waiting[0]);
    isRunning = false;
  }

  async function startNext(entry) {
    try {
      const answer = await client.startImport(entry.text, {
        source: entry.source, idempotencyKey: entry.key,
      });
      pause = null;
      drop(entry);
      onStarted(answer, entry);
    } catch (error) {
      await meet(error, entry);
    }
  }

  async function meet(error, entry) {
    if (error.code === "UNAUTHORIZED") {
      onKey();
      await stay(3_600_000, error);
    } else if (PAUSE_MS[error.code]) {
      await stay(error.retryAfterMs ?? PAUSE_MS[error.code], error);
    } else {
      drop(entry);
      onRefused(entry, error);
    }
  }

  function drop(entry) {
    waiting = waiting.filter((one) => one !== entry);
    keep();
  }

  function stay(ms, { code, message }) {
    pause = { until: Date.now() + ms, code, message };
    onChange(state());
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  function keep() {
    sessionStorage.setItem(STORED, JSON.stringify(waiting));
    onChange(state());
  }

  function state() {
    return { count: waiting.length, pause: waiting.length ? pause : null };
  }

  return {
    add, clear, state, run,
    /** Continues at once: the server is there again, or the key. Never breaks a limit's pause. */
    wake: () => pause?.code !== "RATE_LIMIT_EXCEEDED" && wakeUp(),
  };
}

function restore() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(STORED) ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}

export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
}
