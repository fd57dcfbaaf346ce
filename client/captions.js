/** Shows the conversation as text, the two sides in two lanes, so that what was said at once stands side by side. */

import { overlap, splitHeard } from "./dialogue.js";

const NEAR_END_PX = 80;

export class Captions {
  /**
   * @param {HTMLElement} container Scrolls; empty but for a hint.
   * @param {HTMLElement} aloud Live region for screen readers: whole utterances, once they are over.
   */
  constructor(container, aloud) {
    this.container = container;
    this.aloud = aloud;
    /** The reader has not scrolled up. */
    this.following = true;
    container.addEventListener("scroll", () => { this.following = this.#isAtEnd(); });
    new ResizeObserver(() => this.#follow()).observe(container);
    this.clear();
  }

  clear() {
    for (const part of this.container.querySelectorAll(".moment, .seam")) part.remove();
    this.aloud.textContent = "";
    /** @type {Map<number, {cell: HTMLElement, body: HTMLElement, meta: HTMLElement}>} */
    this.shown = new Map();
    this.spoken = new Set();
    this.moment = null;
    this.following = true;
  }

  /** A line across: what comes next is another session. @param {string} text */
  seam(text) {
    const line = document.createElement("p");
    line.className = "seam";
    line.textContent = text;
    this.container.append(line);
    this.moment = null;
    this.#follow();
  }

  /** @param {import("./dialogue.js").Utterance | null} utterance */
  show(utterance) {
    if (!utterance) return;
    const place = this.shown.get(utterance.id) ?? this.#begin(utterance);
    const { heard, unheard } = splitHeard(utterance);
    place.body.replaceChildren(heard);
    if (unheard.trim()) {
      const cut = document.createElement("s");
      cut.textContent = unheard;
      cut.title = "Planned, never heard";
      place.body.append(cut);
    }
    place.body.classList.toggle("cut", utterance.cut);
    place.body.classList.toggle("open", utterance.open && utterance.side === "omni");
    place.meta.textContent = remark(utterance);
    if (!utterance.open) this.#speak(utterance, heard);
    this.#follow();
  }

  #begin(utterance) {
    const moment = this.#momentOf(utterance);
    const cell = document.createElement("article");
    cell.className = "said";
    const who = document.createElement("h3");
    who.textContent = utterance.side === "you" ? "You" : "omni";
    const meta = document.createElement("span");
    meta.className = "meta";
    who.append(" ", meta);
    const body = document.createElement("p");
    cell.append(who, body);
    moment.lanes[utterance.side].append(cell);
    moment.last[utterance.side] = utterance;
    moment.row.classList.toggle("together", Boolean(moment.last.you && moment.last.omni));
    const place = { cell, body, meta };
    this.shown.set(utterance.id, place);
    return place;
  }

  /** The row of the other side's utterance if they sound at once, else a new one. */
  #momentOf(utterance) {
    const other = this.moment?.last[utterance.side === "you" ? "omni" : "you"];
    const until = other?.open && other.side === "omni" ? Infinity : other?.toMs; // its next word may be on its way
    if (other && overlap({ ...other, toMs: until }, { ...utterance, toMs: utterance.fromMs + 1 })) return this.moment;
    const row = document.createElement("div");
    row.className = "moment";
    const lanes = {};
    for (const side of utterance.side === "you" ? ["you", "omni"] : ["omni", "you"]) { // who began is read first
      lanes[side] = document.createElement("div");
      lanes[side].className = `lane ${side}`;
      row.append(lanes[side]);
    }
    this.container.append(row);
    this.moment?.row.classList.add("past");
    this.moment = { row, lanes, last: { you: null, omni: null } };
    return this.moment;
  }

  #speak(utterance, text) {
    if (this.spoken.has(utterance.id)) return;
    this.spoken.add(utterance.id);
    const line = document.createElement("p");
    line.textContent = `${utterance.side === "you" ? "You" : "omni"}: ${text.trim()}`;
    this.aloud.append(line);
    while (this.aloud.childElementCount > 6) this.aloud.firstElementChild.remove();
  }

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.container;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  #follow() {
    if (this.following) this.container.scrollTop = this.container.scrollHeight;
  }
}

/** @param {import("./dialogue.js").Utterance} utterance */
function remark(utterance) {
  const parts = [asClock(utterance.fromMs)];
  if (utterance.answerMs !== null) parts.push(`after ${(utterance.answerMs / 1000).toFixed(2)} s`);
  if (utterance.cut) parts.push("stopped");
  return parts.join(" · ");
}

/** @param {number} ms @returns {string} Such as 1:05. */
export function asClock(ms) {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
