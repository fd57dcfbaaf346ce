"""What a recipe has finished, and from what: a stage is run again when its configuration or what it takes is another.

    done.json    tiny/bank   lesson {count: 36000, ...}    took {}                       made 3f..
                 tiny/ears   lesson {bank: runs/bank ...}  took {runs/bank: 3f..}        made 9c..
                 tiny/words  lesson {...}                  took {runs/ears: 9c.., ...}   made 41..
    budget.json  minutes of a whole schedule, and by what its stages are shorter for it

What a stage takes is told by the content of the files that later stages read, as the stages before it have left them:
a bank that is made anew and comes out the same makes nothing else due, and a stage that was run alone makes those due
that took what it had before. Words for a bank's recordings (stage "wordings") are a result of their own, so that they
change nothing for stages that came before them.
"""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from omni.base.errors import WeightsError
from omni.data import bank, provenance
from omni.model import weights
from omni.model.captions import CAPTIONS_FILE
from omni.train import stages

DONE, BUDGET = "done.json", "budget.json"
READ = ("model.safetensors", "weights/model.safetensors", CAPTIONS_FILE, "pieces.json", bank.LINES, bank.AUDIO)
_TO_COME = "to come"  # in place of a hash: what a stage that is due will make


class Record:
    """Of the recipe in `folder`; stages are begun and ended in its order. For one process alone.

    Args:
        configs: of its stages by name, in order, with their own lengths.
    """

    def __init__(self, folder: Path, configs: dict[str, Any]):
        self._folder, self._configs = folder, configs
        told = _read(folder / DONE)
        self._done = {name: entry for name, entry in told.items() if isinstance(entry, dict)}  # others tell no inputs
        self._makes = {name: result_of(config) for name, config in configs.items()}
        self._left: dict[Path, str | None] = {}  # results of the stages so far, as they have left them

    def rate(self, minutes: float) -> float:
        """Share of its own minutes that each stage gets, so that all that are due, and learn, take `minutes` together.

        Stages that are finished in their own length are not counted. What was counted is kept beside the record: the
        same budget has the same rate when the recipe goes on, with some of them finished or half-way; another budget,
        or something due that was not counted, is shared anew.
        """
        told = _read(self._folder / BUDGET)
        rate, counted = told.get("rate", 0.0), told.get("counted", [])
        same = told.get("minutes") == minutes and abs(rate * self._own(counted) - minutes) < 1e-6 * minutes
        if same and set(self._due_now(rate)) <= set(counted):
            return rate
        counted = self._due_now()
        rate = minutes / self._own(counted) if counted else 1.0
        _write(self._folder / BUDGET, {"minutes": minutes, "rate": rate, "counted": counted})
        return rate

    def begin(self, name: str, config: Any) -> str | None:
        """Why a stage is to be run now, "" if it never was; None if it is finished, in its own length or as `config`
        has it.

        A run of a stage that learns, of other things than are there now, is moved aside, so that the stage begins anew.
        """
        took = self._takes(name, self._left)
        why = self._due(name, took, config, self._configs[name])
        result = self._makes[name]
        if why is None:
            self._left[result] = self._leaves(name)
            self._done[name]["made"] = self._left[result]
        else:
            entry = self._done.get(name)
            if entry is not None and entry["took"] != took:
                why += _aside(Path(config.out)) if stages.learns(config) else ""
            self._done[name] = {"lesson": stages.lesson(config), "took": took}
        _write(self._folder / DONE, self._done)
        return why

    def end(self, name: str) -> None:
        """The stage that was begun has come to its end."""
        self._done[name]["made"] = self._left[self._makes[name]] = content(self._makes[name])
        _write(self._folder / DONE, self._done)

    def _takes(self, name: str, left: dict[Path, str | None]) -> dict[str, str]:
        """What the stage takes, and its content now; what later stages write is not there yet for it."""
        found: dict[str, str | None] = {}
        to_come = {self._makes[name]} | self._after(name)
        for path in stages.taken(self._configs[name]):
            made = next((p for p in (path, *path.parents) if p in left), path)
            words = path / bank.WORDINGS
            for each in (made, words) if words != self._makes[name] else (made,):
                found[str(each)] = left[each] if each in left else None if each in to_come else content(each)
        return {path: told for path, told in found.items() if told}

    def _after(self, name: str) -> set[Path]:
        """Results of the stages after this one."""
        names = list(self._configs)
        return {self._makes[later] for later in names[names.index(name) + 1:]}

    def _leaves(self, name: str) -> str | None:
        """What a finished stage has left: what is there now, if no later one has written over it."""
        result = self._makes[name]
        return self._done[name]["made"] if result in self._after(name) else content(result)

    def _due(self, name: str, took: dict[str, str], *configs: Any) -> str | None:
        """Why it is to be run; None if it is finished as one of `configs` has it."""
        entry = self._done.get(name)
        if entry is None:
            return ""
        other = [path for path in {**took, **entry["took"]} if took.get(path) != entry["took"].get(path)]
        if other:
            before = list(self._configs)[:list(self._configs).index(name)]
            makers = {str(self._makes[maker]): maker for maker in before}
            return "what it takes is another now: " + ", ".join(makers.get(path, path) for path in other)
        lessons = [stages.lesson(config) for config in configs]
        if entry["lesson"] not in lessons:
            changed = stages.differences(entry["lesson"], lessons[0], set())
            return ", ".join(f"{key} was {old}, is {new} now" for key, old, new in changed)
        if "made" not in entry:
            return "it was not finished"
        return None if _files(self._makes[name]) else "its result is gone"

    def _due_now(self, rate: float | None = None) -> list[str]:
        """Stages that learn and are to be run, or may be because one before them is; with a rate, those that are
        finished at it are none of them."""
        left: dict[Path, str | None] = {}
        found = []
        for name, own in self._configs.items():
            configs = (own,) if rate is None or not stages.learns(own) else (own, shortened(own, rate))
            due = self._due(name, self._takes(name, left), *configs) is not None
            left[self._makes[name]] = _TO_COME if due else self._leaves(name)
            if due and stages.learns(own):
                found.append(name)
        return found

    def _own(self, names: list[str]) -> float:
        return sum(self._configs[name].loop.minutes for name in names if name in self._configs)


def shortened(config: Any, rate: float) -> Any:
    """A stage that learns, for this share of its own minutes, whether its file tells minutes or steps."""
    return replace(config, loop=replace(config.loop, minutes=rate * config.loop.minutes, steps=None))


def result_of(config: Any) -> Path:
    """What a stage makes: its folder, or the words that it writes beside a bank."""
    return Path(config.out or config.bank) / bank.WORDINGS if config.stage == "wordings" else Path(config.out)


def content(path: Path) -> str | None:
    """Hash of what later stages read of a result, or of weights by name; None if there is nothing."""
    if not path.exists():
        try:
            path = weights.folder_of(str(path))
        except WeightsError:
            return None
    files = _files(path)
    told = "".join(provenance.data_hash(file) for file in files)
    return hashlib.sha256(told.encode()).hexdigest()[:16] if files else None


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [path / name for name in READ if (path / name).exists()]


def _aside(folder: Path) -> str:
    """Move a run, if there is one, to the first free name, so that nothing learned is lost; says where."""
    if not (folder / "resume.safetensors").exists():
        return ""
    number = 1
    while (kept := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    folder.rename(kept)
    return f"; what it had learned is kept in {kept}"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _write(path: Path, told: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)
