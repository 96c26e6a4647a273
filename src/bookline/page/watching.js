/**
 * Every import that this page knows: followed live, as many at once as a browser bears.
 *
 * Way:     imports.js, jobs.js, job.js → here → client.js; changes → whoever listens
 * Rule 1:  a job is followed by one reader at most, and again whenever an answer shows more of it.
 */

import { isOver, readStory } from "./story.js";

const MOST_SOCKETS = 24; // our choice; browsers bear about 200
const MOST_STREAMS = 2; // HTTP/1.1 has six connections, and the page needs some itself

export function createWatching(client) {
  const entries = new Map();
  const listeners = new Set();
  const queues = { socket: [], stream: [] };
  const open = { socket: 0, stream: 0 };
  let areSocketsBlocked = false;

  /** What there is to know of a job, as an answer told it; follows it while there is more. */
  function hear(job, { token = null, isShown = false } = {}) {
    const entry = entries.get(job.jobId) ?? { job, events: [], isFollowed: false, isShown: false };
    entries.set(job.jobId, entry);
    entry.token = token ?? entry.token ?? null;
    entry.isShown ||= isShown;
    const seq = entry.events.at(-1)?.seq ?? 0;
    const jobSeq = job.lastEvent?.seq ?? 0;
    if (jobSeq >= seq) entry.job = { ...entry.job, ...job };
    const isOpen = !isOver(job.status ?? "queued");
    changed(entry);
    if (jobSeq > seq || (isOpen && jobSeq >= seq)) enqueue(entry);
    return entry.story;
  }

  function enqueue(entry) {
    if (entry.isFollowed) return;
    entry.isFollowed = true;
    const canSocket = (entry.token || !client.key) && !areSocketsBlocked;
    entry.kind = canSocket ? "socket" : "stream";
    queues[entry.kind].push(entry);
    fill(entry.kind);
  }

  function fill(kind) {
    const most = kind === "socket" ? MOST_SOCKETS : MOST_STREAMS;
    while (open[kind] < most && queues[kind].length) read(queues[kind].shift());
  }

  async function read(entry) {
    const stop = new AbortController();
    open[entry.kind] += 1;
    const { reason } = await client.follow(entry.job.jobId, {
      token: entry.token,
      after: entry.events.at(-1)?.seq ?? 0,
      signal: stop.signal,
      onEvent: (event) => {
        entry.events.push(event);
        changed(entry, event);
      },
      onState: (line) => {
        notice(entry, line, stop);
        tellAll(entry.story, null, line.state);
      },
    });
    if (reason !== "aborted") open[entry.kind] -= 1;
    entry.isFollowed = false;
    if (reason === "aborted") enqueue(entry);
    fill("socket");
    fill("stream");
  }

  /** Where sockets do not get through, streams are read instead, and far fewer at once. */
  function notice(entry, line, stop) {
    if (line.state === "connected" && line.over === "socket") areSocketsBlocked = false;
    if (line.over !== "stream" || entry.kind !== "socket") return;
    areSocketsBlocked = true;
    open.socket -= 1;
    if (open.stream < MOST_STREAMS) {
      open.stream += 1;
      entry.kind = "stream";
    } else {
      stop.abort();
    }
  }

  function changed(entry, event = null) {
    entry.story = { ...readStory(entry.job, entry.events), isShown: entry.isShown };
    if (isOver(entry.story.status)) entry.isCancelling = false;
    entry.story.isCancelling = entry.isCancelling ?? false;
    tellAll(entry.story, event, null);
  }

  function tellAll(story, event, line) {
    listeners.forEach((listener) => listener(story, event, line));
  }

  async function control(jobId, act) {
    const entry = entries.get(jobId);
    if (entry && act === "cancel") {
      entry.isCancelling = true;
      changed(entry);
    }
    try {
      return hear(await client[act](jobId), { isShown: entry?.isShown });
    } catch (error) {
      if (entry) entry.isCancelling = false;
      if (entry) changed(entry);
      throw error;
    }
  }

  return {
    hear,
    /** Tells of every change: `(story, event | null, line state | null)`. Answers how to stop. */
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    find: (jobId) => entries.get(jobId)?.story ?? null,
    eventsOf: (jobId) => entries.get(jobId)?.events ?? [],
    stories: () => [...entries.values()].map((entry) => entry.story),
    hide(jobId) {
      const entry = entries.get(jobId);
      if (entry) entry.isShown = false;
    },
    cancel: (jobId) => control(jobId, "cancel"),
    retry: (jobId) => control(jobId, "retry"),
  };
}
