// The vectors of protocol/vectors against the page's codec: node --test tests/client/vectors.test.mjs
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { decodeServerEvent, encodeClientEvent, LIMITS, ProtocolError } from "../../client/protocol.js";

const folder = new URL("../../protocol/vectors/", import.meta.url);
const load = (kind) => readdirSync(new URL(`${kind}/`, folder)).filter((name) => name.endsWith(".json")).sort()
  .map((name) => ({ name, ...JSON.parse(readFileSync(new URL(`${kind}/${name}`, folder), "utf8")) }));

const refusal = (action) => {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof ProtocolError, `${error}`);
    return { code: error.code, param: error.param };
  }
  return assert.fail("nothing was thrown");
};

const valid = load("valid");
const invalid = load("invalid");

test("there are vectors of both kinds", () => {
  assert.ok(valid.length >= 25 && invalid.length >= 25);
});

for (const vector of valid) {
  test(`valid/${vector.name}`, () => {
    if (vector.direction === "server") {
      assert.deepEqual(decodeServerEvent(JSON.stringify(vector.event)), vector.event);
    } else {
      assert.deepEqual(JSON.parse(encodeClientEvent(vector.event)), vector.event);
    }
  });
}

for (const vector of invalid) {
  // A client event as text never passes through the page; one with a state is refused by the server alone.
  if (vector.direction === "client" && (vector.state || !("event" in vector))) continue;
  test(`invalid/${vector.name}`, () => {
    const text = vector.text ?? JSON.stringify(vector.event);
    const told = refusal(() => (vector.direction === "server" ? decodeServerEvent(text) : encodeClientEvent(vector.event)));
    assert.deepEqual(told, { param: undefined, ...vector.expect });
  });
}

test("bounds are errors that name the field", () => {
  const start = (session) => () => encodeClientEvent({ type: "session.start", session: { model: "x", ...session } });
  const said = (text) => ({ role: "user", content: [{ text }] });
  const over = (param) => ({ code: "limit_exceeded", param });
  assert.deepEqual(refusal(start({ instructions: "x".repeat(LIMITS.instructionsCharacters + 1) })), over("session.instructions"));
  assert.deepEqual(refusal(start({ input: Array(129).fill(said("x")) })), over("session.input"));
  assert.deepEqual(refusal(start({ input: Array(2).fill(said("x".repeat(20_000))) })), over("session.input"));
  start({ instructions: "🙂".repeat(LIMITS.instructionsCharacters) })();
  assert.equal(refusal(() => decodeServerEvent("x".repeat(LIMITS.messageBytes + 1))).code, "message_too_large");
});

test("what is not text, or hostile, is a ProtocolError", () => {
  for (const bad of [undefined, null, 7, {}, "", "null", "[".repeat(100_000), '{"type":"__proto__"}', '{"type":"constructor"}']) {
    refusal(() => decodeServerEvent(bad));
  }
  refusal(() => encodeClientEvent(undefined));
  refusal(() => encodeClientEvent({ type: "session.start", session: { model: "x", audio: { format: { type: "toString" } } } }));
});
