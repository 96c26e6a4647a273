/**
 * One book: its details and where they come from.
 */

import { createCover } from "./covers.js";
import { h } from "./dom.js";
import { bookDate, dateAndTime, languageName, sourceName } from "./words.js";

/** Fills `view` with the book of `name`. */
export function showBook(view, { client, name, imports, setTitle }) {
  const place = h("div.book", { "aria-busy": "true" }, h("h1", { tabindex: -1 }, "Book"), h("p.note", {}, "Loading book…"));
  const stop = new AbortController();
  view.replaceChildren(h("p.back", {}, h("a", { href: "#/library" }, "Library")), place);
  read();
  return () => stop.abort();

  async function read() {
    try {
      const book = await client.request("GET", `/v2/books/${encodeURIComponent(name)}`, { signal: stop.signal });
      const hadFocus = place.contains(document.activeElement);
      place.replaceChildren(...parts(book));
      if (hadFocus) place.querySelector("h1").focus();
      setTitle(book.title);
    } catch (error) {
      if (!stop.signal.aborted) place.replaceChildren(...missing(error));
    }
    place.removeAttribute("aria-busy");
  }

  function parts(book) {
    const cover = createCover(client, { alt: () => `Cover of ${book.title}` });
    cover.show({ ...book, url: book.cover?.url, width: book.cover?.width, height: book.cover?.height });
    return [
      h("div.book-cover", {}, cover.element),
      h("div.book-text", {},
        h("h1", { tabindex: -1 }, book.title),
        book.subtitle && h("p.subtitle", {}, book.subtitle),
        h("p.by", {}, book.authors.length ? `by ${book.authors.join(", ")}` : "Unknown author"),
        book.description
          ? h("div.description", {}, book.description.split(/\n+/).map((part) => h("p", {}, part)))
          : h("p.note", {}, "No description."),
        h("h2", {}, "Edition"),
        facts(edition(book)),
        h("h2", {}, "Provenance"),
        facts(provenance(book)),
        h("div.acts", {}, again(book.isbn))),
    ];
  }

  function again(isbn) {
    const importAgain = () => {
      imports.queue.add([isbn], "auto");
      location.hash = "#/";
    };
    return h("button", { type: "button", on: { click: importAgain } }, "Import again");
  }

  function missing(error) {
    const isUnknown = ["BOOK_NOT_FOUND", "INVALID_ISBN"].includes(error.code);
    return [h("div.book-text", {},
      h("h1", { tabindex: -1 }, isUnknown ? "This book is not in the library" : "The book could not be loaded"),
      h("p.note", {}, `${error.message}.`),
      h("div.acts", {}, error.code === "BOOK_NOT_FOUND"
        ? again(name)
        : h("button", { type: "button", on: { click: read } }, "Retry")))];
  }
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

function provenance({ provenance: from, cover, embedding }) {
  return {
    Source: [sourceName(from.source), from.sourceId].filter(Boolean).join(", "),
    "First imported": dateAndTime(from.importedAt),
    "Last imported": dateAndTime(from.updatedAt),
    Job: h("a.number", { href: `#/job/${from.jobId}` }, from.jobId),
    Cover: cover && `${cover.width} × ${cover.height} pixels, ${cover.contentType}`,
    Embedding: embedding && `${embedding.model}, ${embedding.dimensions} dimensions`,
  };
}

/** A list of names and values. */
function facts(named) {
  return h("dl.facts", {}, Object.entries(named).map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value || h("span.unknown", {}, "unknown")))));
}
