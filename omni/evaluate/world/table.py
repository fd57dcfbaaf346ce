"""The table of the examination: what was asked, row by row, with what each must and should reach."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from omni.data import skills
from omni.evaluate.metrics.metric import Sample, estimate, quantile, ratio
from omni.evaluate.world.exam import SCENES
from omni.evaluate.world.judge import Judged

IN_TIME_S = 2.0
NEAR_S, FAR_S = 60.0, 120.0     # of what was told: near until, and two minutes from
PRINTED = 24                    # parts of rows in all, so that they are printed too
# of the skills those that answer what is asked; by name, since the row stays the same when skills are added
ANSWERS = ("readback", "sums", "facts", "recall", "stories", "smalltalk")


@dataclass(frozen=True, slots=True)
class Goal:
    """What a row is called, and what it must and what it should reach, or stay below with `lower`; `unit` is "share" or
    "s". A share is of what was right, with `lower` of what was not."""

    title: str
    floor: float | None = None
    aim: float | None = None
    unit: str = "share"
    lower: bool = False


_FIRST = {
    "real_orders": Goal("real coffee orders read back, every slot right", 0.55, 0.95),
    "real_orders_12db": Goal("the same at 12 dB noise", 0.45, 0.90),
    "real_strings": Goal("real digit and spelled strings, exactly", 0.50, 0.85),
    "answers": Goal("answers right, " + ", ".join(ANSWERS), 0.92, 0.98),
}
_OWN = {
    "sounds": Goal("sounds: named right in conversation", 0.75, 0.90),
    "unknown": Goal("unknown: says that it doesn't know or can't", 0.90, 0.97),
    "floor": Goal("floor: stop, wait, go on, again, never mind, a question over speech", 0.85, 0.97),
    "go_on": Goal("go on: with the words at which it was cut", 0.85, 0.97),
    "memory": Goal("memory: what was told 30 to 130 s before", 0.85, 0.98),
    "in_time": Goal("answers begun within 2 s", 0.97, 0.99),
    "latency_p50": Goal("from a question's end to sound, median", 0.450, 0.300, "s", lower=True),
    "latency_p95": Goal("from a question's end to sound, 95th percentile", 1.0, 0.7, "s", lower=True),
    "pauses": Goal("takeovers inside incomplete pauses up to 1.2 s", 0.05, 0.02, lower=True),
    "ambiguous": Goal("takeovers inside pauses after what may be all", lower=True),
}


def goals() -> dict[str, Goal]:
    """Of every row, in their order; a skill that has none of its own has the one that all skills have."""
    return {**_FIRST, **{name: Goal(f"{name}: right", 0.85, 0.98) for name in skills.names()}, **_OWN}


@dataclass(frozen=True, slots=True)
class Part:
    """Some of what a row counts: how much of it was right, and of how many."""

    value: float
    count: int


@dataclass(frozen=True, slots=True)
class Row:
    """A number with its 95 % interval, a bootstrap over `cases` conversations or recordings; None where nothing was
    counted. `parts` has the kinds of what was asked and, where it had been told before, how long before: "near" and
    "far", and "two minutes" of the far ones."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    count: int
    cases: int
    note: str = ""
    parts: dict[str, Part] = field(default_factory=dict)

    @property
    def reached(self) -> str:
        """How far it got: "aim", "floor", "no", or "-"."""
        goal = goals()[self.name]
        if self.value is None or goal.floor is None or goal.aim is None:
            return "-"
        sign = -1 if goal.lower else 1
        return next((name for name, wanted in (("aim", goal.aim), ("floor", goal.floor))
                     if sign * self.value >= sign * wanted), "no")


Cases = dict[tuple[str, str], list[Judged]]     # of a task and a case, what was asked in it


def rows(found: Cases) -> list[Row]:
    """The table, from everything that was asked."""
    table = []
    for name, goal in goals().items():
        tasks = ANSWERS if name == "answers" else (name,)
        cases = [js for (task, _), js in found.items() if task in tasks]
        if name == "answers" and {task for task, _ in found} & {*ANSWERS} != {*ANSWERS}:
            continue
        if name in ("in_time", "latency_p50", "latency_p95"):
            cases = [[j for j in js if j.expected] for (task, _), js in found.items() if task not in SCENES]
            if name == "in_time":
                sample = ratio([(sum(j.latency_s is not None and j.latency_s <= IN_TIME_S for j in js), len(js))
                                for js in cases])
            else:
                sample = quantile([[j.latency_s for j in js if j.latency_s is not None] for js in cases],
                                  50 if name.endswith("50") else 95)
            table.append(_row(name, sample))
        elif cases and goal.lower:
            spoken, cases = sum(j.over for js in cases for j in js), [[j for j in js if not j.over] for js in cases]
            table.append(_row(name, ratio([(sum(not j.right for j in js), len(js)) for js in cases]),
                              f"{spoken} more in which it spoke already" if spoken else ""))
        elif cases:
            parts = {} if name == "answers" else _parts([j for js in cases for j in js])
            table.append(_row(name, ratio([(sum(j.right for j in js), len(js)) for js in cases]), _note(cases), parts))
    return table


def _row(name: str, sample: Sample, note: str = "", parts: dict[str, Part] | None = None) -> Row:
    return Row(name, *estimate(sample), sample.count, sample.num_cases, note, parts or {})


def _parts(found: Sequence[Judged]) -> dict[str, Part]:
    told = [j for j in found if j.after_s is not None]
    groups = {**{kind: [j for j in found if j.kind == kind] for kind in sorted({j.kind for j in found})},
              "near": [j for j in told if j.after_s <= NEAR_S], "far": [j for j in told if j.after_s > NEAR_S],
              "two minutes": [j for j in told if j.after_s >= FAR_S]}
    return {name: Part(sum(j.right for j in js) / len(js), len(js)) for name, js in groups.items() if js}


def _note(cases: Sequence[list[Judged]]) -> str:
    """How right what is kept from lessons was."""
    apart = [j.right for js in cases for j in js if j.apart]
    return f"kept from lessons {np.mean(apart):.1%} of {len(apart)}" if apart else ""


def as_text(columns: dict[str, list[Row]]) -> str:
    """The table for a terminal, a block a subject; with the parts of rows if these are few."""
    blocks, known = [], goals()
    for name, table in columns.items():
        lines = [("", "value", "", "of", "floor", "aim", "reached", "")]
        few = sum(len(row.parts) for row in table) <= PRINTED
        for row in table:
            goal = known[row.name]
            span = "" if row.low is None else f"[{shown(goal, row.low)}, {shown(goal, row.high)}]"
            lines.append((goal.title, shown(goal, row.value), span, str(row.count), shown(goal, goal.floor),
                          shown(goal, goal.aim), row.reached, row.note))
            if few and len(row.parts) > 1:
                lines += [(f"    {part}", shown(goal, p.value), "", str(p.count), "", "", "", "")
                          for part, p in row.parts.items()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        blocks.append("\n".join([name] + ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)
                                                    ).rstrip() for line in lines]))
    return "\n\n".join(blocks)


def shown(goal: Goal, value: float | None) -> str:
    """A value with its unit, a dash for none."""
    if value is None:
        return "-"
    return f"{1000 * value:.0f} ms" if goal.unit == "s" else f"{100 * value:.1f} %"
