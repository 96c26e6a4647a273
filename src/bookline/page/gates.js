/**
 * The gates of the rollout in plain English: which one is closed, and by how much.
 *
 * Way:     rollout.js, confirm.js → here
 * Not here: what a gate is and when it breaks: migration/gates.py.
 */

import { h, icon, setText, show } from "./dom.js";
import { capital, plural } from "./words.js";

const STATES = { passed: "Passed", waiting: "Waiting", broken: "Broken" };
const ICONS = { passed: "done", waiting: "retrying", broken: "failed" };
const NAMES = {
  sample: "Sample size",
  success: "Success rate",
  p95: "P95 duration",
  lost: "No lost jobs",
  doubled: "No duplicate runs",
  incidents: "No open incident",
};
const SENTENCES = {
  sample: ({ value, limit, passed, message }) =>
    passed ? `At least ${value} finished imports of each method; ${limit} are required.` : `${capital(message)}; ${limit} of each are required.`,
  success: ({ value, limit }) =>
    `With 95 % confidence, the workflow's success rate differs from legacy's by at least ${points(value)}; the limit is ${points(limit)}.`,
  p95: ({ value, limit, passed }) =>
    `The workflow's P95 is at least ${value.toFixed(2)} times legacy's; ` +
    (passed && value > limit ? "above the limit, but by too little time to matter." : `the limit is ${limit.toFixed(2)}.`),
  lost: ({ value, message }) => (value ? `${capital(message)}.` : "No workflow job is stuck."),
  doubled: ({ value, message }) => (value ? `${capital(message)}.` : "Every workflow job ended exactly once."),
  incidents: ({ value }) => (value ? `${plural(value, "incident")} ${value === 1 ? "is" : "are"} open.` : "No open incidents."),
};

export const gateState = ({ passed, broken }) => (broken ? "broken" : passed ? "passed" : "waiting");

export const gateName = ({ gate }) => NAMES[gate] ?? gate;

/** At 0 percent there is no sample: only incidents keep it there. */
export const gatesThatCount = ({ percent, gates }) => gates.filter(({ gate }) => percent > 0 || gate === "incidents");

/** What a gate says; a gate that this page does not know says it in the server's words. */
export function gateSentence(gate) {
  if (gate.value === null) return "No data yet.";
  return SENTENCES[gate.gate]?.(gate) ?? gate.message;
}

/** By how much it is closed; nothing for one that is passed. */
export function gateGap(gate) {
  const { value, limit } = gate;
  if (value === null || gateState(gate) === "passed") return "";
  if (gate.gate === "sample") return `${limit - value} missing`;
  if (gate.gate === "success") return value < limit ? `${((limit - value) * 100).toFixed(1)} points too low` : "significantly lower";
  if (gate.gate === "p95") return `${(value - limit).toFixed(2)} too slow`;
  return gate.gate === "incidents" ? `${value} open` : `${value} too many`;
}

/** The list of all that count. `update(gates)` changes only what is different. */
export function createGates(label) {
  const element = h("ul.gates", { "aria-label": label });
  const lines = new Map();

  function update(gates) {
    for (const [name, line] of lines) show(line.element, gates.some(({ gate }) => gate === name));
    for (const gate of gates) {
      if (!lines.has(gate.gate)) {
        lines.set(gate.gate, createLine(gate));
        element.append(lines.get(gate.gate).element);
      }
      lines.get(gate.gate).update(gate);
    }
  }

  return { element, update };
}

function createLine(gate) {
  const mark = h("span.mark", { "aria-hidden": "true" });
  const state = h("span.gate-state");
  const sentence = h("p.gate-says");
  const element = h("li.gate", {}, mark, h("p.gate-name", {}, h("strong", {}, gateName(gate)), " ", state), sentence);

  function update(now) {
    const name = gateState(now);
    if (element.dataset.gate !== name) mark.replaceChildren(icon(ICONS[name]));
    element.dataset.gate = name;
    const gap = gateGap(now);
    setText(state, gap ? `${STATES[name]}, ${gap}` : STATES[name]);
    setText(sentence, gateSentence(now));
  }

  return { element, update };
}

const points = (share) => `${share > 0 ? "+" : ""}${(share * 100).toFixed(1).replace("-", "−")} points`;
