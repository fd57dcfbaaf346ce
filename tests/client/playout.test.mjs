// The queue in front of the loudspeaker: cushion, epochs, bounds.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Playout } from "../../client/playout.js";

const RATE_HZ = 16_000;
const BLOCK = 1280;
const loud = (length = BLOCK, level = 0.5) => new Float32Array(length).fill(level);
const silent = (length = BLOCK) => new Float32Array(length);
const push = (playout, index, epoch, samples, tail = 0) => playout.push({ at: index * BLOCK, epoch, tail, samples });
const pull = (playout, count) => {
  const output = new Float32Array(count);
  playout.pull(output);
  return output;
};

test("nothing sounds before the cushion has gathered", () => {
  const playout = new Playout(RATE_HZ);
  push(playout, 0, 0, loud(800)); // 50 ms
  assert.ok(pull(playout, 128).every((sample) => sample === 0));
  assert.equal(playout.report().playedMs, null);
  push(playout, 1, 0, loud(800));
  assert.ok(pull(playout, 128).every((sample) => sample === 0.5));
});

test("what is pulled is what was pushed, in order, and is reported on the conversation's clock", () => {
  const playout = new Playout(RATE_HZ);
  const ramp = Float32Array.from({ length: 2 * BLOCK }, (_, i) => 0.1 + i / 10_000);
  push(playout, 5, 0, ramp.slice(0, BLOCK));
  push(playout, 6, 0, ramp.slice(BLOCK));
  const played = [];
  for (let i = 0; i < 10; i += 1) played.push(...pull(playout, 256));
  assert.deepEqual(played, [...ramp]);
  assert.equal(playout.report().playedMs, 7 * 80);
  assert.equal(playout.report().bufferedMs, 0);
});

test("a newer epoch ramps the older one down within 10 ms and drops the rest and its own tail", () => {
  const playout = new Playout(RATE_HZ);
  push(playout, 0, 1, loud());
  push(playout, 1, 1, loud());
  pull(playout, 640);
  push(playout, 2, 2, loud(BLOCK, 0.25), 160);
  const after = pull(playout, 160 + BLOCK - 160);
  for (let i = 1; i < 160; i += 1) assert.ok(after[i] < after[i - 1], "falls all the way");
  assert.ok(after[159] < 0.01);
  assert.ok(after.subarray(160).every((sample) => sample === 0.25), "then the new block without its 10 ms tail");
  assert.equal(playout.report().playedMs, 3 * 80);
  assert.equal(playout.report().droppedMs, 40 + 80 - 10);
});

test("a newer epoch over silence drops nothing and keeps the tail", () => {
  const playout = new Playout(RATE_HZ);
  push(playout, 0, 1, silent());
  push(playout, 1, 2, loud(), 160);
  pull(playout, BLOCK);
  assert.ok(pull(playout, 160).every((sample) => sample === 0.5));
  assert.equal(playout.report().droppedMs, 0);
});

test("audio of an older epoch that comes late is dropped", () => {
  const playout = new Playout(RATE_HZ);
  push(playout, 0, 3, silent());
  push(playout, 1, 2, loud());
  pull(playout, BLOCK);
  assert.ok(pull(playout, BLOCK).every((sample) => sample === 0));
});

test("surplus is taken from silence; speech is kept up to the hard bound", () => {
  const playout = new Playout(RATE_HZ);
  for (let i = 0; i < 10; i += 1) push(playout, i, 0, silent());
  assert.equal(playout.report().bufferedMs, 160);
  for (let i = 10; i < 60; i += 1) push(playout, i, 0, loud());
  assert.ok(playout.report().bufferedMs > 1_900 && playout.report().bufferedMs <= 2_000);
});

test("each gap makes the cushion deeper, within bounds", () => {
  const playout = new Playout(RATE_HZ);
  let index = 0;
  for (let gap = 0; gap < 20; gap += 1) {
    for (let i = 0; i < 3; i += 1) push(playout, index++, 0, loud());
    for (let i = 0; i < 4; i += 1) pull(playout, BLOCK);
  }
  assert.equal(playout.report().gaps, 20);
  assert.equal(playout.cushion, 200 * 16);
  for (let block = 0; block < 3 * 250; block += 1) {
    push(playout, index++, 0, loud());
    if (block > 2) pull(playout, BLOCK);
  }
  assert.equal(playout.cushion, 160 * 16, "and calm gives it back");
});
