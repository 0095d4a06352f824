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

/**
 * Fill the list.
 *
 * @param state of the session, or null
 * @param hands act({type, object}), download(object number)
 */
export function listObjects(list, state, hands) {
  const focused = list.contains(document.activeElement) && document.activeElement;
  const place = focused && [...list.children].findIndex((row) => row.contains(focused));
  const { scrollTop } = list;
  list.replaceChildren(...(state?.objects ?? []).map((object) => rowOf(object, state, hands)));
  list.scrollTop = scrollTop;
  showPresent(list, state);
  if (focused) focusAgain(list, focused, place);
}

/** Bring the present object's row into sight within the list, when another object has become the present one. */
function showPresent(list, state) {
  const shown = state ? `${state.id} ${state.present}` : "";
  const row = list.querySelector(".present");
  if (list.dataset.shown === shown || !row) return;
  list.dataset.shown = shown;
  const [frame, at] = [list.getBoundingClientRect(), row.getBoundingClientRect()];
  list.scrollTop += Math.max(0, at.bottom - frame.bottom) - Math.max(0, frame.top - at.top);
}

/** A key pressed on the list goes on from where it was: at the same button, or at the row that took the place. */
function focusAgain(list, { dataset }, place) {
  const same = list.querySelector(`[data-does="${dataset.does}"][data-of="${dataset.of}"]`);
  const row = same?.closest("li") ?? list.children[Math.min(place, list.children.length - 1)];
  const next = same && !same.disabled ? same : row?.querySelector("button:enabled");
  (next ?? document.querySelector("#stage")).focus({ preventScroll: true });
}

function rowOf(object, { present, width, height }, hands) {
  const { object: number, area, hidden } = object;
  const name = `Object ${number + 1}`;
  const isPresent = number === present;
  const clicks = object.clicks.length;
  const facts = area
    ? `${share(area / (width * height))} · ${clicks} ${clicks === 1 ? "click" : "clicks"}`
    : clicks
      ? "empty mask"
      : "click on it to begin";
  const swatch = make("span.swatch");
  swatch.style.background = cssColour(number);
  const button = (does, picture, title, label, run, disabled = false) =>
    make(
      "button.button.icon",
      { type: "button", onclick: run, disabled, title, "aria-label": label, "data-does": does, "data-of": number },
      icon(picture),
    );
  const act = (type) => () => hands.act({ type, object: number });
  const texts = [make("b", {}, name), make("small", {}, hidden ? `hidden · ${facts}` : facts)];
  const goOn = { type: "button", onclick: act("select"), title: `Go on with ${name}` };
  const text = isPresent
    ? make("div.object-text", {}, ...texts)
    : make("button.object-text", { ...goOn, "data-does": "select", "data-of": number }, ...texts);
  if (!isPresent) text.prepend(make("span.hidden", {}, "Go on with "));
  const row = make("li.object", isPresent ? { "aria-current": "true" } : {}, swatch, text);
  row.classList.toggle("present", isPresent);
  row.classList.toggle("unseen", hidden && !isPresent);
  row.append(
    button(
      "download",
      "download",
      "Download its mask, PNG",
      `Download the mask of ${name}, PNG`,
      () => hands.download(number),
      !area,
    ),
  );
  if (!isPresent && hidden) row.append(button("hide", "hidden", "Show it", `Show ${name}`, act("show")));
  if (!isPresent && !hidden) row.append(button("hide", "shown", "Hide it", `Hide ${name}`, act("hide")));
  if (!isPresent || clicks) row.append(button("delete", "reset", "Delete it", `Delete ${name}`, act("delete")));
  return row;
}

export function share(part) {
  const percent = 100 * part;
  return `${percent < 0.1 ? "< 0.1" : percent < 10 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}
