/** What went wrong, in words that tell a person what to do next. */

/** Why a connection could not be made or went away. `code` is a key of `describe`. */
export class ConnectError extends Error {
  /**
   * @param {string} code
   * @param {string} [detail] A short technical remark, shown small.
   */
  constructor(code, detail = "") {
    super(detail || code);
    this.name = "ConnectError";
    this.code = code;
    this.detail = detail;
  }
}

/** Codes that another transport or another try a moment later would meet again. */
const FINAL = new Set(["full", "refused", "unauthorized", "no_microphone", "permission", "microphone_busy", "insecure",
  "microphone_failed", "unsupported", "too_many"]);

/** @param {unknown} error @returns {boolean} */
export function isFinal(error) {
  return error instanceof ConnectError && FINAL.has(error.code);
}

/**
 * @param {number} status HTTP status of a refusal.
 * @param {{code?: string, message?: string} | undefined} body
 * @returns {ConnectError}
 */
export function fromHttp(status, body) {
  const detail = body?.message ?? `status ${status}`;
  if (status === 401 || status === 403) return new ConnectError(status === 401 ? "unauthorized" : "refused", detail);
  if (isFullCode(body?.code)) return new ConnectError("full", detail);
  if (status === 429) return new ConnectError("too_many", detail);
  if (status >= 500 || status === 404) return new ConnectError("unreachable", detail);
  return new ConnectError("refused", detail);
}

/** @param {string | undefined} code @returns {boolean} Whether an error event or close says that no place is free. */
export function isFullCode(code) {
  return code === "session_limit_reached" || code === "capacity";
}

/** @param {unknown} error What getUserMedia threw. @returns {ConnectError} */
export function fromMicrophone(error) {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  const codes = {
    NotAllowedError: "permission", SecurityError: "permission", NotFoundError: "no_microphone",
    OverconstrainedError: "no_microphone", NotReadableError: "microphone_busy", AbortError: "microphone_busy",
  };
  return new ConnectError(codes[name] ?? "microphone_failed", error instanceof Error ? error.message : "");
}

/** @typedef {{title: string, text: string, retry: boolean}} Explanation `retry`: trying again may help at once. */

/**
 * @param {string} code
 * @param {{host: string, port: string}} place Where the page was loaded from.
 * @returns {Explanation}
 */
export function describe(code, place) {
  const port = place.port ? `:${place.port}` : "";
  const explanations = {
    insecure: [
      "This address may not use the microphone",
      "Browsers open the microphone only for this same machine or over HTTPS. On the machine that runs omni, open "
      + `http://localhost${port}. From elsewhere, start it with “omni serve --https” and open `
      + `https://${place.host}${port}.`,
      false,
    ],
    unsupported: ["This browser cannot hold a call", "It lacks the audio interfaces this page needs. Any current "
      + "Firefox, Chrome, Edge or Safari has them.", false],
    no_microphone: ["No microphone found", "Plug one in, or choose another under Sound, then try again.", true],
    permission: ["The microphone is blocked", "Allow it for this site: the icon beside the address, or the browser’s "
      + "privacy settings. Then try again.", true],
    microphone_busy: ["The microphone is in use", "Another program holds it. Close that program or choose another "
      + "microphone under Sound.", true],
    microphone_failed: ["The microphone did not start", "Choose another one under Sound, or unplug it and plug it in "
      + "again.", true],
    full: ["Every line is taken", "This server holds a fixed number of conversations, so that each keeps its pace. Try "
      + "again in a minute.", true],
    too_many: ["Too many calls in a short time", "The server asks for a pause. Try again in a minute.", true],
    unauthorized: ["The server does not know you", "Open the whole address that “omni serve” printed, with the part "
      + "behind #token=.", true],
    refused: ["The server refused the call", "What it said stands below.", true],
    unreachable: ["No answer from the server", "Is “omni serve” still running, and is this machine online?", true],
    lost: ["The connection is gone", "Several tries to come back have failed. Is “omni serve” still running?", true],
    expired: ["The time for this conversation is up", "The server ends each one after a while. You can begin another.",
      true],
    idle: ["The line was closed", "Nothing was heard for a long time. You can begin again.", true],
    playback: ["The browser holds back the sound", "Press the button to hear the agent.", true],
    objected: ["The server objected to something", "The conversation goes on. What it said stands below.", false],
    mute_unanswered: ["The server has not confirmed the mute", "Your microphone is as you set it on this side all the "
      + "same.", false],
  };
  const [title, text, retry] = explanations[code]
    ?? ["Something went wrong", "The page met an error that it has no words for.", true];
  return { title, text, retry };
}
