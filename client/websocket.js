/**
 * The call over a WebSocket, for networks that let no UDP through: 16 kHz PCM both ways, made and played in worklets.
 *
 * The voice still leaves through an <audio> element (by way of a stream), so that the echo canceller, the volume and
 * the choice of speaker work as they do over WebRTC.
 */

import { ConnectError, fromHttp, isFullCode } from "./errors.js";
import { readEvent } from "./events.js";
import { decodePcm16, encodePcm16 } from "./pcm.js";
import { encodeClientEvent } from "./protocol.js";

const RATE_HZ = 16_000;
const BACKLOG_BYTES = 96_000; // about 2 s of audio waiting in the socket; what the room said before that is stale

/**
 * @param {{url: string, protocols: string[], session: object, microphone: MediaStream, context: AudioContext,
 *   ask: () => Promise<Response>, signal: AbortSignal}} order `ask` puts the same wish as a plain request: a browser
 *   does not tell why a handshake was refused.
 * @param {import("./webrtc.js").Hooks} hooks
 * @returns {Promise<import("./webrtc.js").Call>} Once the session is live. Aborting `signal` leaves nothing behind.
 * @throws {ConnectError}
 */
export async function openWebSocket(order, hooks) {
  const { context } = order;
  await Promise.all(["capture", "playback"].map((name) => context.audioWorklet.addModule(
    new URL(`./worklets/${name}.js`, import.meta.url))));
  if (order.signal.aborted) throw new ConnectError("aborted");
  const call = new WebSocketCall(order, hooks);
  const abort = () => call.close();
  order.signal.addEventListener("abort", abort, { once: true });
  try {
    await call.started;
    return call;
  } catch (error) {
    call.close();
    throw error.code === "unreachable" ? await askWhy(order, error) : error;
  } finally {
    order.signal.removeEventListener("abort", abort);
  }
}

/** @implements {import("./webrtc.js").Call} */
class WebSocketCall {
  /** @type {"websocket"} */
  kind = "websocket";

  constructor(order, hooks) {
    const { context } = order;
    this.context = context;
    this.hooks = hooks;
    this.over = false;
    this.live = false;
    this.skippedBlocks = 0;
    /** The last `omni.audio`: it belongs to the delta that follows. */
    this.heading = null;
    this.nextAt = 0;
    this.report = { playedMs: null, bufferedMs: 0, gaps: 0, droppedMs: 0 };
    this.started = new Promise((resolve, reject) => {
      this.resolveStarted = resolve;
      this.rejectStarted = reject;
    });
    this.started.catch(() => {});

    this.capture = new AudioWorkletNode(context, "omni-capture", {
      numberOfOutputs: 0, processorOptions: { rateHz: RATE_HZ }, channelCount: 1, channelCountMode: "explicit" });
    this.capture.port.onmessage = (message) => this.#append(message.data);
    this.player = new AudioWorkletNode(context, "omni-playback", {
      numberOfInputs: 0, outputChannelCount: [1], processorOptions: { rateHz: RATE_HZ } });
    this.player.port.onmessage = (message) => { this.report = message.data; };
    const destination = context.createMediaStreamDestination();
    this.player.connect(destination);
    this.voice = destination.stream;
    this.#listen(order.microphone);

    this.socket = new WebSocket(order.url, order.protocols);
    this.socket.addEventListener("open", () => this.send({
      type: "session.start", session: { ...order.session, audio: { format: { type: "audio/pcm", rate: RATE_HZ } } } }));
    this.socket.addEventListener("message", (message) => this.#take(message.data));
    this.socket.addEventListener("close", (event) => this.#closed(event));
  }

  send(event) {
    if (!this.over && this.socket.readyState === WebSocket.OPEN) this.socket.send(encodeClientEvent(event));
  }

  async replaceMicrophone(stream) {
    this.#listen(stream);
  }

  async read() {
    const { playedMs, bufferedMs } = this.report;
    return {
      roundTripMs: null,
      bufferMs: bufferedMs,
      playback: playedMs === null ? null
        : { played_ms: Math.max(0, Math.floor(playedMs)), buffered_ms: Math.round(bufferedMs) },
    };
  }

  close() {
    this.over = true;
    this.rejectStarted(new ConnectError("aborted"));
    this.source?.disconnect();
    this.capture.port.postMessage("stop");
    this.player.port.postMessage("stop");
    this.player.disconnect();
    this.socket.close(1000);
  }

  #listen(stream) {
    this.source?.disconnect();
    this.source = this.context.createMediaStreamSource(stream);
    this.source.connect(this.capture);
  }

  #append(samples) {
    if (!this.live || this.over) return;
    if (this.socket.bufferedAmount > BACKLOG_BYTES) {
      this.skippedBlocks += 1;
      return;
    }
    this.send({ type: "session.input_audio.append", audio: encodePcm16(samples) });
  }

  #take(text) {
    if (this.over) return;
    const event = readEvent(text);
    if (!event) return;
    if (event.type === "omni.audio") {
      this.heading = event;
      return;
    }
    if (event.type === "session.output_audio.delta") {
      this.#play(decodePcm16(event.delta));
      return;
    }
    if (event.type === "session.started") {
      this.live = true;
      this.resolveStarted();
    }
    if (event.type === "error" && !this.live) {
      this.rejectStarted(new ConnectError(isFullCode(event.error.code) ? "full" : "refused", event.error.message));
    }
    this.hooks.onEvent(event);
  }

  #play(samples) {
    const perMs = RATE_HZ / 1000;
    const at = this.heading ? this.heading.start_ms * perMs : this.nextAt;
    const block = { at, epoch: this.heading?.epoch ?? 0, tail: (this.heading?.tail_ms ?? 0) * perMs, samples };
    this.heading = null;
    this.nextAt = at + samples.length;
    this.player.port.postMessage(block, [samples.buffer]);
  }

  #closed(event) {
    if (this.over) return;
    const wasLive = this.live;
    const code = event.code === 1013 ? "full" : event.code === 1008 ? "refused" : "unreachable";
    this.rejectStarted(new ConnectError(code, event.reason));
    this.close();
    if (wasLive) this.hooks.onGone(event.reason || `closed with ${event.code}`);
  }
}

/** @returns {Promise<ConnectError>} */
async function askWhy(order, error) {
  try {
    const response = await order.ask();
    if (![401, 403, 429].includes(response.status)) return error;
    return fromHttp(response.status, (await response.json()).error);
  } catch {
    return error;
  }
}
