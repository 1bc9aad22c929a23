// A field that finds one of many names: as one types, with arrow keys, by touch.

import { element } from "./dom.js";

const MOST = 12;
const plain = text => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

/** How well a name fits what was typed: less is better, undefined is not at all. */
function fit({ forms }, typed) {
  if (forms.includes(typed)) return 0;
  if (forms.some(form => form.startsWith(typed))) return 1;
  if (forms.some(form => form.includes(` ${typed}`))) return 2;
  return forms.some(form => form.includes(typed)) ? 3 : undefined;
}

const entry = (name, about) => ({ name, about, forms: [name, ...about.split(", ")].filter(Boolean).map(plain) });

export class Search {
  /** `names` gives the names to find, best first; `take` is called with the one taken. `novel` lets new ones in. */
  constructor(field, list, { take, novel }) {
    Object.assign(this, { field, list, take, novel, names: [], found: [], active: -1 });
    field.addEventListener("input", () => this.look());
    field.addEventListener("focus", () => this.look());
    field.addEventListener("blur", () => this.close());
    field.addEventListener("keydown", event => this.pressed(event));
    list.addEventListener("mousedown", event => event.preventDefault()); // the field keeps the focus
    list.addEventListener("click", event => {
      const option = event.target.closest("[role=option]");
      if (option) this.choose([...list.children].indexOf(option));
    });
  }

  fill(names) {
    this.names = names.map(({ name, about }) => entry(name, about || ""));
  }

  add(name) {
    if (!this.names.some(known => known.name === name)) this.names.unshift(entry(name, ""));
  }

  look() {
    const text = this.field.value.trim(), typed = plain(text), fitting = [[], [], [], []];
    for (const known of this.names) fitting[typed ? fit(known, typed) ?? 4 : 3]?.push(known);
    this.found = fitting.flat().slice(0, MOST);
    const isNew = this.novel && text && !this.names.some(known => known.name === text);
    if (isNew) this.found.push({ name: text, isNew });
    this.list.replaceChildren(...this.found.map((known, i) => this.option(known, i)));
    this.list.hidden = !this.found.length;
    this.field.setAttribute("aria-expanded", String(!this.list.hidden));
    this.point(typed ? this.meant(fitting) : -1);
  }

  /** Which of the found Enter alone takes: where new names come in, an old one only if no other can be meant. */
  meant([same, beginning]) {
    const last = this.found.length - 1;
    if (!this.novel || !this.found[last].isNew) return Math.min(0, last);
    return (same.length || beginning.length) === 1 ? 0 : last;
  }

  option({ name, about, isNew }, i) {
    const text = isNew ? [`add “${name}” as a new label`] : [element("b", {}, name), about ? ` ${about}` : ""];
    return element("li", { role: "option", id: `${this.list.id}-${i}`, "aria-selected": "false" }, ...text);
  }

  point(i) {
    this.active = i;
    [...this.list.children].forEach((option, k) => option.setAttribute("aria-selected", String(k === i)));
    if (i < 0) this.field.removeAttribute("aria-activedescendant");
    else {
      this.field.setAttribute("aria-activedescendant", this.list.children[i].id);
      const { offsetTop, offsetHeight } = this.list.children[i]; // scrollIntoView would move the page as well
      this.list.scrollTop = Math.min(offsetTop, Math.max(this.list.scrollTop, offsetTop + offsetHeight - this.list.clientHeight));
    }
  }

  pressed(event) {
    if (event.isComposing) return;
    event.stopPropagation();
    const last = this.found.length - 1;
    if (event.key === "ArrowDown") this.point(this.active < last ? this.active + 1 : 0);
    else if (event.key === "ArrowUp") this.point(this.active > 0 ? this.active - 1 : last);
    else if (event.key === "Enter") this.choose(this.active);
    else if (event.key === "Escape") this.leave();
    else return;
    event.preventDefault();
  }

  choose(i) {
    const known = this.found[i];
    if (!known) return;
    this.leave();
    this.take(known.name);
  }

  leave() {
    this.field.value = "";
    this.field.blur();
  }

  close() {
    this.list.hidden = true;
    this.field.setAttribute("aria-expanded", "false");
    this.field.removeAttribute("aria-activedescendant");
  }
}
