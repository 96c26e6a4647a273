/**
 * The card of one import: its cover, its four steps, what happens now, and what one can do.
 */

import { createCover } from "./covers.js";
import { h, icon, remark, setAttribute, setText, show } from "./dom.js";
import { STEPS, isOver } from "./story.js";
import {
  STATE_LABELS, STATUS_LABELS, STEP_LABELS, capital, causeOf, countdown, reasonOf, retryText, sentence, sourceName, stepLabel,
} from "./words.js";

const NOW = {
  "fetch-metadata": "Fetching metadata…",
  "upload-cover": "Fetching the cover…",
  "generate-embedding": "Computing the embedding…",
  "save-to-database": "Saving…",
};

/** `{element, update(story, line), tick()}`. `level` is the heading's. */
export function createCard(jobId, { client, watching, level = 3, isWhole = false }) {
  const cover = createCover(client);
  const storyPath = `#/job/${jobId}`;
  const title = isWhole ? h("span") : h("a", { href: storyPath });
  const by = h("p.by");
  const number = h("p.number");
  const stamp = h("p.stamp");
  const steps = STEPS.map(createStep);
  const bar = h("div.bar", {
    role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0, "aria-valuemax": 100,
  }, h("span"));
  const say = h("p.say");
  const drain = h("span.drain", { "aria-hidden": "true" });
  const warnings = h("ul.warnings");
  const cancel = h("button.quiet", { type: "button", on: { click: () => act("cancel") } }, "Cancel");
  const retry = h("button", { type: "button", on: { click: () => act("retry") } }, "Retry");
  const openBook = h("a.button.quiet", {}, "Open book");
  const openStory = h("a.quiet.text", { href: storyPath }, "Details");
  const heading = h(`h${level}.title`, { id: `t-${jobId}` }, title);
  const element = h("article.card", { "aria-labelledby": `t-${jobId}`, data: { job: jobId } },
    cover.element,
    h("div.card-head", {}, heading, by, number),
    stamp,
    h("div.card-work", {},
      h("ol.steps", { "aria-label": "Steps" }, steps.map((step) => step.element)),
      say, drain, warnings),
    h("div.acts", {}, retry, cancel, openBook, isWhole ? null : openStory),
    bar,
  );
  let current = null;

  async function act(what) {
    try {
      await watching[what](jobId);
    } catch (error) {
      remark(`Could not ${what}: ${sentence(error.message)}`);
    }
  }

  function update(story, line = null) {
    current = story;
    element.dataset.status = story.status;
    if (line) element.dataset.line = line;
    setText(title, story.title ?? `ISBN ${story.isbn}`);
    setText(by, story.authors.join(", "));
    show(by, story.authors.length > 0);
    setText(number, numberLine(story));
    setText(stamp, stampOf(story));
    show(stamp, isOver(story.status));
    steps.forEach((step, at) => step.update(story.steps[STEPS[at]]));
    updateBar(bar, story);
    if (warnings.children.length !== story.warnings.length) {
      warnings.replaceChildren(...story.warnings.map(warningLine));
    }
    show(warnings, story.warnings.length > 0);
    show(cancel, !isOver(story.status));
    cancel.disabled = story.isCancelling;
    setText(cancel, story.isCancelling ? "Cancelling…" : "Cancel");
    show(retry, story.status === "failed");
    show(openBook, story.status === "completed");
    setAttribute(openBook, "href", `#/book/${story.isbn}`);
    cover.show({ ...story, url: story.coverUrl });
    drawNow();
  }

  function drawNow() {
    const wait = waitOf(current);
    const leftMs = wait ? wait.until - (Date.now() + client.skewMs) : 0;
    setText(say, sayNow(current, leftMs));
    show(drain, leftMs > 0);
    if (leftMs > 0) {
      const left = Math.min(1, leftMs / Math.max(1, wait.delayMs));
      drain.style.setProperty("--left", left.toFixed(3));
    }
  }

  /** Only a wait looks different a moment later. */
  function tick() {
    if (current && waitOf(current)) drawNow();
  }

  return { element, update, tick };
}

function createStep(name) {
  const mark = h("span.mark");
  const state = h("span.unseen");
  const element = h("li.step", { title: name }, mark, h("span.label", {}, STEP_LABELS[name]), state);
  let shown = null;
  function update(now) {
    if (now === shown) return;
    shown = now;
    element.dataset.state = now;
    mark.replaceChildren(icon(now));
    setText(state, `: ${STATE_LABELS[now]}`);
  }
  return { element, update };
}

function updateBar(bar, story) {
  const percent = Math.round(story.progress * 100);
  setAttribute(bar, "aria-valuenow", percent);
  setAttribute(bar, "aria-valuetext", `${percent} %, ${STATUS_LABELS[story.status].toLowerCase()}`);
  bar.firstChild.style.setProperty("--share", story.progress);
}

function numberLine({ isbn, title, foundBy, source }) {
  return [title ? isbn : null, sourceName(foundBy ?? source)].filter(Boolean).join(" · ");
}

function stampOf({ status, result }) {
  return result?.storedIn === "kv" ? "Fallback store" : STATUS_LABELS[status];
}

function warningLine({ step, code, message }) {
  return h("li", { title: message }, `${stepLabel(step)}: ${reasonOf({ code, message })}.`);
}

/** What happens now, in one line. */
function sayNow(story, leftMs) {
  const wait = waitOf(story);
  const { status, error } = story;
  if (status === "failed") {
    const tries = error?.attempts > 1 ? ` after ${error.attempts} tries` : "";
    const step = error?.step ? `${stepLabel(error.step)} failed${tries}: ` : "";
    return sentence(capital(step + causeOf(error)));
  }
  if (status === "cancelled") return "Cancelled. Nothing was saved.";
  if (status === "completed") return completedLine(story);
  if (status === "queued") return "Queued…";
  const running = STEPS.find((step) => ["running", "retrying"].includes(story.steps[step]));
  if (!wait) return NOW[running] ?? "Running…";
  const retry = `${stepLabel(wait.step)}: ${sentence(causeOf(wait.error))} ${capital(retryText(wait.step, wait.attempt))}`;
  return leftMs > 0 ? `${retry} in ${countdown(leftMs)}` : `${retry} now…`;
}

const waitOf = ({ waits }) => Object.values(waits)[0] ?? null;

function completedLine({ result }) {
  if (result?.storedIn === "kv") return "Saved in the fallback store: the library could not be reached. It moves there automatically.";
  const parts = [result?.coverUrl ? "cover" : null, result?.hasEmbedding ? "embedding" : null];
  const had = parts.filter(Boolean).join(" and ");
  if (!had) return "Saved in the library, metadata only.";
  return `Saved in the library with ${had}.`;
}
