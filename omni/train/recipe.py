"""Stage "recipe": stages one after the other, from nothing to weights.

    tiny.yaml   bank ──► voice ──► ears ──► wordings ──► ears_orders ──► ... ──► duplex
                 done     done     going on     .             .                    .

What is finished is told in the recipe's folder and not done again; a stage that was interrupted goes on where it
stopped, and so does the recipe. Each stage can be run alone as well.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from omni.base import config as base_config
from omni.base.errors import ConfigError
from omni.train import stages

DONE = "done.json"  # name of a stage to the fingerprint of its configuration


@dataclass(frozen=True, slots=True)
class RecipeStage:
    """Attributes:
        out: folder that says what is finished.
        stages: names or paths of their files, in order.
        changes: name of a stage to changes of its file, "loop.minutes=5".
    """

    stage: Literal["recipe"]
    out: str
    stages: tuple[str, ...]
    changes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self):
        for name in self.changes.keys() - set(self.stages):
            raise ValueError(f"changes: {name} is none of the stages; {base_config.nearest(name, self.stages)}")
        if len(set(self.stages)) != len(self.stages):
            raise ValueError("stages: a name occurs twice; what is finished is told by name")


def train(recipe: RecipeStage) -> None:
    """Run what is not finished yet.

    Raises:
        ConfigError: a stage's file is wrong, which is found out before anything runs, or a recipe is among the stages.
        KeyboardInterrupt: a stage was interrupted; what it learned is kept.
    """
    loaded = {name: stages.load_stage(name, list(recipe.changes.get(name, ()))) for name in recipe.stages}
    for name, (_, config) in loaded.items():
        if config.stage == "recipe":
            raise ConfigError(f"stages: {name} is a recipe itself")
    folder = Path(recipe.out)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / DONE
    done: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for number, (name, (module, config)) in enumerate(loaded.items(), 1):
        told = f"{number}/{len(loaded)} {name}"
        if done.get(name) == base_config.fingerprint(config):
            print(f"{told}: finished before")
            continue
        print(f"{told}: {_aim(config)}", flush=True)
        module.train(config)
        if not finished(config):
            raise KeyboardInterrupt
        done[name] = base_config.fingerprint(config)
        path.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")


def finished(config: Any) -> bool:
    """Whether a stage that has ended came to its end, not to a Ctrl-C. One without a loop ends no other way."""
    progress = Path(config.out) / "progress.json"
    if not hasattr(config, "loop") or not progress.exists():
        return True
    told = json.loads(progress.read_text(encoding="utf-8"))
    if config.loop.steps is not None:
        return told["step"] >= config.loop.steps
    return told["seconds"] >= config.loop.minutes * 60


def _aim(config: Any) -> str:
    if not (loop := getattr(config, "loop", None)):
        return f"into {config.out}"
    return f"{loop.steps} steps" if loop.steps is not None else f"{loop.minutes:g} min"
