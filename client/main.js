/** The page: makes the parts, and carries what each one says to those that show it. */

import { sessionsUrl, socketAddress, takeToken } from "./address.js";
import { AnswerClock } from "./answers.js";
import { Captions } from "./captions.js";
import { obstacle, openMicrophone, stopStream } from "./devices.js";
import { Dialogue } from "./dialogue.js";
import { exampleTimeline } from "./example.js";
import { Heard } from "./heard.js";
import { Later } from "./later.js";
import { asHeight, Meters, prepareMeters } from "./meters.js";
import { Preferences } from "./preferences.js";
import { Session } from "./session.js";
import { Settings } from "./settings.js";
import { Strip } from "./strip.js";
import { Timeline } from "./timeline.js";
import { View } from "./view.js";
import { openWebRtc } from "./webrtc.js";
import { openWebSocket } from "./websocket.js";

const SESSION = { model: "omni", client: { omni: { events: "all" } } };

const at = (id) => document.getElementById(id);
const token = takeToken(location, history, sessionStorage);
const preferences = new Preferences(localStorage);
const view = new View(document);
const dialogue = new Dialogue();
const captions = new Captions(at("dialogue"), at("aloud"));
const timeline = new Timeline();
const strip = new Strip(at("strip"), exampleTimeline());
const voice = at("voice");

let context = null;
let microphone = null;
let asking = 0; // grows with each wish to talk, and to stop asking for the microphone
let answers = new AnswerClock();
let awake = null; // keeps a phone's screen on: with it off the microphone goes too

const session = new Session({
  timers: { setTimeout: (call, ms) => setTimeout(call, ms), clearTimeout: (timer) => clearTimeout(timer) },
  openWebRtc: (stream, hooks, signal) => openWebRtc(
    { url: sessionsUrl(document.baseURI), token, session: SESSION, microphone: stream, signal }, hooks),
  openWebSocket: (stream, hooks, signal) => openWebSocket(
    { ...socketAddress(document.baseURI, token), session: SESSION, microphone: stream, context, signal,
      ask: () => fetch(sessionsUrl(document.baseURI), { headers: token ? { Authorization: `Bearer ${token}` } : {} }) },
    hooks),
}, {
  onState: showState,
  onLive: beginCall,
  onEvent: takeEvent,
  onMute: (muted, confirmed) => view.showMute(muted, confirmed),
  onNotice: (code) => view.explain(code),
});

const heard = new Heard((event) => session.send(event), (readings) => view.showWay(readings));
const later = new Later(() => heard.bufferMs, { setTimeout: (show, ms) => setTimeout(show, ms),
  clearTimeout: (timer) => clearTimeout(timer), now: () => performance.now() });
const meters = new Meters(takeLevels);
const settings = new Settings(document, preferences, {
  onMicrophone: changeMicrophone,
  onTransport: () => { session.prefer = preferences.get("transport"); },
  onTheme: () => strip.readColours(),
});
session.prefer = preferences.get("transport");

async function call() {
  asking += 1;
  if (document.body.dataset.state === "connecting" || session.state === "live" || session.state === "reconnecting") {
    session.hangUp();
    return;
  }
  const asked = asking;
  showState("connecting", { transport: null, problem: null, detail: "", waitMs: null });
  try {
    const stream = await openMicrophone(preferences);
    if (asked !== asking) {
      stopStream(stream);
      return;
    }
    microphone = stream;
    context ??= new AudioContext({ latencyHint: "interactive" });
    await context.resume();
    await prepareMeters(context);
  } catch (error) {
    if (asked !== asking) return;
    const problem = error.code ?? "microphone_failed";
    showState("failed", { transport: null, problem, detail: error.detail ?? "", waitMs: null });
    return;
  }
  if (asked !== asking) return;
  microphone.getAudioTracks()[0].addEventListener("ended", changeMicrophone);
  dialogue.clear();
  captions.clear();
  timeline.clear();
  await session.start(microphone);
}

function showState(state, facts) {
  view.showState(state, facts);
  if (state === "live") return;
  heard.stop();
  meters.stop();
  strip.stop();
  later.drop();
  view.showLevels(0, 0);
  if (state === "idle" || state === "failed") letGo();
}

function beginCall(live, again) {
  if (again) {
    dialogue.separate();
    captions.seam("Connected again. It does not remember what was said before this line.");
  }
  timeline.clear();
  answers = new AnswerClock();
  strip.timeline = timeline;
  strip.start();
  view.showMute(session.muted, !session.muted);
  voice.srcObject = live.voice;
  voice.play().catch(() => view.explain("playback"));
  heard.follow(live);
  meters.follow(context, microphone, live.voice);
  navigator.wakeLock?.request("screen").then((lock) => {
    awake?.release();
    awake = lock;
    if (session.state !== "live") lock.release();
  }, () => {}); // a hidden page gets none
}

function letGo() {
  stopStream(microphone);
  microphone = null;
  voice.srcObject = null;
  awake?.release();
  awake = null;
  context?.suspend();
}

function takeEvent(event) {
  switch (event.type) {
    case "session.output_transcript.delta":
      later.add(() => captions.show(dialogue.takeAgentText(event)));
      break;
    case "session.input_transcript.delta":
      captions.show(dialogue.takeUserText(event));
      break;
    case "omni.floor":
      later.add(() => {
        captions.show(dialogue.takeFloor(event));
        timeline.takeFloor(event);
      });
      break;
    case "omni.heard":
      later.add(() => captions.show(dialogue.takeHeard(event)));
      break;
    case "omni.block":
      later.add(() => {
        timeline.take(event);
        strip.arrived(performance.now());
        view.showCost(event);
        view.showAnswers(timeline.answers());
      });
      break;
    case "error":
      view.explain("objected", event.error.message);
      break;
  }
}

function takeLevels({ atMs, you, agent }) {
  view.showLevels(session.muted ? 0 : asHeight(you), asHeight(agent));
  const ms = answers.take(atMs, session.muted ? 0 : you, agent);
  if (ms === null) return;
  // The words and the block that belong to this sound may still be on their way.
  setTimeout(() => {
    timeline.refineAnswer(ms);
    captions.show(dialogue.takeAnswer(ms));
  }, 300);
}

async function changeMicrophone() {
  if (!microphone) return;
  const before = microphone;
  try {
    microphone = await openMicrophone(preferences);
  } catch (error) {
    view.explain(error.code);
    return;
  }
  await session.replaceMicrophone(microphone);
  stopStream(before);
  microphone.getAudioTracks()[0].addEventListener("ended", changeMicrophone);
  if (session.call) await meters.follow(context, microphone, session.call.voice);
}

at("call").addEventListener("click", call);
at("mute").addEventListener("click", () => session.mute(!session.muted));
document.addEventListener("keydown", (event) => {
  if (event.key !== "m" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("select, dialog")) return;
  if (session.state === "live" || session.state === "reconnecting") session.mute(!session.muted);
});
window.addEventListener("online", () => session.returnNow());
window.addEventListener("pagehide", () => session.hangUp());
document.addEventListener("visibilitychange", () => { if (!document.hidden) session.returnNow(); });

if (obstacle()) view.explain(obstacle());
settings.applySpeaker();
