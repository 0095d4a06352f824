// Questions that the page asks.

import { $ } from "./dom.js";

/** Ask for the server's token; null where the person has none. @param wrong whether one was refused just now */
export async function askToken(wrong) {
  $("token-wrong").hidden = !wrong;
  const answer = await ask("token");
  const token = $("token").value.trim();
  $("token").value = "";
  return (answer === "ok" && token) || null;
}

/** Whether the photograph shall be deleted, and what was made of it. */
export async function askDelete(name, objects) {
  const what = objects ? ` and ${objects === 1 ? "1 object" : `${objects} objects`}` : "";
  $("delete-what").textContent = `${name}${what}: photograph, clicks and masks go from the server, for good.`;
  return (await ask("delete")) === "ok";
}

function ask(name) {
  const dialog = $(`${name}-dialog`);
  dialog.returnValue = "";
  $(`${name}-cancel`).onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue);
  });
}
