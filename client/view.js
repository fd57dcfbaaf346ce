/** Puts the state of the call, its notices and its readings on the page. */

import { describe } from "./errors.js";
import { median } from "./timeline.js";

const CALL_LABELS = {
  idle: "Start talking", connecting: "Cancel", live: "Hang up", reconnecting: "Hang up", failed: "Try again",
};

const GENTLE = {
  fallback: ["Connected another way", "UDP does not get through here, so the sound takes a WebSocket. Answers may "
    + "come a little later."],
};

export class View {
  /** @param {Document} page */
  constructor(page) {
    this.page = page;
    this.at = (id) => page.getElementById(id);
    this.at("notice-close").addEventListener("click", () => this.hush());
  }

  /**
   * @param {import("./session.js").State} state
   * @param {import("./session.js").Facts} facts
   */
  showState(state, facts) {
    this.page.body.dataset.state = state;
    const active = state === "live" || state === "reconnecting";
    this.at("status").textContent = {
      idle: "", failed: "",
      connecting: "Connecting",
      live: facts.transport === "webrtc" ? "Live" : "Live over WebSocket",
      reconnecting: "Connection lost, coming back",
    }[state];
    this.at("call-label").textContent = CALL_LABELS[state];
    this.at("mute").hidden = !active;
    this.at("readings").hidden = !active;
    if (state === "connecting" || state === "live") this.hushUnless("fallback");
    if (state === "idle") this.hush();
    if (state === "failed") this.explain(facts.problem, facts.detail);
    if (active) this.showConversation();
  }

  /** The conversation takes the welcome's place, and stays after the call to be read. */
  showConversation() {
    this.at("welcome").hidden = true;
    this.at("dialogue").hidden = false;
    this.at("example").hidden = true;
  }

  /**
   * @param {string} code
   * @param {string} [detail]
   */
  explain(code, detail = "") {
    const notice = this.at("notice");
    const gentle = GENTLE[code];
    const { title, text } = gentle ? { title: gentle[0], text: gentle[1] }
      : describe(code, { host: location.hostname, port: location.port });
    notice.dataset.code = code;
    notice.classList.toggle("gentle", Boolean(gentle));
    this.at("notice-title").textContent = title;
    this.at("notice-text").textContent = text;
    this.at("notice-detail").textContent = detail === code ? "" : detail;
    notice.hidden = false;
  }

  hush() {
    this.at("notice").hidden = true;
  }

  /** @param {string} code Keep a notice of this code. */
  hushUnless(code) {
    if (this.at("notice").dataset.code !== code) this.hush();
  }

  /** @param {boolean} muted @param {boolean} confirmed By the server. */
  showMute(muted, confirmed) {
    const button = this.at("mute");
    button.setAttribute("aria-pressed", String(muted));
    button.classList.toggle("unconfirmed", !confirmed);
    this.at("mute-label").textContent = muted ? "Unmute" : "Mute";
    if (confirmed && this.at("notice").dataset.code === "mute_unanswered") this.hush();
  }

  /** @param {import("./webrtc.js").Readings} readings */
  showWay(readings) {
    this.at("reading-way").textContent = readings.roundTripMs === null ? "–" : `${Math.round(readings.roundTripMs)} ms`;
    this.at("reading-buffer").textContent = `${Math.round(readings.bufferMs)} ms`;
  }

  /** @param {{compute_us: number, late_blocks: number}} block */
  showCost(block) {
    this.at("reading-compute").textContent = `${(block.compute_us / 1000).toFixed(0)} ms`;
    const late = this.at("reading-late");
    late.textContent = String(block.late_blocks);
    late.classList.toggle("bad", block.late_blocks > 0);
  }

  /** @param {number[]} answersMs */
  showAnswers(answersMs) {
    const last = answersMs.at(-1);
    const middle = median(answersMs);
    this.at("reading-answer").textContent = last === undefined ? "–" : `${last} ms`;
    this.at("reading-median").textContent = middle === null ? "–" : `${middle} ms`;
  }

  /** @param {number} you @param {number} agent Heights 0 to 1. */
  showLevels(you, agent) {
    this.page.documentElement.style.setProperty("--you-level", you.toFixed(2));
    this.page.documentElement.style.setProperty("--omni-level", agent.toFixed(2));
  }
}
