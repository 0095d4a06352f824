// Photographs on their way in: chosen, dropped or pasted.

import { $ } from "./dom.js";
import { hideNotice, notice } from "./notices.js";

/** What the server reads; index.html lists the same for the file dialog. */
const TYPES = ["image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff"];
const NO_TYPE = /\.(jpe?g|png|webp|bmp|tiff?)$/i; // some systems tell no type
const LONGEST = 255; // characters

const isPhotograph = ({ type, name }) => TYPES.includes(type) || (!type && NO_TYPE.test(name));

/** A name that the server takes. */
function nameOf({ name }) {
  const characters = [...name].filter((character) => !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(character));
  return characters.slice(-LONGEST).join("") || "photograph";
}

/** @param open (file, name) is called with each */
export function acceptFiles(open) {
  const take = (list) => {
    const files = [...list];
    if (!files.length) return;
    const file = files.find(isPhotograph);
    hideNotice("files");
    if (!file) {
      const what = files[0].type.startsWith("image/") ? "That kind of picture is not taken" : "That is no photograph";
      notice("files", "error", `${what}: ${files[0].name}. JPEG, PNG and WebP files work.`);
      return;
    }
    const name = nameOf(file);
    if (files.length > 1) {
      const others = files.length === 2 ? "the other file is" : `the other ${files.length - 1} files are`;
      notice("files", "warn", `Opening ${name}; ${others} not opened. One photograph at a time.`);
    }
    open(file, name);
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
