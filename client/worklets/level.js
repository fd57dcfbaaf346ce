/** Measures two sounds on one clock: the microphone (input 0) and the agent's voice (input 1), RMS in each 20 ms. */

class Level extends AudioWorkletProcessor {
  constructor() {
    super();
    this.sums = [0, 0];
    this.count = 0;
    this.length = Math.round(sampleRate * 0.02);
    this.stopped = false;
    this.port.onmessage = () => { this.stopped = true; };
  }

  process(inputs) {
    for (let side = 0; side < 2; side += 1) {
      const samples = inputs[side]?.[0];
      if (samples) for (const sample of samples) this.sums[side] += sample * sample;
    }
    this.count += 128;
    if (this.count >= this.length) {
      const [you, agent] = this.sums.map((sum) => Math.sqrt(sum / this.count));
      this.port.postMessage({ atMs: currentTime * 1000, you, agent });
      this.sums = [0, 0];
      this.count = 0;
    }
    return !this.stopped;
  }
}

registerProcessor("omni-level", Level);
