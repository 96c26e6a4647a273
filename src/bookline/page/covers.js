/**
 * A book's cover, or one drawn from its title until there is one.
 *
 * Rule 1:  where a key is needed the picture is fetched with it: an <img> cannot carry one.
 * Rule 2:  fetched when it comes near to sight. Not by loading="lazy": within content-visibility
 *          Chromium leaves such pictures out for good on narrow screens (seen November 2026).
 */

import { h, setText } from "./dom.js";

const CLOTHS = 6; // bindings that the style knows

/** `{element, show({isbn, title, authors, url, width, height})}`; `alt` names it, "" is decoration. */
export function createCover(client, { alt = () => "" } = {}) {
  const title = h("span.drawn-title");
  const author = h("span.drawn-author");
  const drawn = h("span.drawn", { "aria-hidden": "true" }, title, author);
  const element = h("div.cover", {}, drawn);
  let shownUrl = null;

  function show(book) {
    setText(title, book.title ?? "");
    setText(author, book.authors?.[0] ?? "");
    element.dataset.cloth = Number(String(book.isbn).slice(-4, -1)) % CLOTHS;
    if (!book.url || book.url === shownUrl) return;
    shownUrl = book.url;
    const image = h("img", {
      alt: alt(book), decoding: "async", width: book.width, height: book.height,
    });
    image.addEventListener("load", () => element.classList.add("has-picture"));
    image.addEventListener("error", () => image.remove());
    element.querySelector("img")?.remove();
    element.append(image);
    whenSeen(element, () => (client.key ? fill(image, book.url) : (image.src = book.url)));
  }

  async function fill(image, url) {
    try {
      const response = await fetch(url, { headers: { Authorization: `Bearer ${client.key}` } });
      if (!response.ok) throw new Error(response.statusText);
      const address = URL.createObjectURL(await response.blob());
      image.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
      image.src = address;
    } catch {
      image.remove();
    }
  }

  return { element, show };
}

const waiting = new WeakMap();
const eye = new IntersectionObserver(
  (sights) => {
    for (const { isIntersecting, target } of sights) {
      if (!isIntersecting) continue;
      eye.unobserve(target);
      waiting.get(target)?.();
    }
  },
  { rootMargin: "300px" },
);

function whenSeen(element, act) {
  waiting.set(element, act);
  eye.observe(element);
}
