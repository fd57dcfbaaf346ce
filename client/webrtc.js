/**
 * The call over WebRTC: microphone and voice as media, events on the data channel `oai-events`.
 *
 * The voice plays from an <audio> element, which the browser's echo canceller knows; nothing here touches samples.
 */

import { ConnectError, fromHttp, isFullCode } from "./errors.js";
import { readEvent } from "./events.js";
import { encodeClientEvent } from "./protocol.js";

const GONE_MS = 4_000; // a path that was disconnected so long does not come back by itself

/**
 * @typedef {object} Call What both transports are.
 * @property {"webrtc" | "websocket"} kind
 * @property {MediaStream} voice The agent's sound, to be set on an <audio> element.
 * @property {(event: object) => void} send Ignored once the call is over.
 * @property {(stream: MediaStream) => Promise<void>} replaceMicrophone
 * @property {() => Promise<Readings>} read
 * @property {() => void} close Lets go of everything at once; no callback follows.
 */
/**
 * @typedef {object} Readings
 * @property {number | null} roundTripMs
 * @property {number} bufferMs What waits between wire and loudspeaker.
 * @property {{played_ms: number, rtp_timestamp?: number, buffered_ms?: number} | null} playback
 */
/**
 * @typedef {object} Hooks
 * @property {(event: object) => void} onEvent Each server event, `session.started` included.
 * @property {(reason: string) => void} onGone The call ended without us.
 */

/**
 * @param {{url: string, token: string | null, session: object, microphone: MediaStream, signal: AbortSignal}} order
 * @param {Hooks} hooks
 * @returns {Promise<Call>} Once the session is live. Aborting `signal` leaves nothing behind.
 * @throws {ConnectError}
 */
export async function openWebRtc(order, hooks) {
  const peer = new RTCPeerConnection({ iceServers: [] });
  const call = new WebRtcCall(peer, hooks);
  const abort = () => call.close();
  order.signal.addEventListener("abort", abort, { once: true });
  try {
    await call.start(order);
    return call;
  } catch (error) {
    call.close();
    throw error;
  } finally {
    order.signal.removeEventListener("abort", abort);
  }
}

/** @implements {Call} */
class WebRtcCall {
  /** @type {"webrtc"} */
  kind = "webrtc";

  constructor(peer, hooks) {
    this.peer = peer;
    this.hooks = hooks;
    this.voice = new MediaStream();
    this.over = false;
    this.live = false;
    this.goneTimer = 0;
    this.started = new Promise((resolve, reject) => {
      this.resolveStarted = resolve;
      this.rejectStarted = reject;
    });
    this.started.catch(() => {}); // it may be rejected before anyone waits for it
    this.seen = { delay: 0, emitted: 0 };
    this.bufferMs = 0;
    /** The place that the server holds for this call until it is live: [address, request that gives it back]. */
    this.place = null;
  }

  async start(order) {
    const { peer } = this;
    for (const track of order.microphone.getAudioTracks()) this.sender = peer.addTrack(track, order.microphone);
    peer.addEventListener("track", (event) => {
      this.voice.addTrack(event.track);
      this.receiver = event.receiver;
    });
    peer.addEventListener("connectionstatechange", () => this.#watch());
    this.channel = peer.createDataChannel("oai-events");
    this.channel.addEventListener("message", (message) => this.#take(message.data));
    this.channel.addEventListener("close", () => this.#gone("channel closed"));
    await peer.setLocalDescription(await peer.createOffer());
    const answer = await post(order, peer.localDescription.sdp);
    this.place = [`${order.url}/${answer.session?.id}`, { method: "DELETE", headers: allowed(order), keepalive: true }];
    if (this.over) throw new ConnectError("aborted");
    await peer.setRemoteDescription({ type: "answer", sdp: answer.transport.sdp });
    await this.started;
  }

  send(event) {
    if (!this.over && this.channel?.readyState === "open") this.channel.send(encodeClientEvent(event));
  }

  async replaceMicrophone(stream) {
    await this.sender.replaceTrack(stream.getAudioTracks()[0]);
  }

  async read() {
    let roundTripMs = null;
    let track = null;
    for (const report of (await this.peer.getStats()).values()) {
      if (report.type === "candidate-pair" && report.nominated && report.currentRoundTripTime !== undefined) {
        roundTripMs = report.currentRoundTripTime * 1000;
      }
      if (report.type === "inbound-rtp" && report.kind === "audio") track = report;
    }
    if (!track) return { roundTripMs, bufferMs: this.bufferMs, playback: null };
    const delay = track.jitterBufferDelay ?? 0;
    const emitted = track.jitterBufferEmittedCount ?? 0;
    if (emitted > this.seen.emitted) {
      this.bufferMs = (delay - this.seen.delay) / (emitted - this.seen.emitted) * 1000;
      this.seen = { delay, emitted };
    }
    const playback = {
      played_ms: Math.floor((track.totalSamplesReceived ?? 0) / 48),
      buffered_ms: Math.round(this.bufferMs),
    };
    const source = this.receiver?.getSynchronizationSources?.()[0];
    if (source?.rtpTimestamp !== undefined) playback.rtp_timestamp = source.rtpTimestamp;
    return { roundTripMs, bufferMs: this.bufferMs, playback };
  }

  close() {
    this.over = true;
    clearTimeout(this.goneTimer);
    this.rejectStarted(new ConnectError("aborted"));
    this.peer.close();
    // Where no UDP gets through, the server would wait for it, and the WebSocket might find every line taken.
    if (this.place) fetch(...this.place).catch(() => {});
    this.place = null;
  }

  #take(text) {
    if (this.over) return;
    const event = readEvent(text);
    if (!event) return;
    if (event.type === "session.started") {
      this.live = true;
      this.place = null;
      this.resolveStarted();
    }
    if (event.type === "error" && !this.live) {
      const code = isFullCode(event.error.code) ? "full" : "refused";
      this.rejectStarted(new ConnectError(code, event.error.message));
    }
    this.hooks.onEvent(event);
  }

  #watch() {
    const state = this.peer.connectionState;
    clearTimeout(this.goneTimer);
    if (state === "failed") this.#gone("path failed");
    if (state === "disconnected") this.goneTimer = setTimeout(() => this.#gone("path lost"), GONE_MS);
  }

  #gone(reason) {
    if (this.over) return;
    const wasLive = this.live;
    this.close();
    if (wasLive) this.hooks.onGone(reason);
  }
}

function allowed(order) {
  return order.token ? { Authorization: `Bearer ${order.token}` } : {};
}

async function post(order, sdp) {
  const headers = { "Content-Type": "application/json", ...allowed(order) };
  const body = JSON.stringify({ session: order.session, transport: { type: "webrtc", sdp } });
  let response;
  try {
    response = await fetch(order.url, { method: "POST", headers, body, signal: order.signal });
  } catch (error) {
    throw new ConnectError(order.signal.aborted ? "aborted" : "unreachable", String(error));
  }
  const answer = await response.json().catch(() => undefined);
  if (!response.ok) throw fromHttp(response.status, answer?.error);
  if (!answer?.transport?.sdp) throw new ConnectError("refused", "the answer holds no session description");
  return answer;
}
