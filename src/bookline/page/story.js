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
    status: "queued",
    progress: 0,
    title: null,
    authors: [],
    coverUrl: null,
    steps: Object.fromEntries(STEPS.map((step) => [step, "waiting"])),
    wait: null,
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
      story.wait = null;
      REACHED[event.status]?.(story, data);
      break;
    case "workflow_retry":
      story.status = "running";
      tellRetry(story, event);
      break;
    case "workflow_warning":
      story.wait = null;
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
    begin(story, FETCH);
  },
  metadata_fetched(story, { metadata = {} }) {
    story.title = metadata.title ?? null;
    story.authors = metadata.authors ?? [];
    story.foundBy = metadata.source;
    finish(story, FETCH, "done");
    if (metadata.coverUrl) begin(story, COVER);
    else finish(story, COVER, "skipped");
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

function tellRetry(story, { data, timestamp }) {
  const step = shown(data.step);
  begin(story, step);
  story.steps[step] = "retrying";
  const until = Date.parse(timestamp) + data.delayMs;
  story.wait = { step, attempt: data.attempt, until, delayMs: data.delayMs, error: data.error };
}

function tellWarning(story, step) {
  if (shown(step) === SAVE) begin(story, SAVE); // it goes on to the fallback store
  else finish(story, shown(step), "warned");
}

function shown(step) {
  return STEPS.includes(step) ? step : SAVE;
}

function begin(story, step) {
  for (const earlier of STEPS.slice(0, STEPS.indexOf(step))) {
    if (["waiting", "running", "retrying"].includes(story.steps[earlier])) story.steps[earlier] = "done";
  }
  story.steps[step] = "running";
}

function finish(story, step, state) {
  const next = STEPS[STEPS.indexOf(step) + 1];
  begin(story, next);
  story.steps[step] = state;
}

function settle(story, step, isThere) {
  if (story.steps[step] !== "warned") story.steps[step] = isThere ? "done" : "skipped";
}

function close(story, step, state) {
  const current = STEPS.find((name) => ["running", "retrying"].includes(story.steps[name]));
  const at = step ? shown(step) : current;
  if (at) story.steps[at] = state;
}

function reopen(story) {
  story.error = null;
  story.wait = null;
  const at = STEPS.find((name) => ["failed", "stopped"].includes(story.steps[name]));
  if (at) story.steps[at] = "running";
}
