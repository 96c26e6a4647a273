/**
 * Where the time of one import went: the queue, then each step's tries and waits, side by side.
 *
 * Way:     job.js → here
 * Rule 1:  read from the events alone. They are told in order: a step that ran beside another may have
 *          ended a little before its event.
 * Units:   milliseconds of the server's clock.
 */

import { timeText } from "./curves.js";
import { h, setText, show } from "./dom.js";
import { STEPS, isOver, isSideBySide, shownStep } from "./story.js";
import { STEP_LABELS } from "./words.js";

const [FETCH, COVER, EMBED, SAVE] = STEPS;
const QUEUE = "queue";
const KINDS = { queue: "in the queue", ok: "succeeded", failed: "failed", stopped: "cancelled", running: "running", wait: "wait before a retry" };

/** `{from, to, rows: [{name, spans: [{kind, from, to}]}]}`; `now` ends what is still running. */
export function readWaterfall(job, events, now) {
  const rows = new Map();
  const open = new Map(); // when the try of a step began
  const created = Date.parse(job.createdAt);
  const last = isOver(job.status) && events.length ? Date.parse(events.at(-1).timestamp) : now;
  const add = (name, kind, from, to) => {
    if (!rows.has(name)) rows.set(name, []);
    rows.get(name).push({ kind, from, to: Math.max(from, to) });
  };
  const begin = (step, at) => open.has(step) || open.set(step, at);
  const end = (step, kind, at) => {
    if (!open.has(step)) return;
    const from = Math.min(open.get(step), at);
    open.delete(step);
    add(step, kind, from, at);
  };
  const next = (at) => {
    if (![FETCH, COVER, EMBED].some((step) => open.has(step))) begin(SAVE, at);
  };

  for (const { type, status, data, timestamp } of events) {
    const at = Date.parse(timestamp);
    const step = data?.step ? shownStep(data.step) : null;
    if (type === "workflow_retry") {
      if (step === SAVE) [COVER, EMBED].forEach((one) => end(one, "ok", at));
      end(step, "failed", at);
      add(step, "wait", at, Math.min(at + data.delayMs, Math.max(at, last)));
      open.set(step, at + data.delayMs);
    } else if (type === "workflow_warning") {
      end(step, "failed", at);
      if (step === COVER && job.method === "legacy") begin(EMBED, at);
      next(at);
    } else if (type === "workflow_resumed" && data.by === "retry") {
      begin(rows.has(SAVE) ? SAVE : FETCH, at);
    } else if (type === "workflow_progress") {
      tellProgress(status, data ?? {}, at);
    }
  }

  function tellProgress(status, data, at) {
    if (status === "started") {
      add(QUEUE, "queue", created, at);
      begin(FETCH, at);
    } else if (status === "metadata_fetched") {
      end(FETCH, "ok", at);
      if (data.metadata?.coverUrl) begin(COVER, at);
      if (isSideBySide(job) || !data.metadata?.coverUrl) begin(EMBED, at);
    } else if (status === "cover_uploaded") {
      end(COVER, "ok", at);
      begin(EMBED, isSideBySide(job) ? (rows.get(EMBED)?.at(-1)?.to ?? at) : at);
    } else if (status === "embedding_generated") {
      end(EMBED, "ok", at);
      next(at);
    } else if (isOver(status)) {
      endAll(status, data.error?.step && shownStep(data.error.step), at);
    }
  }

  function endAll(status, step, at) {
    for (const one of [...open.keys()]) {
      const hasFailed = status === "failed" && (one === step || !step);
      end(one, status === "completed" ? "ok" : hasFailed ? "failed" : "stopped", at);
    }
  }

  if (!events.length && !isOver(job.status)) add(QUEUE, "queue", created, now);
  for (const [step, from] of open) if (from < now && !isOver(job.status)) add(step, "running", from, now);
  const order = [QUEUE, ...STEPS].filter((name) => rows.has(name));
  return { from: created, to: Math.max(created + 1, last), rows: order.map((name) => ({ name, spans: rows.get(name) })) };
}

/** `{element, update(job, events, now)}`: a table whose bars only repeat what its numbers say. */
export function createWaterfall() {
  const body = h("tbody");
  const total = h("p.note");
  const element = h("section.waterfall", { "aria-labelledby": "waterfall-title", hidden: true },
    h("h2", { id: "waterfall-title" }, "Time spent"),
    h("table", {},
      h("caption.unseen", {}, "Tries, waits and duration of each step"),
      h("thead", {}, h("tr", {}, ["Step", "Timeline", "Tries", "Waited", "Took"].map((name) => h("th", { scope: "col" }, name)))),
      body),
    total);

  function update(job, events, now) {
    const { from, to, rows } = readWaterfall(job, events, now);
    show(element, rows.length > 0);
    body.replaceChildren(...rows.map((row) => line(row, from, to)));
    setText(total, `Total: ${timeText(to - from)}.`);
  }

  return { element, update };
}

function line({ name, spans }, from, to) {
  const sum = (isWanted) => spans.filter(isWanted).reduce((ms, span) => ms + span.to - span.from, 0);
  const tries = spans.filter(({ kind }) => kind !== "wait" && kind !== "queue").length;
  const waitedMs = sum(({ kind }) => kind === "wait");
  return h("tr", {},
    h("th", { scope: "row" }, name === QUEUE ? "Queue" : STEP_LABELS[name]),
    h("td.track-cell", {}, h("div.track", { "aria-hidden": "true" }, spans.map((span) => bar(span, from, to)))),
    h("td", { data: { label: "Tries" } }, tries ? String(tries) : "–"),
    h("td", { data: { label: "Waited" } }, waitedMs ? timeText(waitedMs) : "–"),
    h("td", { data: { label: "Took" } }, timeText(sum(({ kind }) => kind !== "wait"))));
}

function bar({ kind, from: begin, to: end }, from, to) {
  const element = h("span", { data: { kind }, title: `${KINDS[kind]}, ${timeText(end - begin)}` });
  element.style.setProperty("--from", ((begin - from) / (to - from)).toFixed(4));
  element.style.setProperty("--share", ((end - begin) / (to - from)).toFixed(4));
  return element;
}
