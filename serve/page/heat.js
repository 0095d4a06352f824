// The probability map in colours.

const ANCHORS = [
  [18, 16, 64],
  [76, 29, 130],
  [168, 44, 118],
  [232, 88, 72],
  [250, 168, 62],
  [255, 246, 190],
]; // 0 … 1
const MOST_PIXELS = 4e6; // the map is smooth: a smaller picture of it is as good

/** 256 colours as red, green, blue, opaque. */
const COLOURS = new Uint8ClampedArray(1024);
for (let level = 0; level < 256; level += 1) {
  const place = (level / 255) * (ANCHORS.length - 1);
  const left = Math.min(Math.floor(place), ANCHORS.length - 2);
  for (let channel = 0; channel < 3; channel += 1) {
    COLOURS[4 * level + channel] =
      ANCHORS[left][channel] + (place - left) * (ANCHORS[left + 1][channel] - ANCHORS[left][channel]);
  }
  COLOURS[4 * level + 3] = 255;
}

/** The scale from 0 to 1, into a canvas 256 pixels wide. */
export function drawScale(canvas) {
  canvas.getContext("2d").putImageData(new ImageData(COLOURS.slice(), 256, 1), 0, 0);
}

/** An 8-bit grey PNG of probabilities (255 is 1) as a canvas of colours. */
export async function paintHeat(png) {
  const bitmap = await createImageBitmap(png, { colorSpaceConversion: "none" });
  const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * shrink));
  canvas.height = Math.max(1, Math.round(bitmap.height * shrink));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const data = context.getImageData(0, 0, canvas.width, canvas.height);
  const pixels = new Uint32Array(data.data.buffer);
  const colours = new Uint32Array(COLOURS.buffer);
  for (let i = 0; i < pixels.length; i += 1) pixels[i] = colours[pixels[i] & 255];
  context.putImageData(data, 0, 0);
  return canvas;
}
