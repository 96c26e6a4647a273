/**
 * Elements from JavaScript. Text is only ever text: nothing here reads HTML.
 */

/** `h("a.big", {href, on: {click}}, "text", child, null)`; null and false are left out. */
export function h(what, props = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "data") {
      Object.assign(element.dataset, value);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const PORTION = 25; // rows: a few milliseconds

/** Sets text, attribute or visibility only where it changes, so that nobody hears it twice. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The name of a file may break behind its signs, else within a word. */
export function setName(element, name) {
  if (element.textContent === name) return;
  const parts = name.split(/(?<=[_.-])/);
  element.replaceChildren(...parts.flatMap((part) => [part, document.createElement("wbr")]).slice(0, -1));
}

/** Calls `draw` for each, and lets the window breathe between portions; stops when `signal` says so. */
export async function drawAll(values, draw, signal) {
  for (let start = 0; start < values.length && !signal?.aborted; start += PORTION) {
    if (start) await new Promise((resolve) => setTimeout(resolve));
    values.slice(start, start + PORTION).forEach(draw);
  }
}

export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

export function show(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

const PATHS = {
  done: "M3.5 8.5 6.7 11.6 12.5 4.8",
  warned: "M8 3.5v5.2M8 12v.2",
  failed: "M4.5 4.5l7 7M11.5 4.5l-7 7",
  skipped: "M4.5 8h7",
  stopped: "M5.5 5.5h5v5h-5z",
  retrying: "M8 4.2V8l2.6 1.8",
};
const SVG = "http://www.w3.org/2000/svg";

/** A small drawing for a step's state; nothing for states that the style draws. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  if (PATHS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", PATHS[name]);
    svg.append(path);
  }
  return svg;
}

const announcer = document.getElementById("announcer");
let waiting = [];
let timer = null;

/** Says it to screen readers, politely; what comes within a second is said together. */
export function announce(sentence) {
  waiting.push(sentence);
  timer ??= setTimeout(() => {
    const many = waiting.length > 4;
    announcer.textContent = many ? `${waiting.slice(0, 3).join(" ")} And ${waiting.length - 3} more.` : waiting.join(" ");
    waiting = [];
    timer = null;
  }, 900);
}

/** A short remark at the bottom of the window, for sighted and others; with a button if there is something to do. */
export function remark(sentence, { label = null, act = null, ms = 6_000 } = {}) {
  const leave = () => note.remove();
  const button = label && h("button.small", { type: "button", on: { click: () => { leave(); act(); } } }, label);
  const note = h("p.remark", {}, sentence, button);
  document.getElementById("remarks").replaceChildren(note);
  setTimeout(leave, ms);
}

/** Offers `text` as a file to keep. */
export function saveFile(name, text, type = "application/json") {
  const address = URL.createObjectURL(text instanceof Blob ? text : new Blob([text], { type }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
