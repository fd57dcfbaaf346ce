// The life of a call, with transports and time made by hand.
import assert from "node:assert/strict";
import { test } from "node:test";

import { RETURN_PLAN, waitBefore } from "../../client/backoff.js";
import { ConnectError } from "../../client/errors.js";
import { Session } from "../../client/session.js";

class Clock {
  now = 0;
  waiting = [];
  setTimeout = (call, ms) => {
    const timer = { call, at: this.now + ms };
    this.waiting.push(timer);
    return timer;
  };
  clearTimeout = (timer) => { this.waiting = this.waiting.filter((one) => one !== timer); };
  async pass(ms) {
    const until = this.now + ms;
    for (;;) {
      await settle();
      const due = this.waiting.filter((one) => one.at <= until).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.now = due.at;
      this.clearTimeout(due);
      due.call();
    }
    this.now = until;
    await settle();
  }
}
const settle = async () => { for (let i = 0; i < 12; i += 1) await null; };

class FakeCall {
  constructor(kind, hooks) {
    this.kind = kind;
    this.hooks = hooks;
    this.sent = [];
    this.closed = false;
  }
  send(event) { this.sent.push(event); }
  close() { this.closed = true; }
  async replaceMicrophone(stream) { this.microphone = stream; }
}

function stage({ rtc = "ok", ws = "ok", wait } = {}) {
  const clock = new Clock();
  const log = [];
  const calls = [];
  const aborted = [];
  const opener = (kind, plan) => (microphone, hooks, signal) => {
    signal.addEventListener("abort", () => aborted.push(kind));
    const outcome = Array.isArray(plan) ? plan.shift() ?? "ok" : plan;
    if (outcome === "never") return new Promise(() => {});
    if (outcome !== "ok") return Promise.reject(new ConnectError(outcome, "said the test"));
    const call = new FakeCall(kind, hooks);
    calls.push(call);
    hooks.onEvent({ type: "session.started" });
    return Promise.resolve(call);
  };
  const session = new Session({
    openWebRtc: opener("webrtc", rtc), openWebSocket: opener("websocket", ws), timers: clock,
    wait: wait ?? ((attempt) => (attempt < 3 ? 1000 * (attempt + 1) : null)),
  }, {
    onState: (state, facts) => log.push(facts.problem ? `${state}:${facts.problem}` : facts.transport ? `${state}:${facts.transport}` : state),
    onLive: (call, again) => log.push(again ? "again" : "first"),
    onEvent: (event) => log.push(event.type),
    onMute: (muted, confirmed) => log.push(`${muted ? "muted" : "unmuted"}${confirmed ? "!" : "?"}`),
    onNotice: (code) => log.push(`notice:${code}`),
  });
  const track = { enabled: true };
  return { clock, log, calls, aborted, session, track, microphone: { getAudioTracks: () => [track] } };
}

test("WebRTC first; early events arrive after the call is live", async () => {
  const { session, log, microphone } = stage();
  await session.start(microphone);
  assert.deepEqual(log, ["connecting", "live:webrtc", "first", "session.started"]);
});

test("without an answer over UDP within 4 s it falls back, says so, and remembers", async () => {
  const { session, log, microphone, clock, aborted, calls } = stage({ rtc: "never" });
  session.start(microphone);
  await clock.pass(3_999);
  assert.deepEqual(log, ["connecting"]);
  await clock.pass(1);
  assert.deepEqual(log, ["connecting", "notice:fallback", "live:websocket", "first", "session.started"]);
  assert.deepEqual(aborted, ["webrtc"]);
  calls[0].hooks.onGone("cable");
  await clock.pass(1000);
  assert.equal(log.at(-3), "live:websocket", "straight to the WebSocket on return");
});

test("a full server is said at once, without trying the other way", async () => {
  const { session, log, microphone, calls } = stage({ rtc: "full" });
  await session.start(microphone);
  assert.deepEqual(log, ["connecting", "failed:full"]);
  assert.equal(calls.length, 0);
});

test("no answer on either way is unreachable", async () => {
  const { session, log, microphone, clock } = stage({ rtc: "never", ws: "never" });
  session.start(microphone);
  await clock.pass(20_000);
  assert.deepEqual(log, ["connecting", "notice:fallback", "failed:unreachable"]);
});

test("a lost call comes back by itself, waiting longer each time", async () => {
  const { session, log, microphone, clock, calls } = stage({ rtc: ["ok", "unreachable", "full", "ok"] });
  await session.start(microphone);
  calls[0].hooks.onGone("path lost");
  assert.ok(calls[0].closed);
  await clock.pass(999);
  assert.equal(log.at(-1), "reconnecting");
  await clock.pass(1 + 2000 + 3000);
  assert.deepEqual(log.slice(4), ["reconnecting", "reconnecting", "reconnecting", "live:webrtc", "again", "session.started"]);
  calls[0].hooks.onEvent({ type: "omni.block" });
  calls[0].hooks.onGone("again");
  assert.equal(log.at(-1), "session.started", "the dead call is not heard any more");
});

test("it gives up after the last wait", async () => {
  const { session, log, microphone, clock, calls } = stage({ rtc: ["ok", "unreachable", "unreachable", "unreachable"] });
  await session.start(microphone);
  calls[0].hooks.onGone("");
  await clock.pass(10_000);
  assert.equal(log.at(-1), "failed:lost");
  assert.deepEqual(clock.waiting, []);
});

test("returnNow does not wait", async () => {
  const { session, log, microphone, calls, clock } = stage();
  await session.start(microphone);
  calls[0].hooks.onGone("");
  await session.returnNow();
  assert.equal(log.at(-2), "again");
  assert.deepEqual(clock.waiting, []);
});

test("hanging up says goodbye and lets go", async () => {
  const { session, log, microphone, calls, clock } = stage();
  await session.start(microphone);
  session.hangUp();
  assert.equal(log.at(-1), "idle");
  assert.equal(calls[0].sent[0].type, "session.close");
  assert.ok(!calls[0].closed);
  await clock.pass(1000);
  assert.ok(calls[0].closed);
});

test("hanging up while connecting leaves no call behind", async () => {
  const { session, log, microphone, aborted, clock } = stage({ rtc: "never" });
  session.start(microphone);
  await settle();
  session.hangUp();
  await clock.pass(30_000);
  assert.deepEqual(log, ["connecting", "idle"]);
  assert.deepEqual(aborted, ["webrtc"]);
});

test("hanging up while it waits to return", async () => {
  const { session, log, microphone, calls, clock } = stage();
  await session.start(microphone);
  calls[0].hooks.onGone("");
  session.hangUp();
  await clock.pass(30_000);
  assert.equal(log.at(-1), "idle");
  assert.equal(calls.length, 1);
});

test("the end of the session's time is told, a lost connection returns", async () => {
  const one = stage();
  await one.session.start(one.microphone);
  one.calls[0].hooks.onEvent({ type: "session.closed", reason: "expired" });
  assert.equal(one.log.at(-1), "failed:expired");
  const two = stage();
  await two.session.start(two.microphone);
  two.calls[0].hooks.onEvent({ type: "session.closed", reason: "connection_lost" });
  assert.equal(two.log.at(-1), "reconnecting");
});

test("mute switches the track at once and waits for the server's word", async () => {
  const { session, log, microphone, calls, track, clock } = stage();
  await session.start(microphone);
  session.mute(true);
  assert.equal(track.enabled, false);
  assert.equal(log.at(-1), "muted?");
  const [event] = calls[0].sent;
  assert.equal(event.type, "session.input_audio.mute");
  calls[0].hooks.onEvent({ type: "session.input_audio.muted", client_event_id: "older" });
  assert.equal(log.at(-1), "muted?");
  calls[0].hooks.onEvent({ type: "session.input_audio.muted", client_event_id: event.event_id });
  assert.equal(log.at(-1), "muted!");
  session.mute(false);
  await clock.pass(3000);
  assert.equal(log.at(-1), "notice:mute_unanswered");
});

test("who was muted stays muted after a return", async () => {
  const { session, microphone, calls, clock } = stage();
  await session.start(microphone);
  session.mute(true);
  calls[0].hooks.onGone("");
  await clock.pass(1000);
  assert.equal(calls[1].sent[0].type, "session.input_audio.mute");
});

test("waits grow, are bounded, and end", () => {
  const most = (attempt) => waitBefore(attempt, RETURN_PLAN, () => 0.999_999);
  const least = (attempt) => waitBefore(attempt, RETURN_PLAN, () => 0);
  assert.equal(most(0), 500);
  assert.equal(least(0), 250);
  for (let attempt = 1; attempt < RETURN_PLAN.attempts; attempt += 1) {
    assert.ok(most(attempt) >= most(attempt - 1) && most(attempt) <= RETURN_PLAN.maxMs);
  }
  assert.equal(waitBefore(RETURN_PLAN.attempts), null);
});
