/**
 * One batch: its bar, what needs a person first (reviews, failures), then every item.
 *
 * Way:     app.js → here → review.js, batch_words.js
 * Rule 1:  what is shown is asked for, again and again while it is open: no tab has to stay.
 */

import { ITEM_STATES, createBar, nameOf, openOf, progressText } from "./batch_words.js";
import { announce, h, remark, saveFile, setName, setText, show } from "./dom.js";
import { createItems } from "./items.js";
import { createReviews } from "./review.js";
import { dateAndTime, numbered, plural, sentence } from "./words.js";

const FRESH_MS = 1_000;
const CALM_MS = 5_000;
const ITEMS_MS = 3_000; // while it runs: counts tell enough in between

/** Fills `view` with the batch of `name`; `params.state` filters its items. Answers how to leave. */
export function showBatch(view, { client, name: batchId, params, setTitle }) {
  const path = `/v2/import/batch/${encodeURIComponent(batchId)}`;
  const stop = new AbortController();
  const state = params.get("state") in ITEM_STATES ? params.get("state") : "";
  const heading = h("h1", { tabindex: -1 }, "Batch");
  const note = h("p.note", { role: "status" }, "Loading the batch…");
  const facts = h("p.job-facts");
  const bar = createBar();
  const text = h("p.batch-text");
  const cancel = h("button.quiet", { type: "button", on: { click: askCancel } });
  const retry = h("button", { type: "button", on: { click: () => act("retry") } });
  const save = h("button.quiet", { type: "button", on: { click: saveFailed } }, "Download rows not imported");
  const filters = h("ul");
  const reviews = createReviews(client, path, { onAnswered: refresh });
  const failures = createItems(client, path, { state: "failed", limit: 20 });
  const items = createItems(client, path, { state, limit: 50 });
  const failed = h("section", { "aria-labelledby": "failed-title", hidden: true }, h("h2", { id: "failed-title" }, "Failed"), failures.element);
  const place = h("div.batch", { hidden: true }, bar.element, text, facts, h("div.acts", {}, retry, save, cancel), reviews.element, failed,
    h("section", { "aria-labelledby": "items-title" },
      h("div.head", {}, h("h2", { id: "items-title" }, "All items"), h("nav.filters", { "aria-label": "Status" }, filters)), items.element));
  view.replaceChildren(h("p.back", {}, h("a", { href: "#/" }, "Import")), heading, note, place);

  let last = null;
  let timer = null;
  let areItemsOld = true;
  let itemsAt = 0;
  let isSure = false; // that all is to be cancelled
  refresh();
  return () => {
    stop.abort();
    clearTimeout(timer);
  };

  async function refresh() {
    clearTimeout(timer);
    let pauseMs = CALM_MS;
    if (!document.hidden) {
      try {
        take(await client.request("GET", path, { signal: stop.signal }));
        if (last.status === "running") pauseMs = FRESH_MS;
      } catch (error) {
        if (stop.signal.aborted) return;
        pauseMs = error.retryAfterMs ?? CALM_MS;
        const isUnknown = error.code === "BATCH_NOT_FOUND";
        if (!last) setText(note, `${isUnknown ? "" : "The batch could not be loaded: "}${sentence(error.message)}`);
        if (isUnknown) return;
      }
    }
    if (!stop.signal.aborted) timer = setTimeout(refresh, pauseMs);
  }

  function take(batch) {
    const before = last;
    last = batch;
    show(note, false);
    show(place, true);
    setTitle(nameOf(batch));
    setName(heading, nameOf(batch));
    setText(text, progressText(batch));
    setText(facts, `Started ${dateAndTime(batch.createdAt)} · ${batchId}`);
    bar.update(batch);
    drawActs(batch);
    drawFilters(batch);
    if (before && before.status === "running" && batch.status !== "running") announce(progressText(batch));
    areItemsOld ||= JSON.stringify(before?.counts) !== JSON.stringify(batch.counts);
    if (!areItemsOld || (batch.status === "running" && Date.now() < itemsAt + ITEMS_MS)) return;
    [areItemsOld, itemsAt] = [false, Date.now()];
    reviews.update(batch.counts.review);
    show(failed, batch.counts.failed > 0 && state !== "failed");
    if (!failed.hidden) failures.read(stop.signal);
    items.read(stop.signal);
  }

  function drawActs(batch) {
    const { counts } = batch;
    const missing = counts.failed + counts.refused + counts.cancelled + counts.review;
    show(retry, counts.failed > 0);
    setText(retry, `Retry ${plural(counts.failed, "failed import")}`);
    show(save, missing > 0 && batch.status !== "running");
    show(cancel, openOf(batch) > 0);
    if (!isSure) setText(cancel, "Cancel batch");
  }

  function drawFilters({ counts }) {
    const all = [["", "All", counts.total], ...Object.entries(ITEM_STATES).map(([one, name]) => [one, name, counts[one]])];
    const shown = all.filter(([one, , count]) => count > 0 || one === state || !one);
    const facts = JSON.stringify(shown);
    if (facts === filters.dataset.shown || filters.contains(document.activeElement)) return;
    filters.dataset.shown = facts;
    filters.replaceChildren(...shown.map(([one, name, count]) => h("li", {},
      h("a", { href: `#/batch/${batchId}${one ? `?state=${one}` : ""}`, "aria-current": one === state ? "page" : null }, `${name} ${numbered(count)}`))));
  }

  /** A second press within a few seconds does it. */
  function askCancel() {
    if (isSure) return act("cancel");
    isSure = true;
    setText(cancel, `Cancel ${plural(openOf(last), "import")}?`);
    setTimeout(() => {
      isSure = false;
      if (last) drawActs(last);
    }, 5_000);
  }

  async function act(what) {
    try {
      take(await client.request("POST", `${path}/${what}`, { signal: stop.signal }));
      refresh();
    } catch (error) {
      remark(`Could not ${what}: ${sentence(error.message)}`);
    }
  }

  async function saveFailed() {
    try {
      const file = await client.readBlob(`${path}/failed`, { signal: stop.signal });
      saveFile(`${batchId}-failed.${file.type.includes("json") ? "json" : "csv"}`, file);
    } catch (error) {
      remark(`The rows could not be downloaded: ${sentence(error.message)}`);
    }
  }
}
