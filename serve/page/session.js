// The session that the page shows: opened from a file or from the address, acted on, left, deleted.

import { ServerError } from "./api.js";
import { Background } from "./background.js";
import { Channel } from "./channel.js";
import { sayChanged, sayGone, sayLost, sayNotDone } from "./line.js";
import { announce, failure, hideNotice, notice, sentence } from "./notices.js";
import { Photograph } from "./photograph.js";
import { forget, remember } from "./recent.js";
import { after, asActions } from "./state.js";

const PATIENCE = 500; // milliseconds of an upload after which a card says what is under way

export class Session {
  /**
   * @param page what shows it: show(photograph), phase("empty" | "decoding" | "opening" | "open"),
   *   connection("connecting" | "open" | "lost"), changed(), replied(action, reply,
   *   number of the object that was the present one), again(): begin anew, after an answer that did not come
   */
  constructor(api, page) {
    this.api = api;
    this.page = page;
    this.state = null; // SessionState, kept up to date
    this.file = null; // the photograph's bytes
    this.fileName = "";
    this.channel = null;
    this.line = "connecting"; // the channel's connection
    this.gone = false; // the server does not have it any more
    this.decoding = 0; // number of the newest file that was to be opened; older ones give up
    this.opening = 0; // the same of sessions
    this.uploads = 0; // under way
    this.kept = 0; // clicks on a photograph that the server did not take
    this.background = new Background();
  }

  get id() {
    return this.state?.id ?? null;
  }

  get name() {
    return this.state?.name || this.fileName;
  }

  /** Actions that are not answered yet. */
  get waiting() {
    return this.channel?.waiting ?? [];
  }

  get waitingClicks() {
    return this.waiting.filter((action) => action.type === "click");
  }

  /** Whether closing the page would lose something. */
  get unsent() {
    return this.waiting.length + this.background.waiting + this.uploads + this.kept > 0;
  }

  /**
   * Open a session on a photograph. What is open stays until the server has taken the photograph; where nothing is, it
   * is shown at once, and clicks on it are kept until then.
   *
   * @param options network, size, flip …: as POST /sessions takes them
   * @param again {actions: () => done at once, in this order; instead: in place of the session that is open, which is
   *   gone}
   */
  async openFile(file, name, options = {}, again = {}) {
    const mine = (this.decoding += 1);
    this.kept = 0;
    hideNotice("open");
    this.page.phase("decoding");
    let photograph;
    try {
      photograph = await Photograph.decode(file);
    } catch (error) {
      if (mine !== this.decoding) return;
      this.settle();
      notice("open", "error", error.message);
      return;
    }
    if (mine !== this.decoding) {
      photograph.close();
      return;
    }
    if (!this.id) this.begin(photograph, file, name, again.actions?.() ?? []);
    await this.upload(photograph, file, name, options, again);
  }

  /** Make the photograph's session. */
  async upload(photograph, file, name, options, again) {
    const mine = (this.opening += 1);
    let shown = this.id ? null : this.channel; // of the photograph, where it is shown already
    const stop = new AbortController();
    const card = () => {
      const text = `Uploading ${name}.${shown ? "" : " What is open stays until it is there."}`;
      notice("upload", "info", text, { label: "Cancel", run: () => stop.abort() });
    };
    const slow = setTimeout(card, PATIENCE);
    this.page.phase("opening");
    this.uploads += 1;
    try {
      const state = await this.api.create(file, { ...options, name }, stop.signal).finally(() => (this.uploads -= 1));
      if (mine !== this.opening) {
        photograph.close();
        this.overtaken(shown, state);
        return;
      }
      const turned = photograph.width !== state.width || photograph.height !== state.height;
      const right = turned ? await Photograph.decode(file, state) : photograph; // as the server has it
      if (shown && turned) this.page.show(right);
      if (!shown) {
        if (turned) photograph.close();
        const actions = again.actions?.() ?? [];
        this.leave(!again.instead);
        this.begin(right, file, name, actions);
        shown = this.channel;
      }
      history[again.instead ? "replaceState" : "pushState"](null, "", `#session=${state.id}`);
      remember(state.id, state.name || name);
      this.adopt(state);
      shown.attach(state.id);
    } catch (error) {
      if (!shown) photograph.close();
      this.notTaken(error, mine, shown, file, name, options, again);
    } finally {
      clearTimeout(slow);
      if (mine === this.opening) hideNotice("upload");
    }
  }

  /** Something else is open by now. Clicks that were made on the photograph are still done. */
  overtaken(channel, state) {
    if (channel?.waiting.length) {
      remember(state.id, state.name);
      channel.attach(state.id);
    } else {
      this.api.remove(state.id).catch(() => {});
    }
  }

  /** The server did not take the photograph: what was open before is still there, or nothing is. */
  notTaken(error, mine, shown, file, name, options, again) {
    if (mine !== this.opening) {
      if (shown?.waiting.length) this.background.fail(shown, error);
      return;
    }
    const actions = shown?.waiting ?? [];
    if (shown) {
      shown.close();
      this.channel = null;
      this.clear();
    } else {
      this.settle();
    }
    if (error.name === "AbortError") return;
    const never = [400, 413, 415, 422].includes(error.status);
    const retry = () =>
      this.openFile(file, name, options, { ...again, ...(actions.length && { actions: () => actions }) });
    this.kept = never ? 0 : actions.length;
    const after = this.kept ? ` Your ${this.kept === 1 ? "click is" : `${this.kept} clicks are`} kept.` : "";
    failure("open", error, never ? null : retry, { before: `${name}: `, after });
  }

  /** Open the session of the page's address, if it names one. */
  async openAddress() {
    const id = new URLSearchParams(location.hash.slice(1)).get("session");
    if (id === this.id && id) return;
    const mine = (this.opening += 1);
    this.decoding += 1;
    this.kept = 0;
    this.leave();
    this.clear();
    hideNotice("upload");
    if (!id) return;
    try {
      this.page.phase("opening");
      const [state, file] = await Promise.all([this.api.state(id), this.api.image(id)]);
      this.page.phase("decoding");
      const photograph = await Photograph.decode(file, state);
      if (mine !== this.opening) {
        photograph.close();
        return;
      }
      const channel = this.background.take(id); // it was left before its clicks were done
      this.begin(photograph, file, state.name || "photograph", [], channel);
      remember(id, this.fileName);
      this.adopt(state);
      if (channel) channel.reconnect();
      else this.channel.attach(id);
    } catch (error) {
      if (mine !== this.opening) return;
      this.clear();
      if (error instanceof ServerError && error.status === 404) {
        this.forgetAddress();
        notice("open", "warn", "The server no longer has the session of this address. Open the photograph again.");
      } else {
        failure("open", error, () => this.page.again());
      }
    }
  }

  /** The same photograph and the same clicks again, after the server has lost them. */
  reopen() {
    const { flip, threshold, ...own } = this.state.options;
    const { network } = asActions(this.state, []);
    const actions = () => asActions(this.state, this.waiting).actions;
    // The rest may be the present network's own, and the objects begin with another.
    const options = { network, flip, threshold, ...(network === this.state.network && own) };
    return this.openFile(this.file, this.name, options, { actions, instead: true });
  }

  /** Another network for this object and those to come; what is finished stays. */
  useNetwork(network) {
    this.act({ type: "network", network });
  }

  /** @param action {type, x, y, positive, object, network, startedAt} */
  act(action) {
    if (!this.channel) return;
    this.channel.send(action);
    this.page.changed();
  }

  /** Delete the session from the server. */
  async remove() {
    const { id } = this;
    if (!id) return;
    let words = "Deleted from the server.";
    try {
      await this.api.remove(id);
    } catch (error) {
      if (!(error instanceof ServerError && error.status === 404)) {
        failure("refused", error, () => this.remove());
        return;
      }
      words = "The server had not got this session any more.";
    }
    forget(id);
    if (id !== this.id) return;
    this.leave(false);
    this.forgetAddress();
    this.clear();
    notice("open", "info", words);
  }

  forgetAddress() {
    history.replaceState(null, "", location.pathname + location.search);
  }

  /** @param finish whether what is queued is still done, behind what is shown next */
  leave(finish = true) {
    const { channel } = this;
    this.channel = null;
    for (const key of ["open", "refused", "connection", "gone"]) hideNotice(key);
    if (!channel) return;
    if (!finish || !channel.waiting.length) channel.close();
    else if (this.gone) sayNotDone(channel.waiting, this.name, "the server no longer has this session");
    else this.background.keep(channel, this.name);
  }

  /** Show a photograph whose session is still to come. */
  begin(photograph, file, name, actions, channel = null) {
    if (!this.id) this.leave();
    this.state = null;
    this.gone = false;
    this.file = file;
    this.fileName = name;
    this.page.show(photograph);
    this.channel = channel ?? new Channel(this.api, {});
    this.channel.on = this.handlers();
    for (const action of actions) this.channel.send(action);
    this.page.changed();
  }

  clear() {
    this.state = this.file = null;
    this.fileName = "";
    this.gone = false;
    this.page.show(null);
    this.page.phase(this.uploads ? "opening" : "empty");
    this.page.changed();
  }

  /** What was open before is what is open. */
  settle() {
    this.page.phase(this.id ? "open" : this.channel ? "opening" : "empty");
    if (this.id) this.page.connection(this.line);
  }

  adopt(state) {
    this.state = state;
    this.page.phase("open");
    this.page.changed();
  }

  handlers() {
    return {
      onState: (state, by) => {
        this.state = state;
        this.page.changed();
        if (by) announce(`Changed in ${by}.`);
      },
      onReply: (action, reply) => {
        const before = this.state.present;
        this.state = after(this.state, reply);
        hideNotice("refused");
        this.page.changed();
        this.page.replied(action, reply, before);
      },
      onRefused: (action, error) => {
        const harmless = error.kind === "NothingToUndoError";
        notice("refused", harmless ? "info" : "error", sentence(error.message));
        this.page.changed();
      },
      onConnection: (line, seconds, reason) => this.connection(line, seconds, reason),
      onChangedElsewhere: sayChanged,
      onGone: (error) => this.lost(error),
    };
  }

  connection(line, seconds, reason) {
    this.line = line;
    if (line === "open") hideNotice("connection");
    if (line === "lost") sayLost(seconds, reason, () => this.channel?.retry());
    this.page.connection(line);
  }

  lost(error) {
    this.gone = true;
    this.line = "lost";
    this.page.connection("lost");
    sayGone(error, () => this.reopen());
  }
}
