/**
 * The queue between the wire and the loudspeaker, for audio that comes over the WebSocket. Pure; the playback worklet
 * holds one.
 *
 *     push({at, epoch, tail, samples}) ──► [ cushion ............ bound ] ──► pull(128) ──► loudspeaker
 *
 * It starts once a cushion has gathered, which grows after each gap and shrinks again in calm. A newer epoch ramps down
 * what of an older one is still queued, within 10 ms, and throws the rest away: the agent has yielded, and what it said
 * before must not go on. When the queue is fuller than it should be, silence is dropped; speech only at the hard bound.
 */

/** @typedef {{at: number, epoch: number, tail: number, samples: Float32Array}} Block */

const SILENT = 1e-3;
const CUSHION_MS = 60;
const CUSHION_MAX_MS = 200;
const CUSHION_STEP_MS = 20;
const CALM_MS = 20_000; // without a gap for so long, the cushion gives back a step
const SURPLUS_MS = 100; // over the cushion: more than a block and a little jitter is delay for nothing
const BOUND_MS = 2_000;
const RAMP_MS = 10;

export class Playout {
  /** @param {number} rateHz Rate of the samples pushed and pulled. */
  constructor(rateHz) {
    this.perMs = rateHz / 1000;
    /** @type {{at: number, epoch: number, samples: Float32Array, read: number}[]} */
    this.queue = [];
    this.queued = 0;
    this.epoch = 0;
    this.playing = false;
    this.cushion = CUSHION_MS * this.perMs;
    /** One past the last sample played, on the conversation's clock, in samples; null before any. */
    this.playedTo = null;
    this.gaps = 0;
    this.sinceGap = 0;
    this.droppedSilence = 0;
    this.droppedOld = 0;
    this.droppedOverflow = 0;
  }

  /** @param {Block} block `at` and `tail` in samples of this queue's rate. */
  push(block) {
    let { samples, at } = block;
    if (block.epoch < this.epoch) {
      this.droppedOld += samples.length;
      return;
    }
    if (block.epoch > this.epoch) {
      const ramped = this.#yield();
      this.epoch = block.epoch;
      if (ramped) {
        samples = samples.slice(block.tail);
        at += block.tail;
      }
    }
    if (this.queued + samples.length > this.cushion + SURPLUS_MS * this.perMs && isSilent(samples)) {
      this.droppedSilence += samples.length;
      return;
    }
    while (this.queue.length && this.queued + samples.length > BOUND_MS * this.perMs) {
      const oldest = this.queue.shift();
      this.queued -= oldest.samples.length - oldest.read;
      this.droppedOverflow += oldest.samples.length - oldest.read;
    }
    this.queue.push({ at, epoch: block.epoch, samples, read: 0 });
    this.queued += samples.length;
  }

  /**
   * Fill `output`; silence where there is nothing to play.
   * @param {Float32Array} output
   */
  pull(output) {
    output.fill(0);
    if (!this.playing) {
      if (this.queued < this.cushion) return;
      this.playing = true;
    }
    let filled = 0;
    while (filled < output.length && this.queue.length) {
      const head = this.queue[0];
      const count = Math.min(output.length - filled, head.samples.length - head.read);
      output.set(head.samples.subarray(head.read, head.read + count), filled);
      head.read += count;
      filled += count;
      this.queued -= count;
      this.playedTo = head.at + head.read;
      if (head.read === head.samples.length) this.queue.shift();
    }
    if (filled < output.length) {
      this.playing = false;
      this.gaps += 1;
      this.sinceGap = 0;
      this.cushion = Math.min(CUSHION_MAX_MS * this.perMs, this.cushion + CUSHION_STEP_MS * this.perMs);
    }
    this.sinceGap += filled;
    if (this.sinceGap > CALM_MS * this.perMs) {
      this.sinceGap = 0;
      this.cushion = Math.max(CUSHION_MS * this.perMs, this.cushion - CUSHION_STEP_MS * this.perMs);
    }
  }

  /** What a playback report and the page's readings need; times in milliseconds. */
  report() {
    return {
      playedMs: this.playedTo === null ? null : this.playedTo / this.perMs,
      bufferedMs: this.queued / this.perMs,
      gaps: this.gaps,
      droppedMs: (this.droppedOld + this.droppedOverflow) / this.perMs,
    };
  }

  /** Ramp down what is queued of the older epoch and forget the rest. Returns whether anything audible was ramped. */
  #yield() {
    const ramp = Math.round(RAMP_MS * this.perMs);
    const waiting = this.queue;
    if (!waiting.some((block) => !isSilent(block.samples.subarray(block.read)))) return false;
    const kept = [];
    let left = ramp;
    for (const block of waiting) {
      const count = Math.min(left, block.samples.length - block.read);
      if (count > 0) {
        const samples = block.samples.slice(block.read, block.read + count);
        for (let i = 0; i < count; i += 1) samples[i] *= (left - i) / ramp;
        kept.push({ at: block.at + block.read, epoch: block.epoch, samples, read: 0 });
        left -= count;
      }
    }
    const rest = this.queued - (ramp - left);
    this.droppedOld += rest;
    this.queue = kept;
    this.queued = ramp - left;
    return true;
  }
}

/** @param {Float32Array} samples */
function isSilent(samples) {
  for (const sample of samples) if (Math.abs(sample) > SILENT) return false;
  return true;
}
