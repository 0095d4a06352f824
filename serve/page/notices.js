// What the page says to a person: cards over the photograph, and the line that screen readers speak.

import { $, icon, make } from "./dom.js";

/**
 * Show a card, in place of the one of that key.
 *
 * @param action {label, run} for a button, or null
 */
export function notice(key, kind, text, action = null) {
  hideNotice(key);
  const card = make(
    `div.notice.${kind}`,
    { role: kind === "info" ? "status" : "alert", "data-key": key },
    make("p", {}, text),
  );
  if (action) {
    const run = () => {
      hideNotice(key);
      action.run();
    };
    card.append(make("button.button", { type: "button", onclick: run }, action.label));
  }
  const close = { type: "button", onclick: () => hideNotice(key), "aria-label": "Dismiss" };
  card.append(make("button.button.icon", close, icon("close")));
  $("notices").append(card);
}

/** Change the text of a card without moving it; false where there is none. */
export function renameNotice(key, text) {
  const card = find(key);
  if (card) card.firstChild.textContent = text;
  return !!card;
}

export function hideNotice(key) {
  find(key)?.remove();
}

/** Say it to those who do not see the photograph. */
export function announce(text) {
  $("status").textContent = text;
}

const find = (key) => $("notices").querySelector(`[data-key="${key}"]`);

/** The server's messages begin small and end without a full stop. */
export function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

/**
 * Show what went wrong. A token that is missing is said once, however many requests it stopped.
 *
 * @param again what a button does, or null
 * @param words around the error's: before, after, and the button's label
 */
export function failure(key, error, again = null, { before = "", after = "", label = "Try again" } = {}) {
  const noToken = error.status === 401;
  const action = again && { label: noToken ? "Enter the token" : label, run: again };
  notice(noToken ? "token" : key, "error", `${before}${sentence(error.message)}${after}`, action);
}
