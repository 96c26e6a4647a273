/**
 * The sentences: events, steps, reasons and times in plain English.
 */

/** Retries after the first try, as in docs/the-way-of-an-import.md. */
const RETRIES = { "fetch-metadata": 3, "upload-cover": 5, "generate-embedding": 2, "save-to-database": 3, "save-to-fallback": 3 };

/** “Retry 2 of 3”. */
export const retryText = (step, retry) => `retry ${retry}${RETRIES[step] ? ` of ${RETRIES[step]}` : ""}`;

export const STEP_LABELS = {
  "fetch-metadata": "Metadata",
  "upload-cover": "Cover",
  "generate-embedding": "Embedding",
  "save-to-database": "Save",
};

export const STATE_LABELS = {
  waiting: "not started",
  running: "running",
  retrying: "waiting to retry",
  done: "done",
  warned: "skipped with a warning",
  skipped: "not needed",
  failed: "failed",
  stopped: "cancelled",
};

export const STATUS_LABELS = {
  queued: "Queued",
  running: "Running",
  completed: "Saved",
  failed: "Failed",
  cancelled: "Cancelled",
};

const SOURCES = {
  auto: "all sources",
  google_books: "Google Books",
  openlibrary: "Open Library",
  isbndb: "ISBNdb",
};

const REASONS = {
  BOOK_NOT_FOUND: "no source has this book",
  PROVIDER_ERROR: "the source returned an error",
  PROVIDER_TIMEOUT: "the source timed out",
  PROVIDER_RATE_LIMITED: "the source is rate limiting us",
  PROVIDER_AUTH: "the source rejected the API key",
  METADATA_INCOMPLETE: "the source has no title for this book",
  COVER_FAILED: "the cover could not be downloaded",
  COVER_TIMEOUT: "the cover download timed out",
  COVER_REFUSED: "the cover was rejected",
  EMBEDDING_FAILED: "the embedding could not be computed",
  EMBEDDING_TIMEOUT: "computing the embedding timed out",
  EMBEDDING_REFUSED: "the embedder rejected the request",
  SAVE_FAILED: "the book could not be saved",
  DEADLINE_EXCEEDED: "the import exceeded its time limit",
  CANCELLED: "it was cancelled",
  INTERNAL_ERROR: "the server had an internal error",
  UNREACHABLE: "the server cannot be reached",
};

export const sourceName = (source) => SOURCES[source] ?? source ?? "unknown";

/** The reason, in words; a code that is not known stands for itself. */
export const reasonOf = (error) => REASONS[error?.code] ?? error?.message ?? error?.code ?? "unknown";

/** The same where there is room: of a provider's trouble the server says more. */
export const causeOf = (error) => (error?.code === "PROVIDER_ERROR" && error.message ? error.message : reasonOf(error));

/** With a full stop, unless it has its end. */
export const sentence = (text) => (/[.?!…]$/.test(text) ? text : `${text}.`);

export const stepLabel = (step) => STEP_LABELS[step] ?? (step === "save-to-fallback" ? "Save" : step);

const count = new Intl.NumberFormat("en-GB");

/** 12345 as 12,345. */
export const numbered = (number) => count.format(number);

export const plural = (number, one, many = `${one}s`) => `${numbered(number)} ${number === 1 ? one : many}`;

export const shortened = (text) => (text.length > 60 ? `${text.slice(0, 59)}…` : text);

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** “Title” by Author. */
export function titleAndAuthor({ title, authors }) {
  return authors?.length ? `${title} by ${authors[0]}` : title;
}

/** What an event says. A type that is not known is named, never dropped. */
export function sentenceOf(event) {
  const data = event.data ?? {};
  switch (event.type) {
    case "workflow_progress":
      return sentenceOfProgress(event.status, data);
    case "workflow_retry":
      return `${stepLabel(data.step)}: try ${data.attempt} failed, ${reasonOf(data.error)}. ${capital(retryText(data.step, data.attempt))} in ${seconds(data.delayMs)}.`;
    case "workflow_warning":
      return `${stepLabel(data.step)}: skipped, ${reasonOf(data)}.`;
    case "workflow_resumed":
      return data.by === "restart" ? "The server restarted; the import resumed where it was." : "Retried on request.";
    default:
      return `${event.type}.`;
  }
}

function sentenceOfProgress(status, data) {
  switch (status) {
    case "started":
      return "Import started.";
    case "metadata_fetched":
      return `Found at ${sourceName(data.metadata?.source)}: ${titleAndAuthor(data.metadata ?? {})}.`;
    case "cover_uploaded":
      return `Cover stored, ${data.width} × ${data.height} pixels.`;
    case "embedding_generated":
      return `Embedding computed: ${data.dimensions} dimensions, ${data.model}.`;
    case "completed":
      return data.storedIn === "kv" ? "Saved in the fallback store; it moves to the library automatically." : "Saved in the library.";
    case "failed":
      return `Failed: ${reasonOf(data.error)}.`;
    case "cancelled":
      return "Cancelled. Nothing was saved.";
    default:
      return `${status}.`;
  }
}

export function seconds(ms) {
  return ms < 9_950 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

/** For a countdown: whole seconds, and minutes when it is long. */
export function countdown(ms) {
  const left = Math.max(0, Math.ceil(ms / 1000));
  return left < 100 ? `${left} s` : `${Math.floor(left / 60)} min ${left % 60} s`;
}

const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });

export function dateAndTime(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return "–";
  const isToday = at.toDateString() === new Date().toDateString();
  return `${isToday ? "today" : day.format(at)}, ${clock.format(at)}`;
}

/** A date that may be a year or a month only. */
export function bookDate(text) {
  if (!text || text.length === 4) return text;
  const at = new Date(`${text.length === 7 ? `${text}-01` : text}T12:00:00Z`);
  if (Number.isNaN(at.getTime())) return text;
  const options = { year: "numeric", month: "long", timeZone: "UTC" };
  if (text.length > 7) options.day = "numeric";
  return new Intl.DateTimeFormat("en-GB", options).format(at);
}

/** A language's own name in English: `en` → English. */
export function languageName(tag) {
  if (!tag) return tag;
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(tag);
  } catch {
    return tag;
  }
}
