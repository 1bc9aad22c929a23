// What was learnt: a table per species, the random share's estimate, and the export of labels.

import { at, counted, element, number, sentence } from "./dom.js";
import { ask } from "./server.js";

const COLUMNS = ["label", "labels", "average precision", "would get it"];
const CAPTION = "Average precision is cross-validated by recording. The last column counts windows without an answer, and how that changed.";

const EXPORT_MS = 600_000;
let shown = "";

/** `labels`: the commonest, which can be exported before anything is learnt. */
export function showLearning(learning, labels) {
  const text = JSON.stringify([learning, labels]);
  if (text === shown) return;
  shown = text;
  const early = learning.error && !learning.after_labels; // with few answers that is as it should be
  at("learnt").textContent = early ? `Not learnt yet: ${learning.error}.` : sentence(learning.error || learning.message);
  at("learnt").classList.toggle("bad", Boolean(learning.error && !early));
  at("table").replaceChildren(...(learning.species.length ? [table(learning.species)] : [empty()]));
  at("random").textContent = estimate(learning.random);
  choices([...new Set([...learning.species.filter(({ labels }) => labels).map(({ name }) => name), ...labels])]);
}

const empty = () => element("p", { class: "soft" }, "A species gets probabilities from its fifth window on.");

function table(species) {
  const head = COLUMNS.map(name => element("th", { scope: "col" }, name));
  const rows = species.map(row => element("tr", {},
    element("th", { scope: "row" }, row.name),
    element("td", {}, number(row.labels)),
    element("td", {}, row.average_precision === null ? "–" : row.average_precision.toFixed(2)),
    element("td", {}, ...would(row))));
  return element("table", {}, element("caption", { class: "soft" }, CAPTION), element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
}

function would({ enough, labels, given, change }) {
  if (!enough) return [labels < 5 ? `${labels} of 5 labels` : "–"];
  if (given === null) return ["–"];
  const moved = change ? [element("span", { class: "soft" }, ` ${change > 0 ? "+" : "−"}${number(Math.abs(change))}`)] : [];
  return [number(given), ...moved];
}

/** What the random share says, in words. */
function estimate(random) {
  if (!random || !random.windows) return "No estimate yet. Answer some windows in random order: only they show how good what was learnt is.";
  const doubt = random.unsure ? `, ${number(random.unsure)} of them not sure` : "";
  return `${counted(random.windows, "window")} in random order${doubt}. ${sentence(random.remark)}`;
}

function choices(names) {
  const left = new Set([...at("exported").querySelectorAll("input:not(:checked)")].map(box => box.value));
  at("exported").replaceChildren(...names.map(name => {
    const box = element("input", { type: "checkbox", value: name });
    box.checked = !left.has(name);
    return element("label", {}, box, name);
  }));
}

/** Asks for an archive of the chosen labels, and gives it to the browser. */
export async function exportLabels(form) {
  const species = [...at("exported").querySelectorAll("input:checked")].map(box => box.value);
  if (!species.length) return at("ready").replaceChildren("Choose a label first.");
  at("ready").replaceChildren("Making the archive…");
  try {
    const { url, why } = await ask("export", { species, form }, EXPORT_MS);
    const link = element("a", { href: url, download: "" }, "Download the archive again");
    at("ready").replaceChildren(link, why ? ` ${sentence(why)}` : "");
    link.click();
  } catch (error) {
    at("ready").replaceChildren(`Not exported: ${error.message}`);
  }
}
