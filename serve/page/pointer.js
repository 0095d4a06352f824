// Mouse, pen and fingers on the stage.

const SLACK = 10; // CSS pixels that a finger may slip and still tap
const WHEEL = 0.0016; // zoom a wheel pixel, as an exponent

/**
 * @param stage a Stage
 * @param hands {click(x, y on the stage, remove, time), isPanning() → whether the space bar is held}
 */
export function bindPointer(stage, hands) {
  const { element, view } = stage;
  const down = new Map(); // pointers on the stage: id → {x, y}
  let drag = null; // a mouse that moves the photograph
  let tap = null; // a finger that may yet be a tap: {id, x, y}

  const place = (event) => {
    const frame = element.getBoundingClientRect();
    return { x: event.clientX - frame.left, y: event.clientY - frame.top };
  };

  element.addEventListener("pointerdown", (event) => {
    if (!stage.photograph) return;
    const at = place(event);
    element.setPointerCapture(event.pointerId);
    if (event.pointerType === "touch") {
      down.set(event.pointerId, at);
      tap = down.size === 1 ? { id: event.pointerId, ...at } : null;
    } else if (event.button === 1 || (event.button === 0 && hands.isPanning())) {
      event.preventDefault(); // the middle button would scroll
      drag = { id: event.pointerId, ...at };
      element.classList.add("dragging");
    } else if (event.button === 0 || event.button === 2) {
      // On the way down: the mask shall be there before the finger leaves the button.
      hands.click(at.x, at.y, event.button === 2 || event.shiftKey, event.timeStamp);
    }
  });

  element.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (drag?.id === event.pointerId) {
      view.pan(at.x - drag.x, at.y - drag.y);
      drag = { ...drag, ...at };
      stage.moved();
    } else if (down.has(event.pointerId)) {
      if (tap && Math.hypot(at.x - tap.x, at.y - tap.y) <= SLACK) return;
      tap = null;
      moveFingers(event.pointerId, at);
    }
  });

  /** One finger moves the photograph, two move and zoom it. */
  function moveFingers(id, at) {
    const before = [...down.values()].slice(0, 2);
    down.set(id, at);
    const after = [...down.values()].slice(0, 2);
    const [from, to] = [middle(before), middle(after)];
    if (before.length === 2) view.zoom(Math.max(1, to.spread) / Math.max(1, from.spread), from.x, from.y);
    view.pan(to.x - from.x, to.y - from.y);
    stage.moved();
  }

  element.addEventListener("pointerup", (event) => {
    if (tap?.id === event.pointerId) hands.click(tap.x, tap.y, false, event.timeStamp);
    release(event);
  });
  element.addEventListener("pointercancel", release);

  function release(event) {
    down.delete(event.pointerId);
    if (tap?.id === event.pointerId) tap = null;
    if (drag?.id === event.pointerId) {
      drag = null;
      element.classList.remove("dragging");
    }
  }

  element.addEventListener(
    "wheel",
    (event) => {
      if (!stage.photograph) return;
      event.preventDefault();
      const at = place(event);
      const pixels = event.deltaY * [1, 18, 400][event.deltaMode];
      const speed = event.ctrlKey ? 6 * WHEEL : WHEEL; // a pinch on a touch pad comes as small steps with Ctrl
      view.zoom(Math.exp(-Math.max(-400, Math.min(400, pixels)) * speed), at.x, at.y);
      stage.moved();
    },
    { passive: false },
  );

  element.addEventListener("contextmenu", (event) => event.preventDefault());
  element.addEventListener("auxclick", (event) => event.preventDefault()); // the middle button pastes on some systems
}

function middle(points) {
  const [a, b = a] = points;
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, spread: Math.hypot(a.x - b.x, a.y - b.y) };
}
