// The answer as it stands in the page, and its way to the server's disk.

import { at, counted, same, say, sentence, told } from "./dom.js";
import { ask, Gone, Refusal, unsent } from "./server.js";
import { by, showAnswer } from "./view.js";

const TELL = {
  gone: "The server does not answer. Your answers stay in this browser. If it has ended, start perch-explore label again.",
  moved: "The server was started again and has a new address. Open the one that its terminal shows: what is not saved is sent from there.",
};

export class Answers {
  constructor(tab) {
    Object.assign(this, { tab, file: "", draft: null, touched: false, trouble: "", kind: "", said: "" });
    at("forget").addEventListener("click", () => this.forget());
  }

  /** Begins with a window's answer, or what could not be saved of it. */
  open(window, order) {
    const waiting = unsent.of(this.file).find(({ row_id }) => row_id === window.row_id), from = waiting || window.answer;
    this.draft = from && { species: [...from.species], answer: from.answer };
    this.order = order;
    this.touched = false;
    this.show();
  }

  show() { showAnswer(this.draft); }

  change(draft) {
    this.draft = draft;
    this.touched = true;
    this.show();
  }

  /** Takes a label in; one that is in comes out, or stays if it is to `stay`. */
  toggle(name, stay = false) {
    const species = this.draft?.species || [];
    if (stay && species.includes(name)) return;
    const left = species.includes(name) ? species.filter(other => other !== name) : [...species, name];
    this.change(left.length ? { species: left, answer: "labelled" } : null);
  }

  /** None of these, or not sure; the same again takes it back. */
  choose(answer) {
    const draft = { species: [], answer };
    this.change(this.draft && same(this.draft, draft) ? null : draft);
  }

  /** What to say of a window's answer that is on disk; empty if it is not. */
  async save(window) {
    if (!this.draft) {
      say("No answer yet: choose a label, x for none of these, or → to skip.");
      return "";
    }
    const { key, row_id, answer: seen } = window, entry = { file: this.file, key, row_id, ...this.draft, order: this.order, seen };
    const { answer, said } = await this.send(entry);
    if (!answer) return "";
    window.answer = answer;
    return said;
  }

  /** The answer that is on disk now, none if it could not be saved, and what was said of it. */
  async send(entry) {
    try {
      const { answer, kept } = await this.insist(entry);
      unsent.drop(entry);
      this.tell(null);
      const said = `${kept ? "Theirs is kept" : "Saved"}: ${told(answer)}, ${entry.row_id}.`;
      say(said);
      return { answer, said };
    } catch (error) {
      const lasting = error instanceof Refusal && error.status < 500;
      if (!lasting) unsent.put(entry);
      this.tell(error);
      say(sentence(`not saved: ${error.message}`));
      return {};
    }
  }

  /** Sends an answer. If somebody else has answered since, the person here decides. */
  async insist({ key, row_id, species, answer, order, seen }) {
    try {
      const reply = await ask("label", { tab: this.tab, key, species, answer, order, seen });
      this.heard(reply);
      return reply;
    } catch (error) {
      const theirs = error instanceof Refusal && error.status === 409 ? error.body.conflict : undefined;
      if (theirs === undefined || JSON.stringify(theirs) === JSON.stringify(seen)) throw error;
      const mine = { species, answer };
      if (theirs && same(theirs, mine)) return { answer: theirs };
      if (theirs && !await this.settle(row_id, theirs, mine)) return { answer: theirs, kept: true };
      return this.insist({ key, row_id, species, answer, order, seen: theirs });
    }
  }

  /** Whether mine is to be saved over theirs. */
  settle(row_id, theirs, mine) {
    const dialog = at("conflict");
    at("theirs").textContent = `${row_id}: ${told(theirs)}${by(theirs)}.`;
    at("yours").textContent = `Your answer: ${told(mine)}.`;
    dialog.showModal();
    return new Promise(done => {
      const end = over => { dialog.onkeydown = at("keep").onclick = at("mine").onclick = dialog.oncancel = null; dialog.close(); done(over); };
      at("keep").onclick = () => end(false);
      at("mine").onclick = () => end(true);
      dialog.oncancel = event => { event.preventDefault(); end(false); };
      dialog.onkeydown = ({ key }) => { if (key === "t" || key === "m") end(key === "m"); };
    });
  }

  /** Sends what was not saved, whichever page it was given in. */
  async resend(shown) {
    const waiting = unsent.of(this.file);
    if (!waiting.length) return say("All answers are saved.");
    for (const entry of waiting) {
      const window = await ask(`window/${encodeURIComponent(entry.key)}`);
      if (window.row_id !== entry.row_id) throw new Refusal(400, { error: `${entry.row_id} is no window of these rows` });
      const { answer } = await this.send(entry);
      if (!answer) return undefined;
      if (shown?.row_id === entry.row_id) { shown.answer = answer; this.open(shown, this.order); }
    }
    return say(`${counted(waiting.length, "answer")} saved.`);
  }

  forget() {
    const waiting = unsent.of(this.file);
    if (!confirm(`Discard ${counted(waiting.length, "answer")} that could not be saved?`)) return;
    for (const entry of waiting) unsent.drop(entry);
    this.tell(null);
  }

  /** What keeps answers from being saved; null if nothing does. What is `passing` is over when the server answers. */
  tell(error, passing = false) {
    this.kind = error instanceof Gone ? (error.moved ? "moved" : "gone") : passing ? "passing" : "";
    this.trouble = TELL[this.kind] || sentence(error?.message);
    this.showTrouble();
  }

  /** The server answers. */
  back() {
    if (!this.kind) return;
    this.kind = "";
    this.trouble = "The server is back.";
    this.showTrouble();
    if (!unsent.of(this.file).length) { this.tell(null); say("The server is back."); }
  }

  showTrouble() {
    const waiting = unsent.of(this.file).length;
    const text = [waiting ? `${counted(waiting, "answer")} not saved.` : "", this.trouble].filter(Boolean).join(" ");
    at("trouble").hidden = !text;
    at("again").hidden = at("forget").hidden = !waiting;
    if (text !== this.said) at("trouble-text").textContent = text; // read aloud once
    this.said = text;
  }
}
