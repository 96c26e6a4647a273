/**
 * What has happened to the rollout: open incidents, and the last changes with who and why.
 */

import { h, show } from "./dom.js";
import { dateAndTime, plural } from "./words.js";

// ------------------------------------------------------------------ incidents
/** `ask(question)` resolves one, `openOne(text)` opens one and answers whether it is open. */
export function createIncidents({ ask, openOne }) {
  const none = h("p.note", {}, "No open incidents. An open incident blocks the next stage.");
  const list = h("ul.incidents", { "aria-label": "Open incidents" });
  const field = h("input", { id: "incident", maxlength: 200, required: true, autocomplete: "off" });
  const form = h("form.incident-form", {}, h("label", { for: "incident" }, "Describe the incident"), field, h("button.quiet", { type: "submit" }, "Open incident"));
  const element = h("section", { "aria-labelledby": "incidents-title" }, h("h2", { id: "incidents-title", tabindex: -1 }, "Incidents"), none, list, form);
  const lines = new Map();

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (field.value.trim() && (await openOne(field.value.trim()))) field.value = "";
  });

  function update(incidents) {
    const open = new Set(incidents.map(({ number }) => number));
    for (const [number, line] of lines) {
      if (open.has(number)) continue;
      line.remove();
      lines.delete(number);
    }
    for (const incident of incidents) {
      if (lines.has(incident.number)) continue;
      lines.set(incident.number, incidentLine(incident, ask));
      list.append(lines.get(incident.number));
    }
    show(none, !incidents.length);
    show(list, incidents.length > 0);
  }

  return { element, update };
}

function incidentLine({ number, text, by, at }, ask) {
  const question = {
    title: `Resolve incident ${number}?`, text: `This closes “${text}”. With no open incidents, the rollout may advance.`,
    yes: "Resolve", done: `Incident ${number} is resolved.`, request: ["PUT", "/v2/rollout", { resolve: number }],
  };
  return h("li", {},
    h("p", {}, text),
    h("p.detail", {}, `${number} · ${[by, dateAndTime(at)].filter(Boolean).join(", ")}`),
    h("button.quiet.small", { type: "button", "aria-label": `Resolve incident ${number}`, on: { click: () => ask(question) } }, "Resolve…"));
}

// ------------------------------------------------------------------ changes
export function createChanges() {
  const body = h("tbody");
  const table = h("table.changes", {}, h("caption.unseen", {}, "Changes, newest first"),
    h("thead", {}, h("tr", {}, ["Time", "Share", "Changed by", "Reason"].map((name) => h("th", { scope: "col" }, name)))), body);
  const element = h("section", { "aria-labelledby": "changes-title", hidden: true }, h("h2", { id: "changes-title" }, "Changes"), table);
  let newest = null;

  function update(history) {
    show(element, history.length > 0);
    if (!history.length || history[0].number === newest) return;
    newest = history[0].number;
    body.replaceChildren(...history.map((past) => h("tr", {},
      h("td", {}, h("time", { datetime: past.at }, dateAndTime(past.at))),
      h("td", {}, past.percent === null ? "unreadable" : `${past.percent} %`, switchesText(past)),
      h("td", {}, past.by),
      h("td", {}, past.reason))));
  }

  return { element, update };
}

function switchesText({ killSwitch, automatic, incidents }) {
  const parts = [killSwitch && "kill switch", automatic && "automatic", incidents && plural(incidents, "incident")];
  return h("span.detail", {}, parts.filter(Boolean).join(" · "));
}
