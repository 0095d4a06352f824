// The ways into a session: a photograph's file, and the page's address.

import { ServerError } from "./api.js";
import { sayNoNetwork } from "./line.js";
import { failure, hideNotice, notice } from "./notices.js";
import { Photograph } from "./photograph.js";
import { remember } from "./recent.js";

const PATIENCE = 500; // milliseconds of an upload after which a card says what is under way

/**
 * Open a session on a photograph. What is open stays until the server has taken the photograph; where nothing is, it
 * is shown at once, and clicks on it are kept until then.
 *
 * @param options network, size, flip …: as POST /sessions takes them
 * @param again {actions: () => done at once, in this order; instead: in place of the session that is open, which is
 *   gone; kept: whether the actions are those that the session keeps}
 */
export async function openFile(session, file, name, options = {}, again = {}) {
  const mine = (session.decoding += 1);
  if (again.kept) session.kept = [];
  session.giveUpKept();
  hideNotice("open");
  session.page.phase("decoding");
  let photograph;
  try {
    photograph = await Photograph.decode(file);
  } catch (error) {
    if (mine !== session.decoding) return;
    session.settle();
    notice("open", "error", error.message);
    return;
  }
  if (mine !== session.decoding) {
    photograph.close();
    return;
  }
  if (!session.id) session.begin(photograph, file, name, again.actions?.() ?? []);
  await upload(session, photograph, file, name, options, again);
}

/** Make the photograph's session. */
async function upload(session, photograph, file, name, options, again) {
  const mine = (session.opening += 1);
  let shown = session.id ? null : session.channel; // of the photograph, where it is shown already
  const stop = new AbortController();
  const card = () => {
    if (mine !== session.opening) return;
    const text = `Uploading ${name}.${shown ? "" : " What is open stays until it is there."}`;
    notice("upload", "info", text, { label: "Cancel", run: () => stop.abort() });
  };
  const slow = setTimeout(card, PATIENCE);
  session.page.phase("opening");
  session.uploads += 1;
  try {
    const state = await session.api
      .create(file, { ...options, name }, stop.signal)
      .finally(() => (session.uploads -= 1));
    if (mine !== session.opening) {
      photograph.close();
      overtaken(session, shown, state);
      return;
    }
    const turned = photograph.width !== state.width || photograph.height !== state.height;
    const right = turned ? await Photograph.decode(file, state) : photograph; // as the server has it
    if (shown && turned) session.page.show(right);
    if (!shown) {
      if (turned) photograph.close();
      const actions = again.actions?.() ?? [];
      session.leave(!again.instead);
      session.begin(right, file, name, actions);
      shown = session.channel;
    }
    history[again.instead ? "replaceState" : "pushState"](null, "", `#session=${state.id}`);
    remember(state.id, state.name || name);
    session.adopt(state);
    shown.attach(state.id);
  } catch (error) {
    if (!shown) photograph.close();
    notTaken(session, error, mine, shown, file, name, options, again);
  } finally {
    clearTimeout(slow);
    if (mine === session.opening) hideNotice("upload");
  }
}

/** Something else is open by now. Clicks that were made on the photograph are still done. */
function overtaken(session, channel, state) {
  if (channel?.waiting.length) {
    remember(state.id, state.name);
    channel.attach(state.id);
  } else {
    session.api.remove(state.id).catch(() => {});
  }
}

/** The server did not take the photograph: what was open before is still there, or nothing is. */
function notTaken(session, error, mine, shown, file, name, options, again) {
  if (mine !== session.opening) {
    if (shown?.waiting.length) session.background.fail(shown, error);
    return;
  }
  const actions = shown?.waiting ?? [];
  if (shown) {
    shown.close();
    session.channel = null;
    session.clear();
  } else {
    session.settle();
  }
  if (error.name === "AbortError") return;
  const never = [400, 413, 415, 422].includes(error.status);
  const retry = () =>
    session.openFile(file, name, options, { ...again, ...(actions.length && { actions: () => actions, kept: true }) });
  if (!never) [session.kept, session.keptName] = [actions, name];
  const count = session.kept.length;
  const after = count ? ` Your ${count === 1 ? "click is" : `${count} clicks are`} kept.` : "";
  failure("open", error, never ? null : retry, { before: `${name}: `, after });
}

/** Open the session of the page's address, if it names one. */
export async function openAddress(session) {
  const id = new URLSearchParams(location.hash.slice(1)).get("session");
  if (id === session.id && id) return;
  const mine = (session.opening += 1);
  session.decoding += 1;
  session.giveUpKept();
  session.leave();
  session.clear();
  hideNotice("upload");
  if (!id) return;
  try {
    session.page.phase("opening");
    const [state, file] = await Promise.all([session.api.state(id), session.api.image(id)]);
    session.page.phase("decoding");
    const photograph = await Photograph.decode(file, state);
    if (mine !== session.opening) {
      photograph.close();
      return;
    }
    const channel = session.background.take(id); // it was left before its clicks were done
    session.begin(photograph, file, state.name || "photograph", [], channel);
    remember(id, session.fileName);
    session.adopt(state);
    if (channel) channel.reconnect();
    else session.channel.attach(id);
  } catch (error) {
    if (mine !== session.opening) return;
    session.clear();
    if (error instanceof ServerError && error.status === 404) {
      session.forgetAddress();
      notice("open", "warn", "The server no longer has the session of this address. Open the photograph again.");
    } else if (error.kind === "NetworkGoneError") {
      sayNoNetwork("open", error, (network) => goOn(session, id, network));
    } else {
      failure("open", error, () => session.page.again());
    }
  }
}

/** Give a session another network, without which it cannot be shown. */
export async function goOn(session, id, network) {
  try {
    await session.api.useNetwork(id, network);
  } catch (error) {
    failure("open", error, () => goOn(session, id, network));
    return;
  }
  if (session.id === id) session.channel.retry();
  else session.page.again();
}
