// A photograph as bitmaps: in full and halved until small, so that drawing it shrunk is fast and free of moiré.

import { hasAlpha, opaqueBitmap } from "./opaque.js";
import { turned, webpOrientation } from "./upright.js";

const SMALLEST = 1024; // the longer side at which halving ends

export class Photograph {
  /** @param levels bitmaps, each half the size of the one before */
  constructor(levels) {
    this.levels = levels;
    this.width = levels[0].width;
    this.height = levels[0].height;
  }

  /**
   * @param blob the file
   * @param size {width, height} as the server decodes it, where that is known: it decides whether the orientation that the
   *   file carries is applied
   * @throws Error where the browser cannot decode the file
   */
  static async decode(blob, size = null) {
    let bitmap;
    try {
      const bitmapOf = (await hasAlpha(blob)) ? opaqueBitmap : createImageBitmap;
      const orientation = await webpOrientation(blob);
      bitmap = await bitmapOf(blob, orientation > 1 ? { imageOrientation: "none" } : {});
      if (orientation > 1) {
        bitmap = await turned(bitmap, orientation);
      } else if (size && (bitmap.width !== size.width || bitmap.height !== size.height)) {
        bitmap.close();
        bitmap = await bitmapOf(blob, { imageOrientation: "none" });
      }
    } catch {
      throw new Error("This browser cannot show that file. JPEG, PNG and WebP photographs work.");
    }
    const levels = [bitmap];
    while (Math.max(bitmap.width, bitmap.height) > SMALLEST) {
      const half = { resizeWidth: Math.ceil(bitmap.width / 2), resizeHeight: Math.ceil(bitmap.height / 2) };
      bitmap = await createImageBitmap(bitmap, { ...half, resizeQuality: "medium" });
      levels.push(bitmap);
    }
    return new Photograph(levels);
  }

  /** The smallest bitmap that is not enlarged at this scale (device pixels a photograph pixel). */
  at(scale) {
    let level = 0;
    while (level + 1 < this.levels.length && scale <= 1 / 2 ** (level + 1)) level += 1;
    return this.levels[level];
  }

  close() {
    for (const bitmap of this.levels) bitmap.close();
  }
}
