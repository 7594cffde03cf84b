// The verdicts on one recording: what is saved, what waits to be saved, and the events that follow from both.

import { Failure, get, inWords, post } from "./api.js";

const JUDGED = ["accept", "reject", "unsure"];
const PATIENCE = 15_000; // ms after which a verdict that is not confirmed counts as not saved, and is sent again

// By content and name: the numbers of recordings change from one reading room to the next.
const PLACE = "verdicts of ";
const placeOf = ({ hash, name }) => `${PLACE}${hash} ${name}`;
const read = (place) => JSON.parse(sessionStorage.getItem(place) ?? "{}");
const keptPlaces = () => Object.keys(sessionStorage).filter((place) => place.startsWith(PLACE) && read(place).waiting.length);

// Whether verdicts on a recording were waiting when the page was loaded.
export const isKept = (recording) => keptPlaces().includes(placeOf(recording));

// Verdicts that wait and are on none of these recordings: how many, and how to give them up.
export function strays(recordings) {
  const places = keptPlaces().filter((place) => !recordings.some((each) => placeOf(each) === place));
  const count = places.reduce((sum, place) => sum + read(place).waiting.length, 0);
  return { count, discard: () => places.forEach((place) => sessionStorage.removeItem(place)) };
}

export class Journal {
  fault = ""; // why the last attempt to save or to look failed
  refused = []; // entries that the server will never take, each with its reason in `why`; or only a reason
  #saved = new Map(); // seq -> entry
  #generation; // of the file; it changes when another program deletes or edits it
  #waiting = []; // entries not saved yet, oldest first; an undo names what it undoes in `undoesUid`
  #sending = false;
  #place; // where what waits is kept, for when the page is loaded again
  #changed;

  constructor(recording, reviewer, changed) {
    Object.assign(this, { id: recording.id, hash: recording.hash, detections: [], reviewer });
    this.#changed = changed;
    this.#place = placeOf(recording);
    const kept = read(this.#place);
    this.#waiting = kept.waiting ?? [];
    this.refused = kept.refused ?? [];
  }

  // Takes in what the server says of the recording when it is opened.
  open({ detections, verdicts, generation }) {
    this.detections = detections;
    if (generation === (this.#generation ??= generation)) this.#take(verdicts);
    else this.#replace(verdicts, generation);
    this.#send();
  }

  get waiting() {
    return this.#waiting.length;
  }

  get #last() {
    return Math.max(0, ...this.#saved.keys());
  }

  // In order; those that wait refer to an event added here by its present name.
  get entries() {
    const saved = [...this.#saved.values()].sort((a, b) => a.seq - b.seq);
    return [...saved, ...this.#waiting.map((entry) => ({ ...entry, event: this.resolve(entry.event) }))];
  }

  get #mine() {
    return inForce(this.entries).filter((entry) => entry.reviewer === this.reviewer);
  }

  get hasRead() {
    return this.#mine.some((entry) => entry.action === "read");
  }

  record(action, fields) {
    const uid = crypto.randomUUID().replaceAll("-", "");
    const entry = { uid, action, hash: this.hash, reviewer: this.reviewer, comment: "", ...fields };
    this.#waiting.push(entry);
    this.#keep();
    this.#send();
    return entry;
  }

  undo() {
    const last = this.#mine.at(-1);
    return last && this.record("undo", { event: "", undoesUid: keyOf(last) });
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

  // Takes in what other windows wrote, and tries again to save what waits.
  async look() {
    try {
      const { entries, generation } = await this.#read(this.#last);
      if (generation !== (this.#generation ??= generation)) await this.#renew();
      const news = this.#take(entries);
      if (!this.waiting) this.#tell("");
      if (news) this.#changed();
      this.#send();
    } catch (fault) {
      this.#tell(inWords(fault));
    }
  }

  #read(after) {
    return get(`/api/recordings/${this.id}/verdicts?after=${after}`);
  }

  async #renew() {
    const { entries, generation } = await this.#read(0);
    this.#replace(entries, generation);
  }

  #replace(entries, generation) {
    this.#saved = new Map();
    this.#generation = generation;
    this.#take(entries);
    this.refused.push({ why: "Another program deleted or edited the journal of this recording; the page shows what it holds now." });
    this.#keep();
  }

  #take(entries) {
    const fresh = entries.filter((entry) => !this.#saved.has(entry.seq));
    for (const entry of fresh) this.#saved.set(entry.seq, entry);
    this.#drop(fresh.map((entry) => entry.uid));
    return fresh.length > 0;
  }

  #drop(uids) {
    this.#waiting = this.#waiting.filter((entry) => !uids.includes(entry.uid));
  }

  #keep() {
    sessionStorage.setItem(this.#place, JSON.stringify({ waiting: this.#waiting, refused: this.refused }));
    this.#changed();
  }

  #tell(fault) {
    const before = this.fault;
    this.fault = fault;
    if (fault !== before) this.#changed();
  }

  // One after the other, each once the one before is saved.
  async #send() {
    if (this.#sending) return;
    this.#sending = true;
    try {
      while (this.waiting) {
        const [entry] = this.#waiting;
        const sent = post(`/api/recordings/${this.id}/verdicts`, this.#outgoing(entry), AbortSignal.timeout(PATIENCE));
        const reply = await sent.catch((fault) => fault);
        if (reply instanceof Error && !(await this.#settle(reply, entry))) return this.#tell(inWords(reply));
        if (!(reply instanceof Error)) this.#take([reply.entry]);
        this.fault = "";
        this.#keep();
      }
    } finally {
      this.#sending = false;
    }
  }

  // Tells whether an entry that was not taken can be sent again at once, or never.
  async #settle(fault, entry) {
    if (!(fault instanceof Failure)) return false;
    if (fault.status === 409 && "generation" in fault.body && fault.body.generation !== this.#generation) {
      return this.#renew().then(() => true, () => false);
    }
    if (fault.body.entries && this.#take(fault.body.entries)) return true; // another window wrote meanwhile
    if (![400, 404, 409].includes(fault.status)) return false;
    this.refused.push({ ...entry, why: fault.message });
    this.#drop([entry.uid]);
    return true;
  }

  #outgoing({ undoesUid, ...entry }) {
    const undoes = undoesUid ? [...this.#saved.values()].find((each) => keyOf(each) === undoesUid)?.seq : null;
    return { ...entry, event: this.resolve(entry.event) ?? "", undoes, after: this.#last };
  }
}

// Entries of other programs may have no uid.
const keyOf = ({ uid, seq }) => uid || `#${seq}`;

function inForce(entries) {
  const keys = new Map(entries.map((entry) => [entry.seq, keyOf(entry)]));
  const undos = entries.filter(({ action }) => action === "undo");
  const undone = new Set(undos.map((entry) => entry.undoesUid ?? keys.get(entry.undoes)));
  return entries.filter((entry) => entry.action !== "undo" && !undone.has(keyOf(entry)));
}

// The events as the tables will hold them, with the verdicts of one reviewer; those of others are in `others`.
export function reduce(detections, entries, reviewer) {
  const blank = () => ({ verdict: "", last: "", by: "", comments: [], others: new Map() });
  const events = new Map(detections.map((found) => [found.id, { ...found, ...blank(), found }]));
  for (const entry of inForce(entries)) {
    const { action, onset, stop, label, side, reviewer: author, comment: text } = entry;
    const id = entry.event || `+${entry.uid}`;
    if (action === "add") events.set(id, { ...blank(), id, side: "", confidence: null, channels: [], by: author });
    const event = events.get(id);
    if (!event) continue;
    if (action === "remove") {
      events.delete(id);
      continue;
    }
    if (Number.isFinite(onset) && Number.isFinite(stop)) Object.assign(event, { onset, stop });
    Object.assign(event, { label: label || event.label, side: action === "edit" ? side : side || event.side });
    const verdict = action === "add" ? "accept" : action;
    if (action === "comment") event.comments.push({ author, text });
    if (!JUDGED.includes(verdict)) continue;
    event.last = verdict; // of anybody: what the tables follow
    if (author === reviewer) event.verdict = verdict;
    else if (action !== "add") event.others.set(author, verdict);
  }
  return [...events.values()].sort((a, b) => a.onset - b.onset);
}
