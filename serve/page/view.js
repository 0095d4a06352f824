// Where the photograph lies on the screen: scale and offset, in CSS pixels. Photograph coordinates here are of edges: its
// first pixel is [0, 1] × [0, 1]. A click's are of centres, half a pixel less; toClick and fromClick are the way between.

const LARGEST = 32; // screen pixels a photograph pixel
const KEPT = 48; // screen pixels of the photograph that always stay in sight

export class View {
  constructor() {
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.photo = { width: 1, height: 1 };
    this.screen = { width: 1, height: 1 };
    this.margin = { top: 0, right: 0, bottom: 0, left: 0 };
    this.fitted = true;
  }

  /** Show the whole photograph, between the margins, as large as it may be. */
  fit() {
    const { scale, width, height } = this.whole();
    this.scale = scale;
    this.x = this.margin.left + (width - this.photo.width * scale) / 2;
    this.y = this.margin.top + (height - this.photo.height * scale) / 2;
    this.fitted = true;
  }

  whole() {
    const width = Math.max(1, this.screen.width - this.margin.left - this.margin.right);
    const height = Math.max(1, this.screen.height - this.margin.top - this.margin.bottom);
    return { scale: Math.min(width / this.photo.width, height / this.photo.height, LARGEST), width, height };
  }

  /** The stage has another size: what was fitted is fitted again, what was not keeps its middle. */
  resize(width, height) {
    const dx = (width - this.screen.width) / 2;
    const dy = (height - this.screen.height) / 2;
    this.screen = { width, height };
    if (this.fitted) this.fit();
    else this.pan(dx, dy);
  }

  zoom(factor, px = this.screen.width / 2, py = this.screen.height / 2) {
    const smallest = Math.min(this.whole().scale, 1) / 2;
    const scale = Math.min(LARGEST, Math.max(smallest, this.scale * factor));
    this.x = px - ((px - this.x) * scale) / this.scale;
    this.y = py - ((py - this.y) * scale) / this.scale;
    this.scale = scale;
    this.pan(0, 0);
  }

  pan(dx, dy) {
    const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
    this.x = clamp(this.x + dx, KEPT - this.photo.width * this.scale, this.screen.width - KEPT);
    this.y = clamp(this.y + dy, KEPT - this.photo.height * this.scale, this.screen.height - KEPT);
    this.fitted = false;
  }

  /** A place on the stage as a click; null outside the photograph. */
  toClick(px, py) {
    const x = (px - this.x) / this.scale;
    const y = (py - this.y) / this.scale;
    if (x < 0 || y < 0 || x >= this.photo.width || y >= this.photo.height) return null;
    const centre = (value) => Math.max(0, Math.round((value - 0.5) * 100) / 100);
    return { x: centre(x), y: centre(y) };
  }

  fromClick({ x, y }) {
    return { px: (x + 0.5) * this.scale + this.x, py: (y + 0.5) * this.scale + this.y };
  }

  /** Bring a place into sight by moving no more than needed; whether it moved. */
  reveal(click, margin = 40) {
    const { px, py } = this.fromClick(click);
    const dx = Math.max(0, margin - px) - Math.max(0, px - (this.screen.width - margin));
    const dy = Math.max(0, margin - py) - Math.max(0, py - (this.screen.height - margin));
    if (!dx && !dy) return false;
    this.pan(dx, dy);
    return true;
  }
}
