// WebP files with an EXIF orientation, turned upright as the server turns them: browsers show them as they are stored.

const ORIENTATION = 0x0112; // EXIF's tag
const LARGEST = 64 * 1024; // bytes of an EXIF block that are looked at; the orientation is at its beginning

/** A WebP file's EXIF orientation, 1 to 8; 1 of all other files. */
export async function webpOrientation(blob) {
  const view = async (from, length) => new DataView(await blob.slice(from, from + length).arrayBuffer());
  const text = (part, from) => String.fromCharCode(...new Uint8Array(part.buffer, from, 4));
  const head = await view(0, 12);
  if (head.byteLength < 12 || text(head, 0) !== "RIFF" || text(head, 8) !== "WEBP") return 1;
  for (let place = 12; place + 8 <= blob.size;) {
    const chunk = await view(place, 8);
    const length = chunk.getUint32(4, true);
    if (text(chunk, 0) === "EXIF") return orientationOf(await view(place + 8, Math.min(length, LARGEST)));
    place += 8 + length + (length % 2);
  }
  return 1;
}

/** Of an EXIF block; 1 where it is damaged or does not say. */
function orientationOf(block) {
  const start = block.byteLength > 6 && block.getUint32(0) === 0x45786966 ? 6 : 0; // "Exif", which some put before it
  try {
    const little = block.getUint16(start) === 0x4949;
    const first = start + block.getUint32(start + 4, little);
    const entries = block.getUint16(first, little);
    for (let i = 0; i < entries; i += 1) {
      const entry = first + 2 + 12 * i;
      if (block.getUint16(entry, little) !== ORIENTATION) continue;
      const value = block.getUint16(entry + 8, little);
      return value >= 1 && value <= 8 ? value : 1;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}

/** The bitmap, turned. It is closed. */
export async function turned(bitmap, orientation) {
  const { width: w, height: h } = bitmap;
  const way = [
    [1, 0, 0, 1, 0, 0],
    [-1, 0, 0, 1, w, 0],
    [-1, 0, 0, -1, w, h],
    [1, 0, 0, -1, 0, h],
    [0, 1, 1, 0, 0, 0],
    [0, 1, -1, 0, h, 0],
    [0, -1, -1, 0, h, w],
    [0, -1, 1, 0, 0, w],
  ][orientation - 1];
  const [width, height] = orientation > 4 ? [h, w] : [w, h];
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { alpha: false });
  context.setTransform(...way);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return createImageBitmap(canvas);
}
