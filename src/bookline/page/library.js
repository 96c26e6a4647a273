/**
 * The library: all books by their covers, or those whose meaning is near to a question.
 */

import { createCover } from "./covers.js";
import { announce, h, setText, show } from "./dom.js";
import { plural } from "./words.js";

const PAGE_BOOKS = 36;
const FOUND_MOST = 24;
const DEBOUNCE_MS = 300;

/** Fills `view`; `params.q` is the question. Answers how to leave. */
export function showLibrary(view, { client, params, watching }) {
  const field = h("input", {
    type: "search", id: "question", maxlength: 500, autocomplete: "off", value: params.get("q"),
    placeholder: "a childhood in the south, dragons and a ring…", "aria-describedby": "shelf-note",
  });
  const note = h("p.note", { id: "shelf-note", role: "status" }, "Loading books…");
  const shelf = h("ul.shelf", { "aria-label": "Books" });
  const more = h("button.quiet.more", { type: "button", hidden: true }, "More books");
  const form = h("form.ask", { role: "search", on: { submit: (event) => { event.preventDefault(); ask(); } } },
    h("label", { for: "question" }, "Search by meaning"), field);
  view.replaceChildren(
    h("div.head", {}, h("h1", { tabindex: -1 }, "Library"), form), note, shelf, more,
  );

  let running = null;
  let cursor = null;
  let timer = null;

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, DEBOUNCE_MS);
  });
  more.addEventListener("click", async () => {
    const firstNew = shelf.children.length;
    await load(() => listMore(cursor));
    shelf.children[firstNew]?.querySelector("a")?.focus();
  });
  const stopListening = watching.listen((story, event) => {
    if (event?.status === "completed" && !field.value.trim() && shelf.children.length <= PAGE_BOOKS) ask();
  });

  function ask() {
    clearTimeout(timer);
    const question = field.value.trim();
    history.replaceState(null, "", question ? `#/library?q=${encodeURIComponent(question)}` : "#/library");
    load(question ? () => search(question) : () => listMore(null));
  }

  async function load(read) {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    shelf.setAttribute("aria-busy", "true");
    try {
      await read();
    } catch (error) {
      if (!mine.signal.aborted) fail(error);
    }
    if (running === mine) shelf.removeAttribute("aria-busy");
  }

  async function listMore(from) {
    const query = new URLSearchParams({ limit: PAGE_BOOKS, ...(from ? { cursor: from } : {}) });
    const { items, nextCursor } = await client.request("GET", `/v2/books?${query}`, { signal: running.signal });
    const tiles = items.map((book) => createTile(book, client));
    if (from) shelf.append(...tiles);
    else shelf.replaceChildren(...tiles);
    cursor = nextCursor;
    show(more, cursor !== null);
    const count = shelf.children.length;
    if (!count) setNote("The library is empty. ", h("a", { href: "#/" }, "Import your first book"));
    else setNote(`${plural(count, "book")}${cursor ? ", and more" : ""}, newest first.`);
  }

  async function search(question) {
    const query = new URLSearchParams({ q: question, limit: FOUND_MOST });
    const { items } = await client.request("GET", `/v2/books/search?${query}`, { signal: running.signal });
    shelf.replaceChildren(...items.map(({ book, score }) => createTile(book, client, score)));
    show(more, false);
    if (!items.length) setNote("No matches. Only books with an embedding can be found.");
    else setNote(`${plural(items.length, "book")}, closest to “${question}” first.`);
  }

  function fail(error) {
    show(more, false);
    const again = h("button.quiet.small", { type: "button", on: { click: ask } }, "Retry");
    setNote(`The books could not be loaded: ${error.message}. `, again);
    if (error.code !== "UNAUTHORIZED") announce("The books could not be loaded.");
  }

  function setNote(text, ...more) {
    if (more.length) note.replaceChildren(text, ...more);
    else setText(note, text);
  }

  ask();
  return () => {
    stopListening();
    clearTimeout(timer);
    running?.abort();
  };
}

function createTile(book, client, score = null) {
  const cover = createCover(client);
  cover.show({ ...book, url: book.cover?.url, width: book.cover?.width, height: book.cover?.height });
  const near = score === null ? null : h("p.near", { title: "Similarity (cosine), at most 1" },
    h("meter", { min: 0, max: 1, value: Math.max(0, score).toFixed(3), "aria-label": "Similarity" }),
    h("span", {}, score.toFixed(2)));
  return h("li.tile", {},
    h("a", { href: `#/book/${book.isbn}` },
      h("div.stand", {}, cover.element),
      h("span.tile-title", {}, book.title)),
    h("p.tile-by", {}, book.authors.join(", ") || "Unknown author"),
    near);
}
