// Mouse, pen and fingers on the stage.

const SLIP = 5; // CSS pixels that a mouse or pen may slip while its button is down, and still click
const SLACK = 10; // the same of a finger
const TWICE = 300; // milliseconds within which a second tap at the same place belongs to the first
const WHEEL = 0.0016; // zoom a wheel pixel, as an exponent

/**
 * @param stage a Stage
 * @param hands {click(x, y on the stage, remove, time), dragged() of a drag that does nothing, isPanning() → whether the
 *   space bar is held}
 */
export function bindPointer(stage, hands) {
  const { element, view } = stage;
  const down = new Map(); // pointers on the stage: id → {x, y}
  let drag = null; // a mouse that moves the photograph
  let tap = null; // a finger that may yet be a tap: {id, photograph, x, y}
  let press = null; // a mouse that may yet be a click: {id, photograph, x, y, remove, again: whether it is a
  // second one at the same place, as the system sees it}
  let last = null; // the newest click, until something else is done: {x, y, remove, time, photograph}

  const place = (event) => {
    const frame = element.getBoundingClientRect();
    return { x: event.clientX - frame.left, y: event.clientY - frame.top };
  };

  /** Once: a double click is a habit of the hand, not two clicks. */
  function click({ x, y, remove, again, photograph }, time) {
    if (photograph !== stage.photograph) return; // it was meant for the one that was here when the button came down
    const same = last?.photograph === photograph && last.remove === remove;
    last = { x, y, remove, time, photograph };
    if (!(same && again)) hands.click(x, y, remove, time);
  }
  const isSecondTap = ({ x, y }, time) =>
    !!last && time - last.time < TWICE && Math.hypot(x - last.x, y - last.y) <= 2 * SLACK;
  addEventListener("keydown", () => (last = null), true);
  addEventListener("wheel", () => (last = null), { capture: true, passive: true });
  addEventListener("pointerdown", ({ target }) => element.contains(target) || (last = null), true);

  element.addEventListener("pointerdown", (event) => {
    if (!stage.photograph) return;
    const at = place(event);
    element.setPointerCapture(event.pointerId);
    if (event.pointerType === "touch") {
      down.set(event.pointerId, at);
      tap = down.size === 1 ? { id: event.pointerId, photograph: stage.photograph, ...at } : null;
    } else if (event.button === 1 || (event.button === 0 && hands.isPanning())) {
      event.preventDefault(); // the middle button would scroll
      drag = { id: event.pointerId, ...at };
      element.classList.add("dragging");
    } else if (event.button === 0 || event.button === 2) {
      const remove = event.button === 2 || event.shiftKey;
      press = { id: event.pointerId, photograph: stage.photograph, ...at, remove };
    }
  });

  element.addEventListener("mousedown", (event) => {
    if (press) press.again = event.detail > 1; // pointer events do not count
  });

  element.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (drag?.id === event.pointerId) {
      view.pan(at.x - drag.x, at.y - drag.y);
      drag = { ...drag, ...at };
      stage.moved();
    } else if (press?.id === event.pointerId) {
      if (Math.hypot(at.x - press.x, at.y - press.y) <= SLIP) return;
      press = null;
      hands.dragged();
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
    // Where the button or finger came down, which is what was aimed at.
    const time = event.timeStamp;
    if (tap?.id === event.pointerId) click({ ...tap, remove: false, again: isSecondTap(tap, time) }, time);
    if (press?.id === event.pointerId) click(press, time);
    release(event);
  });
  element.addEventListener("pointercancel", release);

  function release(event) {
    down.delete(event.pointerId);
    if (tap?.id === event.pointerId) tap = null;
    if (press?.id === event.pointerId) press = null;
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
