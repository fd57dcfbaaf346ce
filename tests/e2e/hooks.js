// Runs before the page's own modules: keeps the streams it gets and plays, to record them as PCM on one clock.
window.__harness = (() => {
  const streams = { microphone: null, voice: null };
  const sides = {};

  const devices = navigator.mediaDevices;
  if (devices?.getUserMedia) {
    const original = devices.getUserMedia.bind(devices);
    devices.getUserMedia = async (constraints) => {
      streams.microphone = await original(constraints);
      return streams.microphone;
    };
  }

  /** Events both ways with the page's time, whatever carries them; audio left out. */
  const wire = { sent: [], received: [] };
  const note = (list, text) => {
    if (typeof text !== "string" || text.includes('"session.input_audio.append"') || text.includes('audio.delta"')) return;
    list.push({ at: performance.now(), ...JSON.parse(text) });
  };
  for (const Carrier of [window.RTCDataChannel, window.WebSocket]) {
    if (!Carrier) continue;
    const { send, addEventListener } = Carrier.prototype;
    Carrier.prototype.send = function (text) {
      note(wire.sent, text);
      return send.call(this, text);
    };
    Carrier.prototype.addEventListener = function (kind, listener, ...rest) {
      if (kind === "message") addEventListener.call(this, "message", (event) => note(wire.received, event.data));
      return addEventListener.call(this, kind, listener, ...rest);
    };
  }

  /** Frames of a track as they come; a clone, so that muting the page's own track shows in nothing here. */
  async function keep(name, track) {
    const side = { rate: 0, start: 0, parts: [], length: 0 };
    sides[name] = side;
    const reader = new MediaStreamTrackProcessor({ track: track.clone() }).readable.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const samples = new Float32Array(value.numberOfFrames);
      value.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
      if (!side.rate) {
        side.rate = value.sampleRate;
        side.start = performance.now() - 1000 * value.numberOfFrames / value.sampleRate;
        side.first = value.timestamp;
      }
      // A gap in the track's own time is silence here, so that instants stay right.
      const gap = Math.round((value.timestamp - side.first) / 1e6 * side.rate) - side.length;
      if (gap > side.rate / 50 && gap < side.rate * 60) {
        side.parts.push(new Float32Array(gap));
        side.length += gap;
      }
      side.parts.push(samples);
      side.length += samples.length;
      value.close();
    }
  }

  function asBase64({ parts, length }) {
    const pcm = new Int16Array(length);
    let at = 0;
    for (const part of parts) for (const sample of part) pcm[at++] = Math.max(-1, Math.min(1, sample)) * 32767;
    const bytes = new Uint8Array(pcm.buffer);
    let text = "";
    for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    return btoa(text);
  }

  return {
    wire,
    record() {
      streams.voice = document.getElementById("voice").srcObject;
      for (const name of ["microphone", "voice"]) {
        keep(name, streams[name].getAudioTracks()[0]).catch((error) => console.error("recording", name, String(error)));
      }
    },
    recorded: () => Object.fromEntries(Object.entries(sides).map(
      ([name, side]) => [name, { rate: side.rate, start: side.start, samples: asBase64(side) }])),
  };
})();
