// A window's texts, the model's and the probe's classes, the answer as it is being made, and the count.

import { at, clock, counted, element, keyed, number, percent, sentence, told } from "./dom.js";

const short = seconds => String(Number(seconds.toFixed(2)));

export function showWindow(window) {
  at("recording").textContent = window.recording;
  const place = `${short(window.start_s)} to ${short(window.end_s)} s`;
  at("when").textContent = [window.site, clock(window.recorded_at), place].filter(Boolean).join(" · ");
  at("why").textContent = [sentence(window.reason).replace(/\.$/, ""), window.row_id].filter(Boolean).join(" · ");
  at("top").replaceChildren(...window.top.map(({ name, about, score }) => hint(name, about, score.toFixed(2))));
  at("probe").replaceChildren(...window.probe.map(row => learnt(row)));
  at("unlearnt").textContent = window.probe.length ? "" : "Nothing learnt yet.";
}

function hint(name, about, value, ...meter) {
  const button = element("button", { type: "button", "data-label": name, "aria-pressed": "false" },
    element("span", { class: "name" }, element("b", {}, name), about ? ` ${about}` : ""), element("span", { class: "number" }, value), ...meter);
  return element("li", {}, button);
}

function learnt({ name, probability, given, labels }) {
  if (probability === null) return hint(name, "", labels < 5 ? `${labels} of 5 labels` : "–");
  const meter = element("span", { class: "meter", "aria-hidden": "true" }, element("i", {}));
  meter.firstChild.style.width = `${100 * probability}%`;
  return hint(name, given ? "would get it" : "", percent(probability), meter);
}

/** Marks what is chosen, wherever it can be chosen. */
export function showAnswer(answer) {
  const species = answer?.species || [];
  for (const button of document.querySelectorAll("[data-label]")) button.setAttribute("aria-pressed", String(species.includes(button.dataset.label)));
  at("none").setAttribute("aria-pressed", String(answer?.answer === "labelled" && !species.length));
  at("unsure").setAttribute("aria-pressed", String(answer?.answer === "unsure"));
  const chips = species.map(name => element("button",
    { type: "button", class: "chip", "data-label": name, "aria-pressed": "true", "aria-label": `take ${name} out`, },
    name, element("span", { "aria-hidden": "true" }, " ×")));
  if (at("given").contains(document.activeElement)) at("save").focus(); // the button that was pressed goes away
  const text = answer ? "Answer:" : "No answer yet.";
  at("given").replaceChildren(element("span", { class: "soft" }, text), ...(answer && !chips.length ? [element("b", {}, told(answer))] : chips));
}

/** Who answered before, if anybody. */
export function showAlready(answer) {
  at("already").hidden = !answer;
  if (answer) at("already").textContent = `Saved: ${told(answer)}${by(answer)}`;
}

export const by = ({ labeller, labelled_at }) => (labeller ? `, by ${labeller}` : "") + (labelled_at ? `, ${clock(labelled_at)} UTC` : "");

/** A button for each of the commonest labels; those that had a key keep it. */
export function showKeys(labels, about) {
  at("keys").replaceChildren(...labels.map((name, i) => name
    ? keyed(String(i + 1), { "data-label": name, "aria-pressed": "false", title: about(name) || undefined }, name) : ""));
  if (!labels.some(Boolean)) at("keys").replaceChildren(element("span", { class: "soft" }, "The commonest labels get the keys 1 to 9."));
}

export function showCounts({ labelled, unsure }, scored) {
  for (const [id, count] of [["labelled", labelled], ["doubtful", unsure]]) at(id).style.width = count ? `max(2px, ${100 * count / scored}%)` : "0";
  const text = `${number(labelled)} labelled, ${number(unsure)} not sure, of ${counted(scored, "window")}`;
  at("count").textContent = text;
  const track = { "aria-valuemax": scored, "aria-valuenow": labelled + unsure, "aria-valuetext": text };
  for (const [name, value] of Object.entries(track)) at("track").setAttribute(name, value);
}

export function showOrders(orders) {
  at("order").replaceChildren(...orders.map(({ id, name, available, why }) => {
    const option = element("option", { value: id }, available || !why ? name : `${name} (${why})`);
    option.disabled = !available;
    return option;
  }));
}

/** A place without a window: all done, none found, wait. */
export function showEmpty(title, text) {
  at("window").hidden = true;
  at("hints").hidden = true;
  at("empty").hidden = false;
  at("empty-title").textContent = title;
  at("empty-text").textContent = text;
}

export function hideEmpty() {
  at("window").hidden = at("hints").hidden = false;
  at("empty").hidden = true;
}

/** Something that the server has met, until it is put away. */
export function showNotice(text) {
  const notice = element("p", {}, text);
  const gone = element("button", { type: "button", "aria-label": `put away: ${text}` }, "×");
  const line = element("div", { class: "notice" }, notice, gone);
  gone.addEventListener("click", () => line.remove());
  at("notices").append(line);
}
