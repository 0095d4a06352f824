// Buttons and switches around the photograph, and where the keys go after a mouse has pressed one.

import { $ } from "./dom.js";

export const removing = () => document.querySelector("input[name=mode]:checked").value === "remove";

/** @param name "add" or "remove": what a click does */
export function setMode(name) {
  document.querySelector(`input[name=mode][value=${name}]`).checked = true;
  $("stage").classList.toggle("removing", name === "remove");
}

for (const input of document.querySelectorAll("input[name=mode]")) input.onchange = () => setMode(input.value);

/**
 * What a mouse or finger pressed gives the keys back to the photograph: the space bar shall move it, not press again.
 * Those who go by the keyboard stay where they are, and so does what is typed into.
 */
export function keysToStage(stage) {
  let pointed = false;
  addEventListener("pointerdown", () => (pointed = true), true);
  addEventListener("keydown", () => (pointed = false), true);
  const give = () => {
    const { activeElement } = document;
    const typing = activeElement.matches("input[type=text], input[type=password]");
    if (!pointed || !stage.photograph || typing || document.querySelector("dialog[open]")) return;
    if (activeElement !== stage.element) stage.element.focus({ preventScroll: true });
  };
  const giveBack = () => {
    give();
    setTimeout(give); // labels and dialogs move the focus after this
  };
  const isSelect = (event) => event.target.matches("select"); // its list is open; it changes when that is closed
  addEventListener("click", (event) => isSelect(event) || giveBack());
  addEventListener("change", giveBack);
}
