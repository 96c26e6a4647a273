/**
 * The last imports that have finished, one line each, on the first view.
 */

import { h, setText, show } from "./dom.js";
import { isOver } from "./story.js";
import { STATUS_LABELS, dateAndTime, reasonOf } from "./words.js";

const MOST = 8;
const find = (id) => document.getElementById(id);

/** `imports.has(jobId)`: it has a card there. `update(jobs)` takes the newest jobs of the server. */
export function createRecent(imports) {
  const list = find("recent-list");
  const known = new Map(); // single imports; those of a batch are shown by it
  let drawn = "";

  function update(jobs) {
    jobs.filter(({ batchId }) => !batchId).forEach((job) => known.set(job.jobId, job));
    const newest = [...known.values()].sort((one, other) => other.createdAt.localeCompare(one.createdAt));
    newest.slice(4 * MOST).forEach(({ jobId }) => known.delete(jobId));
    const finished = newest.filter(({ jobId, status }) => isOver(status) && !imports.has(jobId)).slice(0, MOST);
    show(find("recent"), finished.length > 0);
    const now = finished.map(({ jobId, lastUpdated }) => jobId + lastUpdated).join();
    if (now === drawn || list.contains(document.activeElement)) return;
    drawn = now;
    list.replaceChildren(...finished.map(line));
  }

  return { update };
}

function line({ jobId, isbn, status, result, data, error, lastUpdated }) {
  const title = h("a", { href: `#/job/${jobId}` });
  setText(title, result?.title ?? data?.metadata?.title ?? `ISBN ${isbn}`);
  return h("li", { data: { status } },
    h("span.recent-name", {}, title, error && h("span.detail", {}, reasonOf(error))),
    h("span.state", {}, STATUS_LABELS[status]),
    h("time", { datetime: lastUpdated }, dateAndTime(lastUpdated)));
}
