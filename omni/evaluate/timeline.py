"""The picture of a conversation: both voices, who has the floor, the words, the user's turns and the verdicts.

    user       turns as bands, envelope upwards
    agent      floor as bands, envelope downwards, words along its lower edge
    verdicts   one line each, a bar over the time it speaks of
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from omni.evaluate.record import Record
from omni.evaluate.verdicts import TurnSpan, Verdict

_USER, _AGENT, _GOOD, _BAD = "#2f6fb5", "#c4682b", "#2e8b57", "#c23b3b"
_INK, _SOFT, _GRID, _PAPER = "#22262b", "#6b7280", "#e5e7eb", "#fbfbf9"
_STEP = 160     # samples an envelope point stands for: 10 ms


def draw(path: Path, title: str, user: np.ndarray, agent: np.ndarray, record: Record, turns: Sequence[TurnSpan],
         verdicts: Sequence[Verdict] = ()) -> None:
    """Write the picture as PNG; equal input gives equal bytes.

    Args:
        user, agent: float32 (samples,) of equal length, at the rate of `record.timebase`.
    """
    rate = record.timebase.sample_rate_hz
    seconds = max(len(user) / rate, 0.1)
    # Long conversations get wide pictures, up to a width that viewers still open.
    width = float(np.clip(2.0 + 0.75 * seconds, 11.0, 60.0))
    rows = max(len(verdicts), 1)
    figure = Figure(figsize=(width, 4.4 + 0.3 * rows), dpi=130, facecolor=_PAPER)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 1, height_ratios=[3.6, 0.3 * rows + 0.15], hspace=0.06, left=0.9 / width,
                               right=1 - 0.35 / width, top=1 - 0.62 / (4.4 + 0.3 * rows),
                               bottom=0.55 / (4.4 + 0.3 * rows))
    voices, below = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    for axes in (voices, below):
        _prepare(axes, seconds)
    _draw_voices(voices, user, agent, rate)
    _draw_turns(voices, turns, rate)
    _draw_floor(voices, record, len(user), rate)
    _draw_words(voices, record, len(user), rate, width / seconds)
    _draw_verdicts(below, verdicts, rate, seconds, width / seconds)
    voices.tick_params(labelbottom=False)
    below.set_xlabel("seconds", color=_SOFT, fontsize=9)
    top = 1 - 0.3 / (4.4 + 0.3 * rows)
    figure.text(0.9 / width, top, title, fontsize=13, color=_INK, weight="bold", va="center")
    figure.text(1 - 0.35 / width, top, _score(verdicts), fontsize=10, va="center", ha="right",
                color=_GOOD if all(v.held for v in verdicts) else _BAD)
    figure.savefig(path, format="png", facecolor=_PAPER, metadata={"Software": None})


def _score(verdicts: Sequence[Verdict]) -> str:
    return f"{sum(v.held for v in verdicts)} of {len(verdicts)} expectations held" if verdicts else ""


def _prepare(axes: Axes, seconds: float) -> None:
    axes.set_xlim(0, seconds)
    axes.set_facecolor(_PAPER)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, colors=_SOFT, labelsize=8)
    step = next(s for s in (0.5, 1, 2, 5, 10, 30, 60, 300) if seconds / s <= 40 or s == 300)
    axes.set_xticks(np.arange(0, seconds + 1e-9, step))
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _draw_voices(axes: Axes, user: np.ndarray, agent: np.ndarray, rate: int) -> None:
    axes.set_ylim(-1.75, 1.55)
    axes.set_yticks([0.55, -0.55], ["user", "agent"], fontsize=10)
    for label, colour in zip(axes.get_yticklabels(), (_USER, _AGENT), strict=True):
        label.set_color(colour)
        label.set_weight("bold")
    for samples, sign, colour in ((user, 1, _USER), (agent, -1, _AGENT)):
        times, levels = _envelope(samples, rate)
        axes.fill_between(times, 0.02 * sign, sign * (0.02 + levels), color=colour, alpha=0.85, linewidth=0)
    axes.axhline(0, color=_SOFT, linewidth=0.6)


def _envelope(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Level of each 10 ms, 0 at -60 dB and below and 1 at full scale: as loud as it sounds, not as large as it is."""
    frames = np.pad(samples, (0, -len(samples) % _STEP)).reshape(-1, _STEP)
    level = np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=1))
    loud = np.clip(1 + 20 * np.log10(np.maximum(level, 1e-6)) / 60, 0, 1)
    return (np.arange(len(loud)) + 0.5) * _STEP / rate, loud


def _band(axes: Axes, start: float, end: float, bottom: float, height: float, colour: str, alpha: float) -> None:
    axes.add_patch(FancyBboxPatch((start, bottom), max(end - start, 0.01), height, linewidth=0, facecolor=colour,
                                  alpha=alpha, boxstyle="round,pad=0,rounding_size=0.03", mutation_aspect=1.0))


def _draw_turns(axes: Axes, turns: Sequence[TurnSpan], rate: int) -> None:
    free_from = [-1.0, -1.0]    # two rows of labels, so that turns close to each other stay readable
    for turn in sorted(turns, key=lambda t: t.start):
        start, end = turn.speech_start / rate, turn.speech_end / rate
        _band(axes, start, end, 0.02, 1.08, _USER, 0.10)
        row = 0 if free_from[0] <= start else 1
        free_from[row] = start + 0.12 * len(turn.name) + 0.3
        axes.text(start, 1.2 + 0.16 * row, turn.name.replace("_", " "), color=_USER, fontsize=9, weight="bold")


def _draw_floor(axes: Axes, record: Record, num_samples: int, rate: int) -> None:
    for reply in record.replies:
        if reply.start >= num_samples:
            continue
        end = num_samples if reply.end is None else min(reply.silent_at, num_samples)
        _band(axes, reply.start / rate, end / rate, -1.10, 1.08, _AGENT, 0.13)
        if reply.reason == "interrupted" and reply.end < num_samples:
            axes.plot([end / rate] * 2, [-1.10, -0.02], color=_BAD, linewidth=1.6)
            axes.text(end / rate, -1.05, "yielded ", color=_BAD, fontsize=8, ha="right", weight="bold")


def _draw_words(axes: Axes, record: Record, num_samples: int, rate: int, inches_per_second: float) -> None:
    """Words under their sound, each in the highest of four rows that has room for it."""
    free_from = [-1.0] * 4
    for word in record.words(num_samples):
        start = word.start / rate
        row = next((i for i, end in enumerate(free_from) if end <= start), None)
        if row is None:
            continue    # no room: the trace has it
        free_from[row] = start + (0.075 * len(word.text) + 0.06) / inches_per_second
        axes.plot([start, start], [-1.10, -1.16], color=_AGENT, linewidth=0.8)
        axes.text(start, -1.18 - 0.14 * row, word.text, color=_INK, fontsize=8, va="top")


def _draw_verdicts(axes: Axes, verdicts: Sequence[Verdict], rate: int, seconds: float,
                   inches_per_second: float) -> None:
    axes.set_ylim(max(len(verdicts), 1) - 0.45, -0.55)
    axes.set_yticks([])
    for row, verdict in enumerate(verdicts):
        colour = _GOOD if verdict.held else _BAD
        start, end = verdict.start / rate, min(verdict.end / rate, seconds)
        axes.plot([start, max(end, start + 0.03)], [row, row], color=colour, linewidth=7, alpha=0.25,
                  solid_capstyle="round")
        text = f"{'✓' if verdict.held else '✗'}  {verdict.expected.replace('_', ' ')}: {verdict.detail}"
        right = start + 0.075 * len(text) / inches_per_second > seconds
        axes.text(end - 0.05 if right else start + 0.05, row, text, color=colour, fontsize=8.5, va="center",
                  ha="right" if right else "left")
