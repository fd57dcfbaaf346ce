"""Stage "join": another voice for a mind that is trained, without training anything.

The mind knows the pieces by the embedding table, and the mouth is driven by it. A voice that was trained from an
earlier one with its table as it was (`init` of stage "voice") can therefore take the other's place.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file

from omni.base.errors import OmniError
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.tokens import Pieces
from omni.model.weights import save_model
from omni.train import stages

_TABLE = "mouth.embedding.weight"


@dataclass(frozen=True, slots=True)
class JoinStage:
    """Attributes:
        duplex: folder of a run of stage "duplex", whose ears and mind are taken.
        voice: folder of a run of stage "voice", whose mouth and pieces are taken.
        out: folder of the result; the weights lie in its folder `weights`.
    """

    stage: Literal["join"]
    duplex: str
    voice: str
    out: str
    model: DuplexConfig = field(default_factory=DuplexConfig)


def train(stage: JoinStage) -> None:
    """Join them.

    Raises:
        OmniError: the voice was trained with another embedding table.
    """
    sources = [Path(p) / "model.safetensors" for p in (stage.duplex, stage.voice)]
    folder = stages.begin(stage, sources)
    mind, voice = (load_file(path) for path in sources)
    mind = {n.removeprefix("model."): t for n, t in mind.items() if n.startswith("model.")}
    if not torch.equal(mind[_TABLE], voice[_TABLE]):
        raise OmniError("the voice has another embedding table than the mind: train it from the mind's (`init`)")
    model = DuplexModel(stage.model, Pieces.load(Path(stage.voice) / "pieces.json"))
    model.load_state_dict({**{n: t for n, t in mind.items() if not n.startswith("mouth.")},
                           **{n: t for n, t in voice.items() if n.startswith("mouth.")}}, strict=False)
    missing = [n for n in model.state_dict() if n not in mind and n not in voice]
    if missing:
        raise OmniError(f"neither run has {', '.join(missing)}")
    save_model(model, folder / "weights")
