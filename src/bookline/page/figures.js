/**
 * Workflow against legacy in numbers: a picture of the durations, and a table of all the rest.
 */

import { drawCurves, drawSample, timeText } from "./curves.js";
import { h, setText, show } from "./dom.js";
import { sentence, sourceName, stepLabel } from "./words.js";

export const WINDOWS = { "15m": "15 minutes", "1h": "1 hour", "24h": "24 hours", "7d": "7 days" };
const NAMES = { workflow: "Workflow", legacy: "Legacy" };
const OUTCOMES = {
  done: "completed",
  done_with_warnings: "completed with warnings",
  no_such_book: "book not found",
  upstream: "failed: provider",
  ours: "failed: Bookline",
  cancelled: "cancelled",
};
const NONE = "–";

/** `onWindow(window)` is called when another one is wanted. */
export function createFigures({ window: first, onWindow }) {
  let wanted = first;
  let shown = null;
  const buttons = Object.entries(WINDOWS).map(([window, name]) =>
    h("button.quiet.small", { type: "button", "aria-pressed": String(window === wanted), on: { click: () => choose(window) } }, name));
  const note = h("p.note", {}, "Loading metrics…");
  const legend = h("ul.curve-legend");
  const picture = h("div.picture");
  const figure = h("figure.durations", { hidden: true }, h("figcaption", {}, "Duration of imports: percent finished within"), legend, picture);
  const body = h("tbody");
  const head = h("tr");
  const table = h("table.figures", { hidden: true }, h("caption.unseen", {}, "Workflow and legacy compared"), h("thead", {}, head), body);
  const title = h("h2", { id: "figures-title" }, "Workflow and legacy compared");
  const element = h("section", { "aria-labelledby": "figures-title" },
    h("div.figures-head", {}, title, h("div.windows", { role: "group", "aria-label": "Time window" }, buttons)),
    note, h("div.figures-body", {}, figure, table));
  const resized = new ResizeObserver(() => shown && draw());
  resized.observe(picture);

  function choose(window) {
    wanted = window;
    buttons.forEach((button, place) => button.setAttribute("aria-pressed", Object.keys(WINDOWS)[place] === window));
    onWindow(window);
  }

  function update(metrics, { hasLegacy }) {
    if (metrics.window !== wanted) return;
    const names = Object.keys(NAMES).filter((name) => hasLegacy || name === "workflow" || ended(metrics.methods[name]));
    shown = { metrics, names };
    setText(title, names.length > 1 ? "Workflow and legacy compared" : "Workflow metrics");
    const isEmpty = names.every((name) => !ended(metrics.methods[name]));
    setText(note, isEmpty ? `No imports finished in the last ${WINDOWS[wanted]}.` : "");
    show(note, isEmpty);
    show(table, !isEmpty);
    head.replaceChildren(h("th", { scope: "col" }, h("span.unseen", {}, "What")), ...names.map((name) => h("th", { scope: "col" }, NAMES[name])),
      ...(names.length > 1 ? [h("th", { scope: "col" }, "Difference")] : []));
    body.replaceChildren(...rowsOf(metrics, names).map(rowElement));
    draw();
  }

  function draw() {
    const { metrics, names } = shown;
    const methods = Object.fromEntries(names.map((name) => [name, metrics.methods[name]]));
    const isDrawn = names.some((name) => metrics.methods[name].p50Ms !== null);
    show(figure, isDrawn);
    if (!isDrawn) return;
    legend.replaceChildren(...names.map((name) => h("li", {}, drawSample(name), h("span", {}, legendText(name, methods[name])))));
    const width = Math.max(260, Math.round(picture.clientWidth));
    picture.replaceChildren(drawCurves(methods, width, names.map((name) => describe(name, methods[name])).join(" ")));
  }

  return {
    element, update,
    window: () => wanted,
    fail: (error) => {
      setText(note, `The metrics could not be loaded: ${sentence(error.message)}`);
      show(note, true);
    },
    leave: () => resized.disconnect(),
  };
}

const ended = ({ byOutcome }) => Object.values(byOutcome).reduce((sum, count) => sum + count, 0) > 0;
const withBook = ({ byOutcome }) => byOutcome.done + byOutcome.done_with_warnings;
const time = (ms) => (ms === null || ms === undefined ? NONE : timeText(ms));
const share = (part, whole) => `${((100 * part) / whole).toFixed(1)} %`;

function legendText(name, method) {
  return method.p50Ms === null ? `${NAMES[name]}: none completed` : `${NAMES[name]}, n = ${withBook(method)}`;
}

function describe(name, method) {
  if (method.p50Ms === null) return `${NAMES[name]}: no import completed.`;
  return `${NAMES[name]}: half of the imports finish within ${time(method.p50Ms)}, 95 percent within ${time(method.p95Ms)}.`;
}

/** `{name, cells, difference, isPart}` of each line. */
function rowsOf({ methods, comparison }, names) {
  const all = names.map((name) => methods[name]);
  const { successDifference: by } = comparison;
  const line = (name, cell, difference = "", isPart = false) => ({ name, cells: all.map(cell), difference: names.length > 1 ? difference : null, isPart });
  const ratio = (read) => {
    const [ours, theirs] = all.map(read);
    return ours && theirs ? `× ${(ours / theirs).toFixed(2)}` : "";
  };
  const steps = [...new Set(all.flatMap(({ stages }) => Object.keys(stages)))];
  const providers = [...new Set(all.flatMap(({ byProvider }) => Object.keys(byProvider)))];
  return [
    line("Imports", ({ count }) => String(count)),
    line("Success rate", ({ success, count }) => (count ? share(success, count) : NONE), by === null ? "" : `${by > 0 ? "+" : ""}${(by * 100).toFixed(1).replace("-", "−")} points`),
    ...Object.entries(OUTCOMES).filter(([outcome]) => all.some(({ byOutcome }) => byOutcome[outcome])).map(([outcome, name]) => line(name, ({ byOutcome }) => String(byOutcome[outcome]), "", true)),
    ...[["P50", "p50Ms"], ["P95", "p95Ms"], ["P99", "p99Ms"]].map(([name, key]) => line(name, (method) => time(method[key]), ratio((method) => method[key]))),
    ...steps.map((step) => line(`${stepLabel(step)}${step === "save-to-fallback" ? " (fallback)" : ""}, P95`, ({ stages }) => time(stages[step]?.p95Ms), ratio(({ stages }) => stages[step]?.p95Ms), true)),
    line("Tries per import", ({ tries, count }) => (count ? (tries / count).toFixed(2) : NONE)),
    ...providers.map((provider) => line(sourceName(provider), ({ byProvider }) => String(byProvider[provider] ?? 0), "", true)),
  ];
}

function rowElement({ name, cells, difference, isPart }) {
  return h(isPart ? "tr.is-part" : "tr", {}, h("th", { scope: "row" }, name), cells.map((cell) => h("td", {}, cell)), difference === null ? null : h("td", {}, difference));
}
