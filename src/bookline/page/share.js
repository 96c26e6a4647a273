/**
 * Who goes by the workflow, as a bar with its stages; and the buttons that change it.
 *
 * Way:     moving.js → here → confirm.js, by the `ask` that it is handed
 */

import { h, setAttribute, setText, show } from "./dom.js";
import { dateAndTime } from "./words.js";

const STAGES = [10, 50, 100];

// ------------------------------------------------------------------ the share
export function createShare() {
  const number = h("strong.percent");
  const says = h("p.share-says");
  const fill = h("span");
  const bar = h("div.share", { role: "img" }, fill, STAGES.map((stage) => h("i", { data: { stage } })));
  const scale = h("p.scale", { "aria-hidden": "true" }, STAGES.map((stage) => h("span", { data: { stage } }, `${stage} %`)));
  const facts = Object.fromEntries(["Kill switch", "By itself", "Open jobs", "Stage began", "Testers", "Last change"].map((name) => [name, h("dd")]));
  const lines = Object.fromEntries(Object.entries(facts).map(([name, fact]) => [name, h("div", {}, h("dt", {}, name), fact)]));
  const element = h("div.share-of", {}, h("p.share-head", {}, number, says), bar, scale, h("dl.share-facts", {}, Object.values(lines)));

  function update(rollout) {
    const { percent, killSwitch, automatic, since, open, users } = rollout;
    element.dataset.killed = killSwitch;
    setText(number, `${killSwitch ? 0 : percent} %`);
    setText(says, sayShare(rollout));
    setAttribute(bar, "aria-label", `${percent} percent by the workflow${killSwitch ? ", were the kill switch off" : ""}; stages at 10, 50 and 100`);
    fill.style.setProperty("--percent", percent);
    setText(facts["Kill switch"], killSwitch ? "on: everybody by legacy" : "off");
    setText(facts["By itself"], automatic ? "yes: gates advance it and roll it back" : "no: moved by hand");
    setText(facts["Open jobs"], `${open.workflow} workflow, ${open.legacy} legacy`);
    setText(facts["Stage began"], since ? dateAndTime(since) : "with this deployment");
    const names = Object.keys(users);
    setText(facts.Testers, names.length ? testersText(users) : "");
    show(lines.Testers, names.length > 0);
    setText(facts["Last change"], rollout.updatedAt ? changeText(rollout.history[0]) : "none yet");
  }

  return { element, update };
}

function sayShare({ percent, killSwitch }) {
  if (killSwitch) return `by the workflow: the kill switch is on. Without it, ${percent} %.`;
  if (percent === 0) return "by the workflow: everybody goes by legacy.";
  if (percent === 100) return "by the workflow: everybody.";
  return "by the workflow, the others by legacy.";
}

function testersText(users) {
  const count = (method) => Object.values(users).filter((one) => one === method).length;
  return ["workflow", "legacy"].filter(count).map((method) => `${count(method)} by ${method}`).join(", ");
}

const changeText = ({ at, by, reason }) => [`${dateAndTime(at)}`, by && `by ${by}`, reason && `“${reason}”`].filter(Boolean).join(" · ");

// ------------------------------------------------------------------ the buttons
/** `ask(question)` is called with what a button would do. */
export function createActs(ask) {
  let rollout = null;
  const button = (kind, question) => h(`button${kind}`, { type: "button", on: { click: () => ask(question()) } });
  const advance = button("", () => ({
    title: `Advance to ${rollout.nextStage} %?`, yes: "Advance", done: `Advanced to ${rollout.nextStage} percent.`,
    text: `From the next import on, ${rollout.nextStage} % go by the workflow. Bookline refuses it while a gate is closed.`,
    request: ["POST", "/v2/rollout/advance", {}],
  }));
  const back = button(".quiet", () => ({
    title: "Roll back to 0 %?", yes: "Roll back", done: "Rolled back.",
    text: "From the next import on, everybody but listed testers goes by legacy. Imports that run now end the way they began.",
    request: ["POST", "/v2/rollout/rollback", {}],
  }));
  const kill = button(".quiet", () => (rollout.killSwitch
    ? {
        title: "Switch the kill switch off?", yes: "Switch it off", done: "The kill switch is off.",
        text: `The rollout decides again: ${rollout.percent} % by the workflow.`,
        request: ["PUT", "/v2/rollout", { killSwitch: false }],
      }
    : {
        title: "Pull the kill switch?", yes: "Pull it", done: "The kill switch is on.",
        text: `From the next import on, everybody goes by legacy, testers too. The ${rollout.percent} % are kept for when it is switched off.`,
        request: ["PUT", "/v2/rollout", { killSwitch: true }],
      }));
  const automatic = button(".quiet", () => (rollout.automatic
    ? {
        title: "Move by hand again?", yes: "By hand", done: "It moves by hand.",
        text: "Gates no longer advance it, and no longer roll it back.",
        request: ["PUT", "/v2/rollout", { automatic: false }],
      }
    : {
        title: "Let it move by itself?", yes: "Let it", done: "It moves by itself.",
        text: "When all gates are passed it goes to the next stage; when one breaks, everybody goes back to legacy and an incident opens.",
        request: ["PUT", "/v2/rollout", { automatic: true }],
      }));
  const element = h("div.acts", { role: "group", "aria-label": "Change the rollout" }, advance, back, kill, automatic);

  function update(now) {
    rollout = now;
    show(advance, now.nextStage !== null && !now.killSwitch);
    setText(advance, `Advance to ${now.nextStage} %…`);
    show(back, now.percent > 0);
    setText(back, "Roll back…");
    setText(kill, now.killSwitch ? "Kill switch off…" : "Kill switch…");
    setText(automatic, now.automatic ? "Move by hand…" : "Move by itself…");
  }

  return { element, update };
}
