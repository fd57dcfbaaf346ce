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
    /** @type {Map<number, {row: HTMLElement, body: HTMLElement, meta: HTMLElement}>} */
    this.shown = new Map();
    this.spoken = new Set();
    this.lastRow = null;
    this.latest = null;
  }

  clear() {
    for (const { row } of this.shown.values()) row.remove();
    for (const line of this.container.querySelectorAll(".seam")) line.remove();
    this.shown.clear();
    this.spoken.clear();
    this.lastRow = null;
    this.latest = null;
    this.aloud.textContent = "";
  }

  /** A line across: what comes next is another session. @param {string} text */
  seam(text) {
    const line = document.createElement("p");
    line.className = "seam";
    line.textContent = text;
    this.container.append(line);
    this.lastRow = null;
    this.#follow(true);
  }

  /** @param {import("./dialogue.js").Utterance | null} utterance */
  show(utterance) {
    if (!utterance) return;
    const atEnd = this.#isAtEnd();
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
    this.#follow(atEnd);
  }

  #begin(utterance) {
    const before = this.latest;
    const together = before && this.lastRow && overlap(before, { ...utterance, toMs: utterance.fromMs + 1 })
      && !this.lastRow.querySelector(`.${utterance.side}`);
    const row = together ? this.lastRow : document.createElement("div");
    if (!together) {
      row.className = "moment";
      this.container.append(row);
    } else row.classList.add("together");
    const cell = document.createElement("article");
    cell.className = `said ${utterance.side}`;
    const who = document.createElement("h3");
    who.textContent = utterance.side === "you" ? "You" : "omni";
    const meta = document.createElement("span");
    meta.className = "meta";
    who.append(" ", meta);
    const body = document.createElement("p");
    cell.append(who, body);
    row.append(cell);
    this.lastRow = row;
    if (before) this.shown.get(before.id)?.row.classList.add("past");
    row.classList.remove("past");
    this.latest = utterance;
    const place = { row, body, meta };
    this.shown.set(utterance.id, place);
    return place;
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

  #follow(wasAtEnd) {
    if (wasAtEnd) this.container.scrollTop = this.container.scrollHeight;
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
