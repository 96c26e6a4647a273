/**
 * The page: which view is shown, the line to the server, and the key.
 *
 * Way:     index.html → here → imports.js, library.js, book.js, jobs.js, job.js,
 *          rollout.js, reference.js
 * Rule 1:  the first view is in index.html, there before any answer.
 */

import { showBatch } from "./batch.js";
import { createBatches } from "./batches.js";
import { showBook } from "./book.js";
import { createClient } from "./client.js";
import { createDeletions } from "./deletions.js";
import { setText, show } from "./dom.js";
import { createImports } from "./imports.js";
import { showJob } from "./job.js";
import { showJobs } from "./jobs.js";
import { createLibrary } from "./library.js";
import { createLink } from "./link.js";
import { createRecent } from "./recent.js";
import { showReference } from "./reference.js";
import { isRolloutInUse, showRollout } from "./rollout.js";
import { isOver } from "./story.js";
import { createWatching } from "./watching.js";
import { sentence } from "./words.js";

const KEY = "bookline.key";
const NEWEST = 12;
const OPEN_MOST = 200;
const RECENT = 40;
const OUTAGE_MS = 15_000;
const VIEWS = {
  library: { show: (...args) => library.show(...args), title: "Library", place: "view-library" },
  book: { show: showBook, title: "Book", nav: "library" },
  batch: { show: showBatch, title: "Batch", nav: "" },
  jobs: { show: showJobs, title: "Jobs" },
  job: { show: showJob, title: "Import details", nav: "jobs" },
  rollout: { show: showRollout, title: "Rollout" },
  api: { show: showReference, title: "API reference", nav: "api" },
};

const find = (id) => document.getElementById(id);
const client = createClient({ key: sessionStorage.getItem(KEY) });
const watching = createWatching(client);
const askForKey = createKeyDialog();
const imports = createImports({ client, watching, askForKey });
const recent = createRecent(imports);
const batches = createBatches(client);
const deletions = createDeletions(client, { onChange: (isbn, isThere) => library.showBook(isbn, isThere) });
const library = createLibrary(client, { deletions });
let leave = () => {};
let viewName = "";
let outageReadAt = -OUTAGE_MS;

const link = createLink(find("link"), {
  ask: () => client.request("GET", `/v2/import/jobs?limit=${NEWEST}`),
  onAnswer({ items }) {
    items.toReversed().forEach(hearJob);
    recent.update(items);
    if (!viewName) batches.read().catch(() => {});
    showOutage().catch(() => {});
  },
  onBack() {
    client.wake();
    imports.queue.wake();
    if (viewName) route();
  },
  onKey: askForKey,
});

watching.listen((story, event, line) => {
  if (line === "waiting") link.doubt();
  if (event?.status === "completed") library.changed();
});

/** An import in progress gets a card, whoever started it; a finished one only if it had one. */
function hearJob(job) {
  if (job.batchId) return; // its batch shows it
  const isOpen = !isOver(job.status);
  if (isOpen || watching.find(job.jobId)) watching.hear(job, { isShown: isOpen });
}

/** Which providers do not answer, so that imports wait for them; read with every third beat. */
async function showOutage() {
  if (performance.now() - outageReadAt < OUTAGE_MS) return;
  outageReadAt = performance.now();
  const { providers } = (await client.request("GET", "/readyz")).dependencies;
  const line = find("outage");
  setText(line, providers.ok ? "" : sentence(providers.detail));
  show(line, !providers.ok);
}

async function findOpenJobs() {
  for (const status of ["queued", "running"]) {
    const { items } = await client.request("GET", `/v2/import/jobs?status=${status}&limit=${OPEN_MOST}`);
    items.toReversed().forEach(hearJob);
  }
  imports.settle();
  recent.update((await client.request("GET", `/v2/import/jobs?limit=${RECENT}`)).items);
}

function begin() {
  link.beat();
  findOpenJobs().catch((error) => error.code === "UNAUTHORIZED" || imports.settle());
  client.request("GET", "/v2/rollout").then((now) => show(find("nav-rollout"), isRolloutInUse(now)), () => {});
}

// ------------------------------------------------------------------ views
function route({ isFirst = false } = {}) {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  const view = VIEWS[name];
  viewName = view ? name : "";
  leave();
  leave = () => {};
  const place = find(view ? (view.place ?? "view") : "view-import");
  show(find("view-import"), !view);
  show(find("view"), place.id === "view");
  find("view-library").classList.toggle("is-away", place.id !== "view-library");
  if (!view && !isFirst) link.beat();
  find("view").className = `view-${viewName}`;
  markNav(view ? (view.nav ?? name) : "");
  setTitle(view?.title ?? "Import");
  if (view) {
    const shown = view.show(place, {
      client, watching, imports, library, deletions, setTitle, params: new URLSearchParams(query), name: safeDecode(rest.join("/")),
    });
    leave = shown.leave ?? shown;
    if (shown.restore?.()) return;
  }
  if (!isFirst) {
    scrollTo(0, 0);
    place.querySelector("h1")?.focus({ preventScroll: true });
  }
}

function safeDecode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function markNav(name) {
  for (const anchor of document.querySelectorAll("[data-nav]")) {
    if (anchor.dataset.nav === name) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
}

function setTitle(title) {
  document.title = `${title} · Bookline`;
}

// ------------------------------------------------------------------ the key
/** Answers `askForKey()`: the dialog opens by itself once, then by the line that stays in sight. */
function createKeyDialog() {
  const dialog = find("key-dialog");
  const field = find("key");
  const fault = find("key-fault");
  const locked = find("locked");
  let wasAsked = false;
  show(find("forget-key"), Boolean(client.key));

  find("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = field.value.trim();
    client.key = key;
    try {
      await client.request("GET", "/v2/import/jobs?limit=1");
      accept(key);
    } catch (error) {
      setText(fault, error.code === "UNAUTHORIZED" ? "The server does not accept this key." : `${sentence(error.message)}`);
      field.select();
    }
  });
  find("key-later").addEventListener("click", () => dialog.close());
  locked.querySelector("button").addEventListener("click", () => dialog.showModal());
  find("forget-key").addEventListener("click", () => {
    sessionStorage.removeItem(KEY);
    location.reload();
  });

  function accept(key) {
    client.key = key;
    sessionStorage.setItem(KEY, key);
    field.value = "";
    setText(fault, "");
    show(find("forget-key"), true);
    show(locked, false);
    dialog.close();
    imports.queue.wake();
    begin();
    if (viewName) route();
  }

  return () => {
    show(locked, true);
    if (!wasAsked) dialog.showModal();
    wasAsked = true;
  };
}

// ------------------------------------------------------------------ the start
find("skip").addEventListener("click", (event) => {
  event.preventDefault();
  find("main").focus();
});
history.scrollRestoration = "manual"; // the views restore it themselves
addEventListener("hashchange", () => route());
route({ isFirst: true });
begin();
