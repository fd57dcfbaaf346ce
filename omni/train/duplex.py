"""Stage "duplex": ears and mind together, on whole conversations with sound, own voice and echo."""

import copy
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from omni.data import skills
from omni.data.numbered import loader
from omni.data.streams import SoundConversations
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.tokens import Pieces
from omni.model.weights import save_model
from omni.train import loop, stages
from omni.train.ears import ctc, load_encoder
from omni.train.heads import MindHeads
from omni.train.loop import LoopConfig
from omni.train.words import freeze_voice, load_mouth, token_loss

SLOTS = 4  # caption slots in a block
HEARD_WEIGHT, PLAN_WEIGHT = 0.1, 0.2


class Lesson(nn.Module):
    """The whole model, and the heads of its mind."""

    def __init__(self, model: DuplexModel):
        super().__init__()
        self.model, self.heads = model, MindHeads(model)


def losses(lesson: Lesson, batch: dict) -> tuple[Tensor, dict[str, float]]:
    """Token loss, the heads' losses, and CTC on the stretches whose words are known."""
    offset = random.randrange(4000)
    logits, captions, _ = lesson.model(batch["room"], batch["own"], batch["fed"], batch["backlog"], offset)
    loss, parts = token_loss(logits, batch)
    plan, parts["plan_right"] = lesson.heads.planned(batch["target"])
    parts["plan"] = plan.item()
    loss = loss + PLAN_WEIGHT * plan
    spans = [(row, *span) for row, found in enumerate(batch["captions"]) for span in found]
    if spans:
        heard = lesson.heads.spelled([(row, first, last, words) for row, first, last, _, words in spans])
        parts["heard"] = heard.item()
        loss = loss + HEARD_WEIGHT * heard
        longest = max(last - first for _, first, last, *_ in spans) * SLOTS
        cut = [captions[row, first * SLOTS:last * SLOTS] for row, first, last, *_ in spans]
        blank = captions.new_zeros(longest, captions.shape[-1])
        blank[:, 0] = 12.0  # padding says blank
        padded = torch.stack([torch.cat([c, blank[len(c):]]) for c in cut])
        spelled = ctc(padded, [ids for *_, ids, _ in spans])
        parts["ctc"] = spelled.item()
        loss = loss + 0.3 * spelled
    return loss, parts


@dataclass(frozen=True, slots=True)
class DuplexStage:
    """Attributes:
        bank: folder of stage "bank".
        out: folder of the run; the finished model lies in its folder `weights`.
        ears, words: folders of runs that ears and mind are taken from.
        voice: folder of a run whose mouth is taken in place of that of `words`.
        init: an earlier run of this stage to go on from, with a new schedule.
        blocks, batch: of a batch; drills: how many of its rows are turn upon turn.
        seed: of the conversations.
    """

    stage: Literal["duplex"]
    bank: str
    out: str
    ears: str | None = None
    words: str | None = None
    voice: str | None = None
    init: str | None = None
    blocks: int = 250
    batch: int = 6
    drills: int = 2
    seed: int = 0
    workers: int = 1
    model: DuplexConfig = field(default_factory=DuplexConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)


def train(stage: DuplexStage) -> None:
    """Join ears, mind and voice, and train on sound."""
    sources = [Path(p) / "model.safetensors" for p in (stage.ears, stage.words, stage.voice, stage.init) if p]
    folder = stages.begin(stage, [Path(stage.bank), *sources])
    torch.manual_seed(stage.seed + 1)
    pieces = Pieces(skills.vocabulary())
    model = DuplexModel(stage.model, pieces)
    lesson = Lesson(model)
    if stage.words:
        lesson.load_state_dict(load_file(Path(stage.words) / "model.safetensors"))
        for p in model.own_in.parameters():  # its own voice says nothing to the mind yet, rather than noise
            nn.init.zeros_(p)
    if stage.voice:
        load_mouth(model, Path(stage.voice))
    if stage.ears:
        model.encoder.load_state_dict(load_encoder(Path(stage.ears)))
        with torch.no_grad():
            model.connector.spell.weight.copy_(model.encoder.caption.weight)
            model.connector.spell.bias.copy_(model.encoder.caption.bias)
    if stage.init:
        lesson.load_state_dict(load_file(Path(stage.init) / "model.safetensors"))
    freeze_voice(model)
    stream = SoundConversations(Path(stage.bank), copy.deepcopy(model.mouth).eval(), list(pieces.words), stage.blocks,
                                stage.batch, stage.seed, drills=stage.drills)
    loop.run(lesson, loader(stream, stage.workers), losses, stage.loop, folder)
    save_model(model.cpu(), folder / "weights")
