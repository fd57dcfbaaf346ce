/**
 * The session protocol as the page speaks it: text to server events, client events to text. The contract is
 * protocol/README.md; the vectors in protocol/vectors are read by this file's tests and by the server's.
 *
 * A reader ignores fields that it does not know, so `decodeServerEvent` keeps them; an event of an unknown type is
 * thrown as `unknown_event` and is to be skipped. What is sent is checked strictly: an unknown field is an error.
 */

/**
 * @typedef {{type: "audio/pcm", rate: 16000 | 24000} | {type: "audio/pcmu" | "audio/pcma", rate?: 8000}} AudioFormat
 * @typedef {"omni.floor" | "omni.block" | "omni.heard" | "omni.audio"} OmniEventType
 *
 * @typedef {object} SessionConfig
 * @property {string} model
 * @property {string | null} [instructions]
 * @property {{format?: AudioFormat | null, output?: {voice?: string | {id: string} | null} | null} | null} [audio]
 * @property {{omni?: {events: "all" | OmniEventType[]} | null, data_channel?: object | null} | null} [client]
 *
 * @typedef {object} SessionResource
 * @property {string} id
 * @property {number} expires_at Unix seconds
 * @property {string} model
 * @property {"active"} status
 *
 * @typedef {object} WireErrorBody
 * @property {string} type
 * @property {string} code
 * @property {string} message
 * @property {string} [param]
 * @property {string} [client_event_id]
 *
 * @typedef {{event_id: string, client_event_id?: string}} Named
 * @typedef {Named & {type: "session.started" | "session.updated", session: SessionResource}} SessionStarted
 * @typedef {Named & {type: "session.closed", reason: CloseReason, session: SessionResource, usage: {seconds: number}}}
 *   SessionClosed
 * @typedef {"close_requested" | "expired" | "content" | "remote_hangup" | "connection_lost"} CloseReason
 * @typedef {{type: "session.output_audio.delta", delta: string}} OutputAudioDelta
 * @typedef {Named & {type: "session.input_transcript.delta" | "session.output_transcript.delta", delta: string,
 *   start_ms: number, end_ms: number}} TranscriptDelta
 * @typedef {Named & {type: "session.input_audio.muted" | "session.input_audio.unmuted"}} MuteChanged
 * @typedef {Named & {type: "session.usage.updated", usage: {seconds: number}}} UsageUpdated
 * @typedef {Named & {type: "error", error: WireErrorBody}} ErrorEvent
 * @typedef {Named & {type: "info", code: string, message: string}} InfoEvent
 * @typedef {Named & {type: "omni.floor", state: "speaking" | "listening", epoch: number, at_ms: number,
 *   reason?: "finished" | "interrupted", unheard?: number}} OmniFloor
 * @typedef {Named & {type: "omni.block", block: number, speaking: boolean, agent_level: number, user_level: number,
 *   late_blocks: number, compute_us: number}} OmniBlock
 * @typedef {Named & {type: "omni.heard", epoch: number, text: string, estimated: boolean, final: boolean}} OmniHeard
 * @typedef {{type: "omni.audio", epoch: number, start_ms: number, tail_ms: number, rtp_timestamp?: number}} OmniAudio
 * @typedef {SessionStarted | SessionClosed | OutputAudioDelta | TranscriptDelta | MuteChanged | UsageUpdated
 *   | ErrorEvent | InfoEvent | OmniFloor | OmniBlock | OmniHeard | OmniAudio} ServerEvent
 */

export const LIMITS = Object.freeze({
  messageBytes: 2 * 1024 * 1024,
  instructionsCharacters: 65_536,
  contextCharacters: 2_000,
  inputMessages: 128,
  inputCharacters: 32_768,
  nameCharacters: 512,
  permissions: 64,
});

/** What is wrong with an event: `code` as in the table of protocol/README.md, `param` the path of the field. */
export class ProtocolError extends Error {
  /** @param {string} code @param {string} message @param {string} [param] */
  constructor(code, message, param) {
    super(message);
    this.name = "ProtocolError";
    this.code = code;
    this.param = param;
  }
}

/**
 * Decode what the server sent.
 * @param {string} text
 * @returns {ServerEvent}
 * @throws {ProtocolError}
 */
export function decodeServerEvent(text) {
  if (typeof text !== "string") throw new ProtocolError("invalid_json", "the message is not text");
  if (text.length > LIMITS.messageBytes) throw new ProtocolError("message_too_large", "the message is too large");
  let event;
  try {
    event = JSON.parse(text);
  } catch {
    throw new ProtocolError("invalid_json", "the message is not JSON");
  }
  check(event, SERVER, new Set(), false);
  return event;
}

/**
 * Check a client event and make text of it.
 * @param {{type: string}} event
 * @returns {string}
 * @throws {ProtocolError}
 */
export function encodeClientEvent(event) {
  check(event, CLIENT, UNSUPPORTED, true);
  const input = event.type === "session.start" ? event.session.input ?? [] : [];
  const total = input.reduce((sum, item) => sum + characters(item.content[0].text), 0);
  if (total > LIMITS.inputCharacters) {
    throw new ProtocolError("limit_exceeded", "the messages of input are too long together", "session.input");
  }
  const text = JSON.stringify(event);
  if (new TextEncoder().encode(text).length > LIMITS.messageBytes) {
    throw new ProtocolError("message_too_large", "the message is too large");
  }
  return text;
}

// ---- kinds of fields: a function of (value, path, strict) that throws --------------------------------------------

const fail = (code, path, what) => {
  throw new ProtocolError(code, `${path || "event"}: ${what}`, path || undefined);
};
const characters = (text) => [...text].length;
const join = (path, name) => (path ? `${path}.${name}` : name);

const text = (limit = Infinity) => (value, path) => {
  if (typeof value !== "string") fail("invalid_type", path, "expected a string");
  if (value.length > limit && characters(value) > limit) fail("limit_exceeded", path, `over ${limit} characters`);
};
const count = (max = Number.MAX_SAFE_INTEGER) => (value, path) => {
  if (!Number.isInteger(value)) fail("invalid_type", path, "expected an integer");
  if (value < 0 || value > max) fail("invalid_value", path, `expected 0 to ${max}`);
};
const number = (min = -Infinity, max = Infinity) => (value, path) => {
  if (typeof value !== "number" || !Number.isFinite(value)) fail("invalid_type", path, "expected a number");
  if (value < min || value > max) fail("invalid_value", path, `expected ${min} to ${max}`);
};
const flag = (value, path) => {
  if (typeof value !== "boolean") fail("invalid_type", path, "expected true or false");
};
const oneOf = (...values) => (value, path) => {
  if (typeof value !== typeof values[0]) fail("invalid_type", path, `expected a ${typeof values[0]}`);
  if (!values.includes(value)) fail("invalid_value", path, `expected one of ${values.join(", ")}`);
};
const optional = (kind) => Object.assign((value, path, strict) => {
  if (value !== null) kind(value, path, strict);
}, { optional: true });
/** May be left out, but may not be null. */
const omissible = (kind) => Object.assign((value, path, strict) => kind(value, path, strict), { optional: true });
const nullable = (kind) => (value, path, strict) => {
  if (value !== null) kind(value, path, strict);
};
const list = (kind, min, max) => (value, path, strict) => {
  if (!Array.isArray(value)) fail("invalid_type", path, "expected a list");
  if (value.length > max) fail("limit_exceeded", path, `over ${max} entries`);
  if (value.length < min) fail("invalid_value", path, `under ${min} entries`);
  value.forEach((item, index) => kind(item, `${path}[${index}]`, strict));
};
const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const record = (fields) => (value, path, strict) => {
  if (!isRecord(value)) fail("invalid_type", path, "expected an object");
  for (const [name, kind] of Object.entries(fields)) {
    if (Object.hasOwn(value, name) && value[name] !== undefined) kind(value[name], join(path, name), strict);
    else if (!kind.optional) fail("missing_parameter", join(path, name), "is missing");
  }
  if (!strict) return;
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(fields, name)) fail("unknown_parameter", join(path, name), "is not known");
  }
};
const anyRecord = (value, path) => {
  if (!isRecord(value)) fail("invalid_type", path, "expected an object");
};
/** One record of several, told apart by the field `tag`. */
const tagged = (tag, records) => (value, path, strict) => {
  if (!isRecord(value)) fail("invalid_type", path, "expected an object");
  if (!Object.hasOwn(value, tag)) fail("missing_parameter", join(path, tag), "is missing");
  if (typeof value[tag] !== "string") fail("invalid_type", join(path, tag), "expected a string");
  if (!Object.hasOwn(records, value[tag])) fail("invalid_value", join(path, tag), "is not known");
  records[value[tag]](value, path, strict);
};
const either = (test, first, second) => (value, path, strict) => (test(value) ? first : second)(value, path, strict);
const isText = (value) => typeof value === "string";

// ---- the session object ------------------------------------------------------------------------------------------

const name = text(LIMITS.nameCharacters);
const format = tagged("type", {
  "audio/pcm": record({ type: name, rate: oneOf(16000, 24000) }),
  "audio/pcmu": record({ type: name, rate: omissible(oneOf(8000)) }),
  "audio/pcma": record({ type: name, rate: omissible(oneOf(8000)) }),
});
const audio = record({
  format: optional(format),
  output: optional(record({ voice: optional(either(isText, name, record({ id: name }))) })),
});
const message = (part) => record({
  role: name,
  content: list(part, 1, 1),
  id: optional(name),
  status: optional(oneOf("incomplete", "completed")),
  type: optional(oneOf("message")),
});
const inputText = record({ text: text(), type: optional(oneOf("input_text")) });
const outputText = record({ text: text(), type: optional(oneOf("text", "output_text")) });
const item = tagged("role", { developer: message(inputText), user: message(inputText), assistant: message(outputText) });
const integer = (value, path) => {
  if (!Number.isSafeInteger(value)) fail("invalid_type", path, "expected an integer");
};
const delegation = tagged("type", {
  client: record({ type: name, acknowledgement_delay_ms: optional(integer) }),
  responses: anyRecord,
  decisions: anyRecord,
});
const allOr = (kind, max) => either(isText, oneOf("all"), list(kind, 0, max));
const OMNI = ["omni.floor", "omni.block", "omni.heard", "omni.audio"];
const client = record({
  data_channel: optional(record({
    allowed_client_events: optional(allOr(name, LIMITS.permissions)),
    allowed_server_events: optional(allOr(record({ type: name, response_event: optional(name) }), LIMITS.permissions)),
  })),
  omni: optional(record({ events: allOr(oneOf(...OMNI), OMNI.length) })),
});
const triggers = list(anyRecord, 0, 2);
const config = record({
  model: name,
  instructions: optional(text(LIMITS.instructionsCharacters)),
  audio: optional(audio),
  input: optional(list(item, 0, LIMITS.inputMessages)),
  delegation: optional(delegation),
  triggers: optional(triggers),
  store: optional(flag),
  safety_identifier: optional(name),
  client: optional(client),
});
const session = record({ id: text(), expires_at: integer, model: text(), status: oneOf("active") });

// ---- events ------------------------------------------------------------------------------------------------------

const sent = (fields) => record({ type: name, event_id: optional(name), ...fields });
const context = { content: text(LIMITS.contextCharacters), delegation_id: nullable(name) };
const CLIENT = {
  "session.start": sent({ session: config }),
  "session.update": sent({ session: record({ delegation: optional(delegation), triggers: optional(triggers) }) }),
  "session.close": sent({}),
  "session.input_audio.append": sent({ audio: text() }),
  "session.input_audio.mute": sent({}),
  "session.input_audio.unmute": sent({}),
  "session.instructions.append": sent(context),
  "session.thinking.append": sent(context),
  "session.commentary.append": sent(context),
  "omni.playback": sent({ played_ms: count(), rtp_timestamp: optional(count(2 ** 32 - 1)), buffered_ms: optional(count()) }),
};
const UNSUPPORTED = new Set([
  "session.output_audio.fixture.play", "response.item.create", "response.create", "decision.create",
  "decision.item.create", "decision.item.delete", "transport.dtmf.send",
]);

const told = (fields) => record({ event_id: text(), client_event_id: optional(text()), ...fields });
const usage = record({ seconds: number(0) });
const span = { delta: text(), start_ms: count(), end_ms: count() };
const SERVER = {
  "session.started": told({ session }),
  "session.updated": told({ session }),
  "session.closed": told({
    reason: oneOf("close_requested", "expired", "content", "remote_hangup", "connection_lost"), session, usage,
  }),
  "session.output_audio.delta": record({ delta: text() }),
  "session.input_transcript.delta": told(span),
  "session.output_transcript.delta": told(span),
  "session.input_audio.muted": told({}),
  "session.input_audio.unmuted": told({}),
  "session.usage.updated": told({ usage, context_window: optional(record({ usage_ratio: number() })) }),
  error: told({
    error: record({
      type: text(), code: text(), message: text(), param: optional(text()), client_event_id: optional(text()),
    }),
  }),
  info: told({ code: text(), message: text() }),
  "omni.floor": told({
    state: oneOf("speaking", "listening"), epoch: count(), at_ms: count(),
    reason: optional(oneOf("finished", "interrupted")), unheard: optional(count()),
  }),
  "omni.block": told({
    block: count(), speaking: flag, agent_level: number(0, 1), user_level: number(0, 1), late_blocks: count(),
    compute_us: count(),
  }),
  "omni.heard": told({ epoch: count(), text: text(), estimated: flag, final: flag }),
  "omni.audio": record({
    epoch: count(), start_ms: count(), tail_ms: count(), rtp_timestamp: optional(count(2 ** 32 - 1)),
  }),
};

function check(event, known, unsupported, strict) {
  if (!isRecord(event)) throw new ProtocolError("invalid_event", "an event must be a JSON object");
  const type = event.type ?? null;
  if (type === null) fail("missing_parameter", "type", "is missing");
  if (typeof type !== "string") fail("invalid_type", "type", "expected a string");
  if (unsupported.has(type)) fail("unsupported_event", "type", `${type} is not supported`);
  if (!Object.hasOwn(known, type)) fail("unknown_event", "type", `${type.slice(0, 64)} is not known`);
  known[type](event, "", strict);
}
