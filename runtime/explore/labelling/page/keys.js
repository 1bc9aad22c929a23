// Keys for everything, and the list of them.

import { at, element } from "./dom.js";

/** Whether a key was pressed by itself: a chord is the browser's, and one that is held down counts once. */
export const plain = event => !(event.repeat || event.ctrlKey || event.altKey || event.metaKey || event.isComposing);

/** The letter of a key, also where the keyboard writes others than Latin ones. */
export function letter({ key, code }) {
  const latin = /^[^\x00-\x7f]$/.test(key) && /^Key([A-Z])$/.exec(code)?.[1];
  return (latin || key).toLowerCase();
}

/** The digit of a key, also where digits need the shift key. */
const digitOf = ({ key, code, shiftKey }) => (/^[1-9]$/.test(key) ? key : !shiftKey && /^Digit([1-9])$/.exec(code)?.[1]);

export const KEYS = [
  ["space", " ", "play", "play the window again"],
  ["c", "c", "around", "play it with its context"],
  ["l", "l", "loop", "loop on or off"],
  ["s", "s", "stop", "stop the sound"],
  ["1 to 9", "", "", "one of the commonest labels, on or off"],
  ["/", "/", "find", "search a label; Enter adds it, Esc leaves"],
  ["x", "x", "none", "none of these"],
  ["u", "u", "unsure", "not sure"],
  ["⏎ Enter", "Enter", "save", "save and go to the next"],
  ["→", "ArrowRight", "skip", "next without saving"],
  ["←", "ArrowLeft", "back", "previous"],
  ["z", "z", "undo", "take back what is chosen, or else the last answer"],
  ["n", "n", "near", "more like this: order by nearness to this window"],
  ["o", "o", "order", "choose the order"],
  ["r", "r", "again", "send again what was not saved"],
  ["?", "?", "help", "these keys"],
];

/** Calls `act` with the id of the button whose key is pressed, or a digit. Keys do nothing while one types. */
export function listen(act) {
  at("key-list").replaceChildren(...KEYS.flatMap(([shown, , , what]) =>
    [element("dt", {}, element("kbd", {}, shown)), element("dd", {}, what)]));
  addEventListener("keydown", event => {
    const { target, key } = event, presses = target.closest("button, a, summary, input") && (key === "Enter" || key === " ");
    if (event.repeat && presses) event.preventDefault(); // one press of a button that is held down
    if (!plain(event)) return;
    if (document.querySelector("dialog[open]") || target.closest("input:not([type=checkbox]), select, textarea")) return;
    if (presses) return; // by the browser
    const known = KEYS.find(([, one]) => one && (one === key || one === letter(event)));
    const digit = digitOf(event);
    if (!known && !digit) return;
    event.preventDefault();
    act(known ? known[2] : digit);
  });
  // a click leaves the focus where it is, so that Enter and space go on to be the page's own keys
  addEventListener("mousedown", event => { if (event.target.closest("button")) event.preventDefault(); });
  for (const [, , id] of KEYS) if (id && at(id).matches("button")) at(id).addEventListener("click", () => act(id));
}
