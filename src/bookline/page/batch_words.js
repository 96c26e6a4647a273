/**
 * A batch in words and as a bar: how far it is, what needs a person, how long it will take.
 *
 * Way:     batches.js, batch.js → here
 */

import { h, setAttribute } from "./dom.js";
import { numbered, plural } from "./words.js";

/** In the order in which they need a person. */
export const ITEM_STATES = {
  review: "To review", failed: "Failed", refused: "Invalid", running: "Running", queued: "Queued", completed: "Saved",
  completedWithWarnings: "Saved with warnings", alreadyThere: "Already in the library", skipped: "Skipped", cancelled: "Cancelled",
};

export const nameOf = ({ name, counts }) => name || plural(counts.total, "book");

export const openOf = ({ counts }) => counts.queued + counts.running;

/** “120 of 350 done · about 2 min left · 3 to review · 4 failed”. */
export function progressText(batch) {
  const { counts, status, etaSeconds } = batch;
  const done = counts.total - openOf(batch);
  return [
    status === "running" ? `${numbered(done)} of ${numbered(counts.total)} done` : `${ENDS[status]}: ${numbered(savedOf(counts))} of ${numbered(counts.total)} in the library`,
    status === "running" && etaSeconds !== null && `about ${timeLeft(etaSeconds)} left`,
    counts.review && `${numbered(counts.review)} to review`,
    counts.failed && `${numbered(counts.failed)} failed`,
    counts.refused && `${numbered(counts.refused)} invalid`,
  ].filter(Boolean).join(" · ");
}

const ENDS = { completed: "Finished", cancelled: "Cancelled" };

const savedOf = ({ completed, completedWithWarnings, alreadyThere }) => completed + completedWithWarnings + alreadyThere;

function timeLeft(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** One bar: what is in the library, what needs a person, what failed; the rest is open. */
export function createBar() {
  const parts = Object.fromEntries(["saved", "review", "failed", "other"].map((part) => [part, h("span", { data: { part } })]));
  const element = h("div.batch-bar", { role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0, "aria-valuemax": 100 }, Object.values(parts));

  function update(batch) {
    const { counts } = batch;
    const sizes = { saved: savedOf(counts), review: counts.review, failed: counts.failed + counts.refused, other: counts.skipped + counts.cancelled };
    for (const [part, size] of Object.entries(sizes)) parts[part].style.setProperty("--share", (size / Math.max(1, counts.total)).toFixed(4));
    setAttribute(element, "aria-valuenow", Math.round(batch.progress * 100));
    setAttribute(element, "aria-valuetext", progressText(batch));
  }

  return { element, update };
}
