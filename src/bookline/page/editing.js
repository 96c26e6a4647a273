/**
 * The form in which a book is edited: its own fields, and what its reader says of it.
 *
 * Rule 1:  only what was changed is sent. An edited field is locked; unlocking is a choice beside it.
 */

import { h, setText, show } from "./dom.js";
import { capital, sentence } from "./words.js";

const STATUSES = { "": "–", "to-read": "To read", reading: "Reading", paused: "Paused", read: "Read", "did-not-finish": "Did not finish" };

/** `[name, label, kind, attributes]`; `lines` is a list, one a line. */
const FIELDS = [
  ["title", "Title", "text", { required: true }],
  ["subtitle", "Subtitle", "text"],
  ["authors", "Authors, one per line", "lines"],
  ["description", "Description", "long"],
  ["publisher", "Publisher", "text"],
  ["publicationDate", "Published", "text", { placeholder: "YYYY, YYYY-MM or YYYY-MM-DD", pattern: "\\d{4}(-\\d{2}(-\\d{2})?)?" }],
  ["pageCount", "Pages", "number", { min: 1, step: 1 }],
  ["language", "Language code", "text", { placeholder: "en, pt-BR" }],
  ["categories", "Subjects, one per line", "lines"],
];
const READING = [
  ["status", "Status", "status"],
  ["rating", "Rating, up to 5", "number", { min: 0.25, max: 5, step: 0.25 }],
  ["shelves", "Shelves, one per line", "lines"],
  ["datesRead", "Dates read, one per line", "lines", { placeholder: "YYYY-MM-DD or start/end" }],
  ["review", "Review", "long"],
  ["notes", "Private notes", "long"],
];

/** A field's name as people read it. */
export const fieldLabel = (name) => FIELDS.find(([known]) => known === name)?.[1].split(",")[0] ?? capital(name);

/** `{element, focus()}`. `save(changes)` sends; `cancel()` leaves. */
export function createBookForm(book, { save, cancel }) {
  const fields = FIELDS.map((field) => createField("book", field, book[field[0]], (book.locked ?? []).includes(field[0])));
  const reading = READING.map((field) => createField("reading", field, book.reading?.[field[0]]));
  const others = (book.locked ?? []).filter((name) => !FIELDS.some(([known]) => known === name)).map((name) => createLock(name));
  const fault = h("p.refusal", { role: "alert", hidden: true });
  const submit = h("button", { type: "submit" }, "Save");
  const element = h("form.edit", { "aria-label": `Edit ${book.title}` },
    h("p.hint", {}, "Fields that you change are locked: imports no longer change them."),
    [...fields, ...others].map(({ element: one }) => one),
    h("fieldset", {}, h("legend", {}, "Your reading"), reading.map(({ element: one }) => one)),
    fault, h("div.acts", {}, submit, h("button.quiet", { type: "button", on: { click: cancel } }, "Cancel")));

  element.addEventListener("keydown", (event) => event.key === "Escape" && cancel());
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    const changes = changesOf([...fields, ...others], reading);
    if (!Object.keys(changes).length) return cancel();
    submit.disabled = true;
    try {
      await save(changes);
    } catch (error) {
      setText(fault, `Not saved: ${sentence(error.message)}`);
      show(fault, true);
      submit.disabled = false;
      submit.focus();
    }
  });
  return { element, focus: () => fields[0].focus() };
}

function changesOf(fields, reading) {
  const changed = (all) => Object.fromEntries(all.filter((one) => one.isChanged()).map((one) => [one.name, one.value()]));
  const unlock = fields.filter((one) => one.isUnlocked()).map(({ name }) => name);
  const read = changed(reading);
  return { ...changed(fields), ...(Object.keys(read).length && { reading: read }), ...(unlock.length && { unlock }) };
}

function createField(group, [name, label, kind, attributes = {}], value, isLocked = false) {
  const id = `${group}-${name}`;
  const control = createControl(kind, { id, name, ...attributes });
  control.value = toText(kind, value);
  const first = control.value;
  const unlock = h("input", { type: "checkbox", id: `${id}-unlock` });
  const lock = isLocked && h("label.unlock", { for: `${id}-unlock` }, unlock, "Locked. Unlock it for imports");
  const isChanged = () => control.value.trim() !== first.trim();
  return {
    name, isChanged,
    element: h("div", {}, h("label", { for: id }, label), control, lock),
    value: () => fromText(kind, control.value),
    isUnlocked: () => unlock.checked && !isChanged(),
    focus: () => control.focus(),
  };
}

/** A locked field that has no control here: the cover. */
function createLock(name) {
  const unlock = h("input", { type: "checkbox", id: `lock-${name}` });
  const element = h("label.unlock", { for: `lock-${name}` }, unlock, `${fieldLabel(name)} is locked. Unlock it for imports`);
  return { name, element, isChanged: () => false, isUnlocked: () => unlock.checked };
}

function createControl(kind, attributes) {
  if (kind === "status") return h("select", attributes, Object.entries(STATUSES).map(([value, text]) => h("option", { value }, text)));
  if (kind === "long") return h("textarea.prose", { rows: 5, ...attributes });
  if (kind === "lines") return h("textarea.prose", { rows: 2, ...attributes });
  return h("input", { type: kind, autocomplete: "off", ...attributes });
}

function toText(kind, value) {
  return kind === "lines" ? (value ?? []).join("\n") : String(value ?? "");
}

function fromText(kind, text) {
  if (kind === "lines") return text.split("\n").map((line) => line.trim()).filter(Boolean);
  if (!text.trim()) return null;
  return kind === "number" ? Number(text) : text.trim();
}
