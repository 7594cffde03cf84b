// Ties the page together: what is shown, verdicts, keys, dialogs.

import { get, inWords, post } from "./api.js";
import { onTheme } from "./colors.js";
import { clockAt, elapsed, parseTime } from "./format.js";
import { isKept, Journal, strays } from "./journal.js";
import { Pages } from "./pages.js";
import { byId, listed, make, onFields, option, queued, showEvent, showList, showQueue } from "./panel.js";
import { Strip } from "./strip.js";
import { COARSER, Traces } from "./traces.js";

const POLL = 3000; // ms
const CARD = 85.6; // mm, the width of a bank card
const PIXELS_PER_MM = 96 / 25.4; // of a screen that was not calibrated
const SENSITIVITIES = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100]; // µV/mm
const KEPT = "restcli_review="; // a cookie: unlike other stores it is the same for every port of this address

const settings = { montage: "longitudinal", page: "10", high: "0.5", low: "70", notch: "0", mm: null, ...readSettings() };
const view = { start: 0, seconds: 10, sensitivity: null, events: [], selected: null, page: null, stem: "", montage: null };
const pages = new Pages();
const journals = new Map(); // recording -> journal; each keeps saving when another recording is shown
let session = null;
let journal = null;
let sensitivity = null; // as a person chose it
let wanted = null; // the recording asked for last
let loading = false;
let stripWanted = new AbortController();
let unsaved = 0; // verdicts, when the state was last shown
let trouble = ""; // why the last page or recording could not be shown
let refusal = ""; // why what was asked for last cannot be, until the next key or click

const traces = new Traces(byId("traces"), {
  add: addEvent,
  edit: (id, limits) => change(limits, view.events.find((event) => event.id === id)),
  select: (id) => select(id, false),
  measured: (words) => {
    showPressed();
    if (words) byId("facts").textContent = words;
  },
});
const strip = new Strip(byId("strip"), (time) => show(time - view.seconds / 2));

function readSettings() {
  const found = document.cookie.split("; ").find((part) => part.startsWith(KEPT));
  return found ? JSON.parse(decodeURIComponent(found.slice(KEPT.length))) : {};
}

// --- the page of signal

// All that a page depends on but its start.
function stemOf() {
  const query = new URLSearchParams({
    seconds: view.seconds.toFixed(3),
    montage: view.montage.id,
    high_pass: settings.high,
    low_pass: settings.low,
    notch: settings.notch,
    width: Math.ceil((traces.plotWidth * devicePixelRatio) / 400) * 400, // a slightly different window needs no other page
  });
  return `/api/recordings/${view.recording.id}/page?${query}&start=`;
}

const pathOf = (start) => stemOf() + clamp(start).toFixed(3);

const clamp = (start) => Math.min(Math.max(0, start), Math.max(0, view.recording.duration - view.seconds));

// Shows the page that begins there. While one is being read the wish is noted; pages on the way are shown too.
async function show(start) {
  const since = performance.now();
  view.start = clamp(start);
  if (loading) return;
  loading = true;
  for (let path = null; path !== pathOf(view.start); ) {
    const stem = stemOf();
    path = pathOf(view.start);
    const page = pages.get(path) ?? (await read(path));
    trouble = page instanceof Error ? `This page could not be read. ${inWords(page)}.` : "";
    if (stem !== stemOf() || trouble) continue;
    Object.assign(view, { page, stem });
    draw();
    requestAnimationFrame(() => setTimeout(() => afterPaint(path, since)));
  }
  loading = false;
  showState();
  history.replaceState(null, "", `#${view.recording.id}/${view.start}`);
}

async function read(path) {
  byId("traces").ariaBusy = "true";
  const page = await pages.load(path).catch((fault) => fault);
  byId("traces").ariaBusy = "false";
  return page;
}

// Says that the page is on the screen, and reads its neighbours.
function afterPaint(path, since) {
  Object.assign(byId("traces").dataset, { shown: path, start: view.page.start, ms: (performance.now() - since).toFixed(1) });
  const near = [1, -1, 0.5, -0.5, 2].map((step) => view.page.start + step * view.seconds);
  const order = listed(view.events);
  const place = order.findIndex((event) => event.id === view.selected?.id);
  const events = [order[place + 1], order[place - 1]].filter(Boolean).map(startFor);
  const starts = [...near.slice(0, 2), ...events, ...near.slice(2)].map(pathOf);
  pages.readAhead([...new Set(starts)]);
}

function draw() {
  traces.draw();
  strip.frame();
  showPlace();
  showPressed();
}

// What the page shows, in words; also for those who do not see it.
function showPlace() {
  const { recording, page, seconds, montage } = view;
  if (!page) return;
  const end = Math.min(page.start + seconds, recording.duration);
  const onPage = ([start, stop]) => start < end && stop > page.start;
  const place = `${elapsed(page.start, page.start % 1 ? 1 : 0)} of ${elapsed(recording.duration)}`;
  byId("place").textContent = recording.clock ? `${place} · clock ${clockAt(recording.clock, page.start)}` : place;
  byId("facts").textContent = traces.measured() || factsOfPage();
  const unscored = recording.unscored.filter(onPage).map(([from, to, why]) => `${elapsed(from)}–${elapsed(to)} not scored (${why})`);
  const sum = recording.unscored.reduce((total, [start, stop]) => total + stop - start, 0);
  const whole = sum ? `Not scored in the whole recording: ${elapsed(sum)} of ${elapsed(recording.duration)}.` : "The whole recording was scored.";
  byId("unscored").textContent = [unscored.length ? `This page: ${unscored.join("; ")}.` : "", whole, recording.note].join(" ").trim();
  const events = view.events.filter((event) => onPage([event.onset, event.stop]));
  const what = events.map((event) => `event from ${elapsed(event.onset, 1)} to ${elapsed(event.stop, 1)}`);
  byId("traces").ariaLabel = [`EEG from ${elapsed(page.start)} to ${elapsed(end)}, ${montage.name}`, ...what, ...unscored].join("; ");
  const slider = { ariaValueNow: Math.round(page.start), ariaValueMax: Math.round(recording.duration), ariaValueText: elapsed(page.start) };
  Object.assign(byId("strip"), slider);
}

function factsOfPage() {
  const kinds = new Set(view.montage.traces.map((trace) => trace.kind));
  const coarser = [...kinds].filter((kind) => COARSER[kind] > 1);
  const band = [Number(settings.high) ? `${settings.high} Hz` : "no high-pass", Number(settings.low) ? `${settings.low} Hz` : "no low-pass"];
  const parts = [`${view.sensitivity} µV/mm, negative up`, ...coarser.map((kind) => `${kind.toUpperCase()} ${view.sensitivity * COARSER[kind]} µV/mm${kind === "ecg" ? ", positive up" : ""}`)];
  parts.push(band.join(" to "), `${(traces.plotWidth / view.seconds / view.mm).toFixed(0)} mm/s`);
  if (!settings.mm) parts.push("screen not calibrated: mm are approximate");
  return parts.join(" · ");
}

// --- settings

function layOut() {
  view.mm = settings.mm ? settings.mm / devicePixelRatio : PIXELS_PER_MM;
  view.montage = view.recording.montages.find(({ id }) => id === settings.montage) ?? view.recording.montages[0];
  const speed = settings.page.endsWith("mm") ? parseFloat(settings.page) : 0;
  view.seconds = speed ? traces.plotWidth / (speed * view.mm) : Number(settings.page);
}

function fillToolbar() {
  const hertz = (values) => [option(0, "off"), ...values.map((value) => option(value, `${value} Hz`))];
  const speeds = settings.mm ? [15, 30, 60].map((speed) => option(`${speed}mm`, `${speed} mm/s`)) : [];
  const choices = {
    montage: view.recording.montages.map(({ id, name }) => option(id, name)),
    page: [...[5, 10, 15, 20, 30, 60].map((seconds) => option(seconds, `${seconds} s`)), ...speeds],
    sensitivity: SENSITIVITIES.map((value) => option(value, `${value} µV/mm`)),
    high: hertz([0.1, 0.3, 0.5, 1, 1.6, 5]),
    low: hertz([15, 30, 35, 50, 70, 100]),
    notch: hertz([50, 60]),
  };
  for (const [name, options] of Object.entries(choices)) {
    byId(name).replaceChildren(...options);
    byId(name).value = { ...settings, montage: view.montage.id, sensitivity: view.sensitivity }[name];
  }
}

function changeSetting(name, value) {
  if (name === "sensitivity") {
    view.sensitivity = sensitivity = Number(value);
    byId(name).value = value;
    return draw();
  }
  settings[name] = value;
  document.cookie = `${KEPT}${encodeURIComponent(JSON.stringify(settings))}; max-age=31536000; path=/; SameSite=Strict`;
  layOut();
  return show(view.start);
}

function stepSensitivity(coarser) {
  const [finer, next] = [(value) => value < view.sensitivity, (value) => value > view.sensitivity];
  const value = coarser ? SENSITIVITIES.find(next) : SENSITIVITIES.findLast(finer);
  if (value) changeSetting("sensitivity", value);
}

// --- events and verdicts

function refresh() {
  view.events = journal.events();
  const id = journal.resolve(view.selected?.id);
  view.selected = view.events.find((event) => event.id === id) ?? null;
  showList(view, select);
  showEvent(view);
  showState();
  byId("read").ariaPressed = String(journal.hasRead);
  strip.draw();
  draw();
  if (trouble && !journal.fault) show(view.start);
}

function showState() {
  const all = [...journals.values()].filter((each) => each === journal || each.waiting || each.refused.length);
  const waiting = all.reduce((sum, each) => sum + each.waiting, 0);
  const fault = all.map((each) => each.fault).find(Boolean) ?? "";
  const saved = byId("saved");
  const others = strays(session.recordings);
  saved.dataset.state = others.count || (waiting && fault) ? "failed" : waiting ? "saving" : "saved";
  if (!waiting && unsaved) refreshSession().catch(() => {}); // the queue counts verdicts
  unsaved = waiting;
  saved.textContent = { saved: "All saved", failed: `${waiting + others.count} NOT SAVED`, saving: "Saving…" }[saved.dataset.state];
  const refused = all.flatMap((each) => each.refused);
  const words = refused.map(({ action, onset, why }) => (action ? `Not saved: ${action} at ${elapsed(onset ?? 0, 1)}. ${why}` : why));
  if (waiting && fault) words.push(`${waiting} of your verdicts are not saved yet; keep this window open.`);
  if (fault) words.push(`${fault}; retrying.`);
  if (others.count) words.push(`${others.count} of your verdicts are not saved: the recording or its result is not listed here.`);
  alarm([...words, trouble, refusal].filter(Boolean).join(" "));
  const forget = () => all.forEach((each) => each.forgetRefused());
  if (refused.length) byId("alarm").append(" ", make("button", { textContent: "Dismiss", onclick: forget }));
  const discard = () => showState(others.discard());
  if (others.count) byId("alarm").append(" ", make("button", { textContent: "Discard these verdicts", onclick: discard }));
}

function refuse(words) {
  refusal = words;
  showState();
}

function alarm(words) {
  if (byId("alarm").textContent !== words) byId("alarm").textContent = words;
  byId("alarm").hidden = !words;
}

// The page on which an event begins, with a little of what comes before it.
const startFor = ({ onset }) => Math.floor(onset - 0.2 * view.seconds);

function select(id, go = true) {
  view.selected = view.events.find((event) => event.id === id) ?? null;
  refresh();
  if (view.selected && go) show(startFor(view.selected));
}

// The next event that the list shows; without one selected, the next in time.
function step(direction, toJudge = false) {
  const rows = listed(view.events).filter((event) => !toJudge || !event.verdict || event.id === view.selected?.id);
  const here = rows.findIndex((event) => event.id === view.selected?.id);
  const later = rows.findIndex((event) => event.onset >= view.start);
  const next = rows[here >= 0 ? here + direction : later < 0 ? rows.length - 1 : later];
  if (next) select(next.id);
}

function record(action, event, fields = {}) {
  const { id, onset, stop, label, side } = event;
  const entry = journal.record(action, { event: id, onset, stop, label, side, ...fields });
  refresh();
  return entry;
}

function judge(verdict, goOn = false) {
  if (view.selected) record(verdict, view.selected);
  if (view.selected && goOn) step(1, true);
}

const round = (seconds) => Math.round(seconds * 100) / 100;

function change(fields, event = view.selected) {
  const { onset, stop } = { ...event, ...fields };
  record("edit", event, { ...fields, onset: round(onset), stop: round(stop) });
}

function addEvent(onset, stop) {
  const { uid } = record("add", { onset: round(onset), stop: round(stop), label: "sz", side: "" });
  select(journal.resolve(`+${uid}`), false);
}

function startAdding() {
  if (!view.page) return;
  const again = traces.adding;
  traces.cancel();
  traces.adding = !again;
  showPressed();
  if (again) addEvent(view.page.start, Math.min(view.page.start + view.seconds, view.recording.duration));
  else byId("facts").textContent = "Drag across the event, or press I again to mark the whole page; Esc cancels.";
}

function showPressed() {
  byId("add").ariaPressed = String(traces.adding);
  byId("measure").ariaPressed = String(traces.measuring);
}

function startMeasuring() {
  if (!view.page || traces.measuring) return leave();
  traces.startMeasuring();
  showPressed();
  byId("facts").textContent = "Arrow keys move the second point, Enter makes it the first; Esc cancels.";
  return byId("traces").focus();
}

function leave() {
  traces.cancel();
  draw();
  byId("traces").focus();
}

// --- recordings

function journalOf(recording) {
  const { id } = recording;
  const changed = () => (view.recording ? refresh() : showState());
  if (!journals.has(id)) journals.set(id, new Journal(recording, session.reviewer, changed));
  return journals.get(id);
}

async function open(id, start = null) {
  wanted = id;
  const recording = await get(`/api/recordings/${id}`).catch((fault) => fault);
  if (wanted !== id) return;
  trouble = recording instanceof Error ? `This recording could not be opened. ${inWords(recording)}.` : "";
  if (trouble) return showState();
  journal = journalOf(recording);
  journal.open(recording);
  Object.assign(view, { recording, places: {}, page: null, selected: null, sensitivity: sensitivity ?? recording.default_sensitivity });
  traces.view = strip.view = view;
  strip.data = "is being read";
  byId("goto-clock").disabled = !recording.clock;
  byId("name").textContent = document.title = recording.name;
  layOut();
  fillToolbar();
  refresh();
  refreshSession().catch(() => {}); // who has judged what meanwhile
  const first = view.events.find((event) => !event.verdict) ?? view.events[0];
  if (first && start === null) select(first.id);
  else show(start ?? 0);
  stripWanted.abort(); // the one of the recording before
  stripWanted = new AbortController();
  byId("strip").ariaBusy = "true";
  const data = await get(`/api/recordings/${id}/strip`, stripWanted.signal).catch(() => "could not be read");
  if (view.recording !== recording) return;
  byId("strip").ariaBusy = "false";
  strip.data = data;
  view.places = data.places ?? {};
  refresh();
}

function stepRecording(direction) {
  const rows = queued(session.recordings);
  const next = rows[rows.findIndex((each) => each.id === wanted) + direction];
  if (next) open(next.id);
}

async function apply() {
  byId("applied").textContent = "Writing…";
  const reply = await post("/api/apply", { recording: view.recording.id }).catch((fault) => fault);
  byId("applied").textContent = reply instanceof Error ? `${inWords(reply)}.`
    : `Written: ${reply.files[0]} and ${reply.files.length - 1} more beside it`;
}

// --- keys: [as the browser names them, as people do, what they do, how]; the help lists the same table

const turn = (share) => show(view.start + share * view.seconds);
const focusOn = (id) => () => byId(id).focus();
// A key that is held acts again only if it moves.
const MOVES = [
  ["PageDown| ", "Page down, Space", "next page", () => turn(1)],
  ["PageUp|Shift+ ", "Page up, Shift Space", "previous page", () => turn(-1)],
  ["ArrowRight", "→", "half a page forward", () => turn(0.5)],
  ["ArrowLeft", "←", "half a page back", () => turn(-0.5)],
  ["Shift+ArrowRight", "Shift →", "one second forward", () => show(view.start + 1)],
  ["Shift+ArrowLeft", "Shift ←", "one second back", () => show(view.start - 1)],
  ["Home", "Home", "start of the recording", () => show(0)],
  ["End", "End", "end of the recording", () => show(Infinity)],
  ["ArrowUp|+", "↑ or +", "larger traces", () => stepSensitivity(false)],
  ["ArrowDown|-", "↓ or −", "smaller traces", () => stepSensitivity(true)],
  ["n", "N", "next event", () => step(1)],
  ["p", "P", "previous event", () => step(-1)],
];
const KEYS = [
  ...MOVES,
  ["g", "G", "go to a time", () => byId("goto-dialog").showModal()],
  ["m", "M", "measure amplitude and frequency", startMeasuring],
  ["a", "A", "accept", () => judge("accept")],
  ["r", "R", "reject", () => judge("reject")],
  ["u", "U", "unsure", () => judge("unsure")],
  ["A", "Shift A, R, U", "the same, then go to the next event to judge", () => judge("accept", true)],
  ["R", "", "", () => judge("reject", true)],
  ["U", "", "", () => judge("unsure", true)],
  ["o", "O", "edit the onset (↑ ↓ by 0.1 s, Shift 1 s)", focusOn("onset")],
  ["e", "E", "edit the end (Enter saves)", focusOn("stop")],
  ["t", "T", "choose the type", focusOn("label")],
  ["s", "S", "choose the side", focusOn("side")],
  ["c", "C", "comment", focusOn("comment")],
  ["v", "V", "back to the selected event", () => view.selected && show(startFor(view.selected))],
  ["i", "I", "add an event", startAdding],
  ["x", "X", "remove an added event", () => view.selected?.by && record("remove", view.selected)],
  ["z", "Z", "undo", () => journal.undo() && refresh()],
  ["d", "D", "mark the whole recording as read", () => record("read", { id: "" })],
  ["N", "Shift N", "next recording in the queue", () => stepRecording(1)],
  ["P", "Shift P", "previous recording", () => stepRecording(-1)],
  ["?", "?", "this help", () => byId("help-dialog").showModal()],
  ["Escape", "Esc", "cancel", leave],
];
const runs = (keys) => new Map(keys.flatMap(([names, , , run]) => names.split("|").map((name) => [name, run])));
const [RUN, REPEATED] = [KEYS, MOVES].map(runs);

function onKey(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || !view.recording || document.querySelector("dialog[open]")) return;
  if (key !== "Escape") {
    if (target.matches("input") || (target.matches("select") && !leavesList(event))) return;
    if (target.matches("button, summary") && [" ", "Enter"].includes(key)) return event.repeat && event.preventDefault();
  }
  const run = target.matches("select") && key === "Enter" ? leave : moves(event) ?? RUN.get(nameOf(event));
  if (!run) return;
  event.preventDefault();
  if (!event.repeat || moves(event) || REPEATED.has(nameOf(event))) run();
}

// In a list, letters of the table act as everywhere; the other keys choose from it.
function leavesList(event) {
  return event.key === "Enter" || event.key.startsWith("Page") || (RUN.has(nameOf(event)) && /^[a-z]$/i.test(nameOf(event)));
}

// The name of a key in the table: independent of Caps Lock, and by position on keyboards without Latin letters.
function nameOf({ key, code, shiftKey }) {
  if (shiftKey && (key === " " || key.startsWith("Arrow"))) return `Shift+${key}`;
  const letter = key.length === 1 && key > "~" ? code.replace("Key", "") : key;
  if (!/^[a-z]$/i.test(letter)) return key;
  return shiftKey ? letter.toUpperCase() : letter.toLowerCase();
}

// What a key does to the caliper, if there is one.
function moves({ key, shiftKey }) {
  const far = shiftKey ? 10 : 1;
  const ways = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far], Enter: [0, 0, true] };
  if (!traces.measuring || !ways[key]) return undefined;
  return () => {
    traces.moveCaliper(...ways[key]);
    byId("facts").textContent = traces.measured();
  };
}

// --- dialogs and wires

function goTo() {
  const { clock, duration } = view.recording;
  const since = parseTime(byId("goto-clock").value) - parseTime(clock ?? "0");
  const ofDay = parseTime(byId("goto-clock").value) === null ? null : (since + 86400) % 86400;
  const time = parseTime(byId("goto-elapsed").value) ?? ofDay;
  if (time !== null && time <= duration) return show(time);
  return refuse(`There is no such time in this recording: it lasts ${elapsed(duration)}${clock ? ` from ${clock}` : ""}.`);
}

function wireDialogs() {
  for (const act of ["keydown", "pointerdown"]) document.addEventListener(act, () => refusal && refuse(""), true);
  const named = KEYS.filter(([, name]) => name);
  byId("keys").append(...named.flatMap(([, dt, dd]) => [make("dt", { textContent: dt }), make("dd", { textContent: dd })]));
  const onClose = (id, run) =>
    byId(id).addEventListener("close", ({ target }) => {
      if (target.returnValue) run();
      target.returnValue = "";
      target.querySelector("form").reset(); // what was typed is not meant for the next time
    });
  onClose("goto-dialog", goTo);
  const width = byId("card-width");
  const resize = () => (byId("card").style.width = `${width.value}px`);
  width.addEventListener("input", resize);
  byId("calibrate").onclick = () => {
    width.value = Math.round(CARD * view.mm);
    resize();
    byId("calibrate-dialog").showModal();
  };
  onClose("calibrate-dialog", () => {
    settings.mm = (Number(width.value) / CARD) * devicePixelRatio; // true at any zoom
    changeSetting("page", "30mm");
    fillToolbar();
  });
}

function wire() {
  document.addEventListener("keydown", onKey);
  const buttons = { first: "PageUp", back: "ArrowLeft", on: "ArrowRight", next: "PageDown", goto: "g", measure: "m", add: "i" };
  for (const [id, key] of Object.entries({ ...buttons, help: "?", undo: "z", remove: "x", read: "d" })) byId(id).onclick = RUN.get(key);
  byId("apply").onclick = apply;
  for (const button of document.querySelectorAll("[data-verdict]")) button.onclick = () => judge(button.dataset.verdict);
  for (const name of ["montage", "page", "sensitivity", "high", "low", "notch"]) {
    byId(name).onchange = ({ target }) => {
      changeSetting(name, target.value);
      if (!target.matches(":focus-visible")) byId("traces").focus(); // after a choice with the mouse, keys work on the page again
    };
  }
  byId("filter").onchange = byId("order").onchange = () => showList(view, select);
  byId("queue-order").onchange = () => showQueue(session, view.recording.id, open);
  const comment = (text) => record("comment", view.selected, { comment: text });
  onFields({ selected: () => view.selected, end: () => view.recording.duration, change, comment, alarm: refuse });
  wireDialogs();
  addEventListener("beforeunload", (event) => [...journals.values()].some((each) => each.waiting) && event.preventDefault());
  new ResizeObserver(resized).observe(byId("traces"));
  onTheme(resized);
}

function resized() {
  if (!view.page) return;
  layOut();
  draw();
  strip.draw();
  if (stemOf() !== view.stem) show(view.start);
}

async function refreshSession() {
  session = await get("/api/session");
  if (view.recording) showQueue(session, view.recording.id, open);
}

// For verdicts of other windows; a recording that was left is still looked after until all of it is saved.
function lookAround() {
  for (const each of journals.values()) if (each === journal || each.waiting) each.look();
}

async function begin() {
  wire();
  await refreshSession();
  byId("blind").hidden = !session.blind;
  if (session.blind) byId("blind").textContent += `: ${session.blind.events} events, ${session.blind.controls} control stretches`;
  for (const each of session.recordings.filter(isKept)) journalOf(each).look();
  const [id, start] = location.hash.slice(1).split("/");
  const known = session.recordings.some((each) => each.id === id);
  await open(known ? id : session.recordings[0].id, known ? Number(start) || 0 : null);
  setInterval(lookAround, POLL);
}

begin().catch((fault) => alarm(`${inWords(fault)}.`));
