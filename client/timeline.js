/**
 * The record behind the strip: who sounded in each block of 80 ms, who held the floor, and what happened there. Pure.
 *
 * Everything here is for looking at. The model decides when the agent speaks; these levels and thresholds only put
 * marks on paper.
 */

export const BLOCK_MS = 80;

/** @typedef {{user: number, agent: number, floor: boolean, late: boolean, sounding: boolean}} Cell */
/**
 * @typedef {object} Mark
 * @property {"answer" | "held" | "yielded"} kind
 * @property {number} from First block.
 * @property {number} to One past the last block.
 * @property {number | null} ms Length of an answer's wait, else null.
 */

const QUIET_BLOCKS = 4; // a user's sound ends after 320 ms without any
const SHORTEST_SOUND = 2; // blocks; shorter ones are clicks
const ANSWER_WITHIN = 125; // blocks; a voice 10 s later answers nothing
const YIELD_WITHIN = 25; // blocks from the beginning of a user's sound to a yield that can belong to it
const AGENT_AUDIBLE = 0.004;

/** Follows a room's noise, so that its hum does not count as a voice. */
export class NoiseFloor {
  /**
   * @param {number} least Never treat sound under this level as a voice (RMS, full scale 1).
   * @param {number} rise Growth for each reading while something louder goes on.
   */
  constructor(least = 0.006, rise = 1.004) {
    this.least = least;
    this.rise = rise;
    this.level = null;
  }

  /** @param {number} level @returns {boolean} Whether this stands out of the noise. */
  stands(level) {
    if (this.level === null) this.level = Math.min(level, this.least);
    this.level = level < this.level ? 0.6 * this.level + 0.4 * level : Math.max(this.level * this.rise, 1e-5);
    return level > Math.max(this.least, 3 * this.level);
  }
}

export class Timeline {
  /** @param {number} capacity Blocks kept; older ones are forgotten. */
  constructor(capacity = 1500) {
    this.capacity = capacity;
    this.clear();
  }

  clear() {
    /** @type {Map<number, Cell>} */
    this.cells = new Map();
    /** @type {Mark[]} */
    this.marks = [];
    this.latest = -1;
    this.lateBlocks = 0;
    this.noise = new NoiseFloor();
    this.sound = null; // the user's sound going on: {from, last, overAgent}
    this.soundEnd = null; // one past the last sounding block of the user
    this.answered = true;
    this.holding = false;
    this.audibleSince = null;
  }

  /** @param {number} block @returns {Cell | undefined} */
  cell(block) {
    return this.cells.get(block);
  }

  /**
   * One `omni.block`: what was heard in room block `block`, and what sounds one block later.
   * @param {{block: number, speaking: boolean, agent_level: number, user_level: number, late_blocks: number}} event
   */
  take(event) {
    const now = event.block;
    const cell = this.#cell(now);
    const next = this.#cell(now + 1);
    cell.user = event.user_level;
    cell.sounding = this.noise.stands(event.user_level);
    next.agent = event.agent_level;
    next.floor = event.speaking;
    if (event.late_blocks > this.lateBlocks) next.late = true;
    this.lateBlocks = event.late_blocks;
    this.latest = Math.max(this.latest, now);
    this.#followUser(now, cell.sounding);
    this.#followAgent(now + 1, next);
    this.#forget();
  }

  /**
   * One `omni.floor`.
   * @param {{state: string, at_ms: number, reason?: string | null}} event
   */
  takeFloor(event) {
    if (event.state !== "listening" || event.reason !== "interrupted") return;
    const at = Math.round(event.at_ms / BLOCK_MS);
    const sound = this.sound ?? (this.lastSound && this.lastSound.to > at - YIELD_WITHIN ? this.lastSound : null);
    const from = sound && sound.from <= at ? sound.from : at;
    this.marks.push({ kind: "yielded", from, to: at, ms: null });
    if (this.sound) this.sound.yielded = true;
  }

  /**
   * The page has measured the last answer with its own ears, finer than a block.
   * @param {number} ms
   */
  refineAnswer(ms) {
    const answer = this.marks.findLast((mark) => mark.kind === "answer");
    if (answer && Math.abs(answer.ms - ms) < 6 * BLOCK_MS) answer.ms = ms;
  }

  /** @returns {number[]} Waits of all answers still on record, in order. */
  answers() {
    return this.marks.filter((mark) => mark.kind === "answer").map((mark) => mark.ms);
  }

  #cell(block) {
    let cell = this.cells.get(block);
    if (!cell) {
      cell = { user: 0, agent: 0, floor: false, late: false, sounding: false };
      this.cells.set(block, cell);
    }
    return cell;
  }

  #followUser(block, sounding) {
    if (sounding) {
      if (!this.sound) this.sound = { from: block, to: block + 1, overAgent: this.holding, yielded: false };
      this.sound.to = block + 1;
      if (this.sound.to - this.sound.from >= SHORTEST_SOUND) {
        this.soundEnd = this.sound.to;
        if (!this.holding) this.answered = false;
      }
      return;
    }
    if (!this.sound || block - this.sound.to < QUIET_BLOCKS) return;
    const { from, to, overAgent, yielded } = this.sound;
    if (overAgent && this.holding && !yielded && to - from >= SHORTEST_SOUND) {
      this.marks.push({ kind: "held", from, to, ms: null });
    }
    this.lastSound = this.sound;
    this.sound = null;
  }

  #followAgent(block, cell) {
    const began = cell.floor && !this.holding;
    this.holding = cell.floor;
    if (began) this.audibleSince = null;
    if (!cell.floor || this.audibleSince !== null || cell.agent < AGENT_AUDIBLE) return;
    this.audibleSince = block;
    if (this.answered || this.soundEnd === null) return;
    this.answered = true;
    if (block > this.soundEnd && block - this.soundEnd <= ANSWER_WITHIN) {
      this.marks.push({ kind: "answer", from: this.soundEnd, to: block, ms: (block - this.soundEnd) * BLOCK_MS });
    }
  }

  #forget() {
    const oldest = this.latest - this.capacity;
    for (const block of this.cells.keys()) {
      if (block >= oldest) break;
      this.cells.delete(block);
    }
    while (this.marks.length && this.marks[0].to < oldest) this.marks.shift();
  }
}

/** @param {number[]} values @returns {number | null} */
export function median(values) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : Math.round((sorted[middle - 1] + sorted[middle]) / 2);
}
