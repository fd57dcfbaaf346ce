/**
 * The conversation as text: who said what and when, which words were heard, which were cut. Pure; `captions.js`
 * shows it.
 *
 * Both sides may speak at once, so utterances of the two overlap in time. An utterance of the agent is one reply and
 * bears its epoch; one of the user ends with a pause in the transcript.
 */

/**
 * @typedef {object} Utterance
 * @property {number} id
 * @property {"you" | "omni"} side
 * @property {number} fromMs On the conversation's clock.
 * @property {number} toMs
 * @property {string} text All words received.
 * @property {number} heard Letters of `text` known to be heard, from its beginning (agent only).
 * @property {boolean} open More may come.
 * @property {boolean} cut The agent was interrupted here.
 * @property {boolean} settled What was heard of it is final.
 * @property {number | null} epoch
 * @property {number | null} answerMs How long it took to come, if it answers.
 */

const USER_PAUSE_MS = 1_400;
const AGENT_PAUSE_MS = 2_500; // only where no floor events say what belongs together
const KEPT = 200;

export class Dialogue {
  constructor() {
    this.clear();
  }

  clear() {
    /** @type {Utterance[]} */
    this.utterances = [];
    this.nextId = 1;
    this.floorEpoch = null;
    this.floorOpen = false;
  }

  /** The conversation begins anew (another session); what was said stays, nothing of it goes on. */
  separate() {
    for (const utterance of this.utterances) {
      utterance.open = false;
      utterance.settled = true;
      utterance.epoch = null;
    }
    this.floorEpoch = null;
    this.floorOpen = false;
  }

  /** @param {{state: string, epoch: number, at_ms: number, reason?: string | null}} event `omni.floor`. */
  takeFloor(event) {
    if (event.state === "speaking") {
      this.#closeAgent();
      this.floorEpoch = event.epoch;
      this.floorOpen = true;
      return null;
    }
    this.floorOpen = false;
    const reply = this.#agent();
    if (!reply) return null;
    reply.open = false;
    if (event.reason === "interrupted") reply.cut = true;
    return reply;
  }

  /** @param {{delta: string, start_ms: number, end_ms: number}} event @returns {Utterance | null} */
  takeAgentText(event) {
    let reply = this.#agent();
    const another = reply && this.floorEpoch !== null
      ? reply.epoch !== this.floorEpoch
      : reply && event.start_ms - reply.toMs > AGENT_PAUSE_MS;
    if (!reply || another) {
      if (!event.delta.trim()) return null;
      this.#closeAgent();
      reply = this.#begin("omni", event.start_ms);
      reply.epoch = this.floorEpoch;
      reply.open = this.floorEpoch === null || this.floorOpen;
    }
    reply.text += reply.text ? event.delta : event.delta.trimStart();
    reply.toMs = Math.max(reply.toMs, event.end_ms);
    return reply;
  }

  /** @param {{delta: string, start_ms: number, end_ms: number}} event @returns {Utterance | null} */
  takeUserText(event) {
    let utterance = this.utterances.findLast((one) => one.side === "you");
    const goesOn = utterance?.open && event.start_ms - utterance.toMs <= USER_PAUSE_MS;
    if (!goesOn) {
      if (!event.delta.trim()) return null;
      if (utterance) utterance.open = false;
      utterance = this.#begin("you", event.start_ms);
    }
    utterance.text += utterance.text ? event.delta : event.delta.trimStart();
    if (event.delta.trim()) utterance.toMs = Math.max(utterance.toMs, event.end_ms);
    return utterance;
  }

  /**
   * What of a reply has been heard. The words behind it were cut if nothing of the reply is left to be played.
   * @param {{epoch: number, text: string, final: boolean}} event `omni.heard`.
   * @returns {Utterance | null}
   */
  takeHeard(event) {
    const reply = this.utterances.findLast((one) => one.side === "omni" && one.epoch === event.epoch);
    if (!reply) return null;
    reply.heard = Math.max(reply.heard, commonLength(reply.text, event.text));
    if (event.final) {
      reply.settled = true;
      reply.open = false;
    }
    return reply;
  }

  /** @param {number} ms @returns {Utterance | null} The reply that took so long. */
  takeAnswer(ms) {
    const reply = this.#agent();
    if (!reply || !reply.open || reply.answerMs !== null) return null;
    reply.answerMs = ms;
    return reply;
  }

  /** @returns {Utterance | undefined} */
  #agent() {
    return this.utterances.findLast((one) => one.side === "omni");
  }

  #closeAgent() {
    const reply = this.#agent();
    if (reply) reply.open = false;
  }

  #begin(side, fromMs) {
    const utterance = {
      id: this.nextId, side, fromMs, toMs: fromMs, text: "", heard: 0,
      open: true, cut: false, settled: false, epoch: null, answerMs: null,
    };
    this.nextId += 1;
    this.utterances.push(utterance);
    if (this.utterances.length > KEPT) this.utterances.shift();
    return utterance;
  }
}

/**
 * An utterance split where hearing ended.
 * @param {Utterance} utterance
 * @returns {{heard: string, unheard: string}} `unheard` is empty while it is not known.
 */
export function splitHeard(utterance) {
  if (utterance.side === "you" || !utterance.settled || !utterance.cut) return { heard: utterance.text, unheard: "" };
  return { heard: utterance.text.slice(0, utterance.heard), unheard: utterance.text.slice(utterance.heard) };
}

/**
 * Whether two utterances were spoken at the same time.
 * @param {Utterance} one
 * @param {Utterance} other
 */
export function overlap(one, other) {
  return one.side !== other.side && one.fromMs < other.toMs && other.fromMs < one.toMs;
}

/** Letters of `said` that `heard` covers, comparing without regard to spaces. */
function commonLength(said, heard) {
  let i = 0;
  let j = 0;
  let matched = 0;
  while (i < said.length) {
    if (/\s/.test(said[i])) { i += 1; continue; }
    while (j < heard.length && /\s/.test(heard[j])) j += 1;
    if (j >= heard.length || said[i] !== heard[j]) break;
    i += 1;
    j += 1;
    matched = i;
  }
  return matched;
}
