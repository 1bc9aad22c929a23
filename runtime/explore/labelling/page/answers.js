// The answer as it stands in the page, and its way to the server's disk.

import { at, counted, same, say, sentence, told } from "./dom.js";
import { letter, plain } from "./keys.js";
import { ask, Gone, Refusal, unsent } from "./server.js";
import { by, showAnswer } from "./view.js";

const TELL = {
  gone: "The server does not answer. Your answers stay in this browser. If it has ended, start perch-explore label again.",
  moved: "The server was started again and has a new address. Open the one that its terminal shows: what is not saved is sent from there.",
};

export class Answers {
  constructor() {
    Object.assign(this, { tab: "", file: "", draft: null, touched: false, trouble: "", kind: "", said: "" });
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
    const { answer, said, error } = await this.send(entry);
    if (error instanceof Refusal && error.status === 400) unsent.drop(entry); // no such answer can be saved: it is here to be changed
    this.showTrouble();
    if (!answer) return "";
    window.answer = answer;
    this.touched = false;
    return said;
  }

  /** The answer that is on disk now, none if it could not be saved, and what was said of it. The browser keeps it until then. */
  async send(entry) {
    unsent.put(entry);
    try {
      const { answer, kept } = await this.insist(entry);
      unsent.drop(entry);
      this.tell(null);
      const said = `${kept ? "Theirs is kept" : "Saved"}: ${told(answer)}, ${entry.row_id}.`;
      say(said);
      return { answer, said };
    } catch (error) {
      this.tell(error);
      say(sentence(`not saved: ${error.message}`));
      return { error };
    }
  }

  /** Sends an answer. If somebody else has answered since, the person here decides. */
  async insist({ key, row_id, species, answer, order, seen }) {
    try {
      const reply = await ask("label", { tab: this.tab, key, row_id, species, answer, order, seen });
      this.heard(reply);
      return reply;
    } catch (error) {
      const theirs = error instanceof Refusal && error.status === 409 ? error.body.conflict : undefined;
      if (theirs === undefined || JSON.stringify(theirs) === JSON.stringify(seen)) throw error;
      const mine = { species, answer };
      if (theirs && same(theirs, mine)) return { answer: theirs };
      const counts = theirs ? await this.settle(row_id, theirs, mine) : "mine";
      if (counts === "theirs") return { answer: theirs, kept: true };
      if (!counts) throw new Refusal(409, { error: "somebody else answered, and you have not decided which answer counts" });
      return this.insist({ key, row_id, species, answer, order, seen: theirs });
    }
  }

  /** Which answer counts, "mine" or "theirs"; empty if the person here does not say. */
  settle(row_id, theirs, mine) {
    const dialog = at("conflict");
    at("theirs").textContent = `${row_id}: ${told(theirs)}${by(theirs)}.`;
    at("yours").textContent = `Your answer: ${told(mine)}.`;
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise(done => {
      at("keep").onclick = () => dialog.close("theirs");
      at("mine").onclick = () => dialog.close("mine");
      dialog.onkeydown = event => {
        const counts = plain(event) && { t: "theirs", m: "mine" }[letter(event)];
        if (counts) dialog.close(counts);
      };
      dialog.onclose = () => done(dialog.returnValue);
    });
  }

  /** Sends what was not saved, whichever page it was given in. */
  async resend(shown) {
    const waiting = unsent.of(this.file);
    if (!waiting.length) return say("All answers are saved.");
    let saved = 0, failed;
    for (const entry of waiting) {
      const { answer, error } = await this.send(entry);
      failed = error || failed;
      if (error instanceof Gone) return;
      if (!answer) continue;
      saved++;
      if (shown?.row_id === entry.row_id) { shown.answer = answer; this.open(shown, this.order); }
    }
    if (failed) this.tell(failed);
    say(`${counted(saved, "answer")} saved${failed ? `, ${waiting.length - saved} not` : ""}.`);
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
