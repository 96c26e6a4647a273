/**
 * The API's reference inside the page: /docs needs the key where there is one, and a link cannot carry it.
 *
 * Rule 1:  it is the server's own page of our making, and only its text and tables are shown.
 */

import { h, saveFile } from "./dom.js";
import { sentence } from "./words.js";

/** Fills `view`. Answers how to leave. */
export function showReference(view, { client }) {
  const stop = new AbortController();
  const heading = h("h1.unseen", { tabindex: -1 }, "API reference");
  const note = h("p.note", { role: "status" }, "Loading the API reference…");
  const place = h("div.reference");
  view.replaceChildren(heading, note, place);
  read();
  return () => stop.abort();

  async function read() {
    try {
      const text = await client.readText("/docs", { signal: stop.signal });
      const { body } = new DOMParser().parseFromString(text, "text/html");
      place.append(h("link", { rel: "stylesheet", href: "/page/reference.css" }), 
        body.querySelector("header"), ...body.querySelector("main").childNodes);
      place.querySelector('a[href="/"]').remove();
      if (client.key) place.querySelector('a[href="/openapi.json"]').addEventListener("click", saveDocument);
      note.remove();
    } catch (error) {
      if (!stop.signal.aborted) note.textContent = `The API reference could not be loaded: ${sentence(error.message)}`;
    }
  }

  async function saveDocument(event) {
    event.preventDefault();
    saveFile("openapi.json", await client.readText("/openapi.json", { signal: stop.signal }));
  }
}
