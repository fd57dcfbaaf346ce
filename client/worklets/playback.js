/** Plays the agent's blocks through a bounded queue and reports how far it has got. */

import { Playout } from "../playout.js";
import { Resampler } from "../resampler.js";

const REPORT_MS = 100;

class Playback extends AudioWorkletProcessor {
  constructor(options) {
    super();
    const { rateHz } = options.processorOptions;
    this.playout = new Playout(rateHz);
    this.resampler = new Resampler(rateHz, sampleRate);
    this.chunk = new Float32Array(rateHz / 200); // 5 ms
    this.ready = new Float32Array(0);
    this.sinceReport = 0;
    this.stopped = false;
    this.port.onmessage = ({ data }) => {
      if (data === "stop") this.stopped = true;
      else this.playout.push(data);
    };
  }

  process(_, [output]) {
    if (this.stopped) return false;
    const channel = output[0];
    while (this.ready.length < channel.length) {
      this.playout.pull(this.chunk);
      const more = this.resampler.process(this.chunk);
      const joined = new Float32Array(this.ready.length + more.length);
      joined.set(this.ready);
      joined.set(more, this.ready.length);
      this.ready = joined;
    }
    channel.set(this.ready.subarray(0, channel.length));
    this.ready = this.ready.slice(channel.length);
    this.sinceReport += channel.length;
    if (this.sinceReport >= sampleRate * REPORT_MS / 1000) {
      this.sinceReport = 0;
      this.port.postMessage(this.playout.report());
    }
    return true;
  }
}

registerProcessor("omni-playback", Playback);
