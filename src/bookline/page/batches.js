/**
 * The last batches on the first view: one bar each, also after the tab was closed.
 *
 * Way:     app.js → here → batch_words.js
 */

import { h, setAttribute, setName, setText, show } from "./dom.js";
import { createBar, nameOf, progressText } from "./batch_words.js";
import { dateAndTime } from "./words.js";

const NEWEST = 5;
const FRESH_MS = 2_000;
const find = (id) => document.getElementById(id);

/** `read()` asks once, and again while one is running. */
export function createBatches(client) {
  const section = find("batches");
  const list = find("batches-list");
  const none = find("cards-none");
  const rows = new Map();
  let timer = null;

  async function read() {
    clearTimeout(timer);
    const { items } = await client.request("GET", `/v2/import/batches?limit=${NEWEST}`);
    draw(items);
    if (items.some(({ status }) => status === "running")) timer = setTimeout(again, FRESH_MS);
  }

  const again = () => (document.hidden || !section.offsetParent ? (timer = setTimeout(again, FRESH_MS)) : read().catch(() => {}));

  function draw(batches) {
    show(section, batches.length > 0);
    const isRunning = batches.some(({ status }) => status === "running");
    setText(none, `No ${isRunning ? "other " : ""}imports in progress.`);
    const kept = new Set(batches.map(({ batchId }) => batchId));
    for (const [batchId, row] of rows) {
      if (kept.has(batchId)) continue;
      row.element.remove();
      rows.delete(batchId);
    }
    batches.forEach((batch, place) => {
      if (!rows.has(batch.batchId)) rows.set(batch.batchId, createRow(batch.batchId));
      const row = rows.get(batch.batchId);
      row.update(batch);
      if (list.children[place] !== row.element) list.insertBefore(row.element, list.children[place] ?? null);
    });
  }

  return { read };
}

function createRow(batchId) {
  const name = h("a", { href: `#/batch/${batchId}` });
  const when = h("time");
  const text = h("p.note");
  const bar = createBar();
  const element = h("li", {}, h("p.batch-name", {}, name, when), bar.element, text);

  function update(batch) {
    setName(name, nameOf(batch));
    setText(when, dateAndTime(batch.createdAt));
    setAttribute(when, "datetime", batch.createdAt);
    setText(text, progressText(batch));
    bar.update(batch);
  }

  return { element, update };
}
