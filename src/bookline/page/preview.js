/**
 * What is in a file or a pasted list, before anything is started; then one button starts it all.
 *
 * Way:     imports.js → here → POST /v2/import/file
 * Rule 1:  the server reads the file, for the preview and for the start; the page never guesses.
 */

import { announce, h, setText, show } from "./dom.js";
import { newKey } from "./queue.js";
import { numbered, plural, sentence, shortened } from "./words.js";

const FORMATS = {
  goodreads: "Goodreads export", storygraph: "StoryGraph export", librarything: "LibraryThing export", libib: "Libib export",
  calibre: "Calibre catalogue", openreads: "Openreads backup", bookwyrm: "BookWyrm export", openlibrary: "Open Library reading log",
  csv: "Table", list: "List of ISBNs", json: "JSON list",
};

/** `onChange()` whenever there is more or less to start; `onFound()` when it is shown; `onStarted(batch)`. */
export function createPreview(client, { onChange, onFound, onStarted }) {
  const title = h("h2", { id: "preview-title" });
  const facts = h("dl.preview-facts");
  const sample = h("ul.sample", { "aria-label": "First books" });
  const refusedList = h("ul");
  const refused = h("details.preview-refused", {}, h("summary"), refusedList);
  const note = h("p.note", { role: "status" });
  const fault = h("p.hint.is-fault", { role: "alert" });
  const discard = h("button.quiet.small", { type: "button", on: { click: () => clear() } }, "Discard");
  const element = h("section.preview", { "aria-labelledby": "preview-title", hidden: true }, title, note, fault, facts, sample, refused, h("div.acts", {}, discard));
  let file = null;
  let found = null; // the server's preview
  let key = "";
  let running = null;

  /** Shows what is in `next`, a File. The newest one wins. */
  async function read(next) {
    running?.abort();
    const mine = (running = new AbortController());
    [file, found, key] = [next, null, newKey()];
    draw("Reading…");
    try {
      const answer = await client.request("POST", "/v2/import/file?preview=true", { body: form(next), signal: mine.signal });
      if (running !== mine) return;
      found = answer;
      draw();
      onFound();
      announce(`${plural(found.rows, "row")} found, ready to import.`);
    } catch (error) {
      if (running !== mine || mine.signal.aborted) return;
      draw("", `${sentence(error.message)}`);
    }
  }

  async function start(source) {
    const query = new URLSearchParams({ source, ...(file.name && { name: file.name.slice(0, 200) }) });
    draw("Starting…");
    try {
      const batch = await client.request("POST", `/v2/import/file?${query}`, { body: form(file), headers: { "Idempotency-Key": key } });
      clear();
      onStarted(batch);
    } catch (error) {
      draw("", `Not started: ${sentence(error.message)}`);
    }
  }

  function clear() {
    running?.abort();
    [running, file, found] = [null, null, null];
    show(element, false);
    onChange();
  }

  function draw(says = "", problem = "") {
    show(element, true);
    setText(title, shortened(file.name));
    setText(note, says);
    show(note, Boolean(says));
    setText(fault, problem);
    show(fault, Boolean(problem));
    show(facts, Boolean(found));
    show(sample, Boolean(found));
    show(refused, found?.refusedCount > 0);
    if (found && !says) drawFound();
    discard.disabled = says === "Starting…";
    onChange();
  }

  function drawFound() {
    facts.replaceChildren(...factsOf(found).map(([name, value, hint]) => h("div", {}, h("dt", {}, name), h("dd", {}, value, hint && h("span.detail", {}, hint)))));
    sample.replaceChildren(...found.sample.map(sampleLine));
    setText(refused.querySelector("summary"), `${plural(found.refusedCount, "row")} cannot be imported`);
    refusedList.replaceChildren(...found.refused.map(refusedLine));
  }

  return {
    element, read, start, clear,
    /** How many rows would be started; null while there is no preview. */
    rows: () => (found && found.rows > 0 ? found.rows : null),
    isShown: () => file !== null,
  };
}

function form(file) {
  const body = new FormData();
  body.append("file", file, file.name);
  return body;
}

function factsOf({ format, encoding, rows, withIsbn, withoutIsbn, repaired, duplicates, alreadyThere, refusedCount }) {
  const lookedUp = withoutIsbn - refusedCount;
  return [
    ["Format", FORMATS[format] ?? format, encoding],
    ["Rows", numbered(rows)],
    ["With ISBN", numbered(withIsbn), repaired ? `${numbered(repaired)} repaired` : null],
    lookedUp > 0 && ["Without ISBN", numbered(lookedUp), "looked up by title and author"],
    duplicates > 0 && ["Duplicates", numbered(duplicates), "imported once"],
    alreadyThere > 0 && ["Already in the library", numbered(alreadyThere)],
  ].filter(Boolean);
}

function sampleLine({ title, isbn, input }) {
  return h("li", {}, h("span.sample-title", {}, title ?? `ISBN ${isbn ?? input}`), h("span.number", {}, title ? (isbn ?? "no ISBN") : ""));
}

function refusedLine({ line, index, input, message }) {
  return h("li", {}, h("strong", {}, line ? `Line ${line}` : `Item ${index + 1}`), ` ${shortened(input ?? "")}: ${message}`);
}
