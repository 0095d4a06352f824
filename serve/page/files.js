// Photographs on their way in: chosen, dropped or pasted.

import { $ } from "./dom.js";
import { notice } from "./notices.js";

/** @param open (file, name) is called with each */
export function acceptFiles(open) {
  const take = (files) => {
    const images = [...files].filter((file) => file.type.startsWith("image/"));
    if (images.length) open(images[0], images[0].name || "photograph");
    else if (files.length)
      notice("open", "error", `That is no photograph: ${files[0].name}. JPEG, PNG and WebP files work.`);
  };

  const choose = () => $("file").click();
  $("open").onclick = choose;
  $("choose").onclick = choose;
  $("file").onchange = () => {
    take($("file").files);
    $("file").value = ""; // so that the same file can be chosen again
  };

  addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) take(event.clipboardData.files);
  });

  let inside = 0; // enter and leave events come for every element on the way
  const dropping = (on) => document.body.classList.toggle("dropping", on);
  const carriesFiles = (event) => event.dataTransfer.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (carriesFiles(event)) dropping((inside += 1) > 0);
  });
  addEventListener("dragleave", (event) => {
    if (carriesFiles(event)) dropping((inside -= 1) > 0);
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    dropping((inside = 0) > 0);
    take(event.dataTransfer.files);
  });
}
