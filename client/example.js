/** A drawn example for the strip while nobody talks, so that it explains itself. It is no recording of anything. */

import { Timeline } from "./timeline.js";

/** Who sounds for how many blocks of 80 ms: an order, a story with an "uh-huh", a "stop". */
const SCORE = [
  [30, "-"], [16, "you"], [6, "-"], [24, "omni"], [26, "-"], [11, "you"], [3, "-"], [15, "you"], [7, "-"],
  [38, "omni"], [5, "both"], [9, "you"], [5, "-"], [34, "omni"], [22, "-"],
  [22, "you"], [6, "-"], [30, "omni"], [14, "-"], [13, "you"], [5, "-"],
  [16, "omni"], [1, "both"], [4, "both"], [15, "omni"], [5, "both"], [4, "you"], [9, "-"],
];
const ENDS_INTERRUPTED = [11, 26]; // entries of SCORE that begin after a yield

/** @returns {Timeline} */
export function exampleTimeline() {
  const timeline = new Timeline();
  let block = 0;
  SCORE.forEach(([length, who], entry) => {
    const agentSounds = who === "omni" || who === "both";
    for (let i = 0; i < length; i += 1) {
      const next = i + 1 < length ? agentSounds : ["omni", "both"].includes(SCORE[entry + 1]?.[1]);
      timeline.take({
        block, speaking: next, late_blocks: 0, compute_us: 0,
        user_level: who === "you" || who === "both" ? syllable(block, 0.11) : 0.0016,
        agent_level: next ? syllable(block + 2, 0.13) : 0,
      });
      block += 1;
    }
    if (ENDS_INTERRUPTED.includes(entry + 1)) {
      timeline.takeFloor({ state: "listening", reason: "interrupted", at_ms: block * 80 });
    }
  });
  return timeline;
}

/** A level that rises and falls as syllables do. */
function syllable(block, loudness) {
  return loudness * (0.18 + Math.abs(Math.sin(block * 1.35) * Math.sin(block * 0.41 + 1)));
}
