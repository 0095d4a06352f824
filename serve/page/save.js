// Files on their way out.

/** Hand a blob to the browser's downloads. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000); // the browser may still be reading
}

/** A file's name without its ending. */
export const stem = (name) => name.replace(/\.[^.]*$/, "") || "photograph";
