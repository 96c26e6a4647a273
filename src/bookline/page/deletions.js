/**
 * Deleting a book: sent to the server after a few seconds, so that it can be taken back.
 *
 * Rule 1:  whoever closes the page has not taken it back: it is sent then.
 */

import { announce, remark } from "./dom.js";
import { sentence } from "./words.js";

const UNDO_MS = 8_000;

/** `onChange(isbn, isThere)`: the book is gone from sight, or is back. */
export function createDeletions(client, { onChange }) {
  const waiting = new Map(); // isbn → its timer

  function remove({ isbn, title }) {
    if (waiting.has(isbn)) return;
    waiting.set(isbn, setTimeout(() => send(isbn, title), UNDO_MS));
    onChange(isbn, false);
    announce(`${title} deleted. Undo is available for ${UNDO_MS / 1000} seconds.`);
    remark(`“${title}” deleted.`, { label: "Undo", ms: UNDO_MS, act: () => undo(isbn, title) });
  }

  function undo(isbn, title) {
    clearTimeout(waiting.get(isbn));
    if (waiting.delete(isbn)) onChange(isbn, true);
    remark(`“${title}” is still in the library.`);
  }

  async function send(isbn, title) {
    try {
      await client.request("DELETE", pathOf(isbn), { keepalive: true });
      waiting.delete(isbn);
    } catch (error) {
      waiting.delete(isbn);
      if (error.code === "BOOK_NOT_FOUND") return;
      onChange(isbn, true);
      remark(`“${title}” was not deleted: ${sentence(error.message)}`);
    }
  }

  addEventListener("pagehide", () => {
    for (const [isbn, timer] of waiting) {
      clearTimeout(timer);
      client.send("DELETE", pathOf(isbn), { keepalive: true }).catch(() => {});
    }
    waiting.clear();
  });
  return { remove, has: (isbn) => waiting.has(isbn) };
}

const pathOf = (isbn) => `/v2/books/${encodeURIComponent(isbn)}`;
