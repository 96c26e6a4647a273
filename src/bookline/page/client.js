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
 */

const FIRST_DELAY_MS = 500;
const MOST_DELAY_MS = 8_000;
const ANSWER_MS = 30_000; // no answer is awaited for longer
const SILENCE_MS = 45_000; // the server says something every 30 s; after this the line is dead
const ENDINGS = new Set(["completed", "failed", "cancelled"]);
const REASONS = { // why it ended, by a socket's closing code or a stream's status
  1000: "over", 1008: "refused", 4404: "unknown",
  204: "over", 401: "refused", 403: "refused", 404: "unknown", 400: "unknown",
};

/** An answer that was no success. `code` is the API's, or UNREACHABLE when none came. */
export class BooklineError extends Error {
  constructor({ code = "UNREACHABLE", message = "the server cannot be reached", details = null }, response) {
    super(message);
    const [status, retryAfterMs] = [response?.status ?? 0, readRetryAfter(response)];
    Object.assign(this, { name: "BooklineError", code, status, details, retryAfterMs });
  }
}

export function createClient({ baseUrl = globalThis.location?.origin ?? "", key = null } = {}) {
  const sleepers = new Set();
  const pathOf = (act, jobId) => `/v2/import/${act}/${encodeURIComponent(jobId)}`;
  const client = {
    key,
    skewMs: 0, // how far the server's clock is ahead of ours
    request,
    send,
    readText: async (path, options) => (await readFile(path, options)).text(),
    readBlob: async (path, options) => (await readFile(path, options)).blob(),
    /** `{jobId, token, …}`. Asked twice with one `idempotencyKey` it is one job. */
    startImport: (isbn, { source = "auto", idempotencyKey = randomKey(), signal } = {}) =>
      request("POST", "/v2/import/workflow", {
        body: { isbn, source }, headers: { "Idempotency-Key": idempotencyKey }, signal,
      }),
    getStatus: (jobId) => request("GET", pathOf("status", jobId)),
    cancel: (jobId) => request("POST", pathOf("cancel", jobId)),
    retry: (jobId) => request("POST", pathOf("retry", jobId)),
    follow,
    /** Followers that wait to come back do so at once: the network is there again. */
    wake: () => sleepers.forEach((wakeUp) => wakeUp()),
  };

  function send(method, path, { body, headers, signal, keepalive } = {}) {
    const bearer = client.key && { Authorization: `Bearer ${client.key}` };
    const isJson = body && !(body instanceof Blob || body instanceof FormData);
    const json = isJson && { "Content-Type": "application/json" };
    const init = { method, signal, keepalive, body: isJson ? JSON.stringify(body) : body };
    return fetch(baseUrl + path, { ...init, headers: { ...bearer, ...json, ...headers } });
  }

  /** The answer itself, for what has no envelope. Throws BooklineError. */
  async function readFile(path, options) {
    const response = await send("GET", path, options).catch((error) => {
      if (options?.signal?.aborted) throw error;
      throw new BooklineError({});
    });
    if (response.ok) return response;
    throw new BooklineError((await response.json().catch(() => null))?.error ?? {}, response);
  }

  /** The answer's `data`. Throws BooklineError. */
  async function request(method, path, options) {
    let response, answer;
    const limits = [AbortSignal.timeout(ANSWER_MS), options?.signal].filter(Boolean);
    try {
      response = await send(method, path, { ...options, signal: AbortSignal.any(limits) });
      answer = response.status === 204 ? { success: true, data: null } : await response.json();
    } catch (error) {
      if (options?.signal?.aborted) throw error;
    }
    const at = Date.parse(answer?.metadata?.timestamp);
    if (at) client.skewMs = at - Date.now();
    if (response?.ok && answer?.success) return answer.data;
    throw new BooklineError(answer?.error ?? {}, response);
  }

  /**
   * Hands every event behind `after` to `onEvent`, old ones first, until the job has ended. `onState`
   * hears `{state: "connecting" | "connected" | "waiting", over: "socket" | "stream", delayMs?}`.
   * Answers `{reason, after}`; reason: over, refused (key or token), unknown (job), aborted.
   */
  async function follow(jobId, { token = null, after = 0, onEvent, onState = () => {}, signal } = {}) {
    const canSocket = () => typeof WebSocket === "function" && Boolean(token || !client.key);
    let [overSocket, isOpen, hasEnded, failures, heardAt] = [canSocket(), false, false, 0, 0];
    const tell = (state, more) => onState({ state, over: overSocket ? "socket" : "stream", ...more });
    const onOpen = () => {
      isOpen = true;
      tell("connected");
    };
    const onText = (text) => {
      [failures, heardAt] = [0, Date.now()];
      const event = JSON.parse(text);
      if (!event.seq || event.seq <= after) return; // a ping, or known
      if (event.seq > after + 1) throw new Error("an event is missing"); // comes by resuming
      after = event.seq;
      hasEnded = event.type === "workflow_progress" && ENDINGS.has(event.status);
      onEvent(event);
    };
    while (!signal?.aborted) {
      tell("connecting");
      if (signal?.aborted) break;
      [isOpen, heardAt] = [false, Date.now()];
      const line = new AbortController();
      signal?.addEventListener("abort", () => line.abort(), { signal: line.signal });
      const watchdog = setInterval(() => Date.now() > heardAt + SILENCE_MS && line.abort(), 1_000);
      const read = overSocket ? readSocket : readStream;
      const asked = { jobId, token, after, signal: line.signal, onOpen, onText };
      const { code, retryAfterMs } = await read(asked).catch(() => ({})); // broken: it comes back
      clearInterval(watchdog);
      line.abort();
      const reason = REASONS[code] ?? (!overSocket && isOpen && hasEnded ? "over" : null);
      if (reason === "refused" && token) token = null; // expired; the key may open it, or none is asked
      else if (reason) return { reason, after };
      if (signal?.aborted) break;
      const isDown = () => request("GET", "/healthz").then(() => false, () => true);
      if (!isOpen) overSocket = !overSocket || (await isDown()); // if it is up, try the other way
      overSocket &&= canSocket();
      const backOffMs = Math.min(MOST_DELAY_MS, FIRST_DELAY_MS * 2 ** failures++);
      const delayMs = retryAfterMs ?? backOffMs * (0.75 + Math.random() / 4);
      tell("waiting", { delayMs });
      await sleep(delayMs, signal);
    }
    return { reason: "aborted", after };
  }

  /** Both ways of reading answer the `code` with which it ended, and throw where it broke. */
  async function readSocket({ jobId, token, after, signal, onOpen, onText }) {
    const url = `${baseUrl.replace(/^http/, "ws")}/ws/progress?${new URLSearchParams({ jobId, after })}`;
    const socket = new WebSocket(url, token ? [`bookline.token.${token}`] : []);
    signal.addEventListener("abort", () => socket.close());
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", reject);
      socket.onopen = onOpen;
      socket.onclose = resolve;
      socket.onerror = reject; // Node 20 tells a refused connection by this alone
      socket.onmessage = ({ data }) => Promise.resolve(data).then(onText).catch(reject);
    });
  }

  async function readStream({ jobId, token, after, signal, onOpen, onText }) {
    const query = new URLSearchParams({ after, ...(token && !client.key && { token }) });
    const response = await send("GET", `${pathOf("events", jobId)}?${query}`, { signal });
    if (response.status !== 200) return { code: response.status, retryAfterMs: readRetryAfter(response) };
    onOpen();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = "", part; !(part = await reader.read()).done; ) {
      const lines = (rest + part.value).split("\n");
      rest = lines.pop();
      lines.filter((line) => line.startsWith("data:")).forEach((line) => onText(line.slice(5)));
    }
    return {};
  }

  function sleep(delayMs, signal) {
    return new Promise((resolve) => {
      const wakeUp = () => sleepers.delete(wakeUp) && resolve();
      sleepers.add(wakeUp);
      signal?.addEventListener("abort", wakeUp, { once: true });
      setTimeout(wakeUp, delayMs);
    });
  }

  return client;
}

const readRetryAfter = (response) => Number(response?.headers.get("Retry-After")) * 1000 || null;

const randomKey = () =>
  Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
