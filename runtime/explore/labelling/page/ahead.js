// Pictures and sounds of windows, fetched before they are shown and kept a while after.

import { bytes } from "./server.js";

const KEPT = 24;

export class Clips {
  /** `decode` makes samples of a sound's bytes. */
  constructor(decode) {
    this.decode = decode;
    this.kept = new Map();
    this.turn = 0;
  }

  /** Promises of an image and of samples. */
  get({ picture, sound }) {
    const clip = this.kept.get(picture) || this.ask(picture, sound);
    for (const part of [clip.picture, clip.sound]) part.catch(() => this.kept.delete(picture)); // it may come another time
    this.kept.delete(picture);
    this.kept.set(picture, clip);
    for (const old of this.kept.keys()) if (this.kept.size > KEPT) this.kept.delete(old);
    return clip;
  }

  ask(picture, sound) {
    const made = bytes(sound); // once they are there the picture is too
    return { picture: made.then(() => image(picture)), sound: made.then(this.decode) };
  }

  /** Fetches the clips of `window`, then those of `keys`, one by one: an answer's way to the server stays free. */
  async fetch(window, keys) {
    const mine = ++this.turn, address = (path, key) => path.replace(window.key, key);
    for (const key of [window.key, ...keys]) {
      if (mine !== this.turn) return;
      const clip = this.get({ picture: address(window.picture, key), sound: address(window.sound, key) });
      await Promise.allSettled([clip.picture, clip.sound]);
    }
  }
}

async function image(address) {
  const made = new Image();
  made.src = address;
  await made.decode();
  return made;
}
