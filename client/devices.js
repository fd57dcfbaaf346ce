/** Microphones and speakers: which there are, which one was chosen, and how the microphone is treated. */

import { ConnectError, fromMicrophone } from "./errors.js";

/** @returns {string | null} Why no call is possible from this page at all, a code of `errors.describe`. */
export function obstacle() {
  if (!window.isSecureContext) return "insecure";
  const able = navigator.mediaDevices?.getUserMedia && (window.RTCPeerConnection || window.AudioWorkletNode);
  return able ? null : "unsupported";
}

/**
 * The chosen microphone; another one if the chosen is gone.
 * @param {import("./preferences.js").Preferences} preferences
 * @returns {Promise<MediaStream>}
 * @throws {ConnectError}
 */
export async function openMicrophone(preferences) {
  const problem = obstacle();
  if (problem) throw new ConnectError(problem);
  const treatment = {
    echoCancellation: preferences.get("echoCancellation"),
    noiseSuppression: preferences.get("noiseSuppression"),
    autoGainControl: preferences.get("autoGainControl"),
  };
  const chosen = preferences.get("microphone");
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { ...treatment, ...(chosen ? { deviceId: { ideal: chosen } } : {}) } });
  } catch (error) {
    throw fromMicrophone(error);
  }
}

/**
 * @param {"audioinput" | "audiooutput"} kind
 * @returns {Promise<{id: string, label: string}[]>} Labels are empty until the microphone was allowed once.
 */
export async function listDevices(kind) {
  const devices = await navigator.mediaDevices?.enumerateDevices?.() ?? [];
  return devices.filter((device) => device.kind === kind && device.deviceId)
    .map((device) => ({ id: device.deviceId, label: device.label }));
}

/** @param {MediaStream | null} stream */
export function stopStream(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
