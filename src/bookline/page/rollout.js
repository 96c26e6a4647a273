/**
 * The rollout: what share of imports uses the workflow, what the gates say, and the controls.
 *
 * Way:     app.js → here → /v2/rollout, /v2/metrics/imports; drawn by share.js, gates.js, changes.js,
 *          figures.js
 * Rule 1:  what others change, or the rollout by itself, appears here; nothing with the focus on it
 *          is drawn anew.
 */

import { createChanges, createIncidents } from "./changes.js";
import { createConfirm } from "./confirm.js";
import { announce, h, remark, setText, show } from "./dom.js";
import { WINDOWS, createFigures } from "./figures.js";
import { createGates, gatesThatCount } from "./gates.js";
import { createActs, createShare } from "./share.js";
import { plural, sentence } from "./words.js";

const FRESH_MS = 4_000;

/** Fills `view`; `params.window` is how far back the numbers go. Answers how to leave. */
export function showRollout(view, { client, params }) {
  const stop = new AbortController();
  const confirm = createConfirm();
  const share = createShare();
  const acts = createActs(ask);
  const gates = createGates("Gates");
  const gatesTitle = h("h2", { id: "gates-title" });
  const incidents = createIncidents({ ask, openOne });
  const changes = createChanges();
  const figures = createFigures({ window: params.get("window") in WINDOWS ? params.get("window") : "24h", onWindow });
  const note = h("p.note", { role: "status" }, "Loading the rollout…");
  const heading = h("h1", { tabindex: -1 }, "Rollout");
  const done = h("section.moved", { "aria-labelledby": "moved-title", hidden: true });
  const stand = h("section.stand-of", { "aria-label": "The rollout", hidden: true }, share.element, acts.element);
  const watch = h("div.watch", { hidden: true },
    h("section", { "aria-labelledby": "gates-title" }, gatesTitle, gates.element), incidents.element);
  show(figures.element, false);
  view.replaceChildren(heading, note, stand, done, watch, figures.element, changes.element, confirm.element);

  let last = null;
  let timer = null;
  let isGone = false;

  async function refresh() {
    clearTimeout(timer);
    let pauseMs = FRESH_MS;
    if (!document.hidden) {
      try {
        take(await client.request("GET", "/v2/rollout", { signal: stop.signal }));
        await count();
      } catch (error) {
        if (stop.signal.aborted) return;
        pauseMs = error.retryAfterMs ?? FRESH_MS;
        if (!last) fail(error);
      }
    }
    if (!isGone) timer = setTimeout(refresh, pauseMs);
  }

  async function count() {
    const window = figures.window();
    try {
      figures.update(await client.request("GET", `/v2/metrics/imports?window=${window}`, { signal: stop.signal }), last);
      show(figures.element, true);
    } catch (error) {
      if (stop.signal.aborted || error.retryAfterMs) throw error;
      figures.fail(error);
    }
  }

  function take(rollout) {
    if (last && newestOf(rollout) < newestOf(last)) return; // asked for before a change that is shown
    tell(last, rollout);
    last = rollout;
    const { hasLegacy } = rollout;
    show(note, false);
    show(stand, hasLegacy);
    show(watch, hasLegacy);
    show(done, !hasLegacy);
    if (hasLegacy) {
      share.update(rollout);
      acts.update(rollout);
      setText(gatesTitle, rollout.nextStage === null ? "Gates" : `Gates for ${rollout.nextStage} %`);
      gates.update(gatesThatCount(rollout));
      incidents.update(rollout.incidents);
    } else {
      showMoved(done, rollout);
    }
    changes.update(rollout.history);
  }

  function fail(error) {
    const again = h("button.quiet.small", { type: "button", on: { click: refresh } }, "Retry");
    note.replaceChildren(`The rollout could not be loaded: ${sentence(error.message)} `, again);
  }

  function onWindow(window) {
    history.replaceState(null, "", `#/rollout?window=${window}`);
    count().catch(() => {});
  }

  /** Asks once more, and then does it. `question` says what; `request` is the API's. */
  function ask({ request: [method, path, body], ...question }) {
    const opener = document.activeElement;
    confirm.open({
      ...question,
      async act(reason) {
        take(await client.request(method, path, { body: { ...body, ...(reason ? { reason } : {}) }, signal: stop.signal }));
        confirm.element.addEventListener("close", () => opener?.offsetParent || heading.focus(), { once: true });
      },
    });
  }

  async function openOne(text) {
    try {
      take(await client.request("PUT", "/v2/rollout", { body: { incident: text, reason: `incident: ${text}` }, signal: stop.signal }));
      announce("The incident was opened.");
      return true;
    } catch (error) {
      remark(`The incident was not opened: ${sentence(error.message)}`);
      return false;
    }
  }

  const onVisible = () => document.hidden || refresh();
  document.addEventListener("visibilitychange", onVisible);
  refresh();
  return () => {
    isGone = true;
    stop.abort();
    clearTimeout(timer);
    figures.leave();
    document.removeEventListener("visibilitychange", onVisible);
  };
}

/** Worth a place among the views: legacy runs something, or may at the next import. */
export function isRolloutInUse({ hasLegacy, percent, killSwitch, users, open }) {
  return hasLegacy && (percent < 100 || killSwitch || open.legacy > 0 || Object.values(users).includes("legacy"));
}

const newestOf = ({ history }) => history[0]?.number ?? 0;

/** What has changed since the last look is worth a word to somebody who listens. */
function tell(before, now) {
  if (!before || !now.hasLegacy) return;
  if (before.percent !== now.percent) announce(`${now.percent} percent of imports use the workflow now.`);
  if (before.killSwitch !== now.killSwitch) announce(`The kill switch is ${now.killSwitch ? "on" : "off"}.`);
  const wasBroken = new Set(before.gates.filter(({ broken }) => broken).map(({ gate }) => gate));
  if (now.gates.some(({ gate, broken }) => broken && !wasBroken.has(gate))) announce("A gate is broken.");
}

// ------------------------------------------------------------------ no legacy importer
function showMoved(element, { open }) {
  const text = open.legacy
    ? `${plural(open.legacy, "legacy job")} left open: there is no legacy importer to run them.`
    : "The migration is complete; a rollback is no longer possible.";
  if (element.dataset.text === text) return;
  element.dataset.text = text;
  element.replaceChildren(
    h("p.percent", { "aria-hidden": "true" }, "100 %"),
    h("h2", { id: "moved-title" }, "All imports use the workflow"),
    h("p", {}, "This deployment has no legacy importer. ", text));
}
