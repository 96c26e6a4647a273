/**
 * A change of the rollout is confirmed first, with what it does and the reason for it.
 *
 * Rule 1:  a refusal stays in sight, with each closed gate and by how much.
 */

import { gateGap, gateName, gateState } from "./gates.js";
import { announce, h, setText, show } from "./dom.js";
import { sentence } from "./words.js";

/** `open({title, text, yes, done, act(reason)})`; the element belongs into the view. */
export function createConfirm() {
  const title = h("h2", { id: "confirm-title" });
  const text = h("p", { id: "confirm-text" });
  const reason = h("input", { id: "confirm-reason", maxlength: 500, autocomplete: "off", "aria-describedby": "confirm-hint" });
  const fault = h("p");
  const closed = h("ul", { "aria-label": "Closed gates" });
  const refusal = h("div.refusal", { role: "alert", hidden: true }, fault, closed);
  const yes = h("button", { type: "submit" });
  const no = h("button.quiet", { type: "button", on: { click: () => element.close() } }, "Cancel");
  const form = h("form", {}, title, text,
    h("label", { for: "confirm-reason" }, "Reason"), reason,
    h("p.hint", { id: "confirm-hint" }, "Optional; kept in the history of changes."),
    refusal, h("div.acts", {}, yes, no));
  const element = h("dialog.confirm", { "aria-labelledby": "confirm-title", "aria-describedby": "confirm-text" }, form);
  let asked = null;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const mine = asked;
    yes.disabled = true;
    try {
      await mine.act(reason.value.trim());
      announce(mine.done);
      if (asked === mine) element.close();
    } catch (error) {
      if (asked === mine) refuse(error);
    }
    yes.disabled = false;
  });
  element.addEventListener("close", () => {
    asked = null;
  });

  function refuse({ message, details }) {
    const gates = (details?.gates ?? []).filter((gate) => gateState(gate) !== "passed");
    setText(fault, gates.length ? "Refused: these gates are closed." : `Refused: ${sentence(message)}`);
    closed.replaceChildren(...gates.map((gate) => h("li", {}, h("strong", {}, gateName(gate)), `: ${gateGap(gate) || gate.message}`)));
    show(closed, gates.length > 0);
    show(refusal, true);
  }

  function open(question) {
    asked = question;
    setText(title, question.title);
    setText(text, question.text);
    setText(yes, question.yes);
    reason.value = "";
    show(refusal, false);
    element.showModal();
    reason.focus();
  }

  return { element, open };
}
