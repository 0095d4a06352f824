// The keyboard: shortcuts, and a cursor on the photograph for those who click without a pointer.

const STEP = 12; // CSS pixels an arrow key moves the cursor
const SMALL_STEP = 1; // with Shift
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @param stage a Stage
 * @param hands undo(whether the key is held), redo(the same), finish, toggleView, help, fit, zoom(factor), cursorMoved({x, y}), click(x, y of the photograph, remove, time)
 * @returns {{isPanning: () => boolean}} whether the space bar is held
 */
export function bindKeys(stage, hands) {
  let panning = false;
  const setPanning = (on) => {
    panning = on;
    stage.element.classList.toggle("panning", on);
  };
  const letters = {
    n: hands.finish,
    p: hands.toggleView,
    "?": hands.help,
    0: hands.fit,
    "+": () => hands.zoom(1.25),
    "=": () => hands.zoom(1.25),
    "-": () => hands.zoom(0.8),
  };

  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const target = event.target;
    const typing = target.matches("select, input, textarea");
    if (event.ctrlKey || event.metaKey) {
      if (event.altKey || (typing && target.type !== "radio" && target.type !== "range")) return;
      if (key === "z") hands[event.shiftKey ? "redo" : "undo"](event.repeat);
      else if (key === "y") hands.redo(event.repeat);
      else return;
      event.preventDefault();
      return;
    }
    if (event.altKey || typing || !stage.photograph) return;
    const onStage = target === stage.element || target === document.body;
    if (letters[key]) {
      letters[key]();
    } else if (!onStage) {
      return; // a button's own Space, Enter and arrows
    } else if (key === " ") {
      setPanning(true);
    } else if (key === "Enter") {
      if (!event.repeat) hands.finish();
    } else if (ARROWS[key]) {
      moveCursor(ARROWS[key], event.shiftKey ? SMALL_STEP : STEP);
    } else if ((key === "a" || key === "r") && stage.cursor) {
      if (!event.repeat) hands.click(stage.cursor.x, stage.cursor.y, key === "r", event.timeStamp);
    } else if (key === "Escape") {
      stage.setCursor(null);
    } else {
      return;
    }
    event.preventDefault();
  });
  addEventListener("keyup", (event) => {
    if (event.key === " ") setPanning(false);
  });
  addEventListener("blur", () => setPanning(false));

  function moveCursor([dx, dy], step) {
    const { view, photograph } = stage;
    const clamp = (value, size) => Math.min(size - 1, Math.max(0, value));
    // It begins in the middle of what is in sight, and does not move at that first key.
    const begin = view.toClick(view.screen.width / 2, view.screen.height / 2);
    const from = stage.cursor ?? begin ?? { x: photograph.width / 2, y: photograph.height / 2 };
    const length = stage.cursor ? step / view.scale : 0;
    const to = { x: clamp(from.x + dx * length, photograph.width), y: clamp(from.y + dy * length, photograph.height) };
    stage.setCursor(to);
    if (view.reveal(to)) stage.moved();
    hands.cursorMoved(stage.cursor);
  }

  return { isPanning: () => panning };
}
