// The page's elements. Text from the server is only ever set as text.

export const at = id => document.getElementById(id);

/** An element with these attributes, holding these texts and elements. */
export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A button that shows its key, which screen readers get as a shortcut and not as a part of its name. */
export function keyed(key, attributes, ...children) {
  const hint = key ? [element("kbd", { "aria-hidden": "true" }, key)] : [];
  return element("button", { type: "button", "aria-keyshortcuts": key || undefined, ...attributes }, ...hint, ...children);
}

/** What the server says, which begins small and ends without a full stop. A name such as labels.csv stays as it is. */
export const sentence = text => (text || "").replace(/^\p{Ll}+(?=[ ,:]|$)/u, word => word[0].toUpperCase() + word.slice(1)).replace(/[^.!?…]$/, "$&.");

export const number = value => value.toLocaleString("en");
export const counted = (count, one, many = one + "s") => `${number(count)} ${count === 1 ? one : many}`;
export const percent = share => `${Math.round(100 * share)} %`;

/** 2023-04-21T06:10:35+02:00 as 21 Apr 2023, 06:10:35: the recorder's own clock, in no other time zone. */
export function clock(text) {
  const found = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d:\d\d(?::\d\d)?)/.exec(text || "");
  if (!found) return text || "no clock time";
  const month = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ")[found[2] - 1];
  return `${Number(found[3])} ${month} ${found[1]}, ${found[4]}`;
}

/** What an answer says, such as comrav, eurbla. */
export function told(answer) {
  if (answer.answer === "unsure") return "not sure";
  return answer.species.join(", ") || "none of these";
}

export const same = (a, b) =>
  a.answer === b.answer && a.species.length === b.species.length && a.species.every(name => b.species.includes(name));

/** Says something to everybody: it is shown, and read aloud by screen readers. */
export function say(text) { at("said").textContent = text; }
