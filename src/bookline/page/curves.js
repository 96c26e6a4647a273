/**
 * How long imports take, as a picture: the share of them that were done by then, a line a method.
 *
 * Way:     figures.js → here
 * Rule 1:  all of it is in the table too; lines differ in dashes and marks, not in colour alone.
 * Units:   milliseconds, drawn in CSS pixels: letters have their true size at any width.
 */

const SVG = "http://www.w3.org/2000/svg";
const ROOM = { left: 44, right: 14, top: 10, bottom: 40 };
const LOGARITHMIC_FROM = 12; // longest to shortest: below, a linear axis shows more
const LEVELS = [0, 25, 50, 75, 95];
const MARKED = new Set([50, 95, 99]);
const STEPS = [1, 2, 5];

export const timeText = (ms) => (ms < 1_000 ? `${Math.round(ms)} ms` : `${Number((ms / 1000).toPrecision(3))} s`);

/** `methods` is the API's; answers the `svg`, or null when no import ended with a book. */
export function drawCurves(methods, width, description) {
  const height = Math.round(Math.min(380, Math.max(250, width * 0.66)));
  const curves = Object.entries(methods).map(([name, { quantilesMs }]) => [name, pointsOf(quantilesMs)]);
  const every = curves.flatMap(([, points]) => points.map(([ms]) => ms));
  if (!every.length) return null;
  const axis = createAxis(Math.min(...every), Math.max(...every), width);
  const y = (percent) => ROOM.top + (1 - percent / 100) * (height - ROOM.top - ROOM.bottom);
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "curves", "aria-label": description });
  svg.append(...LEVELS.flatMap((percent) => level(percent, y(percent), width)), ...axis.ticks.flatMap((ms) => tick(ms, axis.x(ms), y)));
  svg.append(write(ROOM.left, height - 5, "from request to finish", "start"));
  for (const [name, points] of curves) {
    if (!points.length) continue;
    const places = points.map(([ms, percent]) => [axis.x(ms), y(percent), percent]);
    const group = make("g", { class: `curve-${name}` });
    group.append(make("polyline", { points: places.map(([left, top]) => `${left.toFixed(1)},${top.toFixed(1)}`).join(" ") }));
    group.append(...places.filter(([, , percent]) => MARKED.has(percent)).map(([left, top]) => mark(name, left, top)));
    svg.append(group);
  }
  return svg;
}

/** A short piece of a method's line, for a legend. */
export function drawSample(name) {
  const svg = make("svg", { viewBox: "0 0 36 12", class: "curve-sample", "aria-hidden": "true" });
  const group = make("g", { class: `curve-${name}` });
  group.append(make("polyline", { points: "1,6 35,6" }), mark(name, 18, 6));
  svg.append(group);
  return svg;
}

function pointsOf(quantilesMs) {
  return Object.entries(quantilesMs)
    .filter(([, ms]) => ms !== null)
    .map(([percent, ms]) => [Math.max(ms, 1), Number(percent)])
    .sort((one, other) => one[1] - other[1]);
}

function createAxis(shortest, longest, width) {
  const wide = width - ROOM.left - ROOM.right;
  const most = Math.max(2, Math.floor(wide / 80));
  if (longest / shortest < LOGARITHMIC_FROM) {
    const end = longest * 1.06;
    const raw = end / most;
    const size = 10 ** Math.floor(Math.log10(raw));
    const step = size * ([...STEPS, 10].find((factor) => factor * size >= raw) ?? 10);
    const ticks = Array.from({ length: Math.floor(end / step) + 1 }, (_, place) => place * step);
    return { x: (ms) => ROOM.left + (ms / end) * wide, ticks };
  }
  const [from, to] = [Math.log10(shortest / 1.2), Math.log10(longest * 1.2)];
  const x = (ms) => ROOM.left + ((Math.log10(ms) - from) / (to - from)) * wide;
  const decades = Array.from({ length: 9 }, (_, power) => 10 ** power);
  const inside = (factors) => decades.flatMap((size) => factors.map((factor) => factor * size)).filter((ms) => Math.log10(ms) >= from && Math.log10(ms) <= to);
  const ticks = [STEPS, [1, 3], [1]].map(inside).find((found) => found.length <= most) ?? inside([1]);
  return { x, ticks };
}

function level(percent, top, width) {
  return [
    make("line", { x1: ROOM.left, x2: width - ROOM.right, y1: top, y2: top, class: percent ? "grid" : "base" }),
    write(ROOM.left - 7, top + 4, `${percent} %`, "end"),
  ];
}

function tick(ms, left, y) {
  return [
    make("line", { x1: left, x2: left, y1: y(100), y2: y(0), class: "grid" }),
    write(left, y(0) + 17, timeText(ms), "middle"),
  ];
}

function mark(name, left, top) {
  if (name === "workflow") return make("circle", { cx: left, cy: top, r: 4 });
  return make("rect", { x: left - 3.5, y: top - 3.5, width: 7, height: 7 });
}

function write(left, top, text, anchor) {
  const element = make("text", { x: left, y: top, "text-anchor": anchor });
  element.textContent = text;
  return element;
}

function make(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
