// The drawing, on three canvases: the photograph; masks or the probability map; clicks and cursor. Each is drawn anew, in
// the next frame, only where something on it has changed.

import { drawClick, drawCursor } from "./marks.js";
import { View } from "./view.js";

const LAYERS = ["photo", "overlay", "marks"];
const OUTLINE = 1.4; // CSS pixels
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
    this.masks = []; // {picture: of paintMask, colour}
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
    this.masks = [];
    this.heat = null;
    this.clicks = [];
    this.cursor = null;
    if (photograph) {
      this.view.photo = photograph;
      this.view.fit();
    }
    this.moved();
  }

  setMasks(masks) {
    const same =
      masks.length === this.masks.length && masks.every(({ picture }, i) => picture === this.masks[i].picture);
    this.masks = masks;
    if (!same) this.redraw("overlay");
  }

  setHeat(heat) {
    this.heat = heat;
    this.redraw("overlay");
  }

  setOpacity(opacity) {
    this.opacity = opacity;
    this.redraw("overlay");
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

  overlay(context) {
    if (this.heat) {
      context.globalAlpha = this.opacity;
      this.drawWhole(context, this.heat);
    }
    for (const { picture, colour } of this.masks) {
      if (!picture) continue;
      context.globalAlpha = this.opacity;
      if (!this.heat) this.drawMask(context, picture);
      context.globalAlpha = 1;
      this.drawOutline(context, picture, colour);
    }
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

  drawMask(context, { canvas, row, column, step }, dx = 0, dy = 0) {
    const { view, ratio } = this;
    const scale = view.scale * ratio;
    const left = view.x * ratio + column * scale + dx;
    const top = view.y * ratio + row * scale + dy;
    context.setTransform(0, step * scale, step * scale, 0, left, top); // the picture is transposed
    context.drawImage(canvas, 0, 0);
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  /** Of the same width at every zoom: the mask moved to four sides, less the mask. */
  drawOutline(context, picture, colour) {
    const { scratch } = this;
    const { width, height } = scratch.canvas;
    scratch.globalCompositeOperation = "source-over";
    scratch.clearRect(0, 0, width, height);
    scratch.imageSmoothingEnabled = context.imageSmoothingEnabled;
    const offset = (OUTLINE * this.ratio) / Math.SQRT2;
    for (const [dx, dy] of SIDES) this.drawMask(scratch, picture, dx * offset, dy * offset);
    scratch.globalCompositeOperation = "destination-out";
    this.drawMask(scratch, picture);
    scratch.globalCompositeOperation = "source-in";
    scratch.fillStyle = colour;
    scratch.fillRect(0, 0, width, height);
    context.drawImage(scratch.canvas, 0, 0);
  }
}
