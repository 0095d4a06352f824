// The objects: their colours, their masks as pictures, and the list at the side.

import { icon, make } from "./dom.js";
import { paintMask } from "./rle.js";

/** Told apart on photographs, in this order, then from the first again. */
const COLOURS = [
  [30, 144, 255],
  [255, 150, 26],
  [232, 62, 150],
  [122, 205, 20],
  [150, 105, 255],
  [0, 196, 205],
  [250, 212, 15],
  [255, 92, 78],
];

export const colourOf = (number) => COLOURS[number % COLOURS.length];
export const cssColour = (number) => `rgb(${colourOf(number).join(" ")})`;

/** Pictures of masks, each painted once. */
export class Pictures {
  constructor() {
    this.kept = new Map();
  }

  /** @param object one of SessionState.objects */
  of(object) {
    const { object: number, rle, box } = object;
    const kept = this.kept.get(number);
    if (kept?.counts === rle.counts) return kept.picture;
    const picture = paintMask(rle, box, colourOf(number));
    this.kept.set(number, { counts: rle.counts, picture });
    return picture;
  }

  clear() {
    this.kept.clear();
  }
}

/** Fill the list. @param download async (object number) */
export function listObjects(list, state, download) {
  const pixels = state.width * state.height;
  list.replaceChildren(
    ...state.objects.map((object) => {
      const name = `Object ${object.object + 1}`;
      const clicks = object.clicks.length;
      const facts = object.area
        ? `${share(object.area / pixels)} · ${clicks} ${clicks === 1 ? "click" : "clicks"}`
        : clicks
          ? "empty mask"
          : "click on it to begin";
      const swatch = make("span.swatch");
      swatch.style.background = cssColour(object.object);
      const save = make(
        "button.button.icon",
        {
          type: "button",
          disabled: !object.area,
          onclick: () => download(object.object),
          "aria-label": `Download the mask of ${name}, PNG`,
          title: "Download its mask, PNG",
        },
        icon("download"),
      );
      const text = make("div.object-text", {}, make("b", {}, name), make("small", {}, facts));
      const row = make("li.object", object.finished ? {} : { "aria-current": "true" }, swatch, text, save);
      row.classList.toggle("present", !object.finished);
      return row;
    }),
  );
}

export function share(part) {
  const percent = 100 * part;
  return `${percent < 0.1 ? "< 0.1" : percent < 10 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}
