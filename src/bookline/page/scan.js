/**
 * Barcodes of books by the camera, where the browser can read them; hidden elsewhere.
 *
 * Source:  https://developer.mozilla.org/en-US/docs/Web/API/BarcodeDetector
 * Rule 1:  one reading may be wrong: an ISBN counts when it is read twice, and once an opening.
 */

import { announce, h, setText } from "./dom.js";
import { readPasted } from "./isbn.js";

const LOOK_MS = 200;
const CAMERA = { video: { facingMode: "environment", width: { ideal: 1280 } }, audio: false };

/** Shows `button` where scanning works. `onIsbn(isbn)` hears each book once. */
export async function createScan(button, { onIsbn }) {
  if (!(await canScan())) return;
  button.hidden = false;
  const video = h("video", { playsinline: true, muted: true, "aria-label": "Camera" });
  const says = h("p.note", { role: "status" });
  const found = h("ul.scanned", { "aria-label": "Scanned" });
  const done = h("button", { type: "button", on: { click: () => dialog.close() } }, "Done");
  const dialog = h("dialog.scan", { "aria-labelledby": "scan-title" },
    h("h2", { id: "scan-title" }, "Scan barcodes"), video, says, found, h("div.acts", {}, done));
  document.body.append(dialog);
  const detector = new BarcodeDetector({ formats: ["ean_13"] });
  let stream = null;
  let timer = null;
  let seen = new Set();
  let last = "";

  button.addEventListener("click", open);
  dialog.addEventListener("close", () => {
    clearTimeout(timer);
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    button.focus();
  });

  async function open() {
    [seen, last] = [new Set(), ""];
    found.replaceChildren();
    setText(says, "Opening the camera…");
    dialog.showModal();
    try {
      stream = await navigator.mediaDevices.getUserMedia(CAMERA);
      if (!dialog.open) return stream.getTracks().forEach((track) => track.stop());
      video.srcObject = stream;
      video.play().catch(() => {}); // what cannot be read yet is looked at again
      setText(says, "Hold the barcode of a book in front of the camera.");
      look();
    } catch (error) {
      setText(says, error.name === "NotAllowedError"
        ? "The camera is blocked. Allow it for this page in the browser's settings."
        : "The camera could not be opened.");
    }
  }

  async function look() {
    const codes = await detector.detect(video).catch(() => []);
    codes.map(({ rawValue }) => rawValue).forEach(hear);
    if (dialog.open) timer = setTimeout(look, LOOK_MS);
  }

  function hear(text) {
    const [{ isbn } = {}] = readPasted(text);
    if (!isbn || seen.has(isbn)) return;
    if (last !== isbn) {
      last = isbn;
      return;
    }
    seen.add(isbn);
    found.prepend(h("li.number", {}, isbn));
    setText(says, `${seen.size} scanned. Hold up the next one.`);
    announce(`${isbn} scanned.`);
    navigator.vibrate?.(60);
    onIsbn(isbn);
  }
}

async function canScan() {
  if (!("BarcodeDetector" in globalThis) || !navigator.mediaDevices?.getUserMedia) return false;
  return (await BarcodeDetector.getSupportedFormats().catch(() => [])).includes("ean_13");
}
