/** The page's own ears: levels of both sides for the eye, on one audio clock. Nothing of it reaches the model. */

export class Meters {
  /** @param {(reading: {atMs: number, you: number, agent: number}) => void} onReading Every 20 ms while running. */
  constructor(onReading) {
    this.onReading = onReading;
    this.sources = [];
    this.node = null;
  }

  /**
   * @param {AudioContext} context
   * @param {MediaStream} microphone
   * @param {MediaStream} voice Must also play in an <audio> element; else it carries no sound in some browsers.
   */
  async follow(context, microphone, voice) {
    this.stop();
    const node = new AudioWorkletNode(context, "omni-level", { numberOfInputs: 2, numberOfOutputs: 1,
      outputChannelCount: [1] });
    this.node = node;
    node.port.onmessage = (message) => this.onReading(message.data);
    [microphone, voice].forEach((stream, side) => {
      if (!stream.getAudioTracks().length) return;
      const source = context.createMediaStreamSource(stream);
      source.connect(node, 0, side);
      this.sources.push(source);
    });
    node.connect(context.destination); // it puts out silence; unconnected nodes may sleep
  }

  stop() {
    for (const source of this.sources) source.disconnect();
    this.sources = [];
    this.node?.port.postMessage("stop");
    this.node?.disconnect();
    this.node = null;
  }
}

/** @param {AudioContext} context @returns {Promise<void>} Once before the first `follow`. */
export function prepareMeters(context) {
  return context.audioWorklet.addModule(new URL("./worklets/level.js", import.meta.url));
}

/**
 * @param {number} level RMS, full scale 1.
 * @returns {number} 0 to 1, so that quiet speech shows and loud speech fits.
 */
export function asHeight(level) {
  return Math.min(1, 2.1 * Math.sqrt(level));
}
