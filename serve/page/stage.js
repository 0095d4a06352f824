// The drawing: the photograph on one canvas, drawn anew when the view changes; masks, heat map, clicks and cursor on another.

import { View } from "./view.js";

const OUTLINE = 1.4; // CSS pixels
const RADIUS = 7; // of a click's dot
const ADD = "#15803d";
const REMOVE = "#c62f2f";
const OFFSETS = [[-1, -1], [1, -1], [-1, 1], [1, 1]];
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Stage {
  constructor(element) {
    this.element = element;
    this.view = new View();
    this.below = element.querySelector("#photo").getContext("2d");
    this.above = element.querySelector("#overlay").getContext("2d");
    this.scratch = document.createElement("canvas").getContext("2d");
    this.photograph = null;
    this.masks = []; // {picture: of paintMask, colour: "rgb(…)"}
    this.heat = null; // canvas, drawn in place of the masks' fill
    this.clicks = []; // {x, y, positive, waiting}
    this.cursor = null; // {x, y}
    this.opacity = 0.45;
    this.onView = () => {};
    this.stale = { photo: false, overlay: false };
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

  resize() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const ratio = devicePixelRatio;
    for (const { canvas } of [this.below, this.above, this.scratch]) {
      canvas.width = Math.max(1, Math.round(width * ratio));
      canvas.height = Math.max(1, Math.round(height * ratio));
    }
    this.ratio = ratio;
    this.view.resize(width, height);
    this.moved();
    this.draw(); // in this frame: a resized canvas is empty
  }

  /** The view has changed. */
  moved() {
    this.stale.photo = true;
    this.redraw();
    this.onView(this.view);
  }

  /** Draw what lies above the photograph in the next frame; `then`, if given, learns when that is on the screen. */
  redraw(then = null) {
    this.stale.overlay = true;
    if (then) this.painted.push(then);
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (this.stale.photo) this.drawPhotograph();
    if (this.stale.overlay) this.drawOverlay();
    this.stale = { photo: false, overlay: false };
    const painted = this.painted.splice(0);
    // The next frame begins when this one has been handed to the screen.
    if (painted.length) requestAnimationFrame(() => painted.forEach((then) => then(performance.now())));
    if (!calm.matches && this.clicks.some((click) => click.waiting)) this.redraw();
  }

  drawPhotograph() {
    const { below: context, view, ratio, photograph } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    if (!photograph) return;
    const scale = view.scale * ratio;
    context.imageSmoothingEnabled = scale < 3; // pixels are to be seen as what they are
    context.drawImage(
      photograph.at(scale),
      view.x * ratio,
      view.y * ratio,
      photograph.width * scale,
      photograph.height * scale,
    );
  }

  drawOverlay() {
    const { above: context, view, ratio, photograph } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    if (!photograph) return;
    context.imageSmoothingEnabled = view.scale * ratio < 3;
    if (this.heat) {
      context.globalAlpha = this.opacity;
      const scale = view.scale * ratio;
      context.drawImage(this.heat, view.x * ratio, view.y * ratio, photograph.width * scale, photograph.height * scale);
      context.globalAlpha = 1;
    }
    for (const mask of this.masks) this.drawMask(context, mask);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.clicks.forEach((click) => this.drawClick(context, click));
    if (this.cursor) this.drawCursor(context, view.fromClick(this.cursor));
  }

  drawMask(context, { picture, colour }) {
    if (!picture) return;
    const { scratch, ratio } = this;
    const { width, height } = scratch.canvas;
    const place = (target, dx = 0, dy = 0) => {
      const scale = this.view.scale * ratio;
      const pixel = scale * picture.step;
      const left = this.view.x * ratio + picture.column * scale + dx;
      const top = this.view.y * ratio + picture.row * scale + dy;
      target.setTransform(0, pixel, pixel, 0, left, top); // the picture is transposed
      target.drawImage(picture.canvas, 0, 0);
    };
    if (!this.heat) {
      context.globalAlpha = this.opacity;
      place(context);
      context.globalAlpha = 1;
    }
    // An outline of the same width at every zoom: the mask moved to four sides, less the mask.
    scratch.setTransform(1, 0, 0, 1, 0, 0);
    scratch.globalCompositeOperation = "source-over";
    scratch.clearRect(0, 0, width, height);
    scratch.imageSmoothingEnabled = context.imageSmoothingEnabled;
    const offset = (OUTLINE * ratio) / Math.SQRT2;
    for (const [dx, dy] of OFFSETS) place(scratch, dx * offset, dy * offset);
    scratch.globalCompositeOperation = "destination-out";
    place(scratch);
    if (this.heat) {
      scratch.setTransform(1, 0, 0, 1, 0, 0);
      scratch.globalCompositeOperation = "source-in";
      scratch.fillStyle = colour;
      scratch.fillRect(0, 0, width, height);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(scratch.canvas, 0, 0);
  }

  drawClick(context, click) {
    const { px, py } = this.view.fromClick(click);
    const colour = click.positive ? ADD : REMOVE;
    if (click.waiting) {
      const phase = calm.matches ? 0.5 : (performance.now() % 900) / 900;
      context.beginPath();
      context.arc(px, py, RADIUS + 2 + 9 * phase, 0, 2 * Math.PI);
      context.globalAlpha = 1 - phase;
      context.strokeStyle = "#fff";
      context.lineWidth = 2.5;
      context.stroke();
      context.globalAlpha = 1;
    }
    context.beginPath();
    context.arc(px, py, RADIUS, 0, 2 * Math.PI);
    context.shadowColor = "rgb(0 0 0 / 55%)";
    context.shadowBlur = 5 * this.ratio;
    context.fillStyle = colour;
    context.fill();
    context.shadowBlur = 0;
    context.strokeStyle = "#fff";
    context.lineWidth = 1.75;
    context.stroke();
    context.beginPath();
    context.moveTo(px - 3, py);
    context.lineTo(px + 3, py);
    if (click.positive) {
      context.moveTo(px, py - 3);
      context.lineTo(px, py + 3);
    }
    context.stroke();
  }

  drawCursor(context, { px, py }) {
    for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(px + 5 * dx, py + 5 * dy);
        context.lineTo(px + 16 * dx, py + 16 * dy);
      }
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke();
    }
  }
}
