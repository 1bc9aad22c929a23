// Plays a part of a window's sound.

export class Player {
  /** `changed` is called when playing begins or ends, or the browser begins to let it. */
  constructor(changed) {
    this.changed = () => changed(this);
    this.context = new AudioContext();
    this.context.onstatechange = this.changed;
    this.loop = false;
    this.clear();
  }

  /** Browsers let a page play once a key was pressed in it. */
  get muted() { return this.context.state !== "running"; }
  get playing() { return Boolean(this.source); }

  /** To be called when a key is pressed: only then do browsers let it. */
  wake() { if (this.muted) this.context.resume(); }

  decode(data) { return this.context.decodeAudioData(data); }

  clear() {
    this.stop();
    this.sound = null;
  }

  /** `sound` begins at `from_s` of the recording. */
  load(sound, from_s) {
    this.stop();
    Object.assign(this, { sound, from_s });
  }

  /** Plays from `start_s` to `end_s` of the recording. */
  play(start_s, end_s) {
    this.stop();
    if (!this.sound) return;
    this.context.resume();
    const start = Math.max(0, start_s - this.from_s), end = Math.min(end_s - this.from_s, this.sound.duration);
    if (end <= start) return;
    const source = new AudioBufferSourceNode(this.context, { buffer: this.sound, loopStart: start, loopEnd: end, loop: this.loop });
    source.connect(this.context.destination);
    source.onended = () => { if (this.source === source) this.stop(); };
    source.start(0, start, this.loop ? undefined : end - start);
    Object.assign(this, { source, start, end, began: this.context.currentTime });
    this.changed();
  }

  stop() {
    const source = this.source;
    this.source = null;
    if (source) { source.stop(); this.changed(); }
  }

  /** The second of the recording that is heard now. */
  get time_s() {
    const heard = Math.max(0, this.context.currentTime - this.began - (this.context.outputLatency || 0));
    const length = this.end - this.start;
    return this.from_s + this.start + (this.source.loop ? heard % length : Math.min(heard, length));
  }
}
