// What is drawn of clicks and of the keyboard's cursor; sizes are CSS pixels, the same at every zoom.

const RADIUS = 7;
const SIGN = 3; // half the length of a plus's strokes
const COLOURS = { true: "#15803d", false: "#c62f2f" };

/** A dot with a plus or a minus; inside a ring until the server has answered. */
export function drawClick(context, { px, py }, { positive, waiting }) {
  context.save();
  context.strokeStyle = "#fff";
  if (waiting) {
    circle(context, px, py, RADIUS + 5);
    context.lineWidth = 2;
    context.setLineDash([5, 3.5]);
    context.shadowColor = "rgb(0 0 0 / 60%)";
    context.shadowBlur = 4;
    context.stroke();
    context.setLineDash([]);
  }
  circle(context, px, py, RADIUS);
  context.shadowColor = "rgb(0 0 0 / 55%)";
  context.shadowBlur = 6;
  context.fillStyle = COLOURS[positive];
  context.fill();
  context.shadowBlur = 0;
  context.lineWidth = 1.75;
  context.stroke();
  context.beginPath();
  context.moveTo(px - SIGN, py);
  context.lineTo(px + SIGN, py);
  if (positive) {
    context.moveTo(px, py - SIGN);
    context.lineTo(px, py + SIGN);
  }
  context.stroke();
  context.restore();
}

/** Four strokes around the place, white on black. */
export function drawCursor(context, { px, py }) {
  const strokes = [
    [1, 0],
    [-1, 0],
    [0, 1],
    [0, -1],
  ];
  context.lineCap = "round";
  for (const [colour, width] of [
    ["#000", 4.5],
    ["#fff", 2],
  ]) {
    context.beginPath();
    for (const [dx, dy] of strokes) {
      context.moveTo(px + 5 * dx, py + 5 * dy);
      context.lineTo(px + 17 * dx, py + 17 * dy);
    }
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke();
  }
}

function circle(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
}
