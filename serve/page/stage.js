// The drawing, on four canvases: the photograph; masks of finished objects; the present mask or the probability map; clicks
// and cursor. Each is drawn anew, in the next frame, only where something on it has changed.

import { drawClick, drawCursor } from "./marks.js";
import { View } from "./view.js";

const LAYERS = ["photo", "finished", "overlay", "marks"];
const OUTLINE = 1.4; // CSS pixels
const OVER_HEAT = "#fff"; // colour of outlines there; elsewhere they have their object's
const SIDES = [
  [-1, -1],
  [1, -1],
  [-1, 1],
  [1, 1],
];
const CRISP = 3; // device pixels a photograph pixel from which on pixels are shown as what they are

export class Stage {
  constructor(element) {
    this.element = element;
    this.view = new View();
    this.layers = Object.fromEntries(LAYERS.map((id) => [id, element.querySelector(`#${id}`).getContext("2d")]));
    this.scratch = document.createElement("canvas").getContext("2d");
    this.photograph = null;
    this.masks = { finished: [], overlay: [] }; // by layer, pictures of paintMask
    this.heat = null; // canvas of the probability map, drawn in place of the masks' fill
    this.opacity = 0.45;
    this.clicks = []; // {x, y, positive, waiting}
    this.cursor = null; // {x, y}
    this.onView = () => {};
    this.stale = new Set();
    this.frame = 0;
    this.painted = [];
    new ResizeObserver(() => this.resize()).observe(element);
  }

  show(photograph) {
    this.photograph?.close();
    this.photograph = photograph;
    this.masks = { finished: [], overlay: [] };
    this.heat = null;
    this.clicks = [];
    this.cursor = null;
    if (photograph) {
      this.view.photo = photograph;
      this.view.fit();
    }
    this.moved();
  }

  /** @param masks pictures of the layer, "finished" or "overlay" */
  setMasks(layer, masks) {
    const before = this.masks[layer];
    this.masks[layer] = masks;
    if (masks.length !== before.length || masks.some((mask, i) => mask !== before[i])) this.redraw(layer);
  }

  setHeat(heat) {
    this.heat = heat;
    this.redraw("overlay");
  }

  setOpacity(opacity) {
    this.opacity = opacity;
    this.redraw("finished", "overlay");
  }

  setClicks(clicks) {
    this.clicks = clicks;
    this.redraw("marks");
  }

  setCursor(cursor) {
    this.cursor = cursor;
    this.redraw("marks");
  }

  /** The view has changed. */
  moved() {
    this.redraw(...LAYERS);
    this.onView(this.view);
  }

  redraw(...layers) {
    for (const layer of layers) this.stale.add(layer);
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  /** Call this with the time when all that was set until now is on the screen. */
  whenPainted(then) {
    this.painted.push(then);
    this.redraw();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.element;
    this.ratio = devicePixelRatio;
    for (const { canvas } of [...Object.values(this.layers), this.scratch]) {
      canvas.width = Math.max(1, Math.round(width * this.ratio));
      canvas.height = Math.max(1, Math.round(height * this.ratio));
    }
    const padding = getComputedStyle(this.element); // what the tools cover
    for (const side of ["Top", "Right", "Bottom", "Left"])
      this.view.margin[side.toLowerCase()] = parseFloat(padding[`padding${side}`]);
    this.view.resize(width, height);
    this.moved();
    this.draw(); // in this frame: a canvas of another size is empty
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    for (const layer of this.stale) {
      const context = this.layers[layer];
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, context.canvas.width, context.canvas.height);
      context.imageSmoothingEnabled = this.view.scale * this.ratio < CRISP;
      if (this.photograph) this[layer](context);
    }
    this.stale.clear();
    const painted = this.painted.splice(0);
    // The next frame begins when this one has been handed to the screen.
    if (painted.length) requestAnimationFrame(() => painted.forEach((then) => then(performance.now())));
  }

  photo(context) {
    this.drawWhole(context, this.photograph.at(this.view.scale * this.ratio));
  }

  finished(context) {
    for (const picture of this.masks.finished) this.drawObject(context, picture);
  }

  overlay(context) {
    if (this.heat) {
      context.globalAlpha = this.opacity;
      this.drawWhole(context, this.heat);
    }
    for (const picture of this.masks.overlay) this.drawObject(context, picture);
  }

  marks(context) {
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    for (const click of this.clicks) drawClick(context, this.view.fromClick(click), click);
    if (this.cursor) drawCursor(context, this.view.fromClick(this.cursor));
  }

  /** A picture as large as the photograph, whatever its resolution. */
  drawWhole(context, picture) {
    const { view, ratio, photograph } = this;
    const scale = view.scale * ratio;
    const [width, height] = [photograph.width * scale, photograph.height * scale];
    context.drawImage(picture, view.x * ratio, view.y * ratio, width, height);
  }

  drawObject(context, picture) {
    context.globalAlpha = this.opacity;
    if (!this.heat) this.drawMask(context, picture);
    context.globalAlpha = 1;
    this.drawOutline(context, picture);
  }

  drawMask(context, picture, dx = 0, dy = 0) {
    const { left, top, pixel } = this.placeOf(picture);
    context.setTransform(0, pixel, pixel, 0, left + dx, top + dy); // the picture is transposed
    context.drawImage(picture.canvas, 0, 0);
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  /** Of the same width at every zoom: the mask moved to four sides, less the mask. */
  drawOutline(context, picture) {
    const { scratch } = this;
    const { canvas } = scratch;
    const { left, top, pixel } = this.placeOf(picture);
    const offset = (OUTLINE * this.ratio) / Math.SQRT2;
    // All of it stays within the mask's box, as far as that is in sight.
    const x = Math.max(0, Math.floor(left - offset - 1));
    const y = Math.max(0, Math.floor(top - offset - 1));
    const width = Math.min(canvas.width, Math.ceil(left + pixel * picture.canvas.height + offset + 1)) - x;
    const height = Math.min(canvas.height, Math.ceil(top + pixel * picture.canvas.width + offset + 1)) - y;
    if (width <= 0 || height <= 0) return;
    scratch.globalCompositeOperation = "source-over";
    scratch.clearRect(x, y, width, height);
    scratch.imageSmoothingEnabled = context.imageSmoothingEnabled;
    for (const [dx, dy] of SIDES) this.drawMask(scratch, picture, dx * offset, dy * offset);
    scratch.globalCompositeOperation = "destination-out";
    this.drawMask(scratch, picture);
    if (this.heat) {
      scratch.globalCompositeOperation = "source-atop";
      scratch.fillStyle = OVER_HEAT;
      scratch.fillRect(x, y, width, height);
    }
    context.drawImage(canvas, x, y, width, height, x, y, width, height);
  }

  /** The upper left corner of a mask's picture on the canvas, and the size of its pixels there. */
  placeOf({ row, column, step }) {
    const { view, ratio } = this;
    const scale = view.scale * ratio;
    return { left: view.x * ratio + column * scale, top: view.y * ratio + row * scale, pixel: step * scale };
  }
}
