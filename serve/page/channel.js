// One session's line to the server: actions go over a WebSocket, one at a time and in order, each with the revision it
// follows. A lost line is opened again; whether an unanswered action arrived is told by the revision that is found then.

import { ServerError } from "./api.js";
import { presentOf } from "./state.js";

const FIRST_PAUSE = 400; // milliseconds before the second attempt to connect; doubled for each one after it
const LONGEST_PAUSE = 8000;
const PATIENCE = 60000; // an answer that takes longer is taken for a dead line

export class Channel {
  /**
   * @param handlers onState(state, by whom: nothing, or "another window"), onReply(action, reply), onRefused(action, error), onChangedElsewhere(actions not
   *   done), onBusy(error: what is tried again), onGone(error), onConnection("connecting" | "open" | "lost", seconds until the next attempt, the server's error
   *   if it answered). They may be replaced: `channel.on`
   */
  constructor(api, handlers) {
    this.api = api;
    this.on = handlers;
    this.id = null;
    this.revision = null; // the server's, as far as it is known here
    this.queue = []; // not sent
    this.inFlight = null; // sent, not answered
    this.news = null; // a state that was told meanwhile
    this.socket = null;
    this.ready = false; // the socket is open and its state known
    this.closed = false;
    this.attempts = 0;
    this.count = 0;
    this.timers = {};
    this.wake = () => this.retry();
    addEventListener("online", this.wake);
  }

  /** Actions without an answer yet, in order. */
  get waiting() {
    return this.inFlight ? [this.inFlight, ...this.queue] : [...this.queue];
  }

  /** Begin with this session. Actions that were sent before are kept until now. */
  attach(id) {
    this.id = id;
    this.connect();
  }

  /**
   * @param action {type: "click", x, y, positive}, {type: "undo" | "redo" | "reset" | "finish"},
   *   {type: "select" | "delete" | "hide" | "show", object} or {type: "network", network}
   */
  send(action) {
    this.queue.push(action); // of a session that is gone, too: it may be made again
    this.pump();
  }

  /** Connect now rather than after the pause. */
  retry() {
    if (this.timers.connect && !this.closed) {
      this.after("connect", 0, null);
      this.check();
    }
  }

  close() {
    this.closed = true;
    this.ready = false;
    removeEventListener("online", this.wake);
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
    this.socket?.close();
  }

  /** Connect anew at once. An action that is not answered is looked for in the state that the server tells. */
  reconnect() {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.ready = false;
    this.after("answer", 0, null);
    this.after("connect", 0, null);
    this.connect();
  }

  connect() {
    if (this.closed) return;
    this.on.onConnection("connecting");
    const socket = this.api.socket(this.id);
    this.socket = socket;
    socket.onmessage = (event) => {
      if (socket === this.socket && !this.closed) this.receive(JSON.parse(event.data));
    };
    socket.onclose = () => {
      if (socket === this.socket) this.lost();
    };
  }

  /** Give the socket up, without waiting for it to close: of a dead line that takes minutes. */
  lost(error = null) {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.ready = false;
    this.after("answer", 0, null);
    if (this.closed) return;
    const pause = Math.min(FIRST_PAUSE * 2 ** this.attempts, LONGEST_PAUSE) * (0.8 + 0.4 * Math.random());
    this.attempts += 1;
    this.on.onConnection("lost", pause / 1000, error);
    this.after("connect", pause, () => this.check());
  }

  /** Ask over HTTP before connecting: a socket that is refused does not tell the page why. */
  async check() {
    this.on.onConnection("connecting");
    try {
      await this.api.state(this.id);
    } catch (error) {
      if (this.closed) return;
      if (error instanceof ServerError && [401, 403, 404, 410].includes(error.status)) {
        this.close();
        this.on.onGone(error);
      } else {
        this.lost(error instanceof ServerError ? error : null);
      }
      return;
    }
    this.connect();
  }

  receive(message) {
    const { type, ref, ...rest } = message;
    if (type === "state" && this.ready) this.told(rest);
    else if (type === "state") this.adopt(rest);
    else if (type === "reply") this.answered(ref, rest);
    else if (type === "error") this.refused(ref, rest);
  }

  /** Another window has changed the session. What is queued here was meant for what was there before. */
  told(state) {
    if (this.inFlight) {
      this.news = state; // whether ours came before it is told by our answer
    } else if (state.revision > this.revision) {
      this.revision = state.revision;
      const dropped = this.queue.splice(0);
      this.on.onState(state, "another window");
      if (dropped.length) this.on.onChangedElsewhere(dropped);
    }
  }

  hearNews() {
    const news = this.news;
    this.news = null;
    if (news) this.told(news);
  }

  /** The session as the server has it: at the beginning, after a line was lost, or after a revision was refused. */
  adopt(state) {
    const sent = this.inFlight;
    const known = this.revision;
    this.inFlight = null;
    this.news = null;
    this.attempts = 0;
    this.revision = state.revision;
    this.ready = true;
    if (sent && state.revision === sent.revision) {
      sent.doubtful = true; // it did not arrive, or is being worked on
      this.queue.unshift(sent);
    } else if (known !== null && state.revision !== known && !(sent && arrived(sent, state))) {
      const dropped = this.queue.splice(0);
      this.on.onChangedElsewhere(sent ? [sent, ...dropped] : dropped);
    }
    this.on.onConnection("open");
    this.on.onState(state);
    this.pump();
  }

  answered(ref, reply) {
    const action = this.inFlight;
    this.after("answer", 0, null);
    this.revision = reply.revision;
    if (!action || action.ref !== ref) return;
    this.inFlight = null;
    action.answeredAt = performance.now();
    this.on.onReply(action, reply);
    this.hearNews();
    this.pump();
  }

  refused(ref, message) {
    const action = this.inFlight;
    const error = new ServerError(message.status, message.error, message.message, message.retry_after ?? 1);
    if (!this.ready || (error.status === 404 && ref === null)) {
      this.lost(error); // check() finds out
      return;
    }
    if (!action || action.ref !== ref) return;
    this.inFlight = null;
    this.after("answer", 0, null);
    if (error.status === 429 || (error.status === 503 && error.kind !== "NetworkGoneError")) {
      this.on.onBusy(error);
      action.doubtful = error.status === 503; // a store that failed may have kept it
      this.queue.unshift(action);
      this.after("pump", 1000 * error.retryAfter, () => this.pump());
    } else if (error.kind === "RevisionError") {
      if (action.doubtful) this.inFlight = action;
      else this.queue.unshift(action); // adopt() drops it with the others
      this.ready = false;
      this.socket.send(JSON.stringify({ type: "state" }));
    } else {
      this.on.onRefused(action, error);
      this.hearNews();
      this.pump();
    }
  }

  pump() {
    if (!this.ready || this.inFlight || this.timers.pump || !this.queue.length) return;
    const action = this.queue.shift();
    action.ref = String((this.count += 1));
    action.revision = this.revision;
    action.sentAt = performance.now();
    this.inFlight = action;
    const { type, x, y, positive, object, network, ref, revision } = action;
    this.socket.send(JSON.stringify({ type, x, y, positive, object, network, ref, revision }));
    this.after("answer", PATIENCE, () => this.lost());
  }

  /** Do it after a pause; in place of what was to be done under that name. */
  after(name, pause, what) {
    clearTimeout(this.timers[name]);
    this.timers[name] =
      what &&
      setTimeout(() => {
        this.timers[name] = null;
        what();
      }, pause);
  }
}

/** Whether this state is what follows the action that was sent. */
function arrived(action, state) {
  if (state.revision !== action.revision + 1) return false;
  if (action.type !== "click") return true;
  const last = presentOf(state).clicks.at(-1);
  return !!last && last.x === action.x && last.y === action.y && last.positive === action.positive;
}
