/**
 * Tells the server how far its voice has really been played, so that its memory holds what was heard; and keeps the
 * readings the page shows about the way between the two.
 */

const EVERY_MS = 200;

export class Heard {
  /**
   * @param {(event: object) => void} send
   * @param {(readings: import("./webrtc.js").Readings) => void} onReadings
   * @param {{setInterval: Function, clearInterval: Function}} timers
   */
  constructor(send, onReadings, timers = globalThis) {
    this.send = send;
    this.onReadings = onReadings;
    this.timers = timers;
    this.timer = null;
    /** Milliseconds from the arrival of a word to its sound; captions wait so long. */
    this.bufferMs = 0;
    this.lastPlayedMs = -1;
  }

  /** @param {import("./webrtc.js").Call} call */
  follow(call) {
    this.stop();
    this.lastPlayedMs = -1;
    this.timer = this.timers.setInterval(() => this.#report(call), EVERY_MS);
  }

  stop() {
    this.timers.clearInterval(this.timer);
    this.timer = null;
    this.bufferMs = 0;
  }

  async #report(call) {
    const watching = this.timer;
    const readings = await call.read();
    if (watching !== this.timer) return; // another call, or none, since we asked
    this.bufferMs = readings.bufferMs;
    this.onReadings(readings);
    const { playback } = readings;
    if (!playback || playback.played_ms <= this.lastPlayedMs) return;
    this.lastPlayedMs = playback.played_ms;
    this.send({ type: "omni.playback", ...playback });
  }
}
