"""Curves of a run: its log as a picture, one panel for what goes down and one for what is scored."""

import json
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
