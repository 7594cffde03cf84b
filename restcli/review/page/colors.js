// Colours of the style sheet for canvases, and canvases as sharp as the screen.

export const FONT = "11px system-ui, sans-serif";
const NAMES = "paper ink quiet grid gridFine left right middle other gap hatch hatchFine open accept reject unsure selected low high";
let known = null;

export function colors() {
  const style = known ?? getComputedStyle(document.documentElement);
  known ??= Object.fromEntries(NAMES.split(" ").map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  return known;
}

export function onTheme(redraw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    known = null;
    redraw();
  });
}

// Makes a canvas as large as its box, in pixels of the screen, and returns a context that counts in CSS pixels.
export function fit(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}

export function hatching(ctx, color) {
  const tile = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
  const pen = tile.getContext("2d");
  pen.strokeStyle = color;
  for (const shift of [-8, 0, 8]) {
    pen.moveTo(shift - 1, 9);
    pen.lineTo(shift + 9, -1);
  }
  pen.stroke();
  return ctx.createPattern(tile, "repeat");
}
