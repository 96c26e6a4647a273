/**
 * The library: all books by their covers, searched and sorted, and kept as it was left.
 *
 * Way:     app.js → here → /v2/books, /v2/books/search
 * Rule 1:  whoever comes back from a book finds the same books at the same place.
 * Rule 2:  it stays in the document while other views are shown: thousands of tiles are not styled anew.
 * Rule 3:  tiles are added while one scrolls; page by page: pages out of sight are neither laid out nor painted.
 */

import { createCover } from "./covers.js";
import { announce, h, remark, saveFile, setText, show } from "./dom.js";
import { plural, sentence } from "./words.js";

const PAGE_BOOKS = 60; // at least; whole rows
const TILE_PX = { narrow: 105.6, wide: 150.4 }; // as in page.css
const ALIKE_MOST = 12;
const DEBOUNCE_MS = 300;
const SORTS = { recent: "Recently added", title: "Title", author: "Author", year: "Year" };
const EXPORTS = { csv: "CSV", json: "JSON", goodreads: "Goodreads CSV" };

/** `show(view, {params})` fills a view; `changed()` says that the books are no longer these. */
export function createLibrary(client, { deletions }) {
  const field = h("input", {
    type: "search", id: "question", maxlength: 500, autocomplete: "off", placeholder: "Title, author, ISBN or topic", "aria-describedby": "shelf-note",
  });
  const sort = h("select", { id: "sort" }, Object.entries(SORTS).map(([value, name]) => h("option", { value }, name)));
  const note = h("p.note", { id: "shelf-note", role: "status" });
  const fresh = h("button.quiet.small", { type: "button", hidden: true, on: { click: () => read(true) } }, "Show new books");
  let shelf = h("div.shelves");
  const more = h("button.quiet.more", { type: "button", hidden: true, on: { click: readMore } }, "More books");
  const alike = h("ul.shelf", { "aria-labelledby": "alike-title" });
  const alikeSection = h("section.alike", { hidden: true }, h("h2", { id: "alike-title" }, "Similar in meaning"), alike);
  const form = h("form.ask", { role: "search", on: { submit: (event) => { event.preventDefault(); ask(); } } },
    h("div", {}, h("label", { for: "question" }, "Search"), field),
    h("div", {}, h("label", { for: "sort" }, "Sort by"), sort));
  const element = h("div.library", {},
    h("div.head", {}, h("h1", { tabindex: -1 }, "Library"), form),
    h("div.shelf-head", {}, note, fresh, exportMenu(client)),
    shelf, more, alikeSection);

  let shown = null; // {q, sort} that the tiles answer
  let cursor = null;
  let across = 1; // tiles in a row
  let total = 0;
  let isStale = false;
  let running = null;
  let timer = null;
  let isAway = true;
  let left = null; // where one was when one went away

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, DEBOUNCE_MS);
  });
  sort.addEventListener("change", ask);
  new IntersectionObserver(([sight]) => sight.isIntersecting && readMore(), { rootMargin: "1200px" }).observe(more);

  function display(view, { params }) {
    if (!element.isConnected) view.append(element);
    isAway = false;
    const wanted = { q: params.get("q") ?? "", sort: params.get("sort") in SORTS ? params.get("sort") : "recent" };
    const isSame = shown?.q === wanted.q && shown.sort === wanted.sort;
    field.value = wanted.q;
    sort.value = wanted.sort;
    shelf.querySelectorAll("li").forEach((tile) => show(tile, !deletions.has(tile.dataset.isbn)));
    if (!isSame || (isStale && !left?.scrollY)) read();
    else showFresh();
    return { leave, restore: () => isSame && restore() };
  }

  function leave() {
    isAway = true;
    const tile = document.activeElement?.closest(".tile");
    left = { scrollY, isbn: tile?.dataset.isbn, top: tile?.getBoundingClientRect().top };
    clearTimeout(timer);
  }

  /** To the same place: by the tile that was left, as heights may have changed by a little. */
  function restore() {
    if (!left) return false;
    scrollTo(0, left.scrollY);
    const tile = left.isbn && shelf.querySelector(`[data-isbn="${left.isbn}"]`);
    if (!tile) return left.scrollY > 0;
    scrollBy(0, tile.getBoundingClientRect().top - left.top);
    tile.querySelector("a").focus({ preventScroll: true });
    return true;
  }

  function ask() {
    clearTimeout(timer);
    const q = field.value.trim();
    const query = new URLSearchParams({ ...(q && { q }), ...(sort.value !== "recent" && { sort: sort.value }) });
    history.replaceState(null, "", query.size ? `#/library?${query}` : "#/library");
    read();
  }

  async function read(isFromTop = false) {
    running?.abort();
    across = columns();
    const mine = (running = new AbortController());
    const wanted = { q: field.value.trim(), sort: sort.value };
    shelf.setAttribute("aria-busy", "true");
    if (!shown) setText(note, "Loading books…");
    try {
      const [page, near] = await Promise.all([readPage(wanted, null, mine.signal), readAlike(wanted.q, mine.signal)]);
      if (running !== mine) return;
      [shown, isStale, left] = [wanted, false, null];
      shelf = renew(shelf);
      append(page);
      showAlike(near);
      if (isFromTop) scrollTo(0, 0);
    } catch (error) {
      if (!mine.signal.aborted) fail(error);
    }
    if (running === mine) shelf.removeAttribute("aria-busy");
  }

  async function readMore() {
    if (more.hidden || more.disabled) return;
    more.disabled = true;
    across = columns();
    const mine = running;
    const hadFocus = document.activeElement === more;
    const place = shelf.querySelectorAll(".tile").length;
    try {
      const page = await readPage(shown, cursor, mine.signal);
      if (running === mine) append(page);
      if (hadFocus) shelf.querySelectorAll(".tile")[place]?.querySelector("a").focus();
    } catch (error) {
      if (!mine.signal.aborted) remark(`More books could not be loaded: ${sentence(error.message)}`);
    }
    more.disabled = false;
  }

  function readPage({ q, sort: by }, from, signal) {
    const query = new URLSearchParams({ limit: across * Math.ceil(PAGE_BOOKS / across), sort: by, ...(q && { q }), ...(from && { cursor: from }) });
    return client.request("GET", `/v2/books?${query}`, { signal });
  }

  /** By meaning as far as it goes: without it the books that match are still found. */
  async function readAlike(q, signal) {
    if (!q) return [];
    const query = new URLSearchParams({ q, limit: ALIKE_MOST });
    const found = await client.request("GET", `/v2/books/search?${query}`, { signal }).catch(() => ({ items: [] }));
    return found.items.filter(({ match }) => match === "meaning");
  }

  function append(page) {
    const tiles = page.items.filter(({ isbn }) => !deletions.has(isbn)).map((book) => createTile(book, client));
    const board = h("ul.shelf", { "aria-label": "Books" }, tiles);
    board.style.setProperty("--rows", Math.ceil(tiles.length / across));
    if (tiles.length) shelf.append(board);
    ({ total } = page);
    cursor = page.nextCursor;
    show(more, cursor !== null);
    showFresh();
    sayCount();
  }

  /** Asked while nothing has changed: the browser would have to lay all out to answer. */
  function columns() {
    const px = matchMedia("(max-width: 40rem)").matches ? TILE_PX.narrow : TILE_PX.wide;
    return Math.max(1, Math.floor(shelf.clientWidth / px));
  }

  function sayCount() {
    if (shown.q && !total) setText(note, `No matches for “${shown.q}”.`);
    else if (shown.q) setText(note, `${plural(total, "book")} ${total === 1 ? "matches" : "match"} “${shown.q}”.`);
    else if (total) setText(note, `${plural(total, "book")}.`);
    else note.replaceChildren("The library is empty. ", h("a", { href: "#/" }, "Import your first book"));
  }

  function showAlike(near) {
    alike.replaceChildren(...near.map(({ book, score }) => createTile(book, client, score)));
    show(alikeSection, near.length > 0);
  }

  function showFresh() {
    show(fresh, isStale && shelf.children.length > 0);
  }

  function fail(error) {
    show(more, false);
    shown = null;
    const again = h("button.quiet.small", { type: "button", on: { click: () => read() } }, "Retry");
    note.replaceChildren(`The books could not be loaded: ${sentence(error.message)} `, again);
    if (error.code !== "UNAUTHORIZED") announce("The books could not be loaded.");
  }

  return {
    show: display,
    /** A book came or was changed. Who stands at the top sees it at once, others are asked. */
    changed() {
      isStale = true;
      if (!isAway && !scrollY && document.activeElement?.closest(".tile") === null) read();
      else showFresh();
    },
    /** A book is gone, or is back after all. */
    showBook(isbn, isThere) {
      const tile = shelf.querySelector(`[data-isbn="${isbn}"]`);
      if (!tile) return isThere && this.changed();
      show(tile, isThere);
      total += isThere ? 1 : -1;
      sayCount();
    },
  };
}

/** A fresh shelf in place of the old one, which leaves a page at a time: thousands of tiles at once hold the window up. */
function renew(old) {
  const fresh = h("div.shelves");
  old.before(fresh);
  old.className = "is-away";
  const clear = () => {
    old.lastElementChild?.remove();
    if (old.lastElementChild) setTimeout(clear);
    else old.remove();
  };
  clear();
  return fresh;
}

function createTile(book, client, score = null) {
  const cover = createCover(client);
  cover.show({ ...book, url: book.cover?.url, width: book.cover?.width, height: book.cover?.height });
  const near = score === null ? null : h("p.near", { title: "Similarity (cosine), at most 1" },
    h("meter", { min: 0, max: 1, value: Math.max(0, score).toFixed(3), "aria-label": "Similarity" }),
    h("span", {}, score.toFixed(2)));
  return h("li.tile", { data: { isbn: book.isbn } },
    h("a", { href: `#/book/${book.isbn}` },
      h("div.stand", {}, cover.element),
      h("span.tile-title", {}, book.title)),
    h("p.tile-by", {}, book.authors.join(", ") || "Unknown author"),
    near);
}

function exportMenu(client) {
  const button = ([format, name]) => h("li", {}, h("button.quiet.small", { type: "button", on: { click: () => save(format) } }, name));

  async function save(format) {
    try {
      const file = await client.readBlob(`/v2/books/export?format=${format}`);
      saveFile(`library-${new Date().toISOString().slice(0, 10)}.${format === "json" ? "json" : "csv"}`, file);
    } catch (error) {
      remark(`The export failed: ${sentence(error.message)}`);
    }
  }

  return h("details.menu", {}, h("summary", {}, "Export"), h("ul", {}, Object.entries(EXPORTS).map(button)));
}
