/**
 * One call from the page's point of view, and how it comes back.
 *
 *     idle ──start──► connecting ──► live ──lost──► reconnecting ──► live
 *      ▲                  │            │                 │
 *      └────hang up───────┴────────────┴─────────────────┤
 *                         └──► failed ◄─────────────────┘
 *
 * It knows neither the page nor a browser's interfaces: transports, timers and chance are given to it. Each try has a
 * number; what a superseded try still reports is ignored.
 */

import { waitBefore } from "./backoff.js";
import { ConnectError, isFinal } from "./errors.js";

/** @typedef {"idle" | "connecting" | "live" | "reconnecting" | "failed"} State */
/** @typedef {import("./webrtc.js").Call} Call */
/** @typedef {import("./webrtc.js").Hooks} Hooks */
/** @typedef {(microphone: MediaStream, hooks: Hooks, signal: AbortSignal) => Promise<Call>} Open */
/**
 * @typedef {object} Surroundings
 * @property {Open} openWebRtc
 * @property {Open} openWebSocket
 * @property {{setTimeout: Function, clearTimeout: Function}} timers
 * @property {(attempt: number) => number | null} [wait]
 */
/**
 * @typedef {object} Listeners
 * @property {(state: State, facts: Facts) => void} onState
 * @property {(call: Call, again: boolean) => void} onLive `again` after a return: the server's memory begins anew.
 * @property {(event: object) => void} onEvent Server events but acknowledgements.
 * @property {(muted: boolean, confirmed: boolean) => void} onMute
 * @property {(code: string) => void} onNotice A code of `errors.describe`, or "fallback".
 */
/**
 * @typedef {object} Facts
 * @property {string | null} transport
 * @property {string | null} problem Why it failed, a code of `errors.describe`.
 * @property {string} detail
 * @property {number | null} waitMs Until the next try, while reconnecting.
 */

/** Without UDP the page is to be live within 5 s of the click: this leaves a second for the microphone and the socket. */
export const WEBRTC_WITHIN_MS = 4_000;
const WEBSOCKET_WITHIN_MS = 8_000;
const GOODBYE_MS = 1_000;
const MUTE_WITHIN_MS = 3_000;

export class Session {
  /**
   * @param {Surroundings} surroundings
   * @param {Listeners} listeners
   */
  constructor(surroundings, listeners) {
    this.surroundings = surroundings;
    this.listeners = listeners;
    /** @type {State} */
    this.state = "idle";
    /** @type {"auto" | "websocket"} */
    this.prefer = "auto";
    this.udpBlocked = false;
    this.muted = false;
    this.tryNumber = 0;
    this.attempt = 0;
    this.eventNumber = 0;
    /** @type {Call | null} */
    this.call = null;
    this.microphone = null;
    this.timer = null;
    this.muteTimer = null;
    this.muteId = null;
  }

  /** @param {MediaStream} microphone Lent for the call; the caller stops it after "idle" or "failed". */
  async start(microphone) {
    if (this.state === "connecting" || this.state === "live" || this.state === "reconnecting") return;
    this.microphone = microphone;
    this.attempt = 0;
    this.muted = false;
    this.#enter("connecting");
    await this.#connect(false);
  }

  /** End the call properly: tell the server, wait a moment for its word, let go. */
  hangUp() {
    const { call } = this;
    const wasLive = this.state === "live";
    this.#abandon();
    this.call = null;
    if (call && wasLive) {
      call.send({ type: "session.close", event_id: this.#nextId() });
      this.leaving = call;
      this.surroundings.timers.setTimeout(() => call.close(), GOODBYE_MS);
    } else call?.close();
    this.#enter("idle");
  }

  /** While reconnecting: do not wait any longer. */
  async returnNow() {
    if (this.state !== "reconnecting" || this.timer === null) return;
    this.surroundings.timers.clearTimeout(this.timer);
    this.timer = null;
    await this.#connect(true);
  }

  /** @param {boolean} muted The microphone's track is switched at once; the server confirms. */
  mute(muted) {
    this.muted = muted;
    for (const track of this.microphone?.getAudioTracks() ?? []) track.enabled = !muted;
    this.listeners.onMute(muted, false);
    if (this.state === "live") this.#askMute();
  }

  /** @param {MediaStream} microphone */
  async replaceMicrophone(microphone) {
    this.microphone = microphone;
    for (const track of microphone.getAudioTracks()) track.enabled = !this.muted;
    await this.call?.replaceMicrophone(microphone);
  }

  /** @param {object} event A client event; dropped unless the call is live. */
  send(event) {
    if (this.state === "live") this.call.send(event);
  }

  async #connect(again) {
    this.tryNumber += 1;
    const number = this.tryNumber;
    try {
      const call = await this.#open(number);
      if (number !== this.tryNumber) {
        call.close();
        return;
      }
      this.call = call;
      this.attempt = 0;
      this.#enter("live", { transport: call.kind });
      this.listeners.onLive(call, again);
      if (this.muted) this.#askMute();
      for (const event of this.early.splice(0)) this.#take(event);
    } catch (error) {
      if (number !== this.tryNumber) return;
      if (again && (!isFinal(error) || error.code === "full")) this.#waitAndReturn(error);
      else this.#fail(error);
    }
  }

  async #open(number) {
    /** Events that came before the call was handed over, `session.started` first. */
    this.early = [];
    const hooks = {
      onEvent: (event) => {
        if (number !== this.tryNumber) return;
        if (this.call) this.#take(event);
        else this.early.push(event);
      },
      onGone: (reason) => { if (number === this.tryNumber) this.#lost(reason); },
    };
    if (this.prefer === "auto" && !this.udpBlocked) {
      try {
        return await this.#within(WEBRTC_WITHIN_MS, this.surroundings.openWebRtc, hooks, number);
      } catch (error) {
        if (number !== this.tryNumber || isFinal(error) || error.code === "unreachable") throw error;
        this.udpBlocked = true;
        this.early = [];
        this.listeners.onNotice("fallback");
      }
    }
    return this.#within(WEBSOCKET_WITHIN_MS, this.surroundings.openWebSocket, hooks, number);
  }

  /** Open a call or give it up after `ms`. */
  async #within(ms, open, hooks, number) {
    const { timers } = this.surroundings;
    const abort = new AbortController();
    this.abort = abort;
    let timer;
    const late = new Promise((_, reject) => {
      const error = new ConnectError("unanswered", `no connection within ${ms / 1000} s`);
      timer = timers.setTimeout(() => reject(error), ms);
    });
    const opening = open(this.microphone, hooks, abort.signal);
    try {
      return await Promise.race([opening, late]);
    } catch (error) {
      abort.abort();
      opening.then((call) => call.close(), () => {});
      throw error instanceof ConnectError ? error : new ConnectError("unreachable", String(error?.message ?? error));
    } finally {
      timers.clearTimeout(timer);
      if (number !== this.tryNumber) abort.abort();
    }
  }

  #take(event) {
    if (event.type === "session.closed") this.#closed(event);
    else if (event.type === "session.input_audio.muted") this.#muteAnswered(event, true);
    else if (event.type === "session.input_audio.unmuted") this.#muteAnswered(event, false);
    else this.listeners.onEvent(event);
  }

  #closed(event) {
    const { call } = this;
    this.#abandon();
    this.call = null;
    call?.close();
    if (event.reason === "close_requested" || event.reason === "remote_hangup") this.#enter("idle");
    else if (event.reason === "connection_lost") this.#lost("the server lost the connection");
    else this.#enter("failed", { problem: "expired" });
  }

  #lost(reason) {
    this.#abandon();
    this.call?.close();
    this.call = null;
    this.#waitAndReturn(new ConnectError("lost", reason));
  }

  #waitAndReturn(error) {
    const wait = this.surroundings.wait ?? waitBefore;
    const waitMs = wait(this.attempt);
    this.attempt += 1;
    if (waitMs === null) {
      this.#fail(new ConnectError(error.code === "full" ? "full" : "lost", error.detail));
      return;
    }
    this.#enter("reconnecting", { waitMs, detail: error.detail });
    this.timer = this.surroundings.timers.setTimeout(() => {
      this.timer = null;
      this.#connect(true);
    }, waitMs);
  }

  #fail(error) {
    this.#abandon();
    const code = error.code === "unanswered" ? "unreachable" : error.code;
    this.#enter("failed", { problem: code, detail: error.detail });
  }

  #askMute() {
    const { timers } = this.surroundings;
    timers.clearTimeout(this.muteTimer);
    this.muteId = this.#nextId();
    this.call.send({ type: `session.input_audio.${this.muted ? "mute" : "unmute"}`, event_id: this.muteId });
    this.muteTimer = timers.setTimeout(() => this.listeners.onNotice("mute_unanswered"), MUTE_WITHIN_MS);
  }

  #muteAnswered(event, muted) {
    if (event.client_event_id !== undefined && event.client_event_id !== this.muteId) return; // an older wish
    this.surroundings.timers.clearTimeout(this.muteTimer);
    if (muted === this.muted) this.listeners.onMute(muted, true);
  }

  /** Whatever is under way belongs to the past from here on. */
  #abandon() {
    const { timers } = this.surroundings;
    this.tryNumber += 1;
    this.abort?.abort();
    timers.clearTimeout(this.timer);
    timers.clearTimeout(this.muteTimer);
    this.timer = null;
  }

  #nextId() {
    this.eventNumber += 1;
    return `page_${this.eventNumber}`;
  }

  #enter(state, facts = {}) {
    this.state = state;
    const none = { transport: this.call?.kind ?? null, problem: null, detail: "", waitMs: null };
    this.listeners.onState(state, { ...none, ...facts });
  }
}
