// Sessions that the page has left with actions that are not done: their channels stay until these are.

import { counted, sayNotDone } from "./line.js";
import { hideNotice, notice, renameNotice } from "./notices.js";

export class Background {
  constructor() {
    this.left = new Map(); // channel → {name, key}
    this.count = 0;
  }

  /** How many actions are not done. */
  get waiting() {
    return [...this.left.keys()].reduce((sum, channel) => sum + channel.waiting.length, 0);
  }

  /** Go on with a channel, for a session of this name, until its queue is empty. */
  keep(channel, name) {
    this.left.set(channel, { name, key: `left-${(this.count += 1)}` });
    const show = () => this.show(channel);
    channel.on = {
      onState: show,
      onReply: show,
      onRefused: (action, error) => this.notDone(channel, [action], error.message),
      onConnection: show,
      onBusy: show,
      onChangedElsewhere: (dropped) => this.notDone(channel, dropped, "it was changed in another window"),
      onGone: (error) => this.fail(channel, error),
    };
    show();
  }

  /** The channel of a session, to be shown again; null where there is none. */
  take(id) {
    const channel = [...this.left.keys()].find((one) => one.id === id);
    if (!channel) return null;
    this.drop(channel);
    return channel;
  }

  /** Nothing more can be done for it. */
  fail(channel, error) {
    const entry = this.left.get(channel);
    if (!entry) return;
    this.drop(channel);
    channel.close();
    sayNotDone(channel.waiting, entry.name, error.message);
  }

  notDone(channel, actions, reason) {
    if (actions.length) sayNotDone(actions, this.left.get(channel).name, reason);
    this.show(channel);
  }

  show(channel) {
    const entry = this.left.get(channel);
    if (!entry) return;
    if (channel.waiting.length) {
      const text = `${counted(channel.waiting)} on ${entry.name} are still being sent. Leave this page open until then.`;
      if (!renameNotice(entry.key, text)) notice(entry.key, "info", text);
    } else {
      this.drop(channel);
      channel.close();
    }
  }

  drop(channel) {
    hideNotice(this.left.get(channel).key);
    this.left.delete(channel);
  }
}
