/**
 * One import in detail: its card, where its time went, and every event in order.
 */

import { createCard } from "./card.js";
import { h, saveFile, setText, show } from "./dom.js";
import { isOver } from "./story.js";
import { createWaterfall } from "./waterfall.js";
import { capital, dateAndTime, seconds, sentence, sentenceOf, shortened, sourceName } from "./words.js";

const KINDS = {
  workflow_retry: "retrying", workflow_warning: "warned", workflow_resumed: "resumed",
  failed: "failed", cancelled: "stopped", completed: "done",
};

/** Fills `view` with the job of `name`. Answers how to leave. */
export function showJob(view, { client, watching, name: jobId, setTitle }) {
  const card = createCard(jobId, { client, watching, level: 2, isWhole: true });
  const heading = h("h1", { tabindex: -1 }, "Import details");
  const note = h("p.note", { role: "status" }, "Loading the import…");
  const facts = h("p.job-facts", { hidden: true });
  const waterfall = createWaterfall();
  const save = h("button.quiet.small", { type: "button", on: { click: saveEvents } }, "Download events");
  const list = h("ol.timeline", { "aria-label": "Events" });
  const place = h("div", {}, card.element, facts, waterfall.element, h("div.head", {}, h("h2", {}, "Events"), save), list);
  show(place, false);
  view.replaceChildren(h("p.back", {}, h("a", { href: "#/jobs" }, "Jobs")), heading, note, place);

  let isGone = false;
  let firstMs = null;
  let job = null;
  const stopListening = watching.listen((story, event, line) => {
    if (story.jobId !== jobId) return;
    card.update(story, line);
    if (event) tell(event);
    setTitle(story.title ?? story.isbn);
    if (job) job = { ...job, status: story.status };
    drawTime();
  });
  const timer = setInterval(() => {
    card.tick();
    if (job && !isOver(job.status)) drawTime();
  }, 250);
  read();
  return () => {
    isGone = true;
    stopListening();
    clearInterval(timer);
  };

  async function read() {
    try {
      job = await client.getStatus(jobId);
      if (isGone) return;
      setText(facts, `Requested ${dateAndTime(job.createdAt)} as ${asked(job.inputIsbn)} from ${sourceName(job.source)} · ${job.jobId}`);
      show(facts, true);
      show(note, false);
      show(place, true);
      const known = [...watching.eventsOf(jobId)];
      known.forEach(tell);
      card.update(watching.hear(job));
      drawTime();
    } catch (error) {
      if (isGone) return;
      const again = h("button.quiet.small", { type: "button", on: { click: read } }, "Retry");
      note.replaceChildren(`${capital(sentence(error.message))} `, ...(error.code === "JOB_NOT_FOUND" ? [] : [again]));
    }
  }

  function drawTime() {
    if (job) waterfall.update(job, watching.eventsOf(jobId), Date.now() + client.skewMs);
  }

  function saveEvents() {
    saveFile(`${jobId}.events.json`, JSON.stringify(watching.eventsOf(jobId), null, 2));
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

/** A row without an ISBN is named by its title. */
const asked = (input) => (/^[\d\sX‐-―-]+$/i.test(input) ? input : `“${shortened(input)}”`);

/** What the service itself said of a failure. */
function messageOf({ data }) {
  const message = data?.error?.message ?? data?.message;
  return message ? h("p.message", {}, message) : null;
}
