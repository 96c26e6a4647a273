/**
 * One book: its details and where they come from, edited, given a cover, deleted.
 *
 * Way:     app.js → here → editing.js, deletions.js
 */

import { createCover } from "./covers.js";
import { h, remark, show } from "./dom.js";
import { createBookForm, fieldLabel } from "./editing.js";
import { STATUS_LABELS, bookDate, dateAndTime, languageName, reasonOf, sentence, sourceName } from "./words.js";

const PICTURES = ["image/jpeg", "image/png", "image/webp", "image/gif"];
const READING = { read: "Read", reading: "Reading now", "to-read": "To read", "did-not-finish": "Did not finish", paused: "Paused" };

/** Fills `view` with the book of `name`. */
export function showBook(view, { client, name, imports, library, deletions, setTitle }) {
  const path = `/v2/books/${encodeURIComponent(name)}`;
  const place = h("div.book", { "aria-busy": "true" }, h("h1", { tabindex: -1 }, "Book"), h("p.note", {}, "Loading book…"));
  const stop = new AbortController();
  view.replaceChildren(h("p.back", {}, h("a", { href: "#/library" }, "Library")), place);
  read();
  return () => stop.abort();

  async function read() {
    try {
      draw(await client.request("GET", path, { signal: stop.signal }));
    } catch (error) {
      if (!stop.signal.aborted) place.replaceChildren(...missing(error));
    }
    place.removeAttribute("aria-busy");
  }

  function draw(book, { focus = place.contains(document.activeElement) ? "h1" : null } = {}) {
    place.replaceChildren(...parts(book));
    if (focus) place.querySelector(focus).focus();
    setTitle(book.title);
  }

  function parts(book) {
    const cover = createCover(client, { alt: () => `Cover of ${book.title}` });
    cover.show({ ...book, url: book.cover?.url, width: book.cover?.width, height: book.cover?.height });
    return [
      h("div.book-cover", {}, cover.element, coverPicker(book)),
      h("div.book-text", {},
        h("h1", { tabindex: -1 }, book.title),
        book.subtitle && h("p.subtitle", {}, book.subtitle),
        h("p.by", {}, authorsOf(book)),
        book.description
          ? h("div.description", {}, book.description.split(/\n+/).map((part) => h("p", {}, part)))
          : h("p.note", {}, "No description."),
        h("div.acts", {},
          h("button.edit-book", { type: "button", on: { click: () => edit(book) } }, "Edit"),
          importButton(book.isbn, "Import again"),
          h("button.quiet", { type: "button", on: { click: () => remove(book) } }, "Delete")),
        book.reading && [h("h2", {}, "Your reading"), facts(readingFacts(book.reading), { isShort: true })],
        h("h2", {}, "Edition"),
        facts(edition(book)),
        h("h2", {}, "Provenance"),
        facts(provenance(book)),
        importHistory(book.isbn)),
    ];
  }

  // ---------------------------------------------------------------- changes
  function edit(book) {
    const back = () => draw(book, { focus: ".edit-book" });
    const form = createBookForm(book, {
      cancel: back,
      async save(changes) {
        const changed = await client.request("PATCH", path, { body: changes });
        library.changed();
        if (stop.signal.aborted) return;
        draw(changed, { focus: ".edit-book" });
        remark("Saved.");
      },
    });
    place.querySelector(".book-text").replaceChildren(h("h1", { tabindex: -1 }, `Edit: ${book.title}`), form.element);
    form.focus();
  }

  function remove(book) {
    deletions.remove(book);
    location.hash = "#/library";
  }

  function coverPicker(book) {
    const file = h("input", { type: "file", id: "cover-file", accept: PICTURES.join(), class: "unseen" });
    const label = h("label.button.quiet.small", { for: "cover-file" }, book.cover ? "Replace cover" : "Add cover");
    file.addEventListener("change", () => file.files[0] && upload(file.files[0]));
    return h("p.cover-picker", {}, file, label);
  }

  async function upload(file) {
    try {
      await client.request("PUT", `/v2/covers/${encodeURIComponent(name)}`, { body: file, headers: { "Content-Type": file.type } });
      library.changed();
      await read();
      remark("Cover saved. Imports no longer change it.");
    } catch (error) {
      remark(`The cover was not saved: ${sentence(error.message)}`);
    }
  }

  function importButton(isbn, text) {
    const start = () => {
      imports.queue.add([isbn], "auto");
      location.hash = "#/";
    };
    return h("button.quiet", { type: "button", on: { click: start } }, text);
  }

  // ---------------------------------------------------------------- history
  function importHistory(isbn) {
    const list = h("ul.history", { "aria-labelledby": "history-title" });
    const section = h("section", { hidden: true }, h("h2", { id: "history-title" }, "Import history"), list);
    client.request("GET", `/v2/import/jobs?isbn=${isbn}&limit=20`, { signal: stop.signal }).then(({ items }) => {
      list.replaceChildren(...items.map(historyLine));
      show(section, items.length > 0);
    }, () => {});
    return section;
  }

  function missing(error) {
    const isUnknown = ["BOOK_NOT_FOUND", "INVALID_ISBN"].includes(error.code);
    return [h("div.book-text", {},
      h("h1", { tabindex: -1 }, isUnknown ? "Not in the library" : "The book could not be loaded"),
      h("p.note", {}, `${sentence(error.message)}`),
      h("div.acts", {}, error.code === "BOOK_NOT_FOUND"
        ? importButton(name, "Import")
        : h("button", { type: "button", on: { click: read } }, "Retry")))];
  }
}

function authorsOf({ authors }) {
  if (!authors.length) return "Unknown author";
  const link = (author) => h("a", { href: `#/library?q=${encodeURIComponent(author)}` }, author);
  return ["by ", ...authors.flatMap((author, place) => (place ? [", ", link(author)] : [link(author)]))];
}

function historyLine({ jobId, status, createdAt, source, result, error }) {
  const detail = error ? reasonOf(error) : sourceName(result?.source ?? source);
  return h("li", { data: { status } },
    h("a", { href: `#/job/${jobId}` }, dateAndTime(createdAt)),
    h("span.state", {}, STATUS_LABELS[status]),
    h("span.detail", {}, detail));
}

function readingFacts(reading) {
  return {
    Status: READING[reading.status],
    Rating: reading.rating && `${reading.rating} of 5`,
    Shelves: reading.shelves?.join(", "),
    Added: bookDate(reading.dateAdded),
    Read: reading.datesRead?.map((dates) => dates.split("/").map(bookDate).join(" – ")).join(", "),
    "Times read": reading.readCount,
    Review: reading.review && h("span.own-words", {}, reading.review),
    Notes: reading.notes && h("span.own-words", {}, reading.notes),
  };
}

function edition(book) {
  return {
    "ISBN-13": h("span.number", {}, book.isbn),
    "ISBN-10": book.isbn10 && h("span.number", {}, book.isbn10),
    Publisher: book.publisher,
    Published: bookDate(book.publicationDate),
    Pages: book.pageCount,
    Language: languageName(book.language),
    Subjects: book.categories.join(", "),
  };
}

function provenance({ provenance: from, cover, embedding, locked }) {
  return {
    Source: [sourceName(from.source), from.sourceId].filter(Boolean).join(", "),
    "First imported": dateAndTime(from.importedAt),
    "Last imported": dateAndTime(from.updatedAt),
    Job: from.jobId && h("a.number", { href: `#/job/${from.jobId}` }, from.jobId),
    Cover: cover && `${cover.width} × ${cover.height} pixels, ${cover.contentType}`,
    Embedding: embedding && `${embedding.model}, ${embedding.dimensions} dimensions`,
    Locked: locked?.length ? locked.map(fieldLabel).join(", ") : "none",
  };
}

/** A list of names and values. */
function facts(named, { isShort = false } = {}) {
  return h("dl.facts", {}, Object.entries(named).filter(([, value]) => value || !isShort).map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value || h("span.unknown", {}, "unknown")))));
}
