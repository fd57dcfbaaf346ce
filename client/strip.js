/**
 * Draws the timeline as a recorder would: paper runs to the left, the pen stands at the right.
 *
 *        0.48 s            held     yielded
 *         ├──┤             ├──┤      ├────┤
 *     ▂▅▇▅▂                ▂▅▂       ▂▆▇▅▂                you, above the line
 *     ──────────────────────────────────────────┃
 *            ▂▅▇▅▇▅▂▅▇▅▇▅▂▅▇▅▇▅▂▅▇▅▇▅▇▅▂▅▇│               the agent, below it
 *            ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░│               while it holds the floor
 *     0:05            0:10            0:15
 */

import { asClock } from "./captions.js";
import { asHeight } from "./meters.js";
import { BLOCK_MS } from "./timeline.js";

const TOP = 30; // room for marks
const BOTTOM = 22; // room for the clock
const LABEL = "500 12px 'Atkinson Hyperlegible Next', system-ui, sans-serif";

export class Strip {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {import("./timeline.js").Timeline} timeline
   */
  constructor(canvas, timeline) {
    this.canvas = canvas;
    this.timeline = timeline;
    this.ink = canvas.getContext("2d");
    this.running = false;
    this.arrivedAt = 0;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.readColours();
    new ResizeObserver(() => this.#resize()).observe(canvas);
    document.fonts?.ready.then(() => this.draw());
  }

  /** After the colours of the page have changed. */
  readColours() {
    const probe = document.createElement("i"); // a colour that depends on the scheme is only known once it is used
    this.canvas.after(probe);
    const read = (name) => {
      probe.style.color = `var(${name})`;
      return getComputedStyle(probe).color;
    };
    this.colours = { you: read("--you"), omni: read("--omni"), floor: read("--floor"), line: read("--line"),
      soft: read("--soft"), ink: read("--ink"), bad: read("--bad"), faint: read("--faint") };
    probe.remove();
    this.draw();
  }

  /** A block has arrived. @param {number} nowMs performance.now() */
  arrived(nowMs) {
    this.arrivedAt = nowMs;
  }

  /** Let the paper run until `stop`. */
  start() {
    if (this.running) return;
    this.running = true;
    const frame = (nowMs) => {
      if (!this.running) return;
      this.draw(nowMs);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  stop() {
    this.running = false;
    this.draw();
  }

  /** @param {number} [nowMs] */
  draw(nowMs) {
    const { ink, timeline, colours } = this;
    const { width, height } = this.size ?? { width: 0, height: 0 };
    if (!width) return;
    ink.clearRect(0, 0, width, height);
    const pitch = width < 600 ? 4 : 5;
    const pen = width - (width < 600 ? 14 : 28);
    const now = this.#now(nowMs);
    const axis = Math.round(TOP + (height - TOP - BOTTOM) * 0.46);
    const sheet = { pitch, axis, width, height, up: axis - TOP - 3, down: height - BOTTOM - axis - 7,
      x: (block) => pen - (now - block) * pitch };
    const first = Math.floor(now - pen / pitch) - 1;
    this.#drawClock(sheet, first, now);
    this.#drawFloor(sheet, first);
    this.#drawVoices(sheet, first);
    this.#drawMarks(sheet, first);
    ink.fillStyle = colours.ink;
    ink.fillRect(pen + 1, TOP - 4, 1.5, height - TOP - BOTTOM + 4);
  }

  /** Where the pen stands, in blocks; between two blocks it moves on as time does. */
  #now(nowMs) {
    const written = this.timeline.latest + 1;
    if (nowMs === undefined || !this.running) return written + 1;
    if (this.calm.matches) return Math.ceil(written / 12) * 12; // no gliding: a step of about a second
    return written + Math.min(1.5, (nowMs - this.arrivedAt) / BLOCK_MS);
  }

  #drawClock({ x, width, height, axis }, first, now) {
    const { ink, colours } = this;
    ink.font = LABEL;
    ink.textAlign = "center";
    const seconds = 1000 / BLOCK_MS;
    for (let second = Math.floor(first / seconds); second <= now / seconds; second += 1) {
      const at = Math.round(x(second * seconds)) + 0.5;
      const fifth = second % 5 === 0;
      ink.strokeStyle = colours.line;
      ink.globalAlpha = fifth ? 1 : 0.45;
      ink.beginPath();
      ink.moveTo(at, TOP - 4);
      ink.lineTo(at, height - BOTTOM);
      ink.stroke();
      ink.globalAlpha = 1;
      if (!fifth || second < 0 || at < 16 || at > width - 60) continue;
      ink.fillStyle = colours.soft;
      ink.fillText(asClock(second * 1000), at, height - 6);
    }
    ink.strokeStyle = colours.line;
    ink.beginPath();
    ink.moveTo(0, axis + 0.5);
    ink.lineTo(width, axis + 0.5);
    ink.stroke();
  }

  #drawFloor({ x, axis, height, pitch }, first) {
    const { ink, timeline, colours } = this;
    for (let block = first; block <= timeline.latest + 1; block += 1) {
      const cell = timeline.cell(block);
      if (!cell?.floor) continue;
      let end = block;
      while (timeline.cell(end)?.floor) end += 1;
      const left = x(block);
      const span = x(end) - left - pitch * 0.2;
      ink.fillStyle = colours.floor;
      ink.beginPath();
      ink.roundRect(left, axis + 2, span, height - BOTTOM - axis - 3, [0, 0, 3, 3]);
      ink.fill();
      ink.fillStyle = colours.omni;
      ink.fillRect(left, height - BOTTOM - 2.5, span, 2);
      block = end;
    }
  }

  #drawVoices({ x, axis, up, down, pitch, height }, first) {
    const { ink, timeline, colours } = this;
    const wide = pitch - 2;
    for (let block = first; block <= timeline.latest + 1; block += 1) {
      const cell = timeline.cell(block);
      if (!cell) continue;
      const left = x(block) + 0.5;
      const above = asHeight(cell.user) * up;
      const below = asHeight(cell.agent) * down;
      ink.fillStyle = cell.sounding ? colours.you : colours.faint;
      bar(ink, left, axis - 1 - Math.max(1.5, above), wide, Math.max(1.5, above));
      if (cell.floor || below > 2) {
        ink.fillStyle = colours.omni;
        bar(ink, left, axis + 2, wide, Math.max(1.5, below));
      }
      if (cell.late) {
        ink.fillStyle = colours.bad;
        bar(ink, left, height - BOTTOM - 2.5, wide, 6);
      }
    }
  }

  #drawMarks({ x, axis, height }, first) {
    const { ink, timeline, colours } = this;
    ink.font = LABEL;
    ink.lineWidth = 1;
    let free = -Infinity; // labels do not run into each other
    for (const mark of timeline.marks) {
      if (mark.to < first) continue;
      const from = Math.round(x(mark.from)) + 0.5;
      const to = Math.round(x(mark.to)) + 0.5;
      const answer = mark.kind === "answer";
      ink.strokeStyle = answer ? colours.ink : colours.omni;
      line(ink, from, TOP - 8, to, TOP - 8);
      line(ink, from, TOP - 11, from, answer ? axis : TOP - 5);
      line(ink, to, TOP - 11, to, answer ? axis : mark.kind === "yielded" ? height - BOTTOM : TOP - 5);
      const text = answer ? `${(mark.ms / 1000).toFixed(2)} s` : mark.kind;
      const middle = (from + to) / 2;
      const half = ink.measureText(text).width / 2;
      if (middle - half < free) continue;
      free = middle + half + 8;
      ink.fillStyle = ink.strokeStyle;
      ink.textAlign = "center";
      ink.fillText(text, middle, TOP - 15);
    }
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.ink.setTransform(scale, 0, 0, scale, 0, 0);
    this.size = { width, height };
    this.draw();
  }
}

function bar(ink, left, top, width, height) {
  ink.beginPath();
  ink.roundRect(left, top, width, height, Math.min(width, height) / 2);
  ink.fill();
}

function line(ink, x1, y1, x2, y2) {
  ink.beginPath();
  ink.moveTo(x1, y1);
  ink.lineTo(x2, y2);
  ink.stroke();
}
