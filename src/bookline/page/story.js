/**
 * One import as it is shown: read from its events, and from nothing else where they are known.
 *
 * Way:     watching.js → here → card.js, job.js
 * Rule 1:  the same events always read as the same story; there is no state beside them.
 */

export const STEPS = ["fetch-metadata", "upload-cover", "generate-embedding", "save-to-database"];
const [FETCH, COVER, EMBED, SAVE] = STEPS;
const ENDINGS = new Set(["completed", "failed", "cancelled"]);

export const isOver = (status) => ENDINGS.has(status);

/** `job` is the last answer about it, which may be older or newer than the events. */
export function readStory(job, events) {
  const story = {
    jobId: job.jobId,
    isbn: job.isbn,
    source: job.source,
    method: job.method,
    status: "queued",
    progress: 0,
    title: null,
    authors: [],
    coverUrl: null,
    steps: Object.fromEntries(STEPS.map((step) => [step, "waiting"])),
    waits: {}, // a retry that is waited for, by step
    warnings: [],
    error: null,
    result: null,
  };
  const seq = events.at(-1)?.seq ?? 0;
  events.forEach((event) => tell(story, event));
  const last = job.lastEvent;
  if (last && last.seq > seq) tell(story, last);
  if ((last?.seq ?? 0) >= seq && job.status) adopt(story, job);
  return story;
}

/** What only the job knows: that it was opened again, or its result before the events came. */
function adopt(story, job) {
  if (!isOver(job.status)) story.error = null;
  story.status = job.status;
  story.title ??= job.result?.title ?? null;
}

function tell(story, event) {
  const data = event.data ?? {};
  story.progress = event.progress ?? story.progress;
  switch (event.type) {
    case "workflow_progress":
      story.status = isOver(event.status) ? event.status : "running";
      if (isOver(event.status)) story.waits = {};
      REACHED[event.status]?.(story, data);
      break;
    case "workflow_retry":
      story.status = "running";
      tellRetry(story, event);
      break;
    case "workflow_warning":
      story.warnings.push(data);
      tellWarning(story, data.step);
      break;
    case "workflow_resumed":
      story.status = "running";
      if (data.by === "retry") reopen(story);
      break;
  }
}

const REACHED = {
  started(story) {
    story.steps[FETCH] = "running";
  },
  metadata_fetched(story, { metadata = {} }) {
    story.title = metadata.title ?? null;
    story.authors = metadata.authors ?? [];
    story.foundBy = metadata.source;
    story.steps[COVER] = metadata.coverUrl ? "running" : "skipped";
    if (isSideBySide(story)) story.steps[EMBED] = "running";
    finish(story, FETCH, "done");
  },
  cover_uploaded(story, { coverUrl }) {
    story.coverUrl = coverUrl;
    finish(story, COVER, "done");
  },
  embedding_generated(story) {
    finish(story, EMBED, "done");
  },
  completed(story, { result }) {
    story.result = result;
    story.title ??= result.title;
    story.coverUrl = result.coverUrl;
    settle(story, COVER, result.coverUrl);
    settle(story, EMBED, result.hasEmbedding);
    story.steps[FETCH] = "done";
    story.steps[SAVE] = result.storedIn === "kv" ? "warned" : "done";
  },
  failed(story, { error }) {
    story.error = error;
    close(story, error?.step, "failed");
  },
  cancelled(story, { error }) {
    story.error = error;
    close(story, error?.step, "stopped");
  },
};

/** Cover and embedding do not depend on each other; only the legacy importer does one after the other. */
export const isSideBySide = ({ method }) => method !== "legacy";

export const shownStep = (step) => (STEPS.includes(step) ? step : SAVE);

function tellRetry(story, { data, timestamp }) {
  const step = shownStep(data.step);
  if (step === SAVE) endOptional(story);
  story.steps[step] = "retrying";
  const until = Date.parse(timestamp) + data.delayMs;
  story.waits[step] = { step, attempt: data.attempt, until, delayMs: data.delayMs, error: data.error };
}

function tellWarning(story, step) {
  if (shownStep(step) === SAVE) story.steps[SAVE] = "running"; // the fallback store is next
  else finish(story, step, "warned");
}

/** A step has ended: its wait is over, and what was waiting for it runs. */
function finish(story, step, state) {
  story.steps[step] = state;
  delete story.waits[step];
  const isOpen = (name) => ["waiting", "running", "retrying"].includes(story.steps[name]);
  const next = STEPS.find((name) => isOpen(name));
  if (next && story.steps[next] === "waiting") story.steps[next] = "running";
}

/** Saving begins when both optional steps have ended, whatever was told of them. */
function endOptional(story) {
  for (const step of [COVER, EMBED]) {
    if (["running", "retrying"].includes(story.steps[step])) finish(story, step, "skipped");
  }
}

function settle(story, step, isThere) {
  if (story.steps[step] !== "warned") story.steps[step] = isThere ? "done" : "skipped";
}

function close(story, step, state) {
  const running = STEPS.filter((name) => ["running", "retrying"].includes(story.steps[name]));
  for (const name of running) story.steps[name] = "waiting";
  const at = step ? shownStep(step) : running[0];
  if (at) story.steps[at] = state;
}

function reopen(story) {
  story.error = null;
  story.waits = {};
  const at = STEPS.find((name) => ["failed", "stopped"].includes(story.steps[name]));
  if (at) story.steps[at] = "running";
}
