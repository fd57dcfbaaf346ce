/** Server events as they come off a wire: what cannot be read, or is of a later protocol, is skipped. */

import { decodeServerEvent, ProtocolError } from "./protocol.js";

/**
 * @param {string} text
 * @returns {import("./protocol.js").ServerEvent | null}
 */
export function readEvent(text) {
  try {
    return decodeServerEvent(text);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    console.warn(`skipped a server event: ${error.code} ${error.param ?? ""}`);
    return null;
  }
}
