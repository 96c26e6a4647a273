/**
 * Rows whose book is not sure, as cards: one click or one key answers each.
 *
 * Way:     batch.js → here → POST …/items/{index}/choose
 * Rule 1:  keys count for the card that has the focus, else for the first one.
 */

import { createCover } from "./covers.js";
import { announce, h, remark, setText, show } from "./dom.js";
import { bookDate, numbered, plural, sentence } from "./words.js";

const AT_ONCE = 10;

/** `update(count)` of open reviews; `onAnswered()` after each. */
export function createReviews(client, path, { onAnswered }) {
  const title = h("h2", { id: "reviews-title" });
  const list = h("div.reviews");
  const element = h("section", { "aria-labelledby": "reviews-title", hidden: true },
    title, h("p.hint", {}, "Choose the right book.", h("span.keys", {}, " Keys: 1 to 5 choose, S skips.")), list);
  const cards = new Map();
  const answered = new Set();
  let isReading = false;

  document.addEventListener("keydown", onKey);

  async function update(count) {
    show(element, count > 0);
    setText(title, `To review: ${numbered(count)}`);
    if (!count) list.replaceChildren();
    if (isReading || !count || cards.size >= Math.min(count, AT_ONCE / 2)) return;
    isReading = true;
    const found = await client.request("GET", `${path}/items?state=review&limit=${AT_ONCE}`).catch(() => ({ items: [] }));
    for (const item of found.items) {
      if (cards.has(item.index) || answered.has(item.index)) continue;
      cards.set(item.index, createCard(client, item, { choose: (choice, name) => choose(item, choice, name) }));
      list.append(cards.get(item.index).element);
    }
    isReading = false;
  }

  async function choose(item, choice, name) {
    const card = cards.get(item.index);
    if (card.element.inert) return;
    card.element.inert = true;
    try {
      await client.request("POST", `${path}/items/${item.index}/choose`, { body: choice });
      announce(`${name}.`);
    } catch (error) {
      if (error.code !== "INVALID_STATE") {
        card.element.inert = false;
        remark(`Not saved: ${sentence(error.message)}`);
        return;
      }
    }
    answered.add(item.index);
    cards.delete(item.index);
    const next = card.element.nextElementSibling ?? card.element.previousElementSibling;
    card.element.remove();
    next?.querySelector("button").focus();
    onAnswered();
  }

  function onKey(event) {
    if (!element.isConnected) return document.removeEventListener("keydown", onKey);
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
    const at = event.target.closest(".review") ?? list.firstElementChild;
    const button = at?.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
    if (!button) return;
    event.preventDefault();
    button.click();
  }

  return { element, update };
}

function createCard(client, item, { choose }) {
  const id = `review-${item.index}`;
  const heading = h("h3", { id }, item.title ?? item.input ?? "No title");
  const other = h("input", { id: `${id}-isbn`, autocomplete: "off", inputmode: "numeric", maxlength: 30 });
  const form = h("form.other", {}, h("label", { for: `${id}-isbn` }, "Another ISBN"), other, h("button.quiet.small", { type: "submit" }, "Choose"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (other.value.trim()) choose({ isbn: other.value.trim() }, `ISBN ${other.value.trim()} chosen`);
  });
  const skip = h("button.quiet.small", { type: "button", data: { key: "s" }, "aria-keyshortcuts": "S", on: { click: () => choose({ skip: true }, "Skipped") } }, "Skip");
  const element = h("article.review", { "aria-labelledby": id, data: { index: item.index } },
    h("p.hint", {}, item.line ? `Line ${item.line}` : `Item ${item.index + 1}`), heading,
    item.authors.length ? h("p.review-by", {}, `by ${item.authors.join(", ")}`) : null,
    h("ul.candidates", { "aria-label": plural(item.candidates.length, "candidate") }, item.candidates.map((one, place) => candidate(client, one, place + 1, choose))),
    h("div.acts", {}, form, skip));
  return { element };
}

function candidate(client, { isbn, title, authors, publicationDate, coverUrl, score }, number, choose) {
  const cover = createCover(client);
  cover.show({ isbn, title, authors, url: isOurs(coverUrl) ? coverUrl : null });
  return h("li", {}, h("button.candidate", {
    type: "button", data: { key: String(number) }, "aria-keyshortcuts": number, on: { click: () => choose({ isbn }, `${title} chosen`) },
  },
  cover.element,
  h("span.candidate-title", {}, title),
  h("span.detail", {}, [authors.join(", "), bookDate(publicationDate)].filter(Boolean).join(", ")),
  h("span.detail.number", {}, `${isbn} · ${Math.round(score * 100)} %`),
  h("kbd", { "aria-hidden": "true" }, number)));
}

/** Nothing comes from another host: a provider's picture is drawn instead. */
const isOurs = (url) => Boolean(url) && new URL(url, location.href).origin === location.origin;
