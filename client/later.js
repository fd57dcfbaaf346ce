/** What the agent says is shown when it sounds: each thing waits for what is buffered before it, in order. */

export class Later {
  /**
   * @param {() => number} delayMs How long from arrival to sound, now.
   * @param {{setTimeout: Function, clearTimeout: Function, now: () => number}} timers
   */
  constructor(delayMs, timers) {
    this.delayMs = delayMs;
    this.timers = timers;
    /** @type {{due: number, show: () => void}[]} */
    this.waiting = [];
    this.timer = null;
  }

  /** @param {() => void} show */
  add(show) {
    const previous = this.waiting.at(-1)?.due ?? 0;
    this.waiting.push({ due: Math.max(previous, this.timers.now() + this.delayMs()), show });
    if (this.timer === null) this.#wait();
  }

  /** Forget what is still waiting. */
  drop() {
    this.waiting = [];
    this.timers.clearTimeout(this.timer);
    this.timer = null;
  }

  #wait() {
    this.timer = this.timers.setTimeout(() => {
      this.timer = null;
      const now = this.timers.now();
      while (this.waiting.length && this.waiting[0].due <= now) this.waiting.shift().show();
      if (this.waiting.length) this.#wait();
    }, Math.max(0, Math.ceil(this.waiting[0].due - this.timers.now())));
  }
}
