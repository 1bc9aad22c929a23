// One window at a time: listen, answer, go on.

import { Clips } from "./ahead.js";
import { Answers } from "./answers.js";
import { at, say, sentence } from "./dom.js";
import { listen } from "./keys.js";
import { exportLabels, showLearning } from "./learning.js";
import { Picture } from "./picture.js";
import { Search } from "./search.js";
import { ask, Gone, Refusal } from "./server.js";
import { Player } from "./sound.js";
import { claimTab, remember, remembered } from "./tab.js";
import { hideEmpty, showAlready, showCounts, showEmpty, showKeys, showNotice, showOrders, showWindow } from "./view.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const LEARNING_MS = 2000, WAIT_MS = 1000, SLOW_MS = 500, WAITING = "Waiting for the server…";

const player = new Player(showPlaying);
const picture = new Picture(second => play(second, second >= shown.start_s && second < shown.end_s ? shown.end_s : shown.context_s[1]));
const clips = new Clips(data => player.decode(data));
const answers = new Answers();
const known = new Map(); // what is said of a class name
let tab, state, order;
let shown = null; // the window that is seen
let trail = [], place = -1; // keys of the windows that were seen, and which of them is; their number if the next is asked for
let keyed = Array(9).fill(""); // the labels of the keys 1 to 9
let busy = false;
let asked = 0; // grows when a window is asked for: an answer to an earlier question comes too late

// ---- playing

function play(from_s, to_s) {
  player.play(from_s, to_s);
  picture.place(from_s);
  if (player.playing) requestAnimationFrame(follow);
}
function follow() {
  if (!player.playing) return;
  if (!player.muted) picture.place(calm.matches ? Math.floor(2 * player.time_s) / 2 : player.time_s);
  requestAnimationFrame(follow);
}
function showPlaying(player) {
  at("muted").hidden = !(player.playing && player.muted);
  at("loop").setAttribute("aria-pressed", String(player.loop));
  at("stop").disabled = !player.playing;
}
const again = () => shown && play(shown.start_s, shown.end_s);
for (const kind of ["keydown", "pointerdown"]) addEventListener(kind, () => player.wake(), true);

// ---- the window that is seen

function show(window) {
  shown = window;
  hideEmpty();
  showWindow(window);
  showAlready(window.answer);
  answers.open(window, order);
  picture.show(window);
  player.clear();
  at("silent").textContent = "";
  remember("at", { file: state.labels_file, key: window.key, row_id: window.row_id, order });
  if (window.error) return lack(window.error, window.error); // a clip that came later might span something else
  const clip = clips.get(window), current = () => shown === window;
  clip.picture.then(image => current() && picture.draw(image), error => current() && lack(error.message, ""));
  clip.sound.then(sound => current() && hear(sound), error => current() && lack("", error.message));
}
function lack(picture_why, sound_why) {
  if (picture_why) picture.note(`No picture: ${picture_why}`);
  if (sound_why) at("silent").textContent = sentence(`no sound: ${sound_why}`);
}
function hear(sound) {
  player.load(sound, shown.context_s[0]);
  again();
}

// ---- from window to window

/** Arrives at the window that `find` gives. Asks again while it is not there, until another one is asked for. */
async function reach(find, arrive) {
  const mine = ++asked, later = () => setTimeout(() => {
    if (mine === asked) reach(find, arrive).then(() => arrived(), report);
  }, WAIT_MS);
  let reply;
  try { reply = await find(); } catch (error) {
    if (!shown && mine === asked) later();
    throw error;
  }
  if (mine !== asked) return;
  if (reply.waiting) later();
  return arrive(reply);
}
const find = key => ask(`window/${encodeURIComponent(key)}`);
function enter(window) {
  trail = [...trail.slice(0, place + 1), window.key];
  place = trail.length - 1;
  show(window);
}
const go = (to, then = () => {}) => reach(() => find(trail[to]), reply => {
  place = to;
  if (reply.waiting) return nothing(reply);
  show(reply);
  then();
});
const next = () => (place < trail.length - 1 ? go(place + 1) : look());
/** Goes to the window that comes after the one that is seen, or to the first of another order. */
function look(wanted = order) {
  const after = (wanted === order && shown?.key) || null;
  return reach(() => ask("next", { tab, order: wanted, after }), reply => {
    order = wanted;
    showOrder();
    answers.heard(reply);
    if (reply.window) {
      enter(reply.window);
      clips.fetch(reply.window, reply.ahead);
    } else {
      trail = trail.slice(0, place + 1);
      place = trail.length;
      nothing(reply);
    }
  });
}
function nothing({ why, waiting }) {
  shown = null;
  player.clear();
  showEmpty(waiting ? "One moment" : "No window here", sentence(why));
}
function showOrder() {
  if (["order", "of"].includes(document.activeElement.id)) return; // one is just choosing
  at("order").value = order.id;
  at("value").hidden = true;
  at("chosen-value").textContent = order.value ?? "";
}
function openOrders() {
  at("order").focus();
  try { at("order").showPicker(); } catch { /* a browser that opens no list for a script: arrow keys choose */ }
}
const picked = () => state.orders.find(({ id }) => id === at("order").value);
let stepping = false; // through the list with keys: what is picked counts on Enter, or when the list is left
function pickOrder() {
  at("value").hidden = picked().needs !== "species";
  if (!stepping) takeOrder();
}
function takeOrder() {
  const { id, needs } = picked();
  stepping = false;
  if (needs === "species") {
    at("value").hidden = false;
    return at("of").focus();
  }
  at("order").blur();
  if (id !== order.id) act(() => (needs === "row_id" ? nearest() : move(() => look({ id, value: null })))).finally(showOrder);
}
function stepOrder({ key }) {
  stepping = key !== " " && key !== "Escape"; // the one opens the list, the other leaves it as it was
  if (key === "Enter") setTimeout(takeOrder);
  if (key === "Escape") at("order").blur();
}
function leaveOrder({ relatedTarget }) {
  if (stepping && picked().needs !== "species") return takeOrder();
  stepping = false;
  if (relatedTarget !== at("of")) showOrder();
}
const needing = what => state.orders.find(({ needs }) => needs === what);
async function nearest() {
  const { id, available, why } = needing("row_id");
  if (!shown || !available) return say(sentence(why || "there is no window to compare with"));
  return move(() => look({ id, value: shown.row_id }));
}

// ---- what keys and buttons do

async function save() {
  if (!shown) return;
  const said = await answers.save(shown);
  if (!said) return;
  await next();
  arrived(said);
}
async function move(going) {
  await going();
  arrived();
}
/** Says what was done, and which window is here now. */
function arrived(said = "") {
  if (shown) say(`${said} Now ${shown.row_id}.`.trim());
  else if (said) say(said);
}
async function undo() {
  if (shown && answers.touched) {
    answers.open(shown, order);
    return say("Your choice is taken back. Once more takes back the last answer.");
  }
  const reply = await ask("undo", { tab });
  answers.heard(reply);
  if (!reply.key) return say(sentence(reply.why));
  if (!trail.includes(reply.key)) trail = [...trail.slice(0, place + 1), reply.key];
  return go(trail.lastIndexOf(reply.key), () => say(`Taken back: ${shown.row_id}${reply.answer ? "; an older answer stands" : ""}.`));
}
const ACTIONS = {
  play: again,
  around: () => shown && play(...shown.context_s),
  loop: () => { player.loop = !player.loop; showPlaying(player); if (player.playing) again(); },
  stop: () => player.stop(),
  find: () => at("find").focus({ preventScroll: true }),
  none: () => shown && answers.choose("labelled"),
  unsure: () => shown && answers.choose("unsure"),
  save,
  skip: () => move(next),
  back: () => (place < 1 ? say("This is the first.") : move(() => go(place - 1))),
  undo,
  near: nearest,
  order: openOrders,
  again: () => answers.resend(shown),
  help: () => at("all-keys").showModal(),
};
/** Does one thing at a time: a key that is pressed before the next window is there is not meant for it. */
async function act(action) {
  if (busy) return;
  busy = true;
  const slow = setTimeout(() => at("conflict").open || say(WAITING), SLOW_MS);
  try { await action(); } catch (error) { report(error); } finally {
    busy = false;
    clearTimeout(slow);
    if (at("said").textContent === WAITING) say("");
  }
}
function report(error) {
  answers.tell(error);
  if (!(error instanceof Refusal || error instanceof Gone)) throw error; // a mistake of this page: the console shows it
  say(sentence(error.message));
}

// ---- what the server says

answers.heard = ({ counts, keys, notices }) => {
  for (const notice of notices || []) showNotice(sentence(notice));
  showCounts(counts, state.scored);
  keyed = keyed.map(name => (keys.includes(name) ? name : ""));
  for (const name of keys) if (!keyed.includes(name)) keyed[keyed.indexOf("")] = name;
  for (const name of keys) labels.add(name);
  showKeys(keyed, name => known.get(name));
  answers.show();
};
async function poll() {
  try {
    const learning = document.hidden ? null : await ask("learning");
    if (learning) {
      answers.back();
      showLearning(learning, keyed.filter(Boolean));
    }
  } catch (error) { answers.tell(error, true); }
  setTimeout(poll, LEARNING_MS);
}
const labels = new Search(at("find"), at("found"), { novel: true, take: name => { if (shown) answers.toggle(name, true); } });
const of = new Search(at("of"), at("of-found"), { take: name => act(() => move(() => look({ id: needing("species").id, value: name })).finally(showOrder)) });

async function start() {
  tab = answers.tab = await claimTab();
  state = await begin();
  document.title = `Label ${state.title}`;
  at("title").textContent = state.title;
  for (const { name, about } of state.names) known.set(name, about);
  labels.fill(state.names);
  of.fill(state.names);
  answers.file = state.labels_file;
  answers.heard(state);
  answers.tell(null);
  poll();
  await resume();
}
/** All that the page needs, as soon as the server has it. */
async function begin() {
  try { return await ask(`state?tab=${tab}`); } catch (error) {
    showEmpty("The page cannot begin yet", sentence(error.message));
    report(error);
    await new Promise(done => setTimeout(done, WAIT_MS));
    return begin();
  }
}
/** Where this tab was before it was loaded again. */
async function resume() {
  const was = remembered("at"), usual = state.orders.find(({ available, needs }) => available && !needs);
  const still = was?.file === state.labels_file && state.orders.find(({ id, available }) => id === was.order.id && available);
  order = still ? was.order : { id: usual.id, value: null };
  showOrders(state.orders);
  showOrder();
  if (!still || !was.key) return look();
  return reach(() => find(was.key).catch(error => { if (error instanceof Refusal) return {}; throw error; }), reply => {
    if (reply.waiting) return nothing(reply);
    return reply.row_id === was.row_id ? enter(reply) : look();
  });
}

listen(id => act(ACTIONS[id] || (() => { const name = keyed[id - 1]; if (shown && name) answers.toggle(name); })));
addEventListener("click", event => {
  const label = event.target.closest("[data-label]")?.dataset.label;
  if (label && shown && !busy) answers.toggle(label);
});
at("order").addEventListener("change", pickOrder);
at("order").addEventListener("keydown", stepOrder);
at("order").addEventListener("pointerdown", () => { stepping = false; });
at("order").addEventListener("blur", leaveOrder);
at("of").addEventListener("blur", showOrder); // no species was chosen: the order stays what it was
at("wav").addEventListener("click", () => exportLabels("wav"));
at("raven").addEventListener("click", () => exportLabels("raven"));
at("close").addEventListener("click", () => at("all-keys").close());
busy = true;
start().catch(report).finally(() => { busy = false; });
