/** Samples on the wire: base64 of 16-bit little-endian PCM, and float32 in [-1, 1] inside the page. */

/**
 * @param {Float32Array} samples
 * @returns {string} Base64; values beyond full scale are clipped.
 */
export function encodePcm16(samples) {
  const bytes = new Uint8Array(samples.length * 2);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < samples.length; i += 1) {
    const clipped = Math.max(-1, Math.min(1, samples[i]));
    view.setInt16(i * 2, Math.round(clipped * 32767), true);
  }
  let binary = "";
  for (let i = 0; i < bytes.length; i += 4096) {
    binary += String.fromCharCode(...bytes.subarray(i, i + 4096));
  }
  return btoa(binary);
}

/**
 * @param {string} text Base64.
 * @returns {Float32Array}
 * @throws {Error} If the text is no base64 or holds half a sample.
 */
export function decodePcm16(text) {
  const binary = atob(text);
  if (binary.length % 2) throw new Error("audio holds half a sample");
  const bytes = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const samples = new Float32Array(bytes.length / 2);
  for (let i = 0; i < samples.length; i += 1) samples[i] = view.getInt16(i * 2, true) / 32768;
  return samples;
}
