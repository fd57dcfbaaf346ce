"""What is measured: a weights folder, or the run of a stage in which only the ears or only the voice were trained.

    weights/tiny/   config.yaml model.safetensors pieces.json ...        ears, mind and voice
    runs/ears/      config.yaml (stage: ears) model.safetensors ...      ears; the rest is random and no row asks for it
    runs/voice/     config.yaml (stage: voice) model.safetensors ...     voice, likewise
    runs/duplex/    weights/                                             what lies in there
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from omni.base import config as base_config
from omni.base.errors import WeightsError
from omni.model import weights
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.ears import ears_of_run
from omni.model.language_model import LanguageModelConfig
from omni.model.tokens import Pieces
from omni.nn.conv import turn
from omni.nn.packed import pack

EARS, MIND, VOICE = "ears", "mind", "voice"
# stage -> what it trains, the model's part and section of the configuration of that name, the tensors' prefix
_STAGES = {"ears": (EARS, "encoder", "encoder."), "voice": (VOICE, "mouth", "mouth."),
           "adversary": (VOICE, "mouth", "mouth.")}


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and what of it was trained.

    Attributes:
        name: as it was asked for.
        model: in eval mode, on the CPU.
        has: of EARS, MIND, VOICE.
        identity: fingerprints `weights` and `config`.
        weights: name or folder that `load_model` knows it by; empty for a run.
    """

    name: str
    model: DuplexModel
    has: frozenset[str]
    identity: dict[str, str]
    weights: str = ""


def load_subject(name: str) -> Subject:
    """By the name of a shipped model, a weights folder, or the folder of a run.

    Raises:
        WeightsError: there is nothing that can be measured, or it does not fit together.
    """
    folder = Path(name)
    if (folder / "weights" / "config.yaml").is_file():
        folder = folder / "weights"
    path = folder / "config.yaml"
    told = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}
    stage = told.get("stage")
    if stage in _STAGES:
        return _of_run(name, folder, told)
    if stage is not None:
        raise WeightsError(f"{folder.name} is a run of stage {stage}, which has neither ears nor a voice of its own")
    where = folder if folder.exists() else name
    identity = {"weights": weights.fingerprint(where), "config": weights.config_fingerprint(where)}
    return Subject(name, weights.load_model(where, packed=True), frozenset((EARS, MIND, VOICE)), identity, str(where))


def _of_run(name: str, folder: Path, told: dict[str, Any]) -> Subject:
    part, section, prefix = _STAGES[told["stage"]]
    if part == EARS:
        encoder, vocabulary = ears_of_run(folder)
        config = DuplexConfig(encoder=encoder)
    else:
        vocabulary = None
        config = base_config.build(DuplexConfig, {section: told.get(section, {})}, f"{folder.name}/config.yaml")
    config = replace(config, language_model=_smallest_mind(config.mouth.synthesizer.drive_dim))
    pieces = Pieces.load(folder / "pieces.json") if part == VOICE else Pieces([])
    torch.manual_seed(0)
    model = DuplexModel(config, pieces, vocabulary)
    try:
        stored = weights.load_file(folder / "model.safetensors")
        model.get_submodule(section).load_state_dict(
            {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)})
    except (OSError, weights.SafetensorError, RuntimeError) as error:
        raise WeightsError(f"model.safetensors of {folder.name} cannot be used ({error})") from error
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16]
    return Subject(name, pack(turn(model.eval())), frozenset((part,)),
                   {"weights": digest, "config": base_config.fingerprint(config)})


def _smallest_mind(width: int) -> LanguageModelConfig:
    """One that nobody asks, of the width that the mouth wants."""
    return LanguageModelConfig(settings={"hidden_size": width, "intermediate_size": width, "num_hidden_layers": 1,
                                         "num_attention_heads": 1, "num_key_value_heads": 1})
