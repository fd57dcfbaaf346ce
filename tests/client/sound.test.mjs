// Samples on the wire and between rates.
import assert from "node:assert/strict";
import { test } from "node:test";

import { decodePcm16, encodePcm16 } from "../../client/pcm.js";
import { Resampler } from "../../client/resampler.js";

test("PCM survives the wire to half a step", () => {
  const samples = Float32Array.from({ length: 5000 }, (_, i) => Math.sin(i / 7) * 0.9);
  const back = decodePcm16(encodePcm16(samples));
  assert.equal(back.length, samples.length);
  for (let i = 0; i < samples.length; i += 1) assert.ok(Math.abs(back[i] - samples[i]) < 1 / 16_000);
});

test("values beyond full scale are clipped, half a sample is refused", () => {
  assert.deepEqual([...decodePcm16(encodePcm16(Float32Array.of(2, -2)))], [32767 / 32768, -32767 / 32768]);
  assert.throws(() => decodePcm16(btoa("abc")), /half a sample/);
});

const tone = (hz, rateHz, seconds) => Float32Array.from({ length: rateHz * seconds },
  (_, i) => 0.5 * Math.sin(2 * Math.PI * hz * i / rateHz));

/** Energy of a tone and of everything else, in dB below full scale of the tone. */
function purity(samples, hz, rateHz) {
  let re = 0;
  let im = 0;
  let energy = 0;
  samples.forEach((sample, i) => {
    re += sample * Math.cos(2 * Math.PI * hz * i / rateHz);
    im += sample * Math.sin(2 * Math.PI * hz * i / rateHz);
    energy += sample * sample;
  });
  const power = 2 * (re * re + im * im) / samples.length;
  return { gainDb: 10 * Math.log10(power / (samples.length * 0.125)), restDb: 10 * Math.log10((energy - power) / power + 1e-12) };
}

for (const [fromHz, toHz] of [[48_000, 16_000], [44_100, 16_000], [16_000, 48_000], [16_000, 44_100]]) {
  test(`${fromHz} to ${toHz} Hz in pieces of 128 keeps a tone and its length`, () => {
    const resampler = new Resampler(fromHz, toHz);
    const input = tone(1000, fromHz, 1);
    const output = [];
    for (let i = 0; i < input.length; i += 128) output.push(...resampler.process(input.subarray(i, i + 128)));
    assert.ok(Math.abs(output.length - toHz) < toHz * 0.004, `${output.length} samples`);
    const steady = Float32Array.from(output.slice(toHz / 10, toHz / 10 + toHz / 2));
    const { gainDb, restDb } = purity(steady, 1000, toHz);
    assert.ok(Math.abs(gainDb) < 0.1, `gain ${gainDb} dB`);
    assert.ok(restDb < -60, `rest ${restDb} dB`);
  });
}

test("what lies above the new band is kept out", () => {
  const resampler = new Resampler(48_000, 16_000);
  const output = resampler.process(tone(11_000, 48_000, 0.5)).subarray(800);
  assert.ok(Math.max(...output.map(Math.abs)) < 0.005);
});

test("the cuts of the input do not matter", () => {
  const input = tone(440, 44_100, 0.3);
  const whole = new Resampler(44_100, 16_000).process(input);
  const split = new Resampler(44_100, 16_000);
  const parts = [];
  for (let i = 0, step = 1; i < input.length; i += step, step = step % 300 + 37) {
    parts.push(...split.process(input.subarray(i, i + step)));
  }
  assert.equal(parts.length, whole.length);
  parts.forEach((sample, i) => assert.ok(Math.abs(sample - whole[i]) < 1e-6));
});
