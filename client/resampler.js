/**
 * A streaming resampler: windowed sinc, any ratio, pure arithmetic (it also runs inside an AudioWorklet).
 *
 * The page runs one AudioContext at the machine's own rate, since not every browser connects a microphone to a context
 * of another rate. The wire carries 16 kHz, so both ways pass here.
 */

const HALF_WIDTH = 16; // zero crossings of the sinc on each side
const TABLE_STEPS = 512; // kernel samples per zero crossing, read with linear interpolation

const KERNEL = (() => {
  const table = new Float64Array(HALF_WIDTH * TABLE_STEPS + 2);
  for (let i = 0; i < table.length; i += 1) {
    const x = i / TABLE_STEPS;
    const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
    const t = Math.min(1, x / HALF_WIDTH);
    const window = 0.42 + 0.5 * Math.cos(Math.PI * t) + 0.08 * Math.cos(2 * Math.PI * t); // Blackman
    table[i] = sinc * window;
  }
  return table;
})();

export class Resampler {
  /**
   * @param {number} fromHz
   * @param {number} toHz
   */
  constructor(fromHz, toHz) {
    this.step = fromHz / toHz;
    /** Below 1 when going down: the sinc is widened so that nothing folds back. */
    this.cutoff = Math.min(1, toHz / fromHz) * 0.95;
    this.reach = Math.ceil(HALF_WIDTH / this.cutoff);
    /** Unread input; it begins `reach` samples before the next output's centre. */
    this.kept = new Float32Array(this.reach);
    this.centre = this.reach;
  }

  /**
   * @param {Float32Array} input Any length.
   * @returns {Float32Array} What is complete so far; the output lags by `reach` input samples.
   */
  process(input) {
    if (this.step === 1) return input.slice();
    const samples = new Float32Array(this.kept.length + input.length);
    samples.set(this.kept);
    samples.set(input, this.kept.length);
    const count = Math.max(0, Math.ceil((samples.length - this.reach - this.centre) / this.step));
    const output = new Float32Array(count);
    for (let i = 0; i < count; i += 1) {
      output[i] = this.#at(samples, this.centre);
      this.centre += this.step;
    }
    const done = Math.max(0, Math.floor(this.centre) - this.reach);
    this.kept = samples.slice(done);
    this.centre -= done;
    return output;
  }

  #at(samples, centre) {
    const first = Math.ceil(centre - this.reach);
    const last = Math.min(samples.length - 1, Math.floor(centre + this.reach));
    let sum = 0;
    for (let k = Math.max(0, first); k <= last; k += 1) {
      const place = Math.abs(k - centre) * this.cutoff * TABLE_STEPS;
      const index = Math.floor(place);
      if (index >= HALF_WIDTH * TABLE_STEPS) continue;
      const weight = KERNEL[index] + (KERNEL[index + 1] - KERNEL[index]) * (place - index);
      sum += samples[k] * weight;
    }
    return sum * this.cutoff;
  }
}
