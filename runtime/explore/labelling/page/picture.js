// The spectrogram: its axes, the window's five seconds, the cursor, and clicks that seek.

import { at, element } from "./dom.js";

const SECONDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60], KILOHERTZ = [0.5, 1, 2, 4, 8, 16, 32];

function ticks(from, to, most, steps) {
  const step = steps.find(step => (to - from) / step <= most) || (to - from);
  const found = [];
  for (let i = Math.ceil(from / step - 1e-6); i * step <= to + 1e-6; i++) found.push(i * step);
  return found;
}

const short = value => String(Number(value.toFixed(1)));

export class Picture {
  /** `seek` is called with a second of the recording. */
  constructor(seek) {
    this.frame = at("frame");
    this.seek = seek;
    this.frame.addEventListener("mousedown", event => event.preventDefault()); // the focus stays where it is
    this.frame.addEventListener("click", event => this.clicked(event));
    this.frame.addEventListener("keydown", event => this.stepped(event));
  }

  show(window) {
    this.window = window;
    const [from, to] = window.context_s, share = s => 100 * (s - from) / (to - from);
    at("before").style.width = `${share(window.start_s)}%`;
    at("after").style.width = `${100 - share(window.end_s)}%`;
    at("span").style.left = `${share(window.start_s)}%`;
    at("span").style.width = `${share(window.end_s) - share(window.start_s)}%`;
    at("seconds").replaceChildren(...ticks(from, to, 10, SECONDS).map(s => this.tick(short(s), "left", share(s))));
    const top = window.rate_hz / 2000;
    at("kilohertz").replaceChildren(...ticks(0, top, 5, KILOHERTZ).map(k => this.tick(short(k), "bottom", 100 * k / top)));
    const slider = { min: from, max: to, now: window.start_s };
    for (const [name, value] of Object.entries(slider)) this.frame.setAttribute(`aria-value${name}`, short(value));
    this.frame.setAttribute("aria-valuetext", `${short(window.start_s)} s`);
    this.place(window.start_s);
    this.note("Making the picture…");
  }

  tick(text, side, share) {
    const made = element("span", { class: "tick" }, text);
    made.style[side] = `${share}%`;
    return made;
  }

  draw(image) {
    image.alt = "";
    at("image").replaceChildren(image);
    this.note("");
  }

  /** A text in place of the picture. */
  note(text) {
    if (text) at("image").replaceChildren();
    at("nothing").textContent = text;
  }

  /** Moves the cursor to a second of the recording. */
  place(second) {
    const [from, to] = this.window.context_s;
    this.second = Math.min(Math.max(second, from), to);
    at("cursor").style.transform = `translateX(${100 * (this.second - from) / (to - from)}%)`;
  }

  clicked(event) {
    const box = at("image").getBoundingClientRect(), [from, to] = this.window.context_s;
    this.seek(from + (to - from) * Math.min(Math.max((event.clientX - box.x) / box.width, 0), 1));
  }

  stepped(event) {
    const by = { ArrowLeft: -0.5, ArrowDown: -0.5, ArrowRight: 0.5, ArrowUp: 0.5 }[event.key];
    if (!by || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.seek(this.second + by);
    this.frame.setAttribute("aria-valuenow", short(this.second));
    this.frame.setAttribute("aria-valuetext", `${short(this.second)} s`);
  }
}
