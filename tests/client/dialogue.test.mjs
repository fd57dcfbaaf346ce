// The conversation as text: what belongs together, what was heard, what was cut.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Dialogue, overlap, splitHeard } from "../../client/dialogue.js";

const speak = (dialogue, text, start_ms, end_ms = start_ms + 200) => dialogue.takeAgentText({ delta: text, start_ms, end_ms });
const hear = (dialogue, text, start_ms, end_ms = start_ms + 200) => dialogue.takeUserText({ delta: text, start_ms, end_ms });
const floor = (dialogue, state, epoch, at_ms, reason) => dialogue.takeFloor({ state, epoch, at_ms, reason });

test("deltas of one reply join, each taking of the floor begins another", () => {
  const dialogue = new Dialogue();
  floor(dialogue, "speaking", 1, 1000);
  speak(dialogue, " Once", 1000);
  speak(dialogue, " upon", 1200);
  floor(dialogue, "listening", 1, 1600, "finished");
  floor(dialogue, "speaking", 2, 1680);
  speak(dialogue, " Yes", 1700);
  assert.deepEqual(dialogue.utterances.map((one) => one.text), ["Once upon", "Yes"]);
  assert.deepEqual(dialogue.utterances.map((one) => one.open), [false, true]);
});

test("the user's words part at a pause", () => {
  const dialogue = new Dialogue();
  hear(dialogue, "a lat", 0);
  hear(dialogue, "te ", 300);
  hear(dialogue, "please", 1200);
  hear(dialogue, "and a tea", 4000);
  assert.deepEqual(dialogue.utterances.map((one) => one.text), ["a latte please", "and a tea"]);
});

test("empty deltas begin nothing", () => {
  const dialogue = new Dialogue();
  assert.equal(hear(dialogue, " ", 0), null);
  assert.equal(speak(dialogue, "", 0), null);
  assert.deepEqual(dialogue.utterances, []);
});

test("words behind the last heard one are struck once an interrupted reply is final", () => {
  const dialogue = new Dialogue();
  floor(dialogue, "speaking", 1, 0);
  speak(dialogue, "Once upon", 0);
  const reply = speak(dialogue, " a time", 400);
  dialogue.takeHeard({ epoch: 1, text: "Once", final: false });
  assert.equal(splitHeard(reply).unheard, "", "nothing is struck while it may still be played");
  floor(dialogue, "listening", 2, 500, "interrupted");
  dialogue.takeHeard({ epoch: 1, text: "Once upon a", final: true });
  assert.deepEqual(splitHeard(reply), { heard: "Once upon a", unheard: " time" });
});

test("a reply that came to its end keeps every word, whatever an estimate says", () => {
  const dialogue = new Dialogue();
  floor(dialogue, "speaking", 1, 0);
  const reply = speak(dialogue, "Six dollars", 0);
  floor(dialogue, "listening", 1, 900, "finished");
  dialogue.takeHeard({ epoch: 1, text: "Six", final: true });
  assert.equal(splitHeard(reply).unheard, "");
});

test("what was heard never goes back and does not mind spaces", () => {
  const dialogue = new Dialogue();
  floor(dialogue, "speaking", 4, 0);
  const reply = speak(dialogue, "One two three", 0);
  dialogue.takeHeard({ epoch: 4, text: " One  two", final: false });
  dialogue.takeHeard({ epoch: 4, text: "One", final: false });
  assert.equal(reply.heard, "One two".length);
  assert.equal(dialogue.takeHeard({ epoch: 9, text: "One", final: true }), null, "an unknown epoch is nobody's");
});

test("overlap is between two sides only", () => {
  const dialogue = new Dialogue();
  floor(dialogue, "speaking", 1, 0);
  const reply = speak(dialogue, "a long story", 0, 3000);
  const word = hear(dialogue, "uh-huh", 1000, 1400);
  const late = hear(dialogue, "what?", 5000, 5400);
  assert.ok(overlap(reply, word));
  assert.ok(!overlap(reply, late));
  assert.ok(!overlap(reply, reply));
});

test("after a return nothing goes on, and epochs begin anew", () => {
  const dialogue = new Dialogue();
  floor(dialogue, "speaking", 1, 0);
  const before = speak(dialogue, "before", 0);
  dialogue.separate();
  floor(dialogue, "speaking", 1, 0);
  const after = speak(dialogue, "after", 0);
  dialogue.takeHeard({ epoch: 1, text: "aft", final: false });
  assert.notEqual(before.id, after.id);
  assert.equal(before.heard, 0);
  assert.equal(after.heard, 3);
});

test("an answer's time goes to the reply that is under way, once", () => {
  const dialogue = new Dialogue();
  floor(dialogue, "speaking", 1, 0);
  const reply = speak(dialogue, "Yes", 0);
  dialogue.takeAnswer(480);
  dialogue.takeAnswer(900);
  assert.equal(reply.answerMs, 480);
});
