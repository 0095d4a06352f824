// Photographs with alpha as the network sees them: alpha is dropped, the colours under it are as the file has them. A 2D
// canvas multiplies colours by alpha and cannot give them back; a texture does not.

const TILE = 2048; // pixels a side, of which every WebGL has textures

/** Whether a file of these kinds may have pixels that are not opaque. */
export async function hasAlpha(blob) {
  const bytes = async (from, to) => new Uint8Array(await blob.slice(from, to).arrayBuffer());
  const text = (part) => String.fromCharCode(...part);
  const head = await bytes(0, 32);
  if (text(head.subarray(0, 2)) === "BM") return true; // seldom, and not worth telling apart
  if (text(head.subarray(8, 12)) === "WEBP") {
    const kind = text(head.subarray(12, 16));
    return (kind === "VP8X" && (head[20] & 16) > 0) || (kind === "VP8L" && (head[24] & 16) > 0);
  }
  if (text(head.subarray(1, 4)) !== "PNG") return false;
  if (head[25] & 4) return true;
  for (let place = 8; place < blob.size;) {
    const chunk = await bytes(place, place + 8); // its length and name; one colour may be named as transparent
    const name = text(chunk.subarray(4));
    if (name === "tRNS") return true;
    if (name === "IDAT" || chunk.length < 8) return false;
    place += 12 + new DataView(chunk.buffer).getUint32(0);
  }
  return false;
}

/**
 * The picture without its alpha, as a bitmap.
 *
 * @param options of createImageBitmap
 */
export async function opaqueBitmap(blob, options = {}) {
  const raw = await createImageBitmap(blob, { ...options, premultiplyAlpha: "none" });
  const { width, height } = raw;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { alpha: false });
  const gl = document.createElement("canvas").getContext("webgl");
  if (gl) {
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
    for (let y = 0; y < height; y += TILE) {
      for (let x = 0; x < width; x += TILE) {
        const [w, h] = [Math.min(TILE, width - x), Math.min(TILE, height - y)];
        const tile = await createImageBitmap(raw, x, y, w, h, { premultiplyAlpha: "none" });
        context.putImageData(withoutAlpha(gl, tile), x, y);
        tile.close();
      }
    }
    gl.getExtension("WEBGL_lose_context")?.loseContext(); // browsers have few of them
  } else {
    context.drawImage(raw, 0, 0); // opaque at least: black where it is transparent
  }
  raw.close();
  return createImageBitmap(canvas);
}

function withoutAlpha(gl, tile) {
  const pixels = new Uint8Array(4 * tile.width * tile.height);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, tile);
  gl.framebufferTexture2D(
    gl.FRAMEBUFFER,
    gl.COLOR_ATTACHMENT0,
    gl.TEXTURE_2D,
    gl.getParameter(gl.TEXTURE_BINDING_2D),
    0,
  );
  gl.readPixels(0, 0, tile.width, tile.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  for (let i = 3; i < pixels.length; i += 4) pixels[i] = 255;
  return new ImageData(new Uint8ClampedArray(pixels.buffer), tile.width, tile.height);
}
