/**
 * One import's whole story: its card, and every event in order as it was told.
 */

import { createCard } from "./card.js";
import { h, setText, show } from "./dom.js";
import { dateAndTime, seconds, sentenceOf, sourceName } from "./words.js";

const KINDS = {
  workflow_retry: "retrying", workflow_warning: "warned", workflow_resumed: "resumed",
  failed: "failed", cancelled: "stopped", completed: "done",
};

/** Fills `view` with the job of `name`. Answers how to leave. */
export function showJob(view, { client, watching, name: jobId, setTitle }) {
  const card = createCard(jobId, { client, watching, level: 2, isWhole: true });
  const heading = h("h1", { tabindex: -1 }, "One import");
  const note = h("p.note", { role: "status" }, "Fetching the story…");
  const facts = h("p.job-facts", { hidden: true });
  const list = h("ol.timeline", { "aria-label": "Events" });
  const place = h("div", {}, card.element, facts, h("h2", {}, "What happened"), list);
  show(place, false);
  view.replaceChildren(h("p.back", {}, h("a", { href: "#/jobs" }, "Jobs")), heading, note, place);

  let isGone = false;
  let firstMs = null;
  const stopListening = watching.listen((story, event, line) => {
    if (story.jobId !== jobId) return;
    card.update(story, line);
    if (event) tell(event);
    setTitle(story.title ?? story.isbn);
  });
  const timer = setInterval(card.tick, 250);
  read();
  return () => {
    isGone = true;
    stopListening();
    clearInterval(timer);
  };

  async function read() {
    try {
      const job = await client.getStatus(jobId);
      if (isGone) return;
      setText(facts, `Asked for as ${job.inputIsbn} from ${sourceName(job.source)}, ${dateAndTime(job.createdAt)} · ${job.jobId}`);
      show(facts, true);
      show(note, false);
      show(place, true);
      const known = [...watching.eventsOf(jobId)];
      known.forEach(tell);
      card.update(watching.hear(job));
    } catch (error) {
      if (isGone) return;
      const again = h("button.quiet.small", { type: "button", on: { click: read } }, "Try again");
      note.replaceChildren(`${error.message}. `, ...(error.code === "JOB_NOT_FOUND" ? [] : [again]));
    }
  }

  function tell(event) {
    if (list.querySelector(`[data-seq="${event.seq}"]`)) return;
    const at = Date.parse(event.timestamp);
    firstMs ??= at;
    list.append(h("li", { data: { seq: event.seq, kind: KINDS[event.status ?? event.type] ?? "plain" } },
      h("time", { datetime: event.timestamp, title: event.timestamp }, `+${seconds(at - firstMs)}`),
      h("div", {},
        h("p", {}, sentenceOf(event)),
        messageOf(event),
        h("details", {}, h("summary", {}, `Event ${event.seq}`), h("pre", { tabindex: 0 }, JSON.stringify(event, null, 2))))));
  }
}

/** What the service itself said of a failure. */
function messageOf({ data }) {
  const message = data?.error?.message ?? data?.message;
  return message ? h("p.message", {}, message) : null;
}
