"""`omni train CONFIG`: a stage of the recipe, told by a YAML file, in a folder that says where its result comes from.

    configs/train/tiny/ears.yaml ──► EarsStage ──► runs/ears/
                                                     config.yaml         resolved; its hash is in run.json
                                                     run.json            one entry a start: commit, data, device
                                                     log.jsonl           losses and scores, and curves.png of them
                                                     model.safetensors   the moving average
                                                     resume.safetensors  what goes on from here
"""

import importlib
import json
import os
import re
from collections.abc import Set
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn

from omni import __version__
from omni.base import config as base_config
from omni.base.errors import ConfigError
from omni.data import provenance
from omni.model import weights
from omni.model.captions import CAPTIONS_FILE, Vocabulary
from omni.train.team import leads, meet, together

STAGES = {"bank": ("omni.data.bank", "BankStage"), "ears": ("omni.train.ears", "EarsStage"),
          "wordings": ("omni.train.wordings", "WordingsStage"), "voice": ("omni.train.voice", "VoiceStage"),
          "words": ("omni.train.words", "WordsStage"), "distil": ("omni.train.distil", "DistilStage"),
          "duplex": ("omni.train.duplex", "DuplexStage"), "join": ("omni.train.join", "JoinStage"),
          "reconnect": ("omni.train.reconnect", "ReconnectStage"),
          "adversary": ("omni.train.adversary", "AdversaryStage"), "recipe": ("omni.train.recipe", "RecipeStage")}
# where and how fast, which changes nothing of what is learned
_PLACE = {"checkpoint_minutes", "threads", "device", "workers", "processes"}
_FREE = _PLACE | {"minutes"}  # may change when a run goes on
_TAKES = ("bank", "ears", "words", "voice", "captions", "duplex", "init")


def minutes(text: str) -> float:
    """Minutes of "30m", "1.5h" or "90s".

    Raises:
        ConfigError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not found or not float(found[1]):
        raise ConfigError(f"{text!r} is no budget of time: give 30m, 1.5h or 90s")
    return float(found[1]) * {"s": 1 / 60, "m": 1.0, "h": 60.0}[found[2]]


def load_stage(name: str | Path, overrides: list[str]) -> tuple[Any, Any]:
    """The module and the configuration of a stage: a YAML file, or the name of one of the project's ("tiny/ears").

    Raises:
        ConfigError: there is none, or it is wrong.
    """
    path = Path(name)
    if not path.exists() and str(name) in STAGES:
        path = Path("train", "tiny", str(name))
    elif not path.exists():
        path = Path("train", path)
    values = base_config.load(Any, path, overrides)
    stage = values.get("stage") if isinstance(values, dict) else None
    if stage not in STAGES:
        raise ConfigError(f"{path.name}: stage is {stage!r}; {base_config.nearest(str(stage), STAGES)}")
    module, kind = STAGES[stage]
    module = importlib.import_module(module)
    return module, base_config.load(getattr(module, kind), path, overrides)


def begin(config: Any, data: list[Path]) -> Path:
    """Make the stage's folder and write where its result comes from.

    Args:
        data: what it learns from.

    Raises:
        ConfigError: the folder holds a run of another configuration.
    """
    folder = Path(config.out)
    folder.mkdir(parents=True, exist_ok=True)
    plain, path = base_config.to_plain(config), folder / "config.yaml"
    if path.exists() and (folder / "resume.safetensors").exists():
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
        for key, old, new in differences(before, plain, _FREE):
            raise ConfigError(f"{folder} holds a run with {key}: {old}, now it is {new}; choose another --out to begin "
                              "anew, or the same value to go on")
    if not leads():
        return folder
    partial = path.with_suffix(".partial")  # the others may be reading it
    partial.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
    os.replace(partial, path)
    starts = folder / "run.json"
    told = json.loads(starts.read_text(encoding="utf-8")) if starts.exists() else []
    told.append({"omni": __version__, "commit": provenance.commit(), "config": base_config.fingerprint(config),
                 "data": {p.name: provenance.data_hash(p) for p in data}, "torch": torch.__version__,
                 "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None})
    starts.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return folder


def take(model: nn.Module, known: dict[str, Tensor]) -> list[str]:
    """Copy every tensor that has the same name and shape; gives the names of those that stay fresh."""
    own = model.state_dict()
    fitting = {name: t for name, t in known.items() if name in own and own[name].shape == t.shape}
    model.load_state_dict(fitting, strict=False)
    return sorted(own.keys() - fitting.keys())


def folder_of(source: str) -> Path:
    """Of a run, or of weights by name or folder.

    Raises:
        WeightsError: it is neither.
    """
    return Path(source) if (Path(source) / "model.safetensors").exists() else weights.folder_of(source)


def ears_of(source: str) -> tuple[dict[str, Tensor], Vocabulary | None]:
    """Tensors of ears, with the prefix "encoder.", and what their captions are made of.

    Args:
        source: folder of a run of stage "ears", or weights by name or folder.

    Raises:
        WeightsError: it is neither.
    """
    folder = folder_of(source)
    if not (folder / "pieces.json").exists():
        pieces = folder / CAPTIONS_FILE
        return load_file(folder / "model.safetensors"), Vocabulary.load(pieces) if pieces.exists() else None
    model = weights.load_model(folder)
    return {f"encoder.{n}": t.clone() for n, t in model.encoder.state_dict().items()}, model.vocabulary


def learns(config: Any) -> bool:
    """Whether a stage has a loop: a length, a device and threads."""
    return hasattr(config, "loop")


def lesson(config: Any) -> dict[str, Any]:
    """The configuration as plain values, without those that say where and how fast it runs."""
    def kept(value: Any) -> Any:
        return {k: kept(v) for k, v in value.items() if k not in _PLACE} if isinstance(value, dict) else value

    return kept(base_config.to_plain(config))


def taken(config: Any) -> list[Path]:
    """Folders of stages, and weights by name or folder, that a stage is made from. The voice in whose echo ears listen
    is not among them: it is a part of the room."""
    found = (getattr(config, name, None) for name in _TAKES)
    return [Path(value) for value in found if isinstance(value, str) and value]


def differences(before: Any, now: Any, free: Set[str], name: str = ""):
    """Plain values that are not the same, but for those called as in `free`: (name, value before, value now)."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            if key not in free:
                yield from differences(before.get(key), now.get(key), free, f"{name}.{key}".lstrip("."))
    elif before != now:
        yield name, before, now


def run(module: Any, config: Any) -> None:
    """Run a stage. Of the processes that torchrun has started the first one alone runs what has no loop; when this
    returns, the stage's result is there for all of them."""
    if leads() or learns(config) or config.stage == "recipe":
        module.train(config)
    meet()


def main(args) -> int:
    """The command."""
    overrides, where = list(args.set), "loop."
    if args.out:
        overrides.append(f"out={json.dumps(args.out)}")
    if args.budget or args.threads or args.device:
        plain = load_stage(args.config, [])[1]
        if plain.stage == "recipe":
            where = ""
        elif not learns(plain):
            raise ConfigError(f"stage {plain.stage} learns nothing: --budget, --threads and --device are for those "
                              "that do")
    if args.budget:
        overrides.append(f"{where}minutes={minutes(args.budget)}")
        if where:
            overrides.append("loop.steps=null")
    if args.threads:
        overrides.append(f"{where}threads={args.threads}")
    if args.device:
        overrides.append(f"{where}device={args.device}")
    module, config = load_stage(args.config, overrides)
    with together():
        run(module, config)
    return 0
