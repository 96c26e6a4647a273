/**
 * The line to the server: a beat every few seconds, and its state always in sight.
 *
 * Rule 1:  the beat asks for the newest jobs, so that imports begun elsewhere appear by themselves.
 * Rule 2:  when the server is there again everything that waits for it is woken at once.
 */

import { announce, setText } from "./dom.js";
import { countdown } from "./words.js";

const BEAT_MS = 5_000;
const FIRST_PAUSE_MS = 1_000;
const MOST_PAUSE_MS = 8_000;

/** `ask()` makes the beat's request; `onAnswer(data)`, `onBack()`, `onKey()` hear of it. */
export function createLink(element, { ask, onAnswer, onBack, onKey }) {
  let timer = null;
  let pauseMs = FIRST_PAUSE_MS;
  let until = null; // when the next try is, while the line is broken
  let isAsking = false;

  async function beat() {
    if (isAsking) return;
    isAsking = true;
    clearTimeout(timer);
    try {
      onAnswer(await ask());
      came();
      next(BEAT_MS);
    } catch (error) {
      missed(error);
    }
    isAsking = false;
    draw();
  }

  function missed(error) {
    if (error.code === "UNAUTHORIZED") {
      setState("locked", "API key required");
      onKey();
    } else if (error.code === "UNREACHABLE") {
      until = Date.now() + pauseMs;
      next(pauseMs);
      pauseMs = Math.min(MOST_PAUSE_MS, pauseMs * 2);
    } else {
      came();
      next(error.retryAfterMs ?? BEAT_MS);
    }
  }

  function came() {
    const wasBroken = until !== null;
    until = null;
    pauseMs = FIRST_PAUSE_MS;
    setState("connected", "connected");
    if (wasBroken) onBack();
  }

  function next(ms) {
    timer = setTimeout(() => (document.hidden ? next(BEAT_MS) : beat()), ms);
  }

  function draw() {
    if (until === null) return;
    if (navigator.onLine === false) setState("offline", "offline");
    else if (isAsking) setState("broken", "reconnecting now…");
    else setState("broken", `reconnecting in ${countdown(until - Date.now())}`);
  }

  function setState(state, text) {
    const before = element.dataset.state;
    if (state !== before && state === "broken") announce("Connection lost; reconnecting.");
    if (state === "connected" && before === "broken") announce("Connected again.");
    element.dataset.state = state;
    setText(element.lastElementChild, text);
  }

  setInterval(draw, 250);
  addEventListener("online", beat);
  addEventListener("offline", draw);
  document.addEventListener("visibilitychange", () => document.hidden || beat());
  return {
    beat,
    /** Something else found the line broken: look now, unless that is known. */
    doubt: () => until === null && beat(),
  };
}
