"""`omni evaluate world`: what the agent knows and does, asked in closed loop, a row a skill.

    DIR/world.json      header, rows, and everything that was asked with what was heard

It is written anew whenever a task is done, so that an interrupted run keeps what it has.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from omni import __version__
from omni.audio.files import made_folder, replacing
from omni.base import config as base_config
from omni.base.errors import ConfigError
from omni.data import recordings
from omni.evaluate.bench import processor
from omni.evaluate.controls import random_weights
from omni.evaluate.metrics.metric import Sample, estimate, quantile, ratio
from omni.evaluate.world.exam import REAL, SKILLS, hold, sittings
from omni.evaluate.world.judge import Judged

MOST = 300              # of a task
IN_TIME_S = 2.0
CONTROLS = ("deaf", "random_weights")
ANSWERS = ("readback", "sums", "facts", "recall", "stories", "smalltalk")


@dataclass(frozen=True, slots=True)
class Goal:
    """What a row is called, and what it must and what it should reach; `unit` is "share" or "s"."""

    title: str
    floor: float | None = None
    aim: float | None = None
    unit: str = "share"


GOALS = {
    "real_orders": Goal("real coffee orders read back, every slot right", 0.55, 0.95),
    "real_orders_12db": Goal("the same at 12 dB noise", 0.45, 0.90),
    "real_strings": Goal("real digit and spelled strings, exactly", 0.50, 0.85),
    "answers": Goal("answers right, " + ", ".join(ANSWERS), 0.92, 0.98),
    **{name: Goal(f"{name}: right", 0.85, 0.98) for name in SKILLS},
    "sounds": Goal("sounds: named right in conversation", 0.75, 0.90),
    "unknown": Goal("unknown: says that it doesn't know or can't", 0.90, 0.97),
    "floor": Goal("floor: stop, wait, go on, again, never mind, a question over speech", 0.85, 0.97),
    "in_time": Goal("answers begun within 2 s", 0.97, 0.99),
    "latency_p50": Goal("from a question's end to sound, median", 0.450, 0.300, "s"),
    "latency_p95": Goal("from a question's end to sound, 95th percentile", 1.0, 0.7, "s"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A number with its 95 % interval, a bootstrap over `cases` conversations or recordings; None where nothing was
    counted."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    count: int
    cases: int
    note: str = ""

    @property
    def reached(self) -> str:
        """How far it got: "aim", "floor", "no", or "-"."""
        goal = GOALS[self.name]
        if self.value is None or goal.floor is None or goal.aim is None:
            return "-"
        sign = -1 if goal.unit == "s" else 1
        return next((name for name, wanted in (("aim", goal.aim), ("floor", goal.floor))
                     if sign * self.value >= sign * wanted), "no")


Cases = dict[tuple[str, str], list[Judged]]     # of a task and a case, what was asked in it


def rows(found: Cases) -> list[Row]:
    """The table, from everything that was asked."""
    table = []
    for name in GOALS:
        tasks = ANSWERS if name == "answers" else (name,)
        cases = [js for (task, _), js in found.items() if task in tasks]
        if name == "answers" and {task for task, _ in found} & {*ANSWERS} != {*ANSWERS}:
            continue
        if name in ("in_time", "latency_p50", "latency_p95"):
            cases = [[j for j in js if j.expected] for js in found.values()]
            if name == "in_time":
                sample = ratio([(sum(j.latency_s is not None and j.latency_s <= IN_TIME_S for j in js), len(js))
                                for js in cases])
            else:
                sample = quantile([[j.latency_s for j in js if j.latency_s is not None] for js in cases],
                                  50 if name.endswith("50") else 95)
            table.append(_row(name, sample))
        elif cases:
            table.append(_row(name, ratio([(sum(j.right for j in js), len(js)) for js in cases]), _note(cases)))
    return table


def _row(name: str, sample: Sample, note: str = "") -> Row:
    return Row(name, *estimate(sample), sample.count, sample.num_cases, note)


def _note(cases: Sequence[list[Judged]]) -> str:
    """How right what is kept from lessons was."""
    apart = [j.right for js in cases for j in js if j.apart]
    return f"kept from lessons {np.mean(apart):.1%} of {len(apart)}" if apart else ""


def as_text(columns: dict[str, list[Row]]) -> str:
    """The table for a terminal, a block a subject."""
    blocks = []
    for name, table in columns.items():
        lines = [("", "value", "", "of", "floor", "aim", "reached", "")]
        for row in table:
            goal = GOALS[row.name]
            span = "" if row.low is None else f"[{shown(goal, row.low)}, {shown(goal, row.high)}]"
            lines.append((goal.title, shown(goal, row.value), span, str(row.count), shown(goal, goal.floor),
                          shown(goal, goal.aim), row.reached, row.note))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        blocks.append("\n".join([name] + ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)
                                                    ).rstrip() for line in lines]))
    return "\n\n".join(blocks)


def shown(goal: Goal, value: float | None) -> str:
    """A value with its unit, a dash for none."""
    if value is None:
        return "-"
    return f"{1000 * value:.0f} ms" if goal.unit == "s" else f"{100 * value:.1f} %"


def chosen(only: list[str]) -> list[str]:
    """Tasks by name, or those of "answers" or "real"; all of them for none.

    Raises:
        ConfigError: there is no such task.
    """
    groups, tasks = {"answers": ANSWERS, "real": REAL, "skills": tuple(SKILLS)}, [*REAL, *SKILLS]
    names: set[str] = set()
    for wanted in only:
        if wanted not in (*groups, *tasks):
            raise ConfigError(f"nothing is asked as {wanted!r}; {base_config.nearest(wanted, {*groups, *tasks})}")
        names.update(groups.get(wanted, (wanted,)))
    return [name for name in tasks if name in names or not only]


def main(args) -> int:
    """The command: 0 when everything was asked, whatever was reached."""
    import torch

    from omni.model.weights import config_fingerprint, fingerprint, load_model

    if args.most is not None and args.most < 1:
        raise ConfigError("--most is at least 1")
    if wrong := [name for name in args.control if name not in CONTROLS]:
        raise ConfigError(f"--control {wrong[0]}: of the world there are {' and '.join(CONTROLS)}")
    tasks, most = chosen(args.only), args.most or MOST
    recordings.data_dir()       # what is missing is told before anything is asked
    out = made_folder(args.out) if args.out else None
    torch.set_num_threads(args.threads)
    model = load_model(args.model, device=args.device).eval()
    header = {"omni": __version__, "weights": fingerprint(args.model), "config": config_fingerprint(args.model),
              "seed": args.seed, "most": most, "voices": args.voices, "tasks": " ".join(tasks), "device": args.device,
              "processor": processor(), "torch": torch.__version__}
    columns: dict[str, list[Row]] = {}
    asked: dict[str, Cases] = {}
    for name in [args.model, *args.control]:
        subject = random_weights(model).to(args.device) if name == "random_weights" else model
        asked[name] = {}
        for task in tasks:
            todo = sittings(task, most, args.seed, args.voices)
            with tqdm(total=len(todo), desc=f"{name} {task}", unit="conversation", leave=False, disable=None) as bar:
                for sitting, found in hold(subject, todo, args.batch, name == "deaf", bar.update):
                    asked[name].setdefault((sitting.task, sitting.case), []).extend(found)
            columns[name] = rows(asked[name])
            if out is not None:
                write(out, header, columns, asked)
    print(as_text(columns))
    if out is not None:
        print(out / "world.json", file=sys.stderr)
    return 0


def write(out: Path, header: dict, columns: dict[str, list[Row]], asked: dict[str, Cases]) -> None:
    """world.json, whole or not at all."""
    subjects = {name: {"rows": [{**asdict(row), "reached": row.reached} for row in table],
                       "asked": [{"task": task, "case": case, **asdict(j)}
                                 for (task, case), js in asked[name].items() for j in js]}
                for name, table in columns.items()}
    with replacing(out / "world.json") as path:
        path.write_text(json.dumps({"header": header, "subjects": subjects}, indent=1, ensure_ascii=False) + "\n",
                        encoding="utf-8")
