"""`omni evaluate world`: what the agent knows and does, asked in closed loop, a row a skill.

    DIR/world.json      header, rows, and everything that was asked with what was heard
    DIR/curve.png       with --curve: how soon it answers against how often it takes the floor in a pause

world.json is written anew whenever a task is done, so that an interrupted run keeps what it has.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from omni import __version__
from omni.audio.files import made_folder, replacing
from omni.base import config as base_config
from omni.base.errors import ConfigError
from omni.data import recordings, skills
from omni.evaluate.bench import processor
from omni.evaluate.controls import random_weights
from omni.evaluate.world import curve
from omni.evaluate.world.exam import REAL, hold, sittings, tasks
from omni.evaluate.world.table import ANSWERS, Cases, Row, as_text, rows
from omni.model.duplex import DuplexModel

MOST = 300              # of a task
CONTROLS = ("deaf", "random_weights")


def chosen(only: list[str]) -> list[str]:
    """Tasks by name, or those of "answers", "skills" or "real"; all of them for none.

    Raises:
        ConfigError: there is no such task.
    """
    groups, every = {"answers": ANSWERS, "real": REAL, "skills": tuple(skills.names())}, tasks()
    names: set[str] = set()
    for wanted in only:
        if wanted not in (*groups, *every):
            raise ConfigError(f"nothing is asked as {wanted!r}; {base_config.nearest(wanted, {*groups, *every})}")
        names.update(groups.get(wanted, (wanted,)))
    return [name for name in every if name in names or not only]


def main(args) -> int:
    """The command: 0 when everything was asked, whatever was reached."""
    import torch

    from omni.model.weights import config_fingerprint, fingerprint, load_model

    if args.most is not None and args.most < 1:
        raise ConfigError("--most is at least 1")
    if wrong := [name for name in args.control if name not in CONTROLS]:
        raise ConfigError(f"--control {wrong[0]}: of the world there are {' and '.join(CONTROLS)}")
    drawn = args.curve or args.eagerness is not None
    if drawn and (args.only or args.control):
        raise ConfigError(f"a curve asks {', '.join(curve.TASKS)} of the model alone: leave --only and --control out")
    steps = curve.checked(args.eagerness or curve.EAGERNESS) if drawn else []
    asks, most = list(curve.TASKS) if drawn else chosen(args.only), args.most or MOST
    recordings.data_dir()       # what is missing is told before anything is asked
    out = made_folder(args.out) if args.out else None
    torch.set_num_threads(args.threads)
    model = load_model(args.model, device=args.device, packed=True)
    header = {"omni": __version__, "weights": fingerprint(args.model), "config": config_fingerprint(args.model),
              "seed": args.seed, "most": most, "voices": args.voices, "tasks": " ".join(asks), "device": args.device,
              "processor": processor(), "torch": torch.__version__}
    columns: dict[str, list[Row]] = {}
    asked: dict[str, Cases] = {}
    points: list[curve.Point] = []
    for name, subject, step in subjects(model, args, steps):
        asked[name] = {}
        for task in asks:
            todo = sittings(task, most, args.seed, args.voices)
            with tqdm(total=len(todo), desc=f"{name} {task}", unit="conversation", leave=False, disable=None) as bar:
                for sitting, found in hold(subject, todo, args.batch, name == "deaf", bar.update):
                    asked[name].setdefault((sitting.task, sitting.case), []).extend(found)
            columns[name] = rows(asked[name])
            if step is not None and task == asks[-1]:
                points.append(curve.Point(step, {row.name: row for row in columns[name]}))
            if out is not None:
                write(out, header, columns, asked, points)
    print(curve.as_text(points) if drawn else as_text(columns))
    if out is not None:
        if drawn:
            curve.draw(out / "curve.png", f"{args.model}, eagerness {steps[0]:+g} to {steps[-1]:+g}", points)
        print(out / "world.json", file=sys.stderr)
    return 0


def subjects(model: DuplexModel, args, steps: Sequence[float]) -> Iterator[tuple[str, DuplexModel, float | None]]:
    """Who is examined, by name: the model at each eagerness, or as it is and after it the controls."""
    for step in steps:
        yield f"{args.model} at {step:+g}", curve.eager(model, step), step
    for name in [] if steps else [args.model, *args.control]:
        yield name, random_weights(model).to(args.device) if name == "random_weights" else model, None


def write(out: Path, header: dict, columns: dict[str, list[Row]], asked: dict[str, Cases],
          points: Sequence[curve.Point] = ()) -> None:
    """world.json, whole or not at all."""
    found = {name: {"rows": [{**asdict(row), "reached": row.reached} for row in table],
                    "asked": [{"task": task, "case": case, **asdict(j)}
                              for (task, case), js in asked[name].items() for j in js]}
             for name, table in columns.items()}
    report = {"header": header, "subjects": found} | ({"curve": [point.plain for point in points]} if points else {})
    with replacing(out / "world.json") as path:
        path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
