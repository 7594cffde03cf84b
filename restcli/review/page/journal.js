// The verdicts on one recording: what is saved, what waits to be saved, and the events that follow from both.

import { Failure, get, inWords, post } from "./api.js";

const LONGEST_PAUSE = 10_000; // ms between two attempts to save
const POLL = 3000; // ms between two looks for the verdicts of other windows
const JUDGED = ["accept", "reject", "unsure"];

export class Journal {
  fault = ""; // why the last attempt to save or to look failed
  refused = []; // entries that the server will never take, each with its reason in `why`
  #saved = new Map(); // seq -> entry
  #waiting; // entries not saved yet, oldest first
  #sending = false;
  #timer = 0;
  #attempts = 0;
  #changed;

  constructor(recording, reviewer, changed) {
    this.id = recording.id;
    this.hash = recording.hash;
    this.reviewer = reviewer;
    this.detections = recording.detections;
    this.#changed = changed;
    const kept = JSON.parse(sessionStorage.getItem(this.#store) ?? "{}");
    this.#waiting = kept.waiting ?? [];
    this.refused = kept.refused ?? [];
    this.#take(recording.verdicts);
    this.#flush();
  }

  get #store() {
    return `verdicts of ${this.id}`;
  }

  get waiting() {
    return this.#waiting.length;
  }

  // The last entry that this window knows.
  get #last() {
    return Math.max(0, ...this.#saved.keys());
  }

  // In order; those that wait speak of an event added here by the name that it has by now.
  get entries() {
    const saved = [...this.#saved.values()].sort((a, b) => a.seq - b.seq);
    return [...saved, ...this.#waiting.map((entry) => ({ ...entry, event: this.resolve(entry.event) }))];
  }

  record(action, fields) {
    const uid = crypto.randomUUID().replaceAll("-", "");
    const entry = { uid, action, hash: this.hash, reviewer: this.reviewer, comment: "", undoes: null, ...fields };
    this.#waiting.push(entry);
    this.#keep();
    this.#flush();
    return entry;
  }

  undo() {
    const undone = cancelled(this.entries);
    const mine = this.entries.filter((entry) => entry.reviewer === this.reviewer && entry.action !== "undo");
    const entry = mine.findLast((each) => !undone.has(each.uid));
    if (entry) this.record("undo", { event: "", undoesUid: entry.uid });
    return entry;
  }

  forgetRefused() {
    this.refused = [];
    this.#keep();
  }

  // An event that was added here has a name of its own until the server gives it one.
  resolve(id) {
    if (!id?.startsWith("+")) return id;
    return [...this.#saved.values()].find((entry) => entry.uid === id.slice(1))?.event ?? id;
  }

  events() {
    return reduce(this.detections, this.entries, this.reviewer);
  }

  get hasRead() {
    const undone = cancelled(this.entries);
    const mine = this.entries.filter((entry) => entry.reviewer === this.reviewer && !undone.has(entry.uid));
    return mine.some((entry) => entry.action === "read");
  }

  // Looks for entries of other windows until `stop` is called.
  watch() {
    this.stop();
    this.#timer = setInterval(() => this.look(), POLL);
  }

  stop() {
    clearInterval(this.#timer);
  }

  async look() {
    try {
      const reply = await get(`/api/recordings/${this.id}/verdicts?after=${this.#last}`);
      const news = this.#take(reply.entries);
      const recovered = this.fault !== "";
      this.fault = "";
      if (news || recovered) this.#changed();
      this.#flush();
    } catch (fault) {
      this.#fail(fault);
    }
  }

  #take(entries) {
    const fresh = entries.filter((entry) => !this.#saved.has(entry.seq));
    for (const entry of fresh) this.#saved.set(entry.seq, entry);
    const uids = new Set(fresh.map((entry) => entry.uid));
    this.#waiting = this.#waiting.filter((entry) => !uids.has(entry.uid));
    return fresh.length > 0;
  }

  #keep() {
    sessionStorage.setItem(this.#store, JSON.stringify({ waiting: this.#waiting, refused: this.refused }));
    this.#changed();
  }

  #fail(fault) {
    if (this.fault !== inWords(fault)) {
      this.fault = inWords(fault);
      this.#changed();
    }
  }

  async #flush() {
    if (this.#sending) return;
    this.#sending = true;
    while (this.#waiting.length) {
      const entry = this.#waiting[0];
      try {
        const reply = await post(`/api/recordings/${this.id}/verdicts`, { ...this.#outgoing(entry), after: this.#last });
        this.#take([reply.entry]);
        this.#waiting = this.#waiting.filter((each) => each !== entry);
        this.fault = "";
        this.#attempts = 0;
      } catch (fault) {
        if (!this.#handled(fault, entry)) break;
      }
      this.#keep();
    }
    this.#sending = false;
  }

  // Tells whether the next entry can be sent at once.
  #handled(fault, entry) {
    if (fault instanceof Failure && fault.body.entries && this.#take(fault.body.entries)) return true; // of another window
    if (fault instanceof Failure && [400, 404, 409].includes(fault.status)) {
      this.refused.push({ ...entry, why: fault.message });
      this.#waiting = this.#waiting.filter((each) => each !== entry);
      return true;
    }
    this.#attempts += 1;
    setTimeout(() => this.#flush(), Math.min(LONGEST_PAUSE, 500 * 2 ** this.#attempts));
    this.#fail(fault);
    return false;
  }

  #outgoing(entry) {
    const { undoesUid, ...fields } = entry;
    const undoes = this.entries.find((each) => undoesUid && each.uid === undoesUid)?.seq ?? null;
    return { ...fields, event: this.resolve(entry.event) ?? "", undoes };
  }
}

// The uids of all entries that were undone.
function cancelled(entries) {
  const bySeq = new Map(entries.map((entry) => [entry.seq, entry.uid]));
  const undos = entries.filter((entry) => entry.action === "undo");
  return new Set(undos.map((entry) => entry.undoesUid ?? bySeq.get(entry.undoes)));
}

// The events as one reviewer left them; what others said of them is in `others`.
export function reduce(detections, entries, reviewer) {
  const blank = () => ({ verdict: "", by: "", comments: [], others: new Map() });
  const events = new Map(detections.map((found) => [found.id, { ...found, ...blank(), found }]));
  const undone = cancelled(entries);
  for (const entry of entries.filter(({ uid, action }) => !undone.has(uid) && action !== "undo")) {
    const { action, onset, stop, label, side, reviewer: author, comment: text } = entry;
    const id = entry.event || `+${entry.uid}`;
    const event = events.get(id);
    const mine = author === reviewer;
    if (action === "add") {
      const verdict = mine ? "accept" : "";
      events.set(id, { ...blank(), id, onset, stop, label, side, confidence: null, channels: [], by: author, verdict });
    } else if (!event) continue;
    else if (action === "comment") event.comments.push({ author, text });
    else if (JUDGED.includes(action) && mine) event.verdict = action;
    else if (JUDGED.includes(action)) event.others.set(author, action);
    else if (action === "edit" && (mine || event.by === author)) Object.assign(event, { onset, stop, label, side });
    else if (action === "remove" && (mine || event.by === author)) events.delete(id);
  }
  return [...events.values()].sort((a, b) => a.onset - b.onset);
}
