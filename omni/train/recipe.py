"""Stage "recipe": stages one after the other, from nothing to weights.

    tiny.yaml   bank ──► voice ──► ears ──► wordings ──► ears_orders ──► ... ──► duplex
                 done     done     going on     .             .                    .

What is finished is told in the recipe's folder and not done again, unless its configuration or what it was made from
is another now (`omni.train.record`); a stage that was interrupted goes on where it stopped, and so does the recipe.
Each stage can be run alone as well.

A budget is shared by the stages that learn and are not finished, in proportion to their own minutes:

    own minutes     voice 90   ears 36   words 60   connect 15   duplex 90
    30m             finished   5.4       9.0        2.2          13.4
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from omni.base import config as base_config
from omni.base.errors import ConfigError
from omni.train import stages
from omni.train.record import Record, shortened
from omni.train.team import leads, told_by_first


@dataclass(frozen=True, slots=True)
class RecipeStage:
    """Attributes:
        out: folder that says what is finished.
        stages: names or paths of their files, in order.
        changes: name of a stage to changes of its file, "loop.minutes=5".
        minutes: budget of wall-clock time that the stages share which learn and are not finished, in proportion to
            their own `loop.minutes`, in place of their own lengths; the others take what they take. The same budget
            goes on by the same shares, and time that was spent by them counts; one that is finished in its own length
            stays so.
        threads, device: of every stage that learns, in place of its own.
    """

    stage: Literal["recipe"]
    out: str
    stages: tuple[str, ...]
    changes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    minutes: float | None = None
    threads: int | None = None
    device: str | None = None

    def __post_init__(self):
        for name in self.changes.keys() - set(self.stages):
            raise ValueError(f"changes: {name} is none of the stages; {base_config.nearest(name, self.stages)}")
        if len(set(self.stages)) != len(self.stages):
            raise ValueError("stages: a name occurs twice; what is finished is told by name")
        if self.minutes is not None and self.minutes <= 0:
            raise ValueError(f"minutes must be positive, not {self.minutes}")


def train(recipe: RecipeStage) -> None:
    """Run what is not finished yet. Of several processes the first one decides what that is.

    Raises:
        ConfigError: a stage's file is wrong, which is found out before anything runs, or a recipe is among the stages.
        KeyboardInterrupt: a stage was interrupted; what it learned is kept.
    """
    loaded = {name: stages.load_stage(name, list(recipe.changes.get(name, ()))) for name in recipe.stages}
    for name, (_, config) in loaded.items():
        if config.stage == "recipe":
            raise ConfigError(f"stages: {name} is a recipe itself")
    own = {name: _placed(config, recipe) for name, (_, config) in loaded.items()}
    record = None
    if leads():
        Path(recipe.out).mkdir(parents=True, exist_ok=True)
        record = Record(Path(recipe.out), own)
    rate = told_by_first(lambda: record.rate(recipe.minutes)) if recipe.minutes else None
    for number, (name, config) in enumerate(own.items(), 1):
        if rate is not None and stages.learns(config):
            config = shortened(config, rate)
        told = f"{number}/{len(own)} {name}"
        why = told_by_first(lambda name=name, config=config: record.begin(name, config))
        if leads():
            aim = "finished before" if why is None else f"{_aim(config)} ({why})" if why else _aim(config)
            print(f"{told}: {aim}", flush=True)
        if why is None:
            continue
        stages.run(loaded[name][0], config)
        if not told_by_first(lambda config=config: finished(config)):
            raise KeyboardInterrupt
        if leads():
            record.end(name)


def finished(config: Any) -> bool:
    """Whether a stage that has ended came to its end, not to a Ctrl-C. One without a loop ends no other way."""
    progress = Path(config.out) / "progress.json"
    if not stages.learns(config) or not progress.exists():
        return True
    told = json.loads(progress.read_text(encoding="utf-8"))
    if config.loop.steps is not None:
        return told["step"] >= config.loop.steps
    return told["seconds"] >= config.loop.minutes * 60


def _placed(config: Any, recipe: RecipeStage) -> Any:
    """A stage that learns on the recipe's device and threads, where it names them."""
    place = {key: value for key in ("threads", "device") if (value := getattr(recipe, key)) is not None}
    return replace(config, loop=replace(config.loop, **place)) if stages.learns(config) else config


def _aim(config: Any) -> str:
    if not (loop := getattr(config, "loop", None)):
        return f"into {config.out}"
    return f"{loop.steps} steps" if loop.steps is not None else f"{loop.minutes:.3g} min"
