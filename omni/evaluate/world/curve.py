"""How soon it answers against how often it takes the floor in a pause, as it is made more eager.

A single model lies on a curve: whoever waits longer interrupts less. So models are compared by curves, drawn with
`DuplexConfig.eagerness`, and not by one number.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from omni.audio.files import replacing
from omni.base.errors import ConfigError
from omni.evaluate.world.table import Row, goals, shown
from omni.model.duplex import DuplexModel

EAGERNESS = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0)
COMPLETE = "facts"          # questions without a pause
TASKS = ("pauses", "ambiguous", COMPLETE)
_COLUMNS = {"latency_p50": "median", "latency_p95": "95 %", "in_time": "within 2 s", "pauses": "incomplete",
            "ambiguous": "ambiguous"}
_SERIES = (("pauses", "incomplete pauses", "#2f6fb5", "o"), ("ambiguous", "what may be all", "#c4682b", "s"))


@dataclass(frozen=True, slots=True)
class Point:
    """What came of an eagerness: rows of the table by name, of `TASKS` alone."""

    eagerness: float
    rows: Mapping[str, Row]

    def value(self, name: str) -> float | None:
        """Of a row, None if nothing was counted."""
        return self.rows[name].value if name in self.rows else None

    @property
    def plain(self) -> dict:
        """For JSON."""
        return {"eagerness": self.eagerness,
                **{name: {key: value for key, value in asdict(self.rows[name]).items() if key != "name"}
                   for name in _COLUMNS if name in self.rows}}


def checked(values: Sequence[float]) -> list[float]:
    """Eagernesses in rising order.

    Raises:
        ConfigError: one is not finite, or comes twice.
    """
    if wrong := [value for value in values if not math.isfinite(value)]:
        raise ConfigError(f"--eagerness {wrong[0]:g} is no number that can be added to a logit")
    if len({*values}) < len(values):
        raise ConfigError("--eagerness has the same number twice")
    return sorted(values)


def eager(model: DuplexModel, eagerness: float) -> DuplexModel:
    """The same model, more eager or less; weights are shared, and the one that is given stays as it is."""
    other = copy.copy(model)
    other.config = replace(model.config, eagerness=eagerness)
    return other


def as_text(points: Sequence[Point]) -> str:
    """The points for a terminal, one a line."""
    lines, known = [("eagerness", *_COLUMNS.values(), "of")], goals()
    for point in points:
        counts = [point.rows[name].count for name in ("in_time", "pauses", "ambiguous") if name in point.rows]
        lines.append((f"{point.eagerness:+g}", *(shown(known[name], point.value(name)) for name in _COLUMNS),
                      ", ".join(map(str, counts))))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(["from a question's end to sound, and the share of pauses in which the floor was taken", *table])


def draw(path: Path, title: str, points: Sequence[Point]) -> None:
    """Write the picture as PNG; a point that lacks a number is left out of its line."""
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, label, colour, marker in _SERIES:
        found = [(1000 * point.value("latency_p50"), 100 * point.value(name), point.eagerness) for point in points
                 if point.value("latency_p50") is not None and point.value(name) is not None]
        axes.plot([x for x, _, _ in found], [y for _, y, _ in found], label=label, color=colour, marker=marker,
                  linewidth=1.2, markersize=5)
        for x, y, eagerness in found:
            axes.annotate(f"{eagerness:+g}", (x, y), (5, 5), textcoords="offset points", fontsize=8, color=colour)
    axes.set(xlabel="from the end of a complete question to sound, median, ms", ylabel="pauses with a takeover, %",
             title=title)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})
