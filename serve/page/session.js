// The session that the page shows: opened from a file or from the address, acted on, left, deleted.

import { ServerError } from "./api.js";
import { Background } from "./background.js";
import { Channel } from "./channel.js";
import { sayBusy, sayChanged, sayGone, sayLost, sayNotDone, sayNoNetwork } from "./line.js";
import { announce, failure, hideNotice, notice, sentence } from "./notices.js";
import { goOn, openAddress, openFile } from "./open.js";
import { forget } from "./recent.js";
import { after, asActions } from "./state.js";

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
    this.kept = []; // actions on a photograph that the server did not take
    this.keptName = ""; // of that photograph
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
    return this.waiting.length + this.background.waiting + this.uploads + this.kept.length > 0;
  }

  /** @see openFile in open.js */
  openFile(file, name, options, again) {
    return openFile(this, file, name, options, again);
  }

  openAddress() {
    return openAddress(this);
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
    for (const key of ["open", "refused", "connection", "gone", "busy"]) hideNotice(key);
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

  /** Say that a photograph which the server did not take is given up, where something was done on it. */
  giveUpKept() {
    const kept = this.kept.splice(0);
    if (kept.length) sayNotDone(kept, this.keptName, "the server has not taken that photograph");
  }

  clear() {
    this.state = this.file = null;
    this.fileName = "";
    this.gone = false;
    this.page.show(null);
    this.page.phase("empty");
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
        hideNotice("busy");
        this.page.changed();
        this.page.replied(action, reply, before);
      },
      onRefused: (action, error) => {
        const harmless = error.kind === "NothingToUndoError";
        hideNotice("busy");
        if (error.kind === "NetworkGoneError") sayNoNetwork("refused", error, (network) => this.useNetwork(network));
        else notice("refused", harmless ? "info" : "error", sentence(error.message));
        this.page.changed();
      },
      onConnection: (line, seconds, error) => this.connection(line, seconds, error),
      onChangedElsewhere: sayChanged,
      onBusy: sayBusy,
      onGone: (error) => this.lost(error),
    };
  }

  connection(line, seconds, error) {
    this.line = line;
    if (line === "open") hideNotice("connection");
    if (line === "lost" && error?.kind === "NetworkGoneError") {
      sayNoNetwork("connection", error, (network) => goOn(this, this.id, network));
    } else if (line === "lost") {
      sayLost(seconds, error?.message, () => this.channel?.retry());
    }
    this.page.connection(line);
  }

  lost(error) {
    this.gone = true;
    hideNotice("busy");
    this.line = "lost";
    this.page.connection("lost");
    sayGone(error, () => this.reopen());
  }
}
