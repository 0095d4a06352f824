// The session that the page shows: opened from a file or from the address, acted on, opened again on another network.

import { ServerError } from "./api.js";
import { Channel } from "./channel.js";
import { announce, hideNotice, notice, renameNotice } from "./notices.js";
import { Photograph } from "./photograph.js";

export class Session {
  /**
   * @param page what shows it: show(photograph), orient(size on the server), phase("empty" | "decoding" | "opening" |
   *   "open" | "failed"), connection("connecting" | "open" | "lost"), changed(), replied(action, reply)
   */
  constructor(api, page) {
    this.api = api;
    this.page = page;
    this.state = null; // SessionState, kept up to date
    this.name = "";
    this.file = null; // the photograph's bytes
    this.channel = null;
    this.opening = 0; // number of the newest attempt to open something; older ones give up
  }

  get id() {
    return this.state?.id ?? null;
  }

  /** Clicks that are not answered yet. */
  get waitingClicks() {
    return this.channel?.waiting.filter((action) => action.type === "click") ?? [];
  }

  /**
   * Open a session on a photograph.
   *
   * @param options network: its name, or undefined for the server's choice; actions: done at once, in this order; address:
   *   "push" or "replace", what becomes of the browser's history
   */
  async openFile(file, name, { network, actions = [], address = "push" } = {}) {
    const mine = (this.opening += 1);
    this.page.phase("decoding");
    let photograph;
    try {
      photograph = await Photograph.decode(file);
    } catch (error) {
      if (mine !== this.opening) return;
      this.page.phase(this.state ? "open" : "empty");
      notice("open", "error", error.message);
      return;
    }
    if (mine !== this.opening) {
      photograph.close();
      return;
    }
    this.leave();
    this.show(photograph, file, name);
    this.channel = this.newChannel();
    for (const action of actions) this.act(action);
    await this.upload(mine, { network, address });
  }

  /** Make the session of the photograph that is shown. Clicks on it are kept until there is one. */
  async upload(mine, { network, address }) {
    this.page.phase("opening");
    try {
      const state = await this.api.create(this.file, network);
      if (mine !== this.opening) {
        this.api.remove(state.id).catch(() => {});
        return;
      }
      this.page.orient(state);
      sessionStorage.setItem(`mfp-name ${state.id}`, this.name);
      history[address === "push" ? "pushState" : "replaceState"](null, "", `#session=${state.id}`);
      this.adopt(state);
      this.channel.attach(state.id);
    } catch (error) {
      if (mine !== this.opening) return;
      this.page.phase("failed");
      const again = { label: "Try again", run: () => this.upload(mine, { network, address }) };
      notice("open", "error", sentence(error.message), [400, 413].includes(error.status) ? null : again);
    }
  }

  /** Open the session of the page's address, if it names one. */
  async openAddress() {
    const id = new URLSearchParams(location.hash.slice(1)).get("session");
    if (id === this.id && id) return;
    const mine = (this.opening += 1);
    this.leave();
    if (!id) {
      this.clear();
      return;
    }
    try {
      this.page.phase("opening");
      const [state, file] = await Promise.all([this.api.state(id), this.api.image(id)]);
      this.page.phase("decoding");
      const photograph = await Photograph.decode(file, state);
      if (mine !== this.opening) {
        photograph.close();
        return;
      }
      this.show(photograph, file, sessionStorage.getItem(`mfp-name ${id}`) ?? "photograph");
      this.channel = this.newChannel();
      this.adopt(state);
      this.channel.attach(id);
    } catch (error) {
      if (mine !== this.opening) return;
      this.clear();
      if (error instanceof ServerError && error.status === 404) {
        this.forgetAddress();
        notice("open", "warn", "The server no longer has the session of this address. Open the photograph again.");
      } else {
        notice("open", "error", sentence(error.message), { label: "Try again", run: () => this.openAddress() });
      }
    }
  }

  /** The same photograph and the same clicks on another network, or after the server has lost them. */
  async reopen(network = this.state.network) {
    const old = this.id;
    await this.openFile(this.file, this.name, { network, actions: this.actions(), address: "replace" });
    if (this.id && this.id !== old) this.api.remove(old).catch(() => {});
  }

  /** @param action {type, x, y, positive, startedAt} */
  act(action) {
    if (!this.channel) return;
    this.channel.send(action);
    this.page.changed();
  }

  /** Delete the session from the server. */
  async remove() {
    try {
      await this.api.remove(this.id);
    } catch (error) {
      if (!(error instanceof ServerError && error.status === 404)) {
        notice("refused", "error", sentence(error.message), { label: "Try again", run: () => this.remove() });
        return;
      }
    }
    this.opening += 1;
    this.leave();
    this.forgetAddress();
    this.clear();
    announce("Deleted from the server.");
  }

  forgetAddress() {
    history.replaceState(null, "", location.pathname + location.search);
  }

  leave() {
    this.channel?.close();
    this.channel = null;
    for (const key of ["open", "refused", "connection", "gone"]) hideNotice(key);
  }

  show(photograph, file, name) {
    this.state = null;
    this.file = file;
    this.name = name;
    this.page.show(photograph);
  }

  clear() {
    this.show(null, null, "");
    this.page.phase("empty");
    this.page.changed();
  }

  adopt(state) {
    this.state = state;
    this.page.phase("open");
    this.page.changed();
  }

  newChannel() {
    return new Channel(this.api, {
      onState: (state) => this.adopt(state),
      onReply: (action, reply) => this.replied(action, reply),
      onRefused: (action, error) => this.refused(action, error),
      onConnection: (name, seconds, reason) => this.connection(name, seconds, reason),
      onChangedElsewhere: (dropped) => this.changedElsewhere(dropped),
      onGone: (error) => this.gone(error),
    });
  }

  replied(action, reply) {
    const { revision, object, can_undo, can_redo, clicks, area, box, rle } = reply;
    const objects = this.state.objects.slice(0, object + 1);
    if (object === objects.length) objects[object - 1] = { ...objects[object - 1], finished: true };
    objects[object] = { object, finished: false, clicks, area, box, rle };
    this.state = { ...this.state, revision, can_undo, can_redo, objects };
    hideNotice("refused");
    this.page.changed();
    this.page.replied(action, reply);
  }

  refused(action, error) {
    const harmless = error.kind === "NothingToUndoError";
    notice("refused", harmless ? "info" : "error", sentence(error.message));
    this.page.changed();
  }

  connection(name, seconds, reason) {
    if (name === "open") hideNotice("connection");
    if (name === "lost") {
      const what = reason
        ? sentence(reason)
        : "The connection to the server is lost. Your clicks are kept and will be sent.";
      const text = `${what} Trying again in ${Math.max(1, Math.round(seconds))} s.`;
      const action = { label: "Try now", run: () => this.channel?.retry() };
      if (!renameNotice("connection", text)) notice("connection", "warn", text, action);
    }
    this.page.connection(name);
  }

  changedElsewhere(dropped) {
    const lost = dropped.length
      ? ` ${dropped.length === 1 ? "Your last click was" : "Your last clicks were"} not done.`
      : "";
    notice("refused", "warn", `This session was changed in another window; here it is as it is now.${lost}`);
  }

  gone(error) {
    this.page.connection("lost");
    const again = { label: "Upload again", run: () => this.reopen() };
    hideNotice("connection");
    notice(
      "gone",
      "error",
      error.status === 404 ? "The server no longer has this session." : sentence(error.message),
      again,
    );
  }

  /** The clicks of all objects, as actions that do them again. */
  actions() {
    const actions = [];
    for (const { clicks, finished } of this.state.objects) {
      for (const { x, y, positive } of clicks) actions.push({ type: "click", x, y, positive });
      if (finished) actions.push({ type: "finish" });
    }
    return [...actions, ...this.channel.waiting.map(({ type, x, y, positive }) => ({ type, x, y, positive }))];
  }
}

/** The server's messages begin small and end without a full stop. */
function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
