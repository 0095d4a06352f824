// What the page says of a session's line to the server.

import { defaultNetwork } from "./networks.js";
import { failure, hideNotice, notice, renameNotice, sentence } from "./notices.js";

let count = 0; // each loss has a card of its own

/** @param seconds until the next attempt; reason: what the server said, if it did */
export function sayLost(seconds, reason, retry) {
  const what = reason
    ? sentence(reason)
    : "The connection to the server is lost. Your clicks are kept and will be sent.";
  const text = `${what} Trying again in ${Math.max(1, Math.round(seconds))} s.`;
  if (!renameNotice("connection", text)) notice("connection", "warn", text, { label: "Try now", run: retry });
}

/** @param dropped actions that are not done, as they were meant for another mask */
export function sayChanged(dropped) {
  const what = dropped.every(isClick) ? "click" : "action";
  const lost = dropped.length ? ` Your last ${dropped.length === 1 ? `${what} was` : `${what}s were`} not done.` : "";
  notice("refused", "warn", `This session was changed in another window; here it is as it is now.${lost}`);
}

/** The server cannot do it now, and is asked again. */
export function sayBusy(error) {
  if (error.status === 429) return; // its turn comes in a moment
  const text = `${sentence(error.message)} What you did is kept here, and tried again.`;
  if (!renameNotice("busy", text)) notice("busy", "warn", text);
}

/** @param use goes on with a network of this name */
export function sayNoNetwork(key, error, use) {
  const network = defaultNetwork();
  failure(key, error, network && (() => use(network)), { label: `Go on with ${network}` });
}

export function sayGone(error, again) {
  const message = error.status === 404 ? "The server no longer has this session." : error.message;
  hideNotice("connection");
  failure("gone", { status: error.status, message }, again, { label: "Upload again" });
}

/** Of a session that is not on the screen any more. */
export function sayNotDone(actions, name, reason) {
  notice(`lost-${(count += 1)}`, "error", `${counted(actions)} on ${name} not done: ${sentence(reason)}`);
}

export function counted(actions) {
  const what = actions.every(isClick) ? "click" : "action";
  return actions.length === 1 ? `1 ${what}` : `${actions.length} ${what}s`;
}

const isClick = (action) => action.type === "click";
