// The time of a click, from the button to the mask on the screen: the newest one by stages, and those before it.

import { make } from "./dom.js";

const KEPT = 200; // clicks
const SHOWN = 26; // of them as bars
const ARRAY = ["crop", "encode", "modulate", "paste"];

/** Name, class and what it is of a stage, in the order in which they happen. */
const STAGES = [
  [
    "queue",
    "Waiting",
    "for earlier clicks and for its turn at the server; after a restart, the clicks before it done again",
  ],
  ["array", "Array work", "crop, disks, modulation, paste"],
  ["network", "Network", "the network's passes; two for the first click"],
  ["server", "Server", "keeping the click, writing the answer"],
  ["connection", "Connection", "way there and back"],
  ["drawing", "Drawing", "from the answer to the screen"],
];

/**
 * Milliseconds by stage.
 *
 * @param action with startedAt (the button), sentAt, answeredAt; paintedAt: all of performance.now()
 * @param timing of the reply
 */
export function stagesOf(action, paintedAt, timing) {
  const of = (name) => timing[name] ?? 0;
  const array = ARRAY.reduce((sum, name) => sum + of(name), 0);
  const network = of("network") + of("device"); // one piece on a GPU: a graph has no seams to time
  const waited = of("wait") + of("rebuild");
  const atServer = of("server") || waited + of("total") + of("store") + of("respond");
  return {
    queue: action.sentAt - action.startedAt + waited,
    array,
    network,
    server: Math.max(0, atServer - waited - array - network),
    connection: Math.max(0, action.answeredAt - action.sentAt - atServer),
    drawing: paintedAt - action.answeredAt,
  };
}

export class Latency {
  constructor(element) {
    this.element = element;
    this.clicks = [];
    this.render();
  }

  clear() {
    this.clicks = [];
    this.render();
  }

  add(action, paintedAt, timing) {
    const total = paintedAt - action.startedAt;
    const stages = stagesOf(action, paintedAt, timing);
    this.clicks = [...this.clicks, { total, stages, timing }].slice(-KEPT);
    // In the browser's own tools, and for bench/serving/page.py.
    performance.measure("mfp-click", { start: action.startedAt, end: paintedAt, detail: { stages, timing } });
    this.render();
  }

  render() {
    const newest = this.clicks.at(-1);
    if (!newest) {
      this.element.replaceChildren(
        make("p.latency-none", {}, "Click on the photograph: its time by stages stands here."),
      );
      return;
    }
    const open = this.element.querySelector("details")?.open ?? false;
    const totals = this.clicks.map((click) => click.total);
    this.element.replaceChildren(
      make(
        "p.latency-now",
        {},
        make("b", {}, newest.total.toFixed(0)),
        "ms",
        make(
          "small",
          {},
          totals.length > 1 ? `median ${median(totals).toFixed(0)} ms of ${totals.length}` : "first click",
        ),
      ),
      bar(newest),
      make("dl.stages", {}, ...STAGES.map(([key, name, title]) => row(name, newest.stages[key], `of-${key}`, title))),
      history(totals.slice(-SHOWN)),
      make(
        "details",
        { open },
        make("summary", {}, "The server's stages"),
        make("dl.stages", {}, ...serverRows(newest.timing)),
      ),
    );
  }
}

function bar({ stages, total }) {
  const parts = STAGES.map(([key, name]) => {
    const part = make(`i.of-${key}`, { title: `${name}: ${stages[key].toFixed(1)} ms` });
    part.style.flexGrow = Math.max(stages[key], 0) / total;
    return part;
  });
  const words = STAGES.map(([key, name]) => `${name} ${stages[key].toFixed(0)}`).join(", ");
  return make("div.bar", { role: "img", "aria-label": `${words} milliseconds` }, ...parts);
}

function row(name, milliseconds, swatch, title) {
  const term = make("dt", { title }, ...(swatch ? [make(`i.${swatch}`)] : []), name);
  return make("div", {}, term, make("dd", {}, `${milliseconds.toFixed(1)} ms`));
}

function serverRows(timing) {
  return Object.entries(timing)
    .filter(([, value]) => value >= 0.05)
    .map(([name, value]) => row(name, value, "", ""));
}

function history(totals) {
  const highest = Math.max(...totals);
  const bars = totals.map((total) => {
    const one = make("i", { title: `${total.toFixed(0)} ms` });
    one.style.height = `${(100 * total) / highest}%`;
    return one;
  });
  return make("div.history", { "aria-hidden": "true" }, ...bars);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2;
}
