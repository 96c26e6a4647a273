/**
 * All imports, newest first, as a table that updates itself.
 */

import { h, remark, setText, show } from "./dom.js";
import { isOver } from "./story.js";
import { STATUS_LABELS, dateAndTime, plural, reasonOf, seconds, sentence, sourceName, stepLabel } from "./words.js";

const FILTERS = ["", "queued", "running", "completed", "failed", "cancelled"];
const HEADS = ["Book", "Status", "Source", "Started", "Duration"];
const PAGE_JOBS = 30;
const FRESH_MS = 4_000;

/** Fills `view`; `params.status` filters. Answers how to leave. */
export function showJobs(view, { client, params, watching }) {
  const status = FILTERS.includes(params.get("status")) ? params.get("status") : "";
  const note = h("p.note", { role: "status" }, "Loading jobs…");
  const body = h("tbody");
  const table = h("table.jobs", { hidden: true },
    h("caption.unseen", {}, "Imports, newest first"),
    h("thead", {}, h("tr", {}, HEADS.map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, h("span.unseen", {}, "Actions")))),
    body);
  const more = h("button.quiet.more", { type: "button", hidden: true }, "Older jobs");
  view.replaceChildren(
    h("div.head", {}, h("h1", { tabindex: -1 }, "Jobs"),
      h("nav.filters", { "aria-label": "Status" }, h("ul", {}, FILTERS.map((one) => h("li", {},
        h("a", { href: one ? `#/jobs?status=${one}` : "#/jobs", "aria-current": one === status ? "page" : null },
          one ? STATUS_LABELS[one] : "All")))))),
    note, table, more,
  );

  const rows = new Map();
  const stop = new AbortController();
  let cursor = null;
  let isOnFirstPage = true;

  more.addEventListener("click", async () => {
    isOnFirstPage = false;
    await load(cursor);
  });
  const stopListening = watching.listen((story, event) => {
    if (event && rows.has(story.jobId)) refresh();
  });
  const timer = setInterval(() => document.hidden || refresh(), FRESH_MS);

  async function load(from) {
    const query = new URLSearchParams({ limit: PAGE_JOBS, ...(status ? { status } : {}), ...(from ? { cursor: from } : {}) });
    try {
      const { items, nextCursor } = await client.request("GET", `/v2/import/jobs?${query}`, { signal: stop.signal });
      draw(items, Boolean(from));
      if (from || isOnFirstPage) cursor = nextCursor;
      show(more, cursor !== null);
      showCount();
    } catch (error) {
      if (!stop.signal.aborted && !rows.size) setText(note, `The jobs could not be loaded: ${sentence(error.message)}`);
    }
  }

  let isFresh = false;
  function refresh() {
    if (isFresh) return;
    isFresh = true;
    setTimeout(() => {
      isFresh = false;
      load(null);
    }, 250);
  }

  /** Older ones go below; the newest are laid in order at the top. Rows that are there stay. */
  function draw(items, isOlder) {
    if (!isOlder) dropMoved(items);
    let before = isOlder ? null : body.firstElementChild;
    for (const job of items) {
      const row = rowOf(job);
      row.update(job);
      if (row.element === before) before = before.nextElementSibling;
      else if (isOlder || !row.element.isConnected) body.insertBefore(row.element, before);
    }
  }

  /** With a filter, rows that no longer fit leave, as far as this answer reaches. */
  function dropMoved(items) {
    const kept = new Set(items.map(({ jobId }) => jobId));
    const oldest = items.length === PAGE_JOBS ? items.at(-1).createdAt : "";
    for (const [jobId, row] of rows) {
      if (kept.has(jobId) || row.createdAt() < oldest) continue;
      row.element.remove();
      rows.delete(jobId);
    }
  }

  function rowOf(job) {
    if (!rows.has(job.jobId)) rows.set(job.jobId, createRow(job.jobId, act));
    return rows.get(job.jobId);
  }

  async function act(what, jobId) {
    try {
      await watching[what](jobId);
      load(null);
    } catch (error) {
      remark(`Could not ${what}: ${sentence(error.message)}`);
    }
  }

  function showCount() {
    show(table, rows.size > 0);
    const which = status ? STATUS_LABELS[status].toLowerCase() : "";
    if (!rows.size) setText(note, status ? `No ${which} imports.` : "No imports yet.");
    else setText(note, `${plural(rows.size, "import")}${cursor ? " shown; there are older ones" : ""}.`);
  }

  load(null);
  return () => {
    stop.abort();
    stopListening();
    clearInterval(timer);
  };
}

function createRow(jobId, act) {
  const title = h("a", { href: `#/job/${jobId}` });
  const isbn = h("span.number");
  const state = h("span.state");
  const detail = h("span.detail");
  const source = h("td", { data: { label: "Source" } });
  const began = h("time");
  const took = h("td", { data: { label: "Duration" } });
  const cancel = h("button.quiet.small", { type: "button", on: { click: () => act("cancel", jobId) } }, "Cancel");
  const retry = h("button.quiet.small", { type: "button", on: { click: () => act("retry", jobId) } }, "Retry");
  let created = "";
  const element = h("tr", { data: { job: jobId } },
    h("th", { scope: "row" }, title, isbn),
    h("td", { data: { label: "Status" } }, state, detail),
    source,
    h("td", { data: { label: "Started" } }, began),
    took,
    h("td.do", {}, cancel, retry));

  function update(job) {
    created = job.createdAt;
    const found = job.data?.metadata?.title ?? job.result?.title;
    element.dataset.status = job.status;
    if (found || !title.textContent) setText(title, found ?? `ISBN ${job.isbn}`);
    setText(isbn, job.isbn);
    show(isbn, !title.textContent.endsWith(job.isbn));
    setText(state, STATUS_LABELS[job.status]);
    setText(detail, detailOf(job));
    setText(source, sourceName(job.result?.source ?? job.source));
    setText(began, dateAndTime(job.createdAt));
    began.dateTime = job.createdAt;
    setText(took, isOver(job.status) ? seconds(Date.parse(job.lastUpdated) - Date.parse(job.createdAt)) : "–");
    show(cancel, !isOver(job.status));
    show(retry, job.status === "failed");
    cancel.setAttribute("aria-label", `Cancel ${title.textContent}`);
    retry.setAttribute("aria-label", `Retry ${title.textContent}`);
  }

  return { element, update, createdAt: () => created };
}

function detailOf({ status, step, attempt, error, result, method }) {
  const parts = [];
  if (method === "legacy") parts.push("legacy");
  if (status === "running" && step) parts.push(`${stepLabel(step)}${attempt > 1 ? `, try ${attempt}` : ""}`);
  if (status === "failed") parts.push(reasonOf(error));
  if (result?.storedIn === "kv") parts.push("in the fallback store");
  if (result?.warnings.length) parts.push(plural(result.warnings.length, "warning"));
  return parts.join(" · ");
}
