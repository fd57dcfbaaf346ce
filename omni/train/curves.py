"""Curves of a run: its log as a picture, one panel for what goes down and one for what is scored.

Runs that went on one from the other are drawn one after the other, by the hours that they took:

    python -m omni.train.curves runs/ears_senses runs/ears_world --score wer_p --out ears.png
"""

import argparse
import json
import sys
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw(folder: Path) -> None:
    """Write curves.png from log.jsonl; nothing to draw writes nothing."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [line for line in lines if "seconds" in line]
    scores = [line for line in lines if "seconds" not in line]
    panels = [(found, what) for found, what in ((losses, "running mean"), (scores, "development set")) if found]
    if not panels:
        return
    figure = Figure(figsize=(6.5 * len(panels), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (found, what) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), place)
        names = dict.fromkeys(name for line in found for name in line if name not in ("step", "seconds"))
        for name in names:
            points = [(line["step"], line[name]) for line in found if name in line]
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1.2)
        axes.set(xlabel="step", title=f"{folder.name}: {what}")
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
    partial = folder / "curves.partial.png"
    figure.savefig(partial, dpi=110)
    partial.replace(folder / "curves.png")


def joined(folders: list[Path], out: Path, losses: tuple[str, ...] = (), scores: tuple[str, ...] = ()) -> None:
    """One picture of runs in a row, with a line between them: above what is learned from, below what is scored.

    Args:
        losses, scores: beginnings of the names of what is drawn, everything if empty.
    """
    found: tuple[dict, dict] = {}, {}
    ends, hours = [], 0.0
    for folder in folders:
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        at = {line["step"]: line["seconds"] / 3600 for line in lines if "seconds" in line}
        for line in lines:
            which, wanted = (0, losses) if "seconds" in line else (1, scores)
            near = min(at, key=lambda step: abs(step - line["step"]))
            for name, value in line.items():
                if name not in ("step", "seconds") and (not wanted or name.startswith(wanted)):
                    found[which].setdefault(name, []).append((hours + at[near], value, len(ends)))
        hours += max(at.values())
        ends.append(hours)
    panels = [(curves, what) for curves, what in zip(found, ("lessons", "development set"), strict=True) if curves]
    figure = Figure(figsize=(9, 3.4 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (curves, what) in enumerate(panels, 1):
        axes = figure.add_subplot(len(panels), 1, place)
        for number, (name, points) in enumerate(curves.items()):
            for run in range(len(folders)):
                part = [(x, y) for x, y, of in points if of == run]
                if part:
                    axes.plot(*zip(*part, strict=True), color=f"C{number % 10}", linewidth=1.2,
                              marker="." if len(part) < 30 else "", linestyle="-" if number < 10 else "--",
                              label=None if any(of < run for *_, of in points) else name)
        for end in ends[:-1]:
            axes.axvline(end, color="0.5", linewidth=0.8, linestyle=":")
        axes.set(xlabel="hours", title=what)
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        axes.grid(alpha=0.3)
    figure.savefig(out, dpi=90)


def main() -> int:
    """Draw runs one after the other."""
    parser = argparse.ArgumentParser(prog="python -m omni.train.curves", description="Draw runs that went on one from "
                                     "the other as one picture, by the hours that they took.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders with a log.jsonl, in order")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.png")
    parser.add_argument("--loss", action="append", default=[], metavar="NAME", help="losses whose names begin so "
                        "(default: all)")
    parser.add_argument("--score", action="append", default=[], metavar="NAME", help="likewise of scores")
    args = parser.parse_args()
    missing = [str(run) for run in args.runs if not (run / "log.jsonl").is_file()]
    if missing:
        parser.error(f"no log.jsonl in {', '.join(missing)}")
    joined(args.runs, args.out, tuple(args.loss), tuple(args.score))
    return 0


if __name__ == "__main__":
    sys.exit(main())
