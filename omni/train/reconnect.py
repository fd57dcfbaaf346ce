"""Stage "reconnect": other ears for a mind that is trained.

Ears that went on learning say the same in other frames, and a mind that reads those hears noise at first. Its connector
learns to give of the new ears' frames what it gave of the old ones', of the same sound: a regression, without a token.
What captions and sounds the mind reads (`read_pieces`, `read_sounds`) stays as it is, with whatever the new ears hear
better.

    room, own ──► old ears ──► old connector ──► embedding ◄─┐
               └► new ears ──► new connector ──► embedding ──┴─ squared difference, as a share of the variance

    RUN/weights   the model with the new ears: `init` of stage "duplex"
"""

import copy
import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from omni.base.errors import ConfigError
from omni.data.numbered import Echoed, Stream, Through, loader
from omni.data.streams import BATCH, SoundConversations
from omni.model.captions import CAPTIONS_FILE
from omni.model.connector import Connector
from omni.model.duplex import DuplexModel
from omni.model.ears import ears_of_run
from omni.model.weights import load_model, save_model
from omni.train import loop, stages
from omni.train.ears import take_ears
from omni.train.loop import LoopConfig
from omni.train.team import leads

DEV_BATCHES = 4


class BothEars:
    """What two models' ears hear of a batch takes the place of its sound.

    Args:
        old: whose connector's embeddings are to be given.
        new: whose frames they are to be given of.
    """

    def __init__(self, old: DuplexModel, new: DuplexModel):
        self._old, self._new = (copy.deepcopy(m).eval().requires_grad_(False) for m in (old, new))

    @torch.no_grad()
    def __call__(self, batch: dict) -> dict[str, Tensor]:
        """`frames` (B, N * T, dim) of the new ears and `embedding` (B, T, D) of the old connector."""
        before, _ = self._old.hear(batch["room"], batch["own"])
        frames, _ = self._new.hear(batch["room"], batch["own"])
        return {"frames": frames, "embedding": self._old.connector(before)}


def losses(connector: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Mean squared difference as a share of the embeddings' variance: one is what their mean would have."""
    told, taught = connector(batch["frames"]), batch["embedding"]
    flat = (taught - taught.mean((0, 1))).square().mean()
    loss = (told - taught).square().mean() / flat.clamp(min=1e-9)
    return loss, {"unexplained": loss.item()}


def validator(stream: Stream):
    """A function that gives `unexplained` of some batches of development sound."""
    batches = list(itertools.islice(loader(stream, 0)(0, 1), DEV_BATCHES))

    @torch.no_grad()
    def validate(connector: nn.Module) -> dict[str, float]:
        device = next(connector.parameters()).device
        found = [losses(connector, {k: t.to(device) for k, t in batch.items()})[1] for batch in batches]
        return {"unexplained_dev": round(sum(f["unexplained"] for f in found) / len(found), 4)}

    return validate


@dataclass(frozen=True, slots=True)
class ReconnectStage:
    """Attributes:
        init: weights by name or folder, whose mind, mouth and connector are taken.
        ears: folder of a run, or weights by name or folder, whose ears take the place of theirs.
        bank: folder of stage "bank".
        out: folder of the run.
        blocks, batch, drills, revoice: of a batch of conversations, as of stage "duplex".
        echo: how often a batch comes, `Echoed`.
        workers: processes that make batches.
    """

    stage: Literal["reconnect"]
    init: str
    ears: str
    bank: str
    out: str
    blocks: int = 250
    batch: int = BATCH
    drills: int = 4
    revoice: float = 0.3
    echo: int = 2
    seed: int = 0
    workers: int = 1
    loop: LoopConfig = field(default_factory=LoopConfig)


def reconnected(old: DuplexModel, source: str) -> DuplexModel:
    """The model with the ears of a run, or of weights; its connector still reads frames as those of before.

    Raises:
        ConfigError: they have another number of frames a block, or captions or sounds that the mind reads are not
            among what they tell.
    """
    encoder, vocabulary = ears_of_run(stages.folder_of(source))
    config = old.config
    if not isinstance(old.connector, Connector) or encoder.dim != config.encoder.dim or (
            encoder.block_frames != config.encoder.block_frames):
        raise ConfigError(f"ears: those of {source} have other frames than the model's")
    if config.read_pieces and vocabulary is None:
        raise ConfigError(f"ears: those of {source} have no captions by pieces, which the mind reads")
    if config.read_sounds and getattr(encoder, "sounds", 0) != config.encoder.sounds:
        raise ConfigError(f"ears: those of {source} have not the {config.encoder.sounds} sounds that the mind reads")
    model = DuplexModel(replace(config, encoder=encoder), old.pieces, vocabulary)
    known = {name: t for name, t in old.state_dict().items() if not name.startswith("encoder.")}
    if model.reader is not None:
        model.reader.take(known.pop("reader.table"), old.vocabulary, vocabulary)
    model.load_state_dict(known, strict=False)
    take_ears(model, source)
    return model


def train(stage: ReconnectStage) -> None:
    """Give a model other ears.

    Raises:
        ConfigError: the ears do not fit the model.
        WeightsError: there are no such weights, or no such run.
    """
    old = load_model(stage.init).eval()
    new = reconnected(old, stage.ears)
    sources = [stages.folder_of(name) / "model.safetensors" for name in (stage.init, stage.ears)]
    folder = stages.begin(stage, [Path(stage.bank), *sources])
    if new.vocabulary is not None and leads():
        new.vocabulary.save(folder / CAPTIONS_FILE)
    torch.manual_seed(stage.seed)

    def stream(dev: bool) -> Stream:
        sound = SoundConversations(Path(stage.bank), copy.deepcopy(old.mouth).eval(), list(old.pieces.words),
                                   stage.blocks, stage.batch, stage.seed, dev=dev, drills=stage.drills,
                                   revoice=stage.revoice)
        return Through(sound, BothEars(old, new))

    batches = loader(Echoed(stream(False), stage.echo) if stage.echo > 1 else stream(False), stage.workers)
    validate = validator(stream(True)) if leads() else None
    loop.run(new.connector, batches, losses, stage.loop, folder, validate=validate)
    if leads():
        save_model(new.cpu(), folder / "weights")
