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

/** Ask for the server's token; null where the person has none. @param wrong whether one was refused just now */
export function askToken(wrong) {
  const dialog = $("token-dialog");
  $("token-wrong").hidden = !wrong;
  dialog.returnValue = "";
  $("token-cancel").onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      resolve(dialog.returnValue === "ok" ? $("token").value.trim() || null : null);
      $("token").value = "";
    };
  });
}
