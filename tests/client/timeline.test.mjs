// Marks on the strip: answers, held and yielded floors, and how long an answer took.
import assert from "node:assert/strict";
import { test } from "node:test";

import { AnswerClock } from "../../client/answers.js";
import { exampleTimeline } from "../../client/example.js";
import { median, NoiseFloor, Timeline } from "../../client/timeline.js";

/** Play a score of [blocks, who]; "omni" and "both" hold the floor in the blocks they sound in. */
function play(timeline, score, from = 0) {
  const who = score.flatMap(([length, side]) => Array(length).fill(side));
  who.forEach((side, i) => {
    const next = who[i + 1] === "omni" || who[i + 1] === "both";
    timeline.take({ block: from + i, speaking: next, agent_level: next ? 0.1 : 0, late_blocks: 0,
      user_level: side === "you" || side === "both" ? 0.1 : 0.001 });
  });
  return from + who.length;
}
const kinds = (timeline) => timeline.marks.map((mark) => mark.kind);

test("an answer lasts from the end of the user's sound to the agent's first", () => {
  const timeline = new Timeline();
  play(timeline, [[10, "-"], [20, "you"], [6, "-"], [10, "omni"]]);
  assert.deepEqual(timeline.marks, [{ kind: "answer", from: 30, to: 36, ms: 480 }]);
});

test("a click is no question, a second reply no second answer, and old sound is not answered", () => {
  const timeline = new Timeline();
  play(timeline, [[10, "-"], [1, "you"], [8, "-"], [10, "omni"]]);
  assert.deepEqual(kinds(timeline), []);
  const again = new Timeline();
  play(again, [[10, "-"], [9, "you"], [5, "-"], [10, "omni"], [20, "-"], [10, "omni"]]);
  assert.deepEqual(kinds(again), ["answer"]);
  const old = new Timeline();
  play(old, [[10, "-"], [9, "you"], [140, "-"], [10, "omni"]]);
  assert.deepEqual(kinds(old), []);
});

test("sound over the agent that goes on is held, and is no question", () => {
  const timeline = new Timeline();
  play(timeline, [[5, "-"], [10, "omni"], [4, "both"], [20, "omni"], [20, "-"], [5, "omni"]]);
  assert.deepEqual(timeline.marks, [{ kind: "held", from: 15, to: 19, ms: null }]);
});

test("sound the agent stops for is yielded, not held", () => {
  const timeline = new Timeline();
  const now = play(timeline, [[5, "-"], [10, "omni"], [5, "both"]]);
  timeline.takeFloor({ state: "listening", epoch: 2, at_ms: now * 80, reason: "interrupted" });
  play(timeline, [[3, "you"], [20, "-"]], now);
  assert.deepEqual(timeline.marks, [{ kind: "yielded", from: 15, to: 20, ms: null }]);
});

test("an end by itself marks nothing", () => {
  const timeline = new Timeline();
  timeline.takeFloor({ state: "listening", epoch: 2, at_ms: 800, reason: "finished" });
  assert.deepEqual(timeline.marks, []);
});

test("late blocks are marked where they were counted", () => {
  const timeline = new Timeline();
  timeline.take({ block: 0, speaking: true, agent_level: 0, user_level: 0, late_blocks: 0 });
  timeline.take({ block: 1, speaking: true, agent_level: 0, user_level: 0, late_blocks: 1 });
  assert.equal(timeline.cell(1).late, false);
  assert.equal(timeline.cell(2).late, true);
});

test("memory is bounded", () => {
  const timeline = new Timeline(100);
  let now = 0;
  for (let i = 0; i < 30; i += 1) now = play(timeline, [[10, "-"], [9, "you"], [5, "-"], [10, "omni"]], now);
  assert.ok(timeline.cells.size <= 103);
  assert.ok(timeline.marks.length <= 4);
});

test("the page's own measure refines the last answer, if it speaks of the same one", () => {
  const timeline = new Timeline();
  play(timeline, [[10, "-"], [20, "you"], [6, "-"], [10, "omni"]]);
  timeline.refineAnswer(515);
  assert.deepEqual(timeline.answers(), [515]);
  timeline.refineAnswer(3000);
  assert.deepEqual(timeline.answers(), [515]);
});

test("a steady hum becomes part of the room, a voice stands out of it", () => {
  const noise = new NoiseFloor();
  for (let i = 0; i < 1000; i += 1) noise.stands(0.02);
  assert.equal(noise.stands(0.02), false);
  assert.equal(noise.stands(0.12), true);
});

test("the answer clock measures to 20 ms and is not fooled by the agent's own pauses", () => {
  const clock = new AnswerClock();
  const heard = [];
  const level = (ms) => (ms >= 1000 && ms < 2000 ? 0.1 : 0.001);
  const agent = (ms) => (ms >= 2460 && ms < 4000 && !(ms >= 3000 && ms < 3200) ? 0.05 : 0);
  for (let ms = 0; ms < 5000; ms += 20) {
    const answer = clock.take(ms, level(ms), agent(ms));
    if (answer !== null) heard.push(answer);
  }
  assert.deepEqual(heard, [480]);
});

test("median", () => {
  assert.equal(median([]), null);
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 3);
});

test("the example shows each kind of mark", () => {
  assert.deepEqual([...new Set(kinds(exampleTimeline()))].sort(), ["answer", "held", "yielded"]);
});
