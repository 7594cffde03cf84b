// The whole recording at a glance: events, probability, amplitude, spectrum; a click goes there.

import { colors, fit, FONT, hatching } from "./colors.js";
import { elapsed } from "./format.js";
import { gutterOf, MARGIN } from "./traces.js";

const HEIGHTS = { events: 14, probability: 42, amplitude: 26, spectrum: 36 };
const AXIS = 16;

export class Strip {
  data = "is being read"; // as the server gives it, which takes a while for a long recording; words until then
  view = null;
  #box;
  #canvas;
  #frame; // around the page shown

  constructor(box, go) {
    this.#box = box;
    [this.#canvas, this.#frame] = box.children;
    for (const kind of ["pointerdown", "pointermove"]) {
      box.addEventListener(kind, (event) => event.buttons === 1 && this.view && go(this.#timeAt(event.clientX)));
    }
  }

  get #left() {
    return gutterOf(this.#box);
  }

  get #width() {
    return this.#box.clientWidth - this.#left - MARGIN;
  }

  #x(time) {
    return this.#left + (time / this.view.recording.duration) * this.#width;
  }

  #timeAt(clientX) {
    const x = clientX - this.#box.getBoundingClientRect().left - this.#left;
    return Math.min(Math.max(x / this.#width, 0), 1) * this.view.recording.duration;
  }

  draw() {
    if (!this.view || !this.#box.clientWidth) return;
    const shown = Object.keys(HEIGHTS).filter((name) => name !== "probability" || this.view.recording.threshold !== null);
    const bottom = shown.reduce((sum, name) => sum + HEIGHTS[name] + 4, 2);
    Object.assign(this.#canvas.style, { width: `${this.#box.clientWidth}px`, height: `${bottom + AXIS}px` });
    const ctx = fit(this.#canvas, this.#box.clientWidth, bottom + AXIS);
    const ink = colors();
    let top = 2;
    for (const name of shown) {
      const row = { top, height: HEIGHTS[name], bottom: top + HEIGHTS[name] };
      ctx.strokeStyle = ink.grid;
      ctx.lineWidth = 1;
      ctx.strokeRect(this.#left + 0.5, row.top + 0.5, this.#width - 1, row.height - 1);
      const known = typeof this.data === "object" || name === "events";
      const words = [name, known ? this[`_${name}`](ctx, row, ink) : this.data].filter(Boolean);
      ctx.font = this.#left < 60 ? FONT.replace("11", "9") : FONT;
      ctx.fillStyle = ink.quiet;
      words.forEach((line, k) => ctx.fillText(line, 4, top + row.height / 2 + 3 + 11 * (k - (words.length - 1) / 2)));
      top = row.bottom + 4;
    }
    this.#drawUnscored(ctx, bottom, ink);
    this.#drawAxis(ctx, bottom, ink);
    this.frame();
  }

  frame() {
    if (!this.view) return;
    const { recording, page, seconds, start } = this.view;
    const from = page?.start ?? start;
    const [left, right] = [from, Math.min(from + seconds, recording.duration)].map((time) => this.#x(time));
    Object.assign(this.#frame.style, { left: `${left - 2}px`, width: `${Math.max(3, right - left) + 4}px` });
  }

  // Each of the four draws a row and returns its second line of words, if it has one.
  _events(ctx, row, ink) {
    for (const event of this.view.events) {
      const [left, right] = [this.#x(event.onset), this.#x(event.stop)];
      const shift = event.id === this.view.selected?.id ? 0 : event.verdict === "reject" ? row.height / 2 : 2;
      ctx.fillStyle = ink[event.verdict || "open"];
      ctx.fillRect(left, row.top + shift, Math.max(2, right - left), row.height - shift - (shift ? 2 : 0));
    }
  }

  _probability(ctx, row, ink) {
    const y = (value) => row.bottom - 1 - value * (row.height - 2);
    this.#drawCurve(ctx, this.data.probability, y, ink.open);
    const { threshold } = this.view.recording;
    ctx.strokeStyle = ctx.fillStyle = ink.ink;
    ctx.setLineDash([4, 3]);
    ctx.beginPath();
    ctx.moveTo(this.#left, y(threshold));
    ctx.lineTo(this.#left + this.#width, y(threshold));
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.fillText(threshold.toFixed(2), this.#left + this.#width + 4, y(threshold) + 4);
  }

  // On a logarithmic axis.
  _amplitude(ctx, row, ink) {
    const known = this.data.amplitude.filter((value) => value > 0).map(Math.log);
    if (!known.length) return "";
    const [low, high] = known.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
    const y = (value) => row.bottom - 2 - ((Math.log(Math.max(value, 1e-3)) - low) / (high - low || 1)) * (row.height - 4);
    this.#drawCurve(ctx, this.data.amplitude, y, ink.middle);
    return `${Math.round(Math.exp(low))}–${Math.round(Math.exp(high))} µV`;
  }

  _spectrum(ctx, row, ink) {
    const { rows, bins, data, low, high } = this.data.spectrum;
    if (!rows) return "";
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const [from, to] = [ink.low, ink.high].map((color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)));
    const image = new ImageData(rows, bins);
    for (let k = 0; k < rows * bins; k += 1) {
      const at = 4 * ((bins - 1 - (k % bins)) * rows + Math.floor(k / bins));
      const mixed = from.map((value, part) => value + ((to[part] - value) * bytes[k]) / 255);
      image.data.set([...mixed, bytes[k] ? 255 : 0], at); // 0 is unknown
    }
    const picture = Object.assign(document.createElement("canvas"), { width: rows, height: bins });
    picture.getContext("2d").putImageData(image, 0, 0);
    ctx.drawImage(picture, this.#left, row.top, this.#width, row.height);
    return `${low}–${high} Hz`;
  }

  // A missing value leaves a gap in the curve: it is not scored, not low.
  #drawCurve(ctx, values, y, color) {
    ctx.strokeStyle = color;
    ctx.lineWidth = 1;
    ctx.beginPath();
    values.forEach((value, k) => {
      if (value === null) return;
      if (k === 0 || values[k - 1] === null) ctx.moveTo(this.#x(this.data.time[k]) - 0.5, y(value));
      ctx.lineTo(this.#x(this.data.time[k]), y(value));
    });
    ctx.stroke();
  }

  #drawUnscored(ctx, bottom, ink) {
    for (const [start, stop] of this.view.recording.unscored) {
      const [left, width] = [this.#x(start), Math.max(2, this.#x(stop) - this.#x(start))];
      for (const fill of [ink.gap, width < 4 ? ink.hatch : hatching(ctx, ink.hatch)]) {
        ctx.fillStyle = fill;
        ctx.fillRect(left, 2, width, bottom - 2);
      }
    }
  }

  #drawAxis(ctx, bottom, ink) {
    const { duration } = this.view.recording;
    const steps = [10, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 43200];
    const step = steps.find((each) => (each / duration) * this.#width >= 64) ?? 86400;
    ctx.font = FONT;
    ctx.fillStyle = ink.quiet;
    ctx.textAlign = "center";
    for (let time = 0; time <= duration; time += step) ctx.fillText(elapsed(time), this.#x(time), bottom + 13);
    ctx.textAlign = "left";
  }
}
