/** Cuts the microphone into stretches of 20 ms at the wire's rate and hands them to the page. */

import { Resampler } from "../resampler.js";

const STRETCH_MS = 20;

class Capture extends AudioWorkletProcessor {
  constructor(options) {
    super();
    const { rateHz } = options.processorOptions;
    this.resampler = new Resampler(sampleRate, rateHz);
    this.stretch = new Float32Array(rateHz * STRETCH_MS / 1000);
    this.filled = 0;
    this.stopped = false;
    this.port.onmessage = () => { this.stopped = true; };
  }

  process([input]) {
    if (this.stopped) return false;
    const samples = this.resampler.process(input[0] ?? new Float32Array(128)); // an unplugged source is silence
    let read = 0;
    while (read < samples.length) {
      const count = Math.min(samples.length - read, this.stretch.length - this.filled);
      this.stretch.set(samples.subarray(read, read + count), this.filled);
      this.filled += count;
      read += count;
      if (this.filled === this.stretch.length) {
        this.port.postMessage(this.stretch);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("omni-capture", Capture);
