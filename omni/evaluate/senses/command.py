"""`omni evaluate senses`: every row of the table, of weights or of runs side by side.

    DIR/senses.json     header, and of each subject its rows, its fingerprints and its whole configuration
    DIR/senses.html     the table, and the pictures

Both are written anew whenever a task is done, so that an interrupted run keeps what it has.
"""

import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from omni import __version__
from omni.audio.files import made_folder, replacing
from omni.base import config as base_config
from omni.base.errors import ConfigError
from omni.data import recordings
from omni.evaluate.bench import processor
from omni.evaluate.senses import captions, compute, echo, seams, sounds, understood, vocoder
from omni.evaluate.senses.goals import GOALS, Row
from omni.evaluate.senses.listener import Listener
from omni.evaluate.senses.subject import EARS, VOICE, Subject, load_subject
from omni.evaluate.senses.table import Columns, as_page, as_text
from omni.evaluate.senses.talker import Talker

_STAND_IN = "tiny"      # whose voice comes back where the ears have none of their own


@dataclass(frozen=True, slots=True)
class Task:
    """Something that is measured at once.

    Attributes:
        needs: parts of a subject.
        rows: what it gives.
        run: subject, at most so many items, seed.
    """

    needs: frozenset[str]
    rows: tuple[str, ...]
    run: Callable[[Subject, int | None, int], list[Row]]


def _ears(run: Callable[[Listener, int | None, int], list[Row]]):
    return lambda subject, most, seed: run(Listener(subject.model), most, seed)


def _voice(run: Callable[[Talker, int | None, int], list[Row]]):
    return lambda subject, most, seed: run(Talker(subject.model), most, seed)


def _echo(subject: Subject, most: int | None, seed: int) -> list[Row]:
    return echo.echo(Listener(subject.model), most, seed, subject.weights if VOICE in subject.has else _STAND_IN)


_HEAR, _SPEAK = frozenset((EARS,)), frozenset((VOICE,))
TASKS: dict[str, Task] = {
    "an4": Task(_HEAR, ("an4",), _ears(captions.an4)),
    "words": Task(_HEAR, ("words", "words_clean"), _ears(captions.words)),
    "orders": Task(_HEAR, ("orders", "orders_12db"), _ears(captions.orders)),
    "unseen_engine": Task(_HEAR, ("unseen_engine", "delay_p50", "delay_p95"), _ears(captions.unseen_engine)),
    "echo": Task(_HEAR, ("echo_plus_6db", "echo_minus_6db"), _echo),
    "sounds": Task(_HEAR, ("sounds",), _ears(sounds.sounds)),
    "understood": Task(_SPEAK, ("understood", "teacher"), understood.understood),
    "vocoder": Task(_SPEAK, ("pesq", "stoi"), _voice(vocoder.vocoder)),
    "seams": Task(_SPEAK, ("seams", "starts", "cuts"), _voice(seams.seams)),
    "compute": Task(_HEAR | _SPEAK, ("compute",), compute.compute),
}
GROUPS = {"captions": ("an4", "words", "orders", "unseen_engine"), "ears": tuple(list(TASKS)[:6]),
          "voice": ("understood", "vocoder", "seams")}


def chosen(only: list[str]) -> list[str]:
    """Tasks by their names, by those of their rows, or by group; all of them for none.

    Raises:
        ConfigError: there is no such thing.
    """
    names: set[str] = set()
    for wanted in only:
        found = GROUPS.get(wanted) or [name for name, task in TASKS.items() if wanted == name or wanted in task.rows]
        if not found:
            hint = base_config.nearest(wanted, {*GROUPS, *TASKS, *GOALS})
            raise ConfigError(f"nothing is measured as {wanted!r}; {hint}")
        names.update(found)
    return [name for name in TASKS if name in names or not only]


def measure(subject: Subject, tasks: list[str], most: int | None, seed: int, device: str = "cpu",
            done: Callable[[list[Row]], None] = lambda rows: None) -> list[Row]:
    """The rows of these tasks.

    Args:
        device: where the ears are; whatever has to do with the voice is on the CPU.
        done: told all rows so far whenever a task is done.
    """
    rows: list[Row] = []
    for name in tqdm(tasks, desc=subject.name, unit="task", file=sys.stderr, disable=None):
        task = TASKS[name]
        if missing := task.needs - subject.has:
            rows += [Row(row, None, note=f"no {' and no '.join(sorted(missing))}") for row in task.rows]
        else:
            subject.model.to(device if VOICE not in task.needs else "cpu")
            rows += task.run(subject, most, seed)
        done(rows)
    return rows


def main(args) -> int:
    """The command: 0 when everything was measured, whatever was reached."""
    import torch

    if args.most is not None and args.most < 1:
        raise ConfigError("--most is at least 1")
    tasks, names = chosen(args.only), args.runs or [args.model]
    if any(EARS in TASKS[name].needs for name in tasks):
        recordings.data_dir()       # what is missing is told before anything is measured
    out = made_folder(args.out) if args.out else None
    torch.set_num_threads(args.threads)
    header = {"omni": __version__, "seed": args.seed, "most": args.most, "tasks": " ".join(tasks),
              "device": args.device, "threads": args.threads, "processor": processor(), "cores": os.cpu_count(),
              "torch": torch.__version__, "python": platform.python_version()}
    columns: Columns = {}
    report: dict = {"header": header, "subjects": {}}
    for name in names:
        subject = load_subject(name)
        header["weights"] = ", ".join([*filter(None, [header.get("weights")]), f"{name} {subject.identity['weights']}"])
        report["subjects"][name] = {"identity": subject.identity, "config": base_config.to_plain(subject.model.config)}

        def keep(rows: list[Row], name: str = name) -> None:
            columns[name] = rows
            report["subjects"][name]["rows"] = [{**asdict(row), "reached": row.reached} for row in rows]
            if out is not None:
                write(out, report, columns)

        measure(subject, tasks, args.most, args.seed, args.device, keep)
    print(as_text(columns))
    if out is not None:
        print(out / "senses.html", file=sys.stderr)
    return 0


def write(out: Path, report: dict, columns: Columns) -> None:
    """Both files, each whole or not at all."""
    with replacing(out / "senses.json") as path:
        path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with replacing(out / "senses.html") as path:
        path.write_text(as_page(report["header"], columns), encoding="utf-8")
