/**
 * The first view: start imports and watch them.
 */

import { createCard } from "./card.js";
import { announce, h, setText, show } from "./dom.js";
import { readPasted } from "./isbn.js";
import { createQueue } from "./queue.js";
import { isOver } from "./story.js";
import { countdown, plural, reasonOf, shortened, stepLabel, titleAndAuthor } from "./words.js";

const HINT = "With or without hyphens. Press Enter to start, Shift+Enter for a new line.";
const MOST_CARDS = 8; // above, each import is one line

const find = (id) => document.getElementById(id);

/** Takes over the form and the list that stand in index.html already. */
export function createImports({ client, watching, askForKey }) {
  const form = find("start");
  const field = find("isbns");
  const source = find("source");
  const hint = find("isbns-hint");
  const button = find("start-button");
  const queueLine = find("queue");
  const queueText = find("queue-text");
  const refused = find("refused");
  const list = find("cards");
  const empty = find("cards-empty");
  const summary = find("summary");
  const clearFinished = find("clear-finished");
  const cards = new Map();
  const hidden = new Set();
  let isFirstAnswer = true;
  let isSummaryDue = false;

  const queue = createQueue(client, {
    onStarted(answer, entry) {
      announce(`Import of ${answer.isbn} started.`);
      watching.hear(
        { jobId: answer.jobId, isbn: answer.isbn, source: entry.source, status: "queued" },
        { token: answer.token, isShown: true },
      );
    },
    onRefused(entry, error) {
      announce(`${shortened(entry.text)} was not started. ${error.message}`);
      refused.prepend(refusedLine(entry, error));
      show(refused, true);
    },
    onChange: showQueue,
    onKey: askForKey,
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  field.addEventListener("input", showHint);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    start();
  });
  find("queue-stop").addEventListener("click", () => {
    queue.clear();
    field.focus();
  });
  clearFinished.addEventListener("click", () => {
    for (const [jobId, card] of cards) {
      if (!isOver(card.element.dataset.status)) continue;
      card.element.remove();
      cards.delete(jobId);
      hidden.add(jobId);
    }
    setSize();
    refused.replaceChildren();
    show(refused, false);
    showSummary();
    field.focus();
  });
  for (const sample of document.querySelectorAll("[data-isbn]")) {
    sample.addEventListener("click", () => queue.add([sample.dataset.isbn], source.value));
  }
  watching.listen((story, event, line) => {
    if (!story.isShown || (hidden.has(story.jobId) && isOver(story.status))) return;
    cardOf(story).update(story, line);
    if (event) announceEvent(story, event);
    showSummarySoon();
  });
  setInterval(() => {
    cards.forEach((card) => card.tick());
    if (queue.state().pause) showQueue(queue.state());
  }, 250);

  function start() {
    const pieces = readPasted(field.value);
    if (!pieces.length) {
      setHint("Enter an ISBN first.", true);
      field.focus();
      return;
    }
    queue.add(pieces.map(({ isbn, text }) => isbn ?? text), source.value);
    field.value = "";
    showHint();
    field.focus();
  }

  function showHint() {
    const pieces = readPasted(field.value);
    const bad = pieces.filter(({ isbn }) => !isbn);
    setText(button, pieces.length > 1 ? `Import ${pieces.length} books` : "Import");
    if (!pieces.length) setHint(HINT);
    else if (!bad.length) setHint(pieces.length === 1 ? "Valid ISBN." : `${pieces.length} valid ISBNs.`);
    else if (pieces.length === 1) setHint(`Not valid: ${bad[0].fault}.`, true);
    else setHint(`${pieces.length - bad.length} of ${pieces.length} are valid ISBNs. ${shortened(bad[0].text)}: ${bad[0].fault}.`, true);
  }

  function setHint(text, isFault = false) {
    setText(hint, text);
    hint.classList.toggle("is-fault", isFault && Boolean(text));
  }

  function showQueue({ count, pause }) {
    show(queueLine, count > 0);
    const many = `${plural(count, "import")} waiting`;
    const left = pause ? countdown(pause.until - Date.now()) : null;
    if (!pause) setText(queueText, `${many} to start…`);
    else if (pause.code === "RATE_LIMIT_EXCEEDED") setText(queueText, `${many}: rate limit reached, next in ${left}`);
    else if (pause.code === "UNAUTHORIZED") setText(queueText, `${many} for an API key`);
    else setText(queueText, `${many}: the server cannot be reached, retrying in ${left}`);
  }

  function cardOf(story) {
    if (!cards.has(story.jobId)) {
      const card = createCard(story.jobId, { client, watching });
      cards.set(story.jobId, card);
      hidden.delete(story.jobId);
      list.prepend(card.element);
      setSize();
    }
    return cards.get(story.jobId);
  }

  function setSize() {
    list.classList.toggle("is-compact", cards.size > MOST_CARDS);
  }

  /** Once for all, however many imports have moved. */
  function showSummarySoon() {
    if (isSummaryDue) return;
    isSummaryDue = true;
    setTimeout(() => {
      isSummaryDue = false;
      showSummary();
    }, 50);
  }

  function showSummary() {
    const states = [...cards.values()].map((card) => card.element.dataset.status);
    const count = (status) => states.filter((state) => state === status).length;
    const open = states.filter((state) => !isOver(state)).length;
    const parts = [
      open && `${open} in progress`,
      count("completed") && `${count("completed")} saved`,
      count("failed") && `${count("failed")} failed`,
      count("cancelled") && `${count("cancelled")} cancelled`,
    ];
    setText(summary, parts.filter(Boolean).join(" · "));
    show(clearFinished, states.length > open || refused.children.length > 0);
    show(empty, !states.length && !isFirstAnswer);
    document.documentElement.dataset.open = open;
  }

  showHint();
  queue.run();
  return {
    queue,
    has: (jobId) => cards.has(jobId),
    /** The first list of jobs has arrived: what is empty now is empty. */
    settle() {
      isFirstAnswer = false;
      show(find("cards-loading"), false);
      showSummary();
    },
  };
}

function refusedLine(entry, error) {
  const remove = h("button.quiet.small", { type: "button", "aria-label": `Dismiss ${shortened(entry.text)}` }, "Dismiss");
  const line = h("li", {}, h("span", {}, h("strong", {}, shortened(entry.text)), " was not started: ", h("span", {}, error.message)), remove);
  remove.addEventListener("click", () => {
    const parent = line.parentElement;
    line.remove();
    show(parent, parent.children.length > 0);
  });
  return line;
}

/** The events that are announced to screen readers. */
function announceEvent(story, event) {
  const name = story.title ?? story.isbn;
  if (event.type === "workflow_warning") announce(`${name}: ${stepLabel(event.data.step)} skipped.`);
  if (event.type === "workflow_retry" && event.data.attempt === 1) {
    announce(`${name}: ${stepLabel(event.data.step)} will be retried, ${reasonOf(event.data.error)}.`);
  }
  if (event.type !== "workflow_progress") return;
  if (event.status === "completed") announce(`${titleAndAuthor(story)}: saved.`);
  if (event.status === "failed") announce(`${name}: failed, ${reasonOf(event.data.error)}.`);
  if (event.status === "cancelled") announce(`${name}: cancelled.`);
}
