/**
 * Bookline's client: start an import, follow its story through any break. No dependencies.
 *
 *     const client = createClient({ baseUrl: "https://books.example", key: "secret" });
 *     const { jobId, token } = await client.startImport("9780451524935");
 *     const { reason } = await client.follow(jobId, { token, onEvent: (event) => show(event) });
 *
 * Way:     the page or your app → here → POST /v2/import/workflow, WS /ws/progress, SSE
 * Rule 1:  each event is handed on once and in order, whatever breaks: `seq` tells, `after` resumes.
 * Rule 2:  a key opens every job, a token one. A browser's WebSocket carries a token only; with
 *          a key alone, or where sockets do not get through, the story is read over SSE.
 * Units:   times are milliseconds (`…Ms`).
 */

const FIRST_DELAY_MS = 500;
const MOST_DELAY_MS = 8_000;
const SILENCE_MS = 45_000; // the server says something every 30 s; after this the line is dead
const ENDINGS = new Set(["completed", "failed", "cancelled"]);
const CLOSED = { 1000: "over", 1008: "refused", 4404: "unknown" };
const ANSWERED = { 204: "over", 401: "refused", 403: "refused", 404: "unknown", 400: "unknown" };

/** An answer that was no success. `code` is the API's, or UNREACHABLE when none came. */
export class BooklineError extends Error {
  constructor(code, message, { status = 0, details = null, retryAfterMs = null } = {}) {
    super(message);
    Object.assign(this, { name: "BooklineError", code, status, details, retryAfterMs });
  }
}

export function createClient({ baseUrl = globalThis.location?.origin ?? "", key = null } = {}) {
  const client = {
    key,
    /** How far the server's clock is ahead of ours. */
    skewMs: 0,
    request,
    /** `{jobId, token, …}`. Asked twice with one `idempotencyKey` it is one job. */
    startImport: (isbn, { source = "auto", idempotencyKey = randomKey(), signal } = {}) =>
      request("POST", "/v2/import/workflow", {
        body: { isbn, source }, headers: { "Idempotency-Key": idempotencyKey }, signal,
      }),
    getStatus: (jobId) => request("GET", `/v2/import/status/${encodeURIComponent(jobId)}`),
    cancel: (jobId) => request("POST", `/v2/import/cancel/${encodeURIComponent(jobId)}`),
    retry: (jobId) => request("POST", `/v2/import/retry/${encodeURIComponent(jobId)}`),
    follow,
    /** Followers that wait to come back do so at once: the network is there again. */
    wake: () => sleepers.forEach((wakeUp) => wakeUp()),
  };
  const sleepers = new Set();

  function headersWith(more) {
    return client.key ? { Authorization: `Bearer ${client.key}`, ...more } : { ...more };
  }

  /** The answer's `data`. Throws BooklineError. */
  async function request(method, path, { body, headers, signal } = {}) {
    const json = body && { "Content-Type": "application/json" };
    const init = { method, signal, headers: headersWith({ ...json, ...headers }) };
    if (body) init.body = JSON.stringify(body);
    let response, answer;
    try {
      response = await fetch(baseUrl + path, init);
      answer = await response.json();
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new BooklineError("UNREACHABLE", "Bookline does not answer", { status: response?.status });
    }
    const at = Date.parse(answer?.metadata?.timestamp);
    if (at) client.skewMs = at - Date.now();
    if (response.ok && answer?.success) return answer.data;
    const { code = "UNREACHABLE", message = response.statusText, details } = answer?.error ?? {};
    throw new BooklineError(code, message, {
      status: response.status, details, retryAfterMs: readRetryAfter(response),
    });
  }

  /**
   * Hands every event behind `after` to `onEvent`, old ones first, until the job has ended.
   * `onState` hears `{state: "connecting" | "connected" | "waiting", over: "socket" | "stream",
   * delayMs?}`.
   * Answers `{reason, after}`; reason: over, refused (key or token), unknown (job), aborted.
   */
  async function follow(jobId, { token = null, after = 0, onEvent, onState = () => {}, signal } = {}) {
    let failures = 0;
    let ended = false;
    let overSocket = canSocket();

    const tell = (state, more) =>
      onState({ state, over: overSocket ? "socket" : "stream", ...more });
    function canSocket() {
      return typeof WebSocket === "function" && Boolean(token || !client.key);
    }
    function take(text) {
      failures = 0;
      const event = JSON.parse(text);
      if (!event.seq || event.seq <= after) return; // a ping, or known
      if (event.seq > after + 1) throw new Error("an event is missing"); // comes by resuming
      after = event.seq;
      ended = event.type === "workflow_progress" && ENDINGS.has(event.status);
      onEvent(event);
    }

    while (!signal?.aborted) {
      tell("connecting");
      if (signal?.aborted) break;
      const line = { take, signal, opened: false, onOpen: () => tell("connected") };
      const read = overSocket ? readSocket : readStream;
      const { reason, retryAfterMs } = await read(line, jobId, token, after);
      if (reason === "refused" && token) {
        token = null; // it has expired; a key may open the job, or nothing is asked for
      } else if (reason && reason !== "broken") {
        return { reason, after };
      } else if (!overSocket && line.opened && ended) {
        return { reason: "over", after };
      }
      if (signal?.aborted) break;
      if (!line.opened) overSocket = !overSocket || !(await isReachable()); // try the other way
      overSocket &&= canSocket();
      const backOffMs = Math.min(MOST_DELAY_MS, FIRST_DELAY_MS * 2 ** failures);
      const delayMs = retryAfterMs ?? backOffMs * (0.75 + Math.random() / 4);
      failures += 1;
      tell("waiting", { delayMs });
      await sleep(delayMs, signal);
    }
    return { reason: "aborted", after };
  }

  /** Whether it is the socket alone that does not get through. */
  const isReachable = () => request("GET", "/healthz").then(() => true, () => false);

  function readSocket(line, jobId, token, after) {
    const address = baseUrl.replace(/^http/, "ws");
    const query = new URLSearchParams({ jobId, after });
    return new Promise((resolve) => {
      const socket = new WebSocket(
        `${address}/ws/progress?${query}`, token ? [`bookline.token.${token}`] : [],
      );
      const leave = (reason) => {
        watchdog.stop();
        line.signal?.removeEventListener("abort", hangUp);
        socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
        socket.close();
        resolve({ reason });
      };
      const hangUp = () => leave("broken");
      const watchdog = watchSilence(hangUp);
      line.signal?.addEventListener("abort", hangUp);
      socket.onopen = () => opened(line);
      socket.onerror = hangUp; // Node 20 tells a refused connection by this alone
      socket.onclose = ({ code }) => leave(CLOSED[code] ?? "broken");
      socket.onmessage = ({ data }) => {
        watchdog.hear();
        try {
          line.take(data);
        } catch {
          hangUp();
        }
      };
    });
  }

  async function readStream(line, jobId, token, after) {
    const query = new URLSearchParams({ after, ...(token && !client.key ? { token } : {}) });
    const cut = new AbortController();
    const hangUp = () => cut.abort();
    const watchdog = watchSilence(hangUp);
    line.signal?.addEventListener("abort", hangUp);
    try {
      const path = `/v2/import/events/${encodeURIComponent(jobId)}?${query}`;
      const response = await fetch(baseUrl + path, { headers: headersWith(), signal: cut.signal });
      if (response.status !== 200) {
        const reason = ANSWERED[response.status] ?? "broken";
        return { reason, retryAfterMs: readRetryAfter(response) };
      }
      opened(line);
      for await (const text of messagesOf(response.body, watchdog.hear)) line.take(text);
    } catch {
      cut.abort(); // broken off: what is missing comes by resuming
    } finally {
      watchdog.stop();
      line.signal?.removeEventListener("abort", hangUp);
    }
    return { reason: "broken" };
  }

  function opened(line) {
    line.opened = true;
    line.onOpen();
  }

  function sleep(delayMs, signal) {
    return new Promise((resolve) => {
      const wakeUp = () => {
        clearTimeout(timer);
        sleepers.delete(wakeUp);
        signal?.removeEventListener("abort", wakeUp);
        resolve();
      };
      const timer = setTimeout(wakeUp, delayMs);
      sleepers.add(wakeUp);
      signal?.addEventListener("abort", wakeUp);
    });
  }

  return client;
}

/** The `data:` of each Server-Sent Event in a body. */
async function* messagesOf(body, hear) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    hear();
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield lines.map((line) => line.slice(5).trim()).join("\n");
    }
  }
}

function watchSilence(onDead) {
  let timer = setTimeout(onDead, SILENCE_MS);
  return {
    stop: () => clearTimeout(timer),
    hear: () => {
      clearTimeout(timer);
      timer = setTimeout(onDead, SILENCE_MS);
    },
  };
}

function readRetryAfter(response) {
  const text = response.headers.get("Retry-After");
  return text && /^\d+$/.test(text) ? Number(text) * 1000 : null;
}

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
