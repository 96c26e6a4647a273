/**
 * Items of a batch as rows, one page after another; rows that are there are changed in place.
 */

import { ITEM_STATES } from "./batch_words.js";
import { drawAll, h, setText, show } from "./dom.js";
import { capital, sentence, shortened } from "./words.js";

const MOST_FRESH = 200; // rows that are asked for again while the batch runs

/** `read(signal)` brings the rows up to date; `more` adds older ones. */
export function createItems(client, path, { state, limit }) {
  const list = h("ol.items");
  const more = h("button.quiet.more", { type: "button", hidden: true }, "More items");
  const fault = h("p.hint.is-fault", { role: "alert", hidden: true });
  const element = h("div", {}, list, fault, more);
  const rows = new Map();
  let cursor = null;
  let signal = null;
  let isReading = false;

  more.addEventListener("click", () => load(cursor, limit));

  /** What is shown already, in one answer; the newest call wins by coming last. */
  async function read(until) {
    signal = until;
    if (isReading) return;
    isReading = true;
    await load(null, Math.min(MOST_FRESH, Math.max(limit, rows.size)));
    isReading = false;
  }

  async function load(from, count) {
    const query = new URLSearchParams({ limit: count, ...(state && { state }), ...(from && { cursor: from }) });
    try {
      const { items, nextCursor } = await client.request("GET", `${path}/items?${query}`, { signal });
      if (!from && state) dropMoved(items);
      await drawAll(items, draw, signal);
      if (signal.aborted) return;
      if (from || rows.size <= count) cursor = nextCursor;
      show(more, cursor !== null);
      show(fault, false);
    } catch (error) {
      if (signal.aborted) return;
      setText(fault, `The items could not be loaded: ${sentence(error.message)}`);
      show(fault, true);
    }
  }

  /** With a filter, rows that no longer fit leave, as far as this answer reaches. */
  function dropMoved(items) {
    const kept = new Set(items.map(({ index }) => index));
    const last = items.at(-1)?.index ?? Infinity;
    for (const [index, row] of rows) {
      if (kept.has(index) || index > last) continue;
      row.element.remove();
      rows.delete(index);
    }
  }

  function draw(item) {
    const facts = JSON.stringify(item);
    const row = rows.get(item.index) ?? place(item.index);
    if (row.facts === facts) return;
    row.facts = facts;
    row.update(item);
  }

  /** Answers come in order, so the place is the end, or near to it. */
  function place(index) {
    const row = createRow();
    row.element.dataset.index = index;
    let before = list.lastElementChild;
    while (before && Number(before.dataset.index) > index) before = before.previousElementSibling;
    if (before) before.after(row.element);
    else list.prepend(row.element);
    rows.set(index, row);
    return row;
  }

  return { element, read };
}

function createRow() {
  const number = h("span.item-number");
  const title = h("a");
  const detail = h("span.detail");
  const state = h("span.state");
  const details = h("a", {}, "Details");
  const element = h("li", {}, number, h("span.item-name", {}, title, detail), state, details);

  function update({ index, line, input, isbn, jobId, state: now, title: found, error }) {
    element.dataset.state = now;
    setText(number, String(line ?? index + 1));
    setText(title, found ?? (isbn ? `ISBN ${isbn}` : shortened(input || "No title")));
    if (["completed", "completedWithWarnings", "alreadyThere"].includes(now)) title.href = `#/book/${isbn}`;
    else title.removeAttribute("href");
    setText(detail, error ? capital(sentence(error.message)) : found && isbn ? isbn : "");
    setText(state, ITEM_STATES[now]);
    show(details, Boolean(jobId));
    if (jobId) details.href = `#/job/${jobId}`;
    details.setAttribute("aria-label", `Details of ${title.textContent}`);
  }

  return { element, update };
}
