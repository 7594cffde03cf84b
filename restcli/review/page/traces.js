// The page of EEG: traces on one canvas; events, what is dragged and the caliper on another one above it.

import { colors, fit, FONT, hatching } from "./colors.js";
import { clockAt, elapsed, percent } from "./format.js";

export const MARGIN = 46; // px at the right, for the scale bar
const TOP = 34; // px for the names of events and for what was not scored
const GAP = 0.6; // room between groups of traces, in distances between traces
const NO_SIGNAL = -32768;
const NEAR = 7; // px within which an edge is taken
const SHORTEST = 0.1; // s, the shortest event
// Other signals are larger than EEG; their sensitivity follows the EEG's.
export const COARSER = { eeg: 1, eog: 2, emg: 2, ecg: 10 };
export const SIGNS = { "": "", accept: "✓", reject: "✗", unsure: "?" };

export const gutterOf = (box) => (box.clientWidth < 500 ? 54 : 78);

export function typeName({ types }, label) {
  return types.find(([name]) => name === label)?.[1] ?? label;
}

export class Traces {
  view = null; // what main.js shows: page, recording, montage, events, selected, sensitivity, mm
  adding = false;
  #caliper = null; // {from: {t, y}, to: {t, y}}
  #drag = null;
  #box;
  #act;
  #rows = [];

  constructor(box, act) {
    this.#box = box;
    this.#act = act;
    box.addEventListener("pointerdown", (event) => this.#down(event));
    box.addEventListener("pointermove", (event) => this.#move(event));
    box.addEventListener("pointerup", (event) => this.#up(event));
    box.addEventListener("pointercancel", () => this.cancel());
  }

  get plotWidth() {
    return Math.max(50, this.#box.clientWidth - gutterOf(this.#box) - MARGIN);
  }

  get measuring() {
    return this.#caliper !== null;
  }

  // Where things are: times along x, all in CSS pixels.
  get #plot() {
    const [left, right] = [gutterOf(this.#box), gutterOf(this.#box) + this.plotWidth];
    const { page, seconds, recording } = this.view;
    const scale = this.plotWidth / seconds;
    const height = Math.max(this.#box.clientHeight, TOP + 32 + 11 * this.view.montage.traces.length);
    const x = (time) => left + (time - page.start) * scale;
    const inside = (at) => Math.min(Math.max(at, left), right);
    const span = (start, stop) => [inside(x(start)), inside(x(stop))];
    const time = (at) => Math.min(page.start + (inside(at) - left) / scale, recording.duration);
    return { left, right, scale, height, bottom: height - (recording.clock ? 32 : 18), x, span, time, end: page.start + seconds };
  }

  #microvoltsPerPixel(kind) {
    return (this.view.sensitivity * (COARSER[kind] ?? 1)) / this.view.mm;
  }

  draw() {
    if (!this.view?.page) return;
    const plot = this.#plot;
    this.#place(plot);
    if (this.#caliper && !this.#isOnPage(this.#caliper, plot)) this.#caliper = null;
    const ctx = this.#fit(0, plot);
    const missing = this.#missing(plot);
    this.#drawGrid(ctx, plot);
    this.#shade(ctx, plot, missing);
    this.#drawSignals(ctx, plot);
    this.#drawAxis(ctx, plot);
    for (const { words, middle, gap } of missing) write(ctx, words, middle, gap ? 48 : 29, { room: this.plotWidth });
    this.#drawLabels(ctx, plot);
    this.#drawScaleBar(ctx, plot);
    this.drawOverlay();
  }

  #isOnPage({ from, to }, { end }) {
    return Math.max(from.t, to.t) > this.view.page.start && Math.min(from.t, to.t) < end;
  }

  #fit(which, { height }) {
    const canvas = this.#box.querySelectorAll("canvas")[which];
    Object.assign(canvas.style, { width: `${this.#box.clientWidth}px`, height: `${height}px` });
    return fit(canvas, this.#box.clientWidth, height);
  }

  #place({ bottom }) {
    const { traces } = this.view.montage;
    let place = 0;
    const places = traces.map(({ group, kind }, k) => {
      if (k && (traces[k - 1].group !== group || traces[k - 1].kind !== kind)) place += GAP;
      return place++;
    });
    const unit = (bottom - TOP) / (place + 0.8);
    this.#rows = traces.map((trace, k) => ({ ...trace, y: TOP + (places[k] + 0.7) * unit, unit }));
  }

  #drawGrid(ctx, { scale, bottom, x, end }) {
    const step = [1, 5, 10].find((each) => each * scale >= 24) ?? 60;
    const fine = scale >= 60 ? 0.2 : step;
    for (const time of multiples(fine, this.view.page.start, end)) {
      const isHeavy = Math.abs(time / step - Math.round(time / step)) < 1e-6;
      ctx.fillStyle = isHeavy ? colors().grid : colors().gridFine;
      ctx.fillRect(Math.round(x(time)), TOP, 1, bottom - TOP);
    }
  }

  #drawAxis(ctx, { left, right, scale, bottom, x, end }) {
    const { page, recording } = this.view;
    const rows = [["elapsed", elapsed]];
    if (recording.clock) rows.push(["clock", (time) => clockAt(recording.clock, time)]);
    const step = [1, 2, 5, 10, 20, 30].find((each) => each * scale >= 68) ?? 60;
    const times = multiples(step, page.start, end).filter((time) => x(time) >= left + 10 && x(time) <= right);
    for (const [k, [name, inWords]] of rows.entries()) {
      const y = bottom + 13 * (k + 1);
      write(ctx, name, 4, y, { align: "left", color: colors().quiet });
      for (const time of times) write(ctx, inWords(time), x(time), y, { color: colors().quiet });
    }
  }

  #shade(ctx, { bottom }, missing) {
    for (const { from, to, gap } of missing) {
      const top = gap ? TOP : 17;
      ctx.fillStyle = gap ? colors().gap : hatching(ctx, colors().hatchFine);
      ctx.fillRect(from, top, to - from, bottom - top);
    }
  }

  // Gaps of the recording, and what was recorded but not scored; both say so in words.
  #missing({ left, right, span, end }) {
    const { page, recording } = this.view;
    const edges = [0, ...recording.segments.flat(), recording.duration, recording.duration, Math.max(end, recording.duration)];
    const gaps = [];
    for (let k = 0; k < edges.length; k += 2) {
      const words = edges[k] === recording.duration ? "end of the recording" : "not recorded";
      if (edges[k + 1] - edges[k] > 0.01) gaps.push({ start: edges[k], stop: edges[k + 1], words, gap: true });
    }
    const spans = recording.unscored
      .filter(([start, stop]) => !gaps.some((gap) => gap.start <= start + 1 && gap.stop >= stop - 1))
      .map(([start, stop, reason]) => ({ start, stop, words: `not scored: ${reason}`, gap: false }));
    const onPage = [...gaps, ...spans].filter(({ start, stop }) => start < end && stop > page.start);
    return onPage.map((each) => {
      const [from, to] = span(each.start, each.stop);
      const half = Math.min(3 * each.words.length, (right - left) / 2);
      return { ...each, from, to, middle: Math.min(Math.max((from + to) / 2, left + half), right - half) };
    });
  }

  #drawSignals(ctx, { left, right, height, scale }) {
    const { page } = this.view;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, 0, right - left, height);
    ctx.clip();
    ctx.lineWidth = 1;
    ctx.lineJoin = "round";
    for (const [k, row] of this.#rows.entries()) {
      const samples = page.data[k];
      const [low, high] = isFitted(row) ? extent(samples) : [0, 0];
      const gain = isFitted(row) ? (0.8 * row.unit) / Math.max(1, high - low) : (page.scale[k] * upOf(row)) / this.#microvoltsPerPixel(row.kind);
      const zero = row.y - ((low + high) / 2) * gain;
      ctx.strokeStyle = colors()[sideOf(row)];
      ctx.beginPath();
      drawLine(ctx, samples, { step: scale / page.sfreq, left, zero, gain });
      ctx.stroke();
    }
    ctx.restore();
  }

  #drawLabels(ctx, { left }) {
    const involved = this.view.selected?.channels ?? [];
    for (const { y, unit, node, label } of this.#rows) {
      const marked = involved.includes(node) && involved.length < this.#rows.length;
      const font = `${marked ? "bold " : ""}${Math.min(12, Math.max(9, unit - 1))}px system-ui, sans-serif`;
      const look = { align: "left", font, color: marked ? colors().selected : colors().ink, room: left - 6 };
      write(ctx, `${marked ? "▸" : ""}${label}`, 4, y + 4, look);
    }
  }

  // In the margin, so that it hides no trace.
  #drawScaleBar(ctx, { right, bottom }) {
    const perPixel = this.#microvoltsPerPixel("eeg");
    const bar = [1000, 500, 200, 100, 50, 20, 10, 5, 2].find((each) => each / perPixel <= 60) ?? 1;
    const [x, low, high] = [right + MARGIN / 2, bottom - 10, bottom - 10 - bar / perPixel];
    ctx.fillStyle = colors().ink;
    ctx.fillRect(x - 1, high, 2, low - high);
    for (const end of [low, high]) ctx.fillRect(x - 5, end - 1, 10, 2);
    write(ctx, `${bar} µV`, x, high - 7);
  }

  drawOverlay() {
    if (!this.view?.page) return;
    const plot = this.#plot;
    const ctx = this.#fit(1, plot);
    let free = 0; // where the next name has room
    for (const event of this.#visible(plot)) free = this.#drawEvent(ctx, event, plot, free);
    if (this.#drag?.kind === "add") drawRegion(ctx, this.#drag, plot, colors().selected);
    if (this.#caliper) this.#drawCaliper(ctx, plot);
  }

  #visible({ end }) {
    const drag = this.#drag;
    return this.view.events
      .map((event) => (drag?.id === event.id ? { ...event, ...drag.limits } : event))
      .filter((event) => event.onset < end && event.stop > this.view.page.start);
  }

  #drawEvent(ctx, event, plot, free) {
    const chosen = event.id === this.view.selected?.id;
    const left = drawRegion(ctx, event, plot, colors()[event.verdict || "open"]);
    ctx.lineWidth = chosen ? 2 : 1;
    ctx.setLineDash(event.verdict === "reject" ? [4, 3] : []);
    for (const at of [event.onset, event.stop].map(plot.x).filter((each) => each >= plot.left - 1 && each <= plot.right + 1)) {
      ctx.beginPath();
      ctx.moveTo(at, 0);
      ctx.lineTo(at, plot.bottom);
      ctx.stroke();
      if (chosen) ctx.fillRect(at - 3.5, plot.height / 2 - 14, 7, 28);
    }
    ctx.setLineDash([]);
    const sure = event.confidence === null ? "" : percent(event.confidence);
    const name = `${SIGNS[event.verdict]} ${typeName(this.view.recording, event.label)} ${sure}`.trim();
    const room = 7 * name.length + 8;
    if (left < free || left + room > plot.right) return free;
    write(ctx, name, left + 4, 14, { align: "left", font: chosen ? `bold ${FONT}` : FONT });
    return left + room;
  }

  #drawCaliper(ctx, { x, right }) {
    const { from, to } = this.#caliper;
    const ink = colors();
    ctx.fillStyle = ctx.strokeStyle = ink.selected;
    ctx.lineWidth = 1.5;
    ctx.strokeRect(x(from.t), from.y, x(to.t) - x(from.t), to.y - from.y);
    ctx.font = `bold ${FONT}`;
    ctx.textAlign = "left";
    const room = ctx.measureText(this.measured()).width + 10;
    const at = Math.min(Math.max(x(from.t), x(to.t)) + 6, right - room);
    const y = Math.max(50, Math.min(from.y, to.y) - 8);
    ctx.fillRect(at, y - 14, room, 19);
    ctx.fillStyle = ink.paper;
    ctx.fillText(this.measured(), at + 5, y);
  }

  // Time, frequency and amplitude between the two points, in words.
  measured() {
    if (!this.#caliper) return "";
    const { from, to } = this.#caliper;
    const seconds = Math.abs(to.t - from.t);
    const nearest = this.#rows.reduce((best, row) => (Math.abs(row.y - from.y) < Math.abs(best.y - from.y) ? row : best));
    const words = [`${seconds.toFixed(2)} s`];
    if (seconds > 0.005) words.push(`${(1 / seconds).toFixed(1)} Hz`);
    if (!isFitted(nearest)) words.push(`${Math.round(Math.abs(to.y - from.y) * this.#microvoltsPerPixel(nearest.kind))} µV`);
    return words.join(" · ");
  }

  startMeasuring() {
    const point = { t: this.view.page.start + this.view.seconds / 2, y: this.#rows[Math.floor(this.#rows.length / 2)].y };
    this.#caliper = { from: point, to: point };
    this.drawOverlay();
  }

  // Moves the second point of the caliper by pixels; `restart` makes it the first point.
  moveCaliper(right, down, restart = false) {
    const { from, to } = this.#caliper;
    this.#caliper = { from: restart ? to : from, to: { t: to.t + right / this.#plot.scale, y: to.y + down } };
    this.drawOverlay();
  }

  cancel() {
    this.#caliper = this.#drag = null;
    this.adding = false;
    this.drawOverlay();
  }

  #point({ clientX, clientY }) {
    const box = this.#box.getBoundingClientRect();
    const x = clientX - box.left - this.#box.clientLeft;
    return { x, y: clientY - box.top + this.#box.scrollTop, t: this.#plot.time(x) };
  }

  // The edge of an event at a place; the selected event's comes first.
  #edgeAt(x, tolerance) {
    const plot = this.#plot;
    const edges = this.#visible(plot).flatMap(({ id, onset, stop }) =>
      ["onset", "stop"].map((which) => ({ kind: "edit", id, which, limits: { onset, stop } })),
    );
    const away = (edge) => Math.abs(plot.x(edge.limits[edge.which]) - x) + (edge.id === this.view.selected?.id ? 0 : 0.5 * NEAR);
    return edges.filter((edge) => away(edge) <= tolerance).sort((a, b) => away(a) - away(b))[0];
  }

  #down(pointer) {
    if (!this.view?.page || pointer.button !== 0) return;
    const { x, y, t } = this.#point(pointer);
    this.#caliper = null;
    if (this.adding) this.#drag = { kind: "add", from: t, onset: t, stop: t };
    else this.#drag = this.#edgeAt(x, pointer.pointerType === "touch" ? 3 * NEAR : 1.5 * NEAR) ?? { kind: "measure", from: { t, y }, x };
    this.#box.setPointerCapture(pointer.pointerId);
  }

  #move(pointer) {
    if (!this.view?.page) return;
    const { x, y, t } = this.#point(pointer);
    const drag = this.#drag;
    if (!drag) {
      this.#box.style.cursor = this.adding ? "crosshair" : this.#edgeAt(x, 1.5 * NEAR) ? "ew-resize" : "default";
    } else if (drag.kind === "add") {
      Object.assign(drag, { onset: Math.min(drag.from, t), stop: Math.max(drag.from, t) });
    } else if (drag.kind === "edit") {
      const { onset, stop } = drag.limits;
      drag.limits = drag.which === "onset" ? { onset: Math.min(t, stop - SHORTEST), stop } : { onset, stop: Math.max(t, onset + SHORTEST) };
      drag.moved = true;
    } else if (Math.abs(x - drag.x) + Math.abs(y - drag.from.y) > 3) {
      this.#caliper = { from: drag.from, to: { t, y } };
    }
    if (drag) this.drawOverlay();
  }

  #up(pointer) {
    const drag = this.#drag;
    const { t } = this.#point(pointer);
    this.#drag = null;
    if (drag?.kind === "add" && drag.stop - drag.onset >= SHORTEST) {
      this.adding = false;
      this.#act.add(drag.onset, drag.stop);
    } else if (drag?.kind === "edit") {
      if (drag.moved) this.#act.edit(drag.id, drag.limits);
      else this.#act.select(drag.id);
    } else if (drag?.kind === "measure" && !this.#caliper) {
      const hit = this.#visible(this.#plot).find((event) => event.onset <= t && event.stop >= t);
      if (hit) this.#act.select(hit.id);
    }
    this.#act.measured(this.measured());
    this.drawOverlay();
  }
}

const multiples = (step, from, to) => {
  const first = Math.ceil(from / step - 1e-6);
  return Array.from({ length: Math.floor(to / step + 1e-6) - first + 1 }, (_, k) => (first + k) * step);
};

// Words on a paper of their own, which lets a trace shine through.
function write(ctx, words, x, y, { align = "center", color = colors().ink, font = FONT, room = 1e4 } = {}) {
  Object.assign(ctx, { font, textAlign: align, fillStyle: colors().paper, globalAlpha: 0.85 });
  const width = Math.min(ctx.measureText(words).width, room);
  ctx.fillRect(align === "left" ? x - 2 : x - width / 2 - 2, y - 10, width + 4, 13);
  Object.assign(ctx, { fillStyle: color, globalAlpha: 1 });
  ctx.fillText(words, x, y, room);
}

function drawRegion(ctx, { onset, stop }, { span, bottom }, color) {
  const [left, right] = span(onset, stop);
  ctx.fillStyle = ctx.strokeStyle = color;
  ctx.globalAlpha = 0.07;
  ctx.fillRect(left, 0, right - left, bottom);
  ctx.globalAlpha = 1;
  ctx.fillRect(left, 0, right - left, 3);
  return left;
}

// Signals without microvolts have no fixed sensitivity: they are drawn as high as their row.
const isFitted = ({ kind, unit }) => kind === "other" && unit !== "µV";

function sideOf({ kind, group }) {
  if (kind !== "eeg") return "other";
  return group.match(/left|right/)?.[0] ?? "middle";
}

// Negative is up, and a canvas counts downwards: the sign stays, but for the heart's.
const upOf = ({ kind }) => (kind === "ecg" ? -1 : 1);

function extent(samples) {
  const known = samples.filter((value) => value !== NO_SIGNAL);
  return known.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [0, 0]);
}

// The server sends at most four samples a pixel.
function drawLine(ctx, samples, { step, left, zero, gain }) {
  let broken = true;
  for (let k = 0; k < samples.length; k += 1) {
    const missing = samples[k] === NO_SIGNAL;
    if (!missing && broken) ctx.moveTo(left + k * step, zero + samples[k] * gain);
    else if (!missing) ctx.lineTo(left + k * step, zero + samples[k] * gain);
    broken = missing;
  }
}
