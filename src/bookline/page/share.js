/**
 * The share of imports that use the workflow, as a bar with its stages, and the controls.
 *
 * Way:     rollout.js → here → confirm.js, by the `ask` that it is handed
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
  const facts = Object.fromEntries(["Kill switch", "Automatic", "Open jobs", "Stage since", "Testers", "Last change"].map((name) => [name, h("dd")]));
  const lines = Object.fromEntries(Object.entries(facts).map(([name, fact]) => [name, h("div", {}, h("dt", {}, name), fact)]));
  const element = h("div.share-of", {}, h("p.share-head", {}, number, says), bar, scale, h("dl.share-facts", {}, Object.values(lines)));

  function update(rollout) {
    const { percent, killSwitch, automatic, since, open, users } = rollout;
    element.dataset.killed = killSwitch;
    setText(number, `${killSwitch ? 0 : percent} %`);
    setText(says, sayShare(rollout));
    setAttribute(bar, "aria-label", `${percent} percent of imports use the workflow${killSwitch ? " when the kill switch is off" : ""}; stages at 10, 50 and 100`);
    fill.style.setProperty("--percent", percent);
    setText(facts["Kill switch"], killSwitch ? "on: all imports use legacy" : "off");
    setText(facts.Automatic, automatic ? "on: the gates advance it and roll it back" : "off: changed by hand");
    setText(facts["Open jobs"], `${open.workflow} workflow, ${open.legacy} legacy`);
    setText(facts["Stage since"], since ? dateAndTime(since) : "this deployment");
    const names = Object.keys(users);
    setText(facts.Testers, names.length ? testersText(users) : "");
    show(lines.Testers, names.length > 0);
    setText(facts["Last change"], rollout.updatedAt ? changeText(rollout.history[0]) : "none");
  }

  return { element, update };
}

function sayShare({ percent, killSwitch }) {
  if (killSwitch) return `of imports use the workflow: the kill switch is on. When it is off: ${percent} %.`;
  if (percent === 0) return "of imports use the workflow: all use legacy.";
  if (percent === 100) return "of imports use the workflow.";
  return "of imports use the workflow, the others legacy.";
}

function testersText(users) {
  const count = (method) => Object.values(users).filter((one) => one === method).length;
  return ["workflow", "legacy"].filter(count).map((method) => `${count(method)} on ${method}`).join(", ");
}

const changeText = ({ at, by, reason }) => [`${dateAndTime(at)}`, by && `by ${by}`, reason && `“${reason}”`].filter(Boolean).join(" · ");

// ------------------------------------------------------------------ the buttons
/** `ask(question)` is called with what a button would do. */
export function createActs(ask) {
  let rollout = null;
  const button = (kind, question) => h(`button${kind}`, { type: "button", on: { click: () => ask(question()) } });
  const advance = button("", () => ({
    title: `Advance to ${rollout.nextStage} %?`, yes: "Advance", done: `Advanced to ${rollout.nextStage} percent.`,
    text: `From the next import on, ${rollout.nextStage} % use the workflow. This is refused while a gate is closed.`,
    request: ["POST", "/v2/rollout/advance", {}],
  }));
  const back = button(".quiet", () => ({
    title: "Roll back to 0 %?", yes: "Roll back", done: "Rolled back.",
    text: "From the next import on, all but listed testers use legacy. Running imports finish with the method they started with.",
    request: ["POST", "/v2/rollout/rollback", {}],
  }));
  const kill = button(".quiet", () => (rollout.killSwitch
    ? {
        title: "Turn the kill switch off?", yes: "Turn off", done: "The kill switch is off.",
        text: `The rollout decides again: ${rollout.percent} % use the workflow.`,
        request: ["PUT", "/v2/rollout", { killSwitch: false }],
      }
    : {
        title: "Turn the kill switch on?", yes: "Turn on", done: "The kill switch is on.",
        text: `From the next import on, all use legacy, testers too. The ${rollout.percent} % apply again when it is turned off.`,
        request: ["PUT", "/v2/rollout", { killSwitch: true }],
      }));
  const automatic = button(".quiet", () => (rollout.automatic
    ? {
        title: "Turn automatic rollout off?", yes: "Turn off", done: "Automatic rollout is off.",
        text: "The gates no longer advance the rollout or roll it back.",
        request: ["PUT", "/v2/rollout", { automatic: false }],
      }
    : {
        title: "Turn automatic rollout on?", yes: "Turn on", done: "Automatic rollout is on.",
        text: "When all gates pass, the rollout advances to the next stage; when one breaks, all imports go back to legacy and an incident is opened.",
        request: ["PUT", "/v2/rollout", { automatic: true }],
      }));
  const element = h("div.acts", { role: "group", "aria-label": "Change the rollout" }, advance, back, kill, automatic);

  function update(now) {
    rollout = now;
    show(advance, now.nextStage !== null && !now.killSwitch);
    setText(advance, `Advance to ${now.nextStage} %…`);
    show(back, now.percent > 0);
    setText(back, "Roll back…");
    setText(kill, now.killSwitch ? "Kill switch off…" : "Kill switch on…");
    setText(automatic, now.automatic ? "Automatic off…" : "Automatic on…");
  }

  return { element, update };
}
