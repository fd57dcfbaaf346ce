"""Stage "join": another voice for a mind that is trained, without training anything.

The mind knows the pieces by the embedding table, and the mouth is driven by it. A voice that was trained from an
earlier one with its table as it was (`init` of stage "voice") can therefore take the other's place.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import yaml
from safetensors.torch import load_file

from omni.base import config as base_config
from omni.base.errors import OmniError, WeightsError
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.ears import ears_of_run
from omni.model.tokens import Pieces
from omni.model.weights import save_model
from omni.train import stages
from omni.train.growing import EMBEDDING


@dataclass(frozen=True, slots=True)
class JoinStage:
    """Attributes:
        duplex: folder of a run of stage "duplex", whose ears and mind are taken, with their sizes.
        voice: folder of a run of stage "voice" or "adversary", whose mouth and pieces are taken.
        out: folder of the result; the weights lie in its folder `weights`.
    """

    stage: Literal["join"]
    duplex: str
    voice: str
    out: str


def train(stage: JoinStage) -> None:
    """Join them.

    Raises:
        OmniError: the voice was trained with another embedding table.
        WeightsError: a file of a run is missing, or one of its tensors.
    """
    sources = [Path(p) / "model.safetensors" for p in (stage.duplex, stage.voice)]
    for path in sources:
        if not path.exists():
            raise WeightsError(f"{path} is missing: no stage has ended there")
    encoder, vocabulary = ears_of_run(Path(stage.duplex))  # says what is missing of config.yaml
    told = yaml.safe_load((Path(stage.duplex) / "config.yaml").read_text(encoding="utf-8"))["model"]
    config = replace(base_config.build(DuplexConfig, told, f"{stage.duplex}/config.yaml: model"), encoder=encoder)
    folder = stages.begin(stage, sources)
    mind, voice = (load_file(path) for path in sources)
    mind = {n.removeprefix("model."): t for n, t in mind.items() if n.startswith("model.")}
    voice = {n: t for n, t in voice.items() if n.startswith("mouth.")}
    if not torch.equal(mind[EMBEDDING], voice[EMBEDDING]):
        raise OmniError("the voice has another embedding table than the mind: train it from the mind's (`init`)")
    model = DuplexModel(config, Pieces.load(Path(stage.voice) / "pieces.json"), vocabulary)
    known = {**{n: t for n, t in mind.items() if not n.startswith("mouth.")}, **voice}
    missing = model.load_state_dict(known, strict=False).missing_keys
    if missing:
        raise WeightsError(f"neither run has {', '.join(missing)}")
    save_model(model, folder / "weights")
