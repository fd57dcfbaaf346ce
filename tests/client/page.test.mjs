// Small parts of the page that need no browser: addresses, words for errors, memory, playback reports.
import assert from "node:assert/strict";
import { test } from "node:test";

import { socketAddress, sessionsUrl, takeToken } from "../../client/address.js";
import { ConnectError, describe, fromHttp, fromMicrophone, isFinal } from "../../client/errors.js";
import { Heard } from "../../client/heard.js";
import { Later } from "../../client/later.js";
import { Preferences } from "../../client/preferences.js";

const memory = (values = {}) => ({
  getItem: (key) => values[key] ?? null,
  setItem: (key, value) => { values[key] = value; },
});

test("addresses follow the page's own, also below a path and with TLS", () => {
  assert.equal(sessionsUrl("http://localhost:8765/"), "http://localhost:8765/v1/live/sessions");
  assert.equal(socketAddress("https://host/omni/", null).url, "wss://host/omni/v1/live/sessions");
});

test("a token goes as a subprotocol where its letters allow it, else into the query", () => {
  assert.deepEqual(socketAddress("https://host/", "abc-123"),
    { url: "wss://host/v1/live/sessions", protocols: ["omni", "omni-token.abc-123"] });
  assert.deepEqual(socketAddress("https://host/", "abc/123"),
    { url: "wss://host/v1/live/sessions?token=abc%2F123", protocols: ["omni"] });
});

test("the token leaves the address bar and is kept for the tab", () => {
  const storage = memory();
  const seen = [];
  const history = { replaceState: (...all) => seen.push(all[2]) };
  assert.equal(takeToken({ hash: "#token=s3cret", pathname: "/", search: "" }, history, storage), "s3cret");
  assert.deepEqual(seen, ["/"]);
  assert.equal(takeToken({ hash: "", pathname: "/", search: "" }, history, storage), "s3cret");
});

test("each refusal has its words", () => {
  assert.equal(fromHttp(503, { code: "session_limit_reached" }).code, "full");
  assert.equal(fromHttp(503, { code: "server_error" }).code, "unreachable");
  assert.equal(fromHttp(429, { code: "rate_limited" }).code, "too_many");
  assert.equal(fromHttp(401, undefined).code, "unauthorized");
  assert.equal(fromHttp(502, undefined).code, "unreachable");
  assert.equal(fromHttp(400, { message: "bad" }).detail, "bad");
  const named = (name) => Object.assign(new Error("x"), { name });
  assert.equal(fromMicrophone(named("NotAllowedError")).code, "permission");
  assert.equal(fromMicrophone(named("NotFoundError")).code, "no_microphone");
  assert.equal(fromMicrophone(named("NotReadableError")).code, "microphone_busy");
  assert.ok(isFinal(new ConnectError("full")));
  assert.ok(!isFinal(new ConnectError("unanswered")));
  const words = describe("insecure", { host: "192.168.1.5", port: "8765" });
  assert.match(words.text, /http:\/\/localhost:8765/);
  assert.match(words.text, /https:\/\/192\.168\.1\.5:8765/);
  assert.equal(describe("no such code", { host: "", port: "" }).title, "Something went wrong");
});

test("preferences survive, damaged ones do not harm", () => {
  const storage = memory();
  new Preferences(storage).set("volume", 0.4);
  assert.equal(new Preferences(storage).get("volume"), 0.4);
  assert.equal(new Preferences(memory({ "omni.preferences": "{no json" })).get("volume"), 1);
  assert.equal(new Preferences(memory({ "omni.preferences": '{"volume":"loud","x":1}' })).get("volume"), 1);
  const forbidden = { getItem() { throw new Error("no"); }, setItem() { throw new Error("no"); } };
  const preferences = new Preferences(forbidden);
  preferences.set("theme", "dark");
  assert.equal(preferences.get("theme"), "dark");
});

test("playback is reported when it has moved, and not for a call that is over", async () => {
  const ticks = [];
  const timers = { setInterval: (tick) => ticks.push(tick), clearInterval: () => {} };
  const sent = [];
  const heard = new Heard((event) => sent.push(event), () => {}, timers);
  let played_ms = 80;
  const call = { read: async () => ({ roundTripMs: 4, bufferMs: 30, playback: { played_ms, buffered_ms: 30 } }) };
  heard.follow(call);
  await ticks[0]();
  for (let i = 0; i < 8; i += 1) await null;
  await ticks[0]();
  for (let i = 0; i < 8; i += 1) await null;
  played_ms = 160;
  ticks[0]();
  for (let i = 0; i < 8; i += 1) await null;
  assert.deepEqual(sent.map((event) => event.played_ms), [80, 160]);
  assert.equal(heard.bufferMs, 30);
  ticks[0]();
  heard.stop();
  for (let i = 0; i < 8; i += 1) await null;
  assert.equal(sent.length, 2);
});

test("things are shown when they sound, and never out of order when the buffer shrinks", () => {
  let now = 0;
  let timer = null;
  const timers = { now: () => now, setTimeout: (call, ms) => { timer = { call, at: now + ms }; return timer; },
    clearTimeout: () => { timer = null; } };
  const pass = (until) => {
    while (timer && timer.at <= until) {
      const { call, at } = timer;
      timer = null;
      now = at;
      call();
    }
    now = until;
  };
  let delay = 120.7;
  const later = new Later(() => delay, timers);
  const shown = [];
  later.add(() => shown.push("floor"));
  now = 0.4;
  delay = 20;
  later.add(() => shown.push("word"));
  pass(100);
  assert.deepEqual(shown, []);
  pass(130);
  assert.deepEqual(shown, ["floor", "word"]);
  later.add(() => shown.push("next"));
  pass(160);
  assert.deepEqual(shown, ["floor", "word", "next"]);
  later.add(() => shown.push("dropped"));
  later.drop();
  pass(1000);
  assert.equal(shown.length, 3);
});
