/**
 * The first view: start imports and watch them.
 */

import { createCard } from "./card.js";
import { announce, h, setText, show } from "./dom.js";
import { readPasted } from "./isbn.js";
import { createPreview } from "./preview.js";
import { createQueue } from "./queue.js";
import { createScan } from "./scan.js";
import { isOver } from "./story.js";
import { countdown, plural, reasonOf, shortened, stepLabel, titleAndAuthor } from "./words.js";

const HINT = "With or without hyphens. Press Enter to start, Shift+Enter for a new line.";
const MOST_CARDS = 8; // above, each import is one line
const MOST_SINGLE = 8; // above, or with rows that are no ISBN, it is a list: the server keeps it whole
const LONG_CHARS = 2_000; // not read here, and not laid out in the field
const DEBOUNCE_MS = 400;

const find = (id) => document.getElementById(id);

/** Takes over the form and the list of index.html. */
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

  const preview = createPreview(client, {
    onChange: () => showHint(),
    onFound: () => button.scrollIntoView({ block: "nearest" }),
    onStarted({ batchId }) {
      field.value = "";
      location.hash = `#/batch/${batchId}`;
    },
  });
  find("preview").replaceWith(preview.element);
  acceptFiles(form, find("file"), (file) => preview.read(file));
  let timer = null;

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
  field.addEventListener("input", () => {
    clearTimeout(timer);
    if (isList(field.value)) timer = setTimeout(() => previewText(field.value), DEBOUNCE_MS);
    else if (preview.isShown() && field.value.trim()) preview.clear();
    showHint();
  });
  field.addEventListener("paste", (event) => {
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (text.length < LONG_CHARS) return;
    event.preventDefault();
    previewText(text);
  });
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

  function previewText(text) {
    clearTimeout(timer);
    preview.read(new File([text], "Pasted list", { type: "text/plain" }));
  }

  function start() {
    if (preview.rows()) {
      preview.start(source.value);
      return;
    }
    if (preview.isShown()) return;
    if (isList(field.value)) {
      previewText(field.value);
      return;
    }
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
    if (preview.isShown()) {
      setText(button, preview.rows() ? `Import ${plural(preview.rows(), "row")}` : "Import");
      button.disabled = !preview.rows();
      setHint("");
      return;
    }
    button.disabled = false;
    if (isList(field.value)) return;
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
    else setText(queueText, `${many}: ${pause.message}; retrying in ${left}`);
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

  createScan(find("scan"), { onIsbn: (isbn) => queue.add([isbn], source.value) });
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

/** More than a few ISBNs, or lines that are none: it is read by the server. */
function isList(text) {
  if (text.length >= LONG_CHARS) return true;
  const pieces = readPasted(text);
  return pieces.length > MOST_SINGLE || (text.includes("\n") && pieces.filter(({ isbn }) => !isbn).length > 1);
}

/** A file that is chosen, or dropped anywhere on the window while the form is in sight. */
function acceptFiles(form, input, onFile) {
  input.addEventListener("change", () => {
    if (input.files[0]) onFile(input.files[0]);
    input.value = "";
  });
  const hasFile = (event) => form.offsetParent && event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    form.classList.add("is-target");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? form.classList.remove("is-target"));
  addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    form.classList.remove("is-target");
    if (event.dataTransfer.files[0]) onFile(event.dataTransfer.files[0]);
  });
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
