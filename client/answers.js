/**
 * How long an answer took, measured with the page's own ears. Pure; for the reader's eye only.
 *
 *     you     ▂▅▇▅▂ . . . . . . . .
 *     agent   . . . . . . . . ▂▅▇▅▂
 *                  |◄───────►|       end of the user's sound to the agent's first audible sound
 *
 * Both levels come from one audio clock. The microphone's and the loudspeaker's own delays lie outside of it.
 */

import { NoiseFloor } from "./timeline.js";

const AGENT_AUDIBLE = 0.003;
const AGENT_QUIET_MS = 400; // the agent must have been silent this long for its next sound to be an onset
const SHORTEST_SOUND_MS = 120;
const LONGEST_ANSWER_MS = 10_000;

export class AnswerClock {
  constructor() {
    this.noise = new NoiseFloor(0.008, 1.001);
    this.youFrom = null;
    this.youTo = null;
    this.waiting = false;
    this.agentHeardAt = -Infinity;
  }

  /**
   * @param {number} nowMs Instant of this reading on the audio clock; readings come every 20 ms or so, in order.
   * @param {number} you RMS of the microphone.
   * @param {number} agent RMS of the agent's voice.
   * @returns {number | null} Milliseconds, once for each answer.
   */
  take(nowMs, you, agent) {
    const agentAudible = agent > AGENT_AUDIBLE;
    const onset = agentAudible && nowMs - this.agentHeardAt > AGENT_QUIET_MS;
    if (agentAudible) this.agentHeardAt = nowMs;
    if (this.noise.stands(you)) {
      if (this.youFrom === null || nowMs - this.youTo > AGENT_QUIET_MS) this.youFrom = nowMs;
      this.youTo = nowMs;
      if (nowMs - this.youFrom >= SHORTEST_SOUND_MS && !agentAudible) this.waiting = true;
    }
    if (!onset || !this.waiting) return null;
    this.waiting = false;
    const ms = Math.round(nowMs - this.youTo);
    return ms > 0 && ms < LONGEST_ANSWER_MS ? ms : null;
  }
}
