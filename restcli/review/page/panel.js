// The side panel: the event that is judged, the list of events, the queue of recordings.

import { duration, elapsed, parseTime, percent } from "./format.js";
import { SIGNS, typeName } from "./traces.js";

export const byId = (id) => document.getElementById(id);
export const make = (name, properties) => Object.assign(document.createElement(name), properties);
export const option = (value, textContent = value) => make("option", { value, textContent });
const WORDS = { "": "to judge", accept: "accepted", reject: "rejected", unsure: "unsure" };
const MOST_ROWS = 500;

// Each row is {text, label, current, act}; `text` is for the eye, `label` for a screen reader.
function showRows(list, rows) {
  const items = rows.slice(0, MOST_ROWS).map(({ text, label, current, act }) => {
    const button = make("button", { textContent: text, onclick: act, ariaLabel: label ?? text, ariaCurrent: current ? "true" : null });
    const item = make("li", {});
    item.append(button);
    return item;
  });
  const rest = rows.length > MOST_ROWS ? `and ${rows.length - MOST_ROWS} more` : rows.length ? "" : "none";
  list.replaceChildren(...items, ...(rest ? [make("li", { textContent: rest })] : []));
  const [box, row] = [list, list.querySelector("[aria-current]")].map((each) => each?.getBoundingClientRect());
  if (row) list.scrollTop += Math.min(0, row.top - box.top) + Math.max(0, row.bottom - box.bottom); // the page stays
}

// The events that the list shows, in its order.
export function listed(events) {
  const filter = byId("filter").value;
  const keep = { all: () => true, open: (event) => !event.verdict, added: (event) => event.by };
  const wanted = events.filter(keep[filter] ?? ((event) => event.verdict === filter));
  if (byId("order").value === "confidence") wanted.sort((a, b) => (b.confidence ?? -1) - (a.confidence ?? -1));
  return wanted;
}

export function showList({ recording, events, selected }, select) {
  const rows = listed(events).map((event) => {
    const parts = [elapsed(event.onset), duration(event.stop - event.onset), event.confidence === null ? "" : percent(event.confidence)];
    parts.push([typeName(recording, event.label), event.side, event.by && `added by ${event.by}`].filter(Boolean).join(", "));
    const text = `${SIGNS[event.verdict] || "·"} ${parts.filter(Boolean).join("  ")}`;
    const label = `${parts.filter(Boolean).join(", ")}, ${WORDS[event.verdict]}`;
    return { text, label, current: event.id === selected?.id, act: () => select(event.id) };
  });
  showRows(byId("events"), rows);
  const judged = events.filter((event) => event.verdict).length;
  Object.assign(byId("progress"), { max: Math.max(1, events.length), value: judged });
  byId("progress-words").textContent = `${judged} of ${events.length} judged`;
}

export function showEvent({ recording, places, events, selected }) {
  const place = events.findIndex((each) => each.id === selected?.id) + 1;
  byId("event-title").textContent = selected ? `Event ${place} of ${events.length}, ${WORDS[selected.verdict]}` : "No event selected";
  byId("event-facts").textContent = selected ? factsOf(selected, places[selected.id]) : "Press N for the next event.";
  for (const button of document.querySelectorAll("[data-verdict]")) {
    button.disabled = !selected;
    button.ariaPressed = String(selected?.verdict === button.dataset.verdict);
  }
  for (const field of byId("fields").elements) field.disabled = !selected;
  byId("remove").disabled = !selected?.by;
  const values = { onset: selected ? elapsed(selected.onset, 2) : "", stop: selected ? elapsed(selected.stop, 2) : "", comment: "" };
  for (const [id, value] of Object.entries(values)) {
    if (document.activeElement !== byId(id) || byId(id).dataset.event !== selected?.id) byId(id).value = value; // not while one types
    byId(id).dataset.event = selected?.id;
  }
  fill(byId("label"), recording.types, selected?.label ?? "");
  fill(byId("side"), [["", "not specified"], ...recording.sides.map((side) => [side, side])], selected?.side ?? "");
  const comments = selected?.comments ?? [];
  byId("comments").replaceChildren(...comments.map(({ author, text }) => make("li", { textContent: `${author}: ${text}` })));
}

function factsOf(event, place) {
  const parts = [`${elapsed(event.onset, 1)}, ${duration(event.stop - event.onset)}`];
  if (event.confidence !== null) parts.push(`confidence ${percent(event.confidence)}`);
  if (place) parts.push(`onset: ${place}`);
  if (event.side) parts.push(`side: ${event.side}`);
  if (event.by) parts.push(`added by ${event.by}`);
  if (event.found && (event.found.onset !== event.onset || event.found.stop !== event.stop)) {
    parts.push(`detected ${elapsed(event.found.onset, 1)} to ${elapsed(event.found.stop, 1)}`);
  }
  for (const [reviewer, verdict] of event.others) parts.push(`${reviewer}: ${WORDS[verdict]}`);
  if (event.verdict && event.last !== event.verdict) parts.push(`in the tables: ${WORDS[event.last]}`);
  return parts.join(" · ");
}

function fill(select, choices, value) {
  const known = choices.some(([name]) => name === value);
  select.replaceChildren(...[...choices, ...(known ? [] : [[value, value]])].map(([name, words]) => option(name, words)));
  select.value = value;
}

// Calls `change` with what a person typed or chose for the selected event; `alarm` says why a time cannot be.
export function onFields({ selected, end, change, comment, alarm }) {
  for (const name of ["onset", "stop"]) {
    const input = byId(name);
    input.addEventListener("keydown", (event) => {
      const shift = { ArrowUp: 0.1, ArrowDown: -0.1 }[event.key];
      const time = parseTime(input.value);
      if (!shift || time === null) return;
      event.preventDefault();
      input.value = elapsed(time + shift * (event.shiftKey ? 10 : 1), 2);
      input.dataset.typed = "yes"; // the browser fires no change event for a value set by a script
    });
    input.addEventListener("input", () => (input.dataset.typed = "yes"));
    input.addEventListener("blur", () => {
      const event = selected();
      const limits = { onset: event?.onset, stop: event?.stop, [name]: parseTime(input.value) };
      const typed = input.dataset.typed;
      delete input.dataset.typed;
      if (!event || !typed) return;
      if (limits[name] !== null && limits.onset < limits.stop && limits.stop <= end()) return change(limits);
      input.value = elapsed(event[name], 2);
      alarm("The times were not changed: the onset must be before the end, both within the recording (h:mm:ss).");
    });
  }
  for (const name of ["label", "side"]) {
    let stepping = false; // through a closed list with the keyboard, where each step is a choice
    byId(name).addEventListener("keydown", ({ key }) => (stepping = /^(Arrow|Home|End)/.test(key)));
    byId(name).addEventListener("pointerdown", () => (stepping = false));
    byId(name).addEventListener("change", ({ target }) => {
      change({ [name]: target.value });
      if (!stepping) byId("traces").focus();
    });
  }
  byId("comment").addEventListener("change", ({ target }) => {
    if (target.value.trim()) comment(target.value.trim());
    target.value = "";
  });
  byId("fields").addEventListener("submit", (event) => {
    event.preventDefault();
    byId("traces").focus(); // a field that is left says what changed
  });
}

// Recordings in the order that was chosen; the sample is a random one of those without events.
export function queued(recordings) {
  const order = byId("queue-order").value;
  const sorted = (key, sign) => recordings.filter((each) => each[key] !== null).sort((a, b) => sign * (a[key] - b[key]));
  if (order === "confident") return sorted("top_confidence", -1);
  if (order === "uncertain") return sorted("uncertain", 1);
  return recordings.filter((each) => order !== "sample" || each.sample);
}

export function showQueue({ recordings }, id, open) {
  const queue = queued(recordings);
  const rows = queue.map((each) => {
    const parts = [each.n_events ? `${each.n_judged} of ${each.n_events} judged` : "no events"];
    if (each.scored < 1) parts.push(`${percent(each.scored)} scored`);
    if (each.top_confidence !== null) parts.push(`highest confidence ${percent(each.top_confidence)}`);
    if (each.reviewers.length) parts.push(each.reviewers.join(", "));
    if (each.read?.length) parts.push(`read by ${each.read.join(", ")}`);
    return { text: `${each.name}: ${parts.join(" · ")}`, current: each.id === id, act: () => open(each.id) };
  });
  byId("queue").hidden = recordings.length < 2;
  showRows(byId("recordings"), rows);
  const place = queue.findIndex((each) => each.id === id) + 1;
  byId("queue-progress").textContent = place ? `${place} of ${queue.length}` : `(${queue.length})`;
}
