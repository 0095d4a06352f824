// Masks as they come: COCO's compressed run-length strings, decoded straight into pixels of a colour.

const MOST_PIXELS = 8e6; // of a picture of a mask; larger ones are taken every second, third … row and column

/**
 * The runs of a compressed string, off and on in turn, beginning with off; down the columns, from the left.
 * A number is written five bits a character, lowest first, from 48 on; bit 6 says that more follows, bit 5 of the last is
 * the sign. From the fourth on it is the difference to the run two before.
 */
export function runLengths(counts) {
  const runs = [];
  let value = 0;
  let shift = 0;
  for (let i = 0; i < counts.length; i += 1) {
    const bits = counts.charCodeAt(i) - 48;
    value += (bits & 31) * 2 ** shift;
    shift += 5;
    if (bits & 32) continue;
    if (bits & 16) value -= 2 ** shift;
    runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
    value = 0;
    shift = 0;
  }
  return runs;
}

/**
 * The mask inside its box as a canvas, transposed: column c of the photograph is row c of the canvas, so that a run is
 * filled in one piece. Stage.drawMask turns it back.
 *
 * @param rle {size: [height, width], counts}
 * @param box [row_min, row_max, col_min, col_max], inclusive; null: an empty mask
 * @param colour [red, green, blue]
 * @returns {{canvas, row, column, step}} or null; `step` photograph pixels are one of the canvas
 */
export function paintMask(rle, box, [red, green, blue]) {
  if (!box) return null;
  const height = rle.size[0];
  const [rowMin, rowMax, colMin, colMax] = box;
  const rows = rowMax - rowMin + 1;
  const columns = colMax - colMin + 1;
  const step = Math.max(1, Math.ceil(Math.sqrt((rows * columns) / MOST_PIXELS)));
  const across = Math.ceil(rows / step);
  const down = Math.ceil(columns / step);
  const pixels = new Uint32Array(across * down);
  const ink = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0; // little-endian RGBA
  let place = 0;
  runLengths(rle.counts).forEach((length, index) => {
    if (index % 2) {
      const end = place + length;
      for (let from = place; from < end;) {
        const column = Math.floor(from / height);
        const to = Math.min(end, (column + 1) * height);
        if ((column - colMin) % step === 0) {
          const row = ((column - colMin) / step) * across;
          const first = from - column * height - rowMin;
          const last = to - column * height - rowMin;
          pixels.fill(ink, row + Math.ceil(first / step), row + Math.ceil(last / step));
        }
        from = to;
      }
    }
    place += length;
  });
  const canvas = document.createElement("canvas");
  canvas.width = across;
  canvas.height = down;
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), across, down), 0, 0);
  return { canvas, row: rowMin, column: colMin, step };
}
