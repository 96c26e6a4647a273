/**
 * The sentences: events, steps, reasons and times as people say them.
 */

export const STEP_LABELS = {
  "fetch-metadata": "Metadata",
  "upload-cover": "Cover",
  "generate-embedding": "Embedding",
  "save-to-database": "Save",
};

export const STATE_LABELS = {
  waiting: "to do",
  running: "at work",
  retrying: "waits to try again",
  done: "done",
  warned: "done with a warning",
  skipped: "not needed",
  failed: "failed",
  stopped: "stopped",
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
  BOOK_NOT_FOUND: "no source that was asked knows this book",
  PROVIDER_ERROR: "the source has trouble",
  PROVIDER_TIMEOUT: "the source is slow",
  PROVIDER_RATE_LIMITED: "the source asks for a pause",
  PROVIDER_AUTH: "the source refuses our key",
  METADATA_INCOMPLETE: "the source knows the book, but not its title",
  COVER_FAILED: "the cover could not be fetched",
  COVER_TIMEOUT: "the cover's host is slow",
  COVER_REFUSED: "the cover was refused",
  EMBEDDING_FAILED: "the embedding could not be computed",
  EMBEDDING_TIMEOUT: "the embedder is slow",
  EMBEDDING_REFUSED: "the embedder refused",
  SAVE_FAILED: "the book could not be saved",
  DEADLINE_EXCEEDED: "it took longer than a job may",
  CANCELLED: "it was cancelled",
  INTERNAL_ERROR: "something broke in the server",
  UNREACHABLE: "Bookline does not answer",
};

export const sourceName = (source) => SOURCES[source] ?? source ?? "unknown";

/** Why, in words; a code that is not known stands for itself. */
export const reasonOf = (error) => REASONS[error?.code] ?? error?.message ?? error?.code ?? "unknown";

export const stepLabel = (step) => STEP_LABELS[step] ?? (step === "save-to-fallback" ? "Save" : step);

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

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
      return `${stepLabel(data.step)}: try ${data.attempt} failed, ${reasonOf(data.error)}. Next try after ${seconds(data.delayMs)}.`;
    case "workflow_warning":
      return `${stepLabel(data.step)}: went on without it, ${reasonOf(data)}.`;
    case "workflow_resumed":
      return data.by === "restart" ? "The server had stopped; the import went on where it was." : "Tried again by hand.";
    default:
      return `${event.type}.`;
  }
}

function sentenceOfProgress(status, data) {
  switch (status) {
    case "started":
      return "The import began.";
    case "metadata_fetched":
      return `${sourceName(data.metadata?.source)} knows it: ${titleAndAuthor(data.metadata ?? {})}.`;
    case "cover_uploaded":
      return `The cover is stored, ${data.width} × ${data.height} pixels.`;
    case "embedding_generated":
      return `Its meaning is computed: ${data.dimensions} numbers by ${data.model}.`;
    case "completed":
      return data.storedIn === "kv" ? "Kept aside; it moves into the library by itself." : "Saved in the library.";
    case "failed":
      return `Failed: ${reasonOf(data.error)}.`;
    case "cancelled":
      return "Cancelled; nothing more is saved.";
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
