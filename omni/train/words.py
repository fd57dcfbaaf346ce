"""Stage "words": the mind learns dialogue from streams of characters, before it has ears.

No sound is made: characters come as a caption head would spell them, with errors, and the connector's character
embeddings turn them into what the language model hears (so it is for the plain ears, whose connector has some). A
conversation costs a tenth of one with sound. A mind that reads captions by pieces (`model.read_pieces`) is given what
such a head would say (`omni.data.spelling`), and no characters.

Most rows are drills, exchange upon exchange faster than speech: what is said back, and where in what was heard it
stands, is learned from many exchanges. Two heads help and are dropped afterwards (`omni.train.heads`).
"""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from omni.base.config import LATER
from omni.base.errors import ConfigError
from omni.data import skills
from omni.data.numbered import loader
from omni.data.streams import SLOTS_PER_BLOCK, TextConversations
from omni.model.captions import CAPTIONS_FILE, Vocabulary
from omni.model.connector import NUM_CHARACTERS
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.ears import ears_of_run
from omni.model.encoder import EncoderConfig
from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, THINK, Pieces
from omni.train import loop, stages, token_weights
from omni.train.growing import shared_rows, take_all
from omni.train.heads import MindHeads
from omni.train.loop import LoopConfig
from omni.train.token_weights import LESSONS, TokenWeights

HEARD_WEIGHT, PLAN_WEIGHT = 0.5, 0.2
COPIED_WEIGHT = 1.0  # added to the weight of a piece that is a word heard before


def token_loss(logits_BTV: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Weighted cross-entropy of the tokens, and the loss and recall of each kind apart."""
    target = batch["target"]
    losses = F.cross_entropy(logits_BTV.flatten(0, 1), target.flatten(), reduction="none").view_as(target)
    weight = batch["weight"]
    right = logits_BTV.argmax(-1) == target
    parts = {}
    for name, where in (("think", target == THINK), ("start", target == START_SPEAK), ("end", target == END_SPEAK),
                        ("piece", target >= FIRST_PIECE)):
        if where.any():
            parts[name] = losses[where].mean().item()
            parts[f"{name}_right"] = right[where].float().mean().item()
    return token_weights.mean(losses, weight), parts


@dataclass(frozen=True, slots=True)
class TextLessons:
    """Lessons on text among those with sound.

    Attributes:
        share: of the batches; 0 for none.
        blocks, batch, drills, pace: of such a batch, as of `WordsStage`.
        interrupted: how many of the rows after the drills are long speech that is talked into.
        recitals: how many of the drills are mostly long speech, to its end; broken: how many have it cut short, and
            gone on with, `broken_pace` times as fast as speech (None: `pace`); quizzes: how many have more of what is
            known by heart; copies: how many are mostly strings and orders to say back; listening: in how many much
            sounds and is asked about, beside every other one of those that are none of these.
        pauses: share of what is asked in drills that has a pause in which people think.
        long_share, long_blocks: share of these batches with fewer and longer rows, to remember in.
    """

    share: float = 0.0
    blocks: int = 256
    batch: int = 8
    drills: int = 5
    pace: float = 2.5
    interrupted: int = field(default=0, metadata=LATER)
    recitals: int = field(default=0, metadata=LATER)
    broken: int = field(default=0, metadata=LATER)
    broken_pace: float | None = field(default=None, metadata=LATER)
    quizzes: int = field(default=0, metadata=LATER)
    copies: int = field(default=0, metadata=LATER)
    listening: int = field(default=0, metadata=LATER)
    pauses: float = field(default=0.0, metadata=LATER)
    long_share: float = field(default=0.0, metadata=LATER)
    long_blocks: int = field(default=1_024, metadata=LATER)

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(f"share is at least 0 and below 1, not {self.share}")
        if self.broken_pace is not None and self.broken_pace <= 0:
            raise ValueError(f"broken_pace must be positive, not {self.broken_pace}")
        for name in ("pauses", "long_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share, 0 to 1, not {getattr(self, name)}")
        kinds = (self.recitals, self.broken, self.quizzes, self.copies, self.listening)
        if min(kinds) < 0 or sum(kinds) > self.drills:
            raise ValueError(f"recitals, broken, quizzes, copies and listening are some of the drills, {self.drills}, "
                             f"not {kinds}")


class Reader(nn.Module):
    """The duplex model with characters or pieces in place of ears, and the heads of its mind.

    Args:
        heads: those that there are already.
    """

    def __init__(self, model: DuplexModel, heads: MindHeads | None = None):
        super().__init__()
        self.model, self.heads = model, heads or MindHeads(model)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Token logits (B, T, V)."""
        m = self.model
        if m.reader is not None:
            ears = m.reader.spelled(batch["pieces"], sure=0.4 if m.training else 1.0)
        else:
            spelled = F.one_hot(batch["characters"], NUM_CHARACTERS).float()
            spelled = m.connector.silence_free(spelled).unflatten(1, (-1, SLOTS_PER_BLOCK)).flatten(2)
            ears = m.connector.characters(spelled)
        if m.sound_reader is not None:
            ears = ears + m.sound_reader(m.sound_reader.readings(batch["sounds"]))
        x = m.arrange(ears, torch.zeros_like(ears), m.think_of(batch["fed"], batch["backlog"]))
        offset = int(torch.randint(0, 4000, ())) if m.training else 0
        return m.mind.logits(m.mind(x, offset)[:, m.positions - 1::m.positions])


def copied(batch: dict[str, Tensor]) -> Tensor:
    """(B, T) bool, whether the target of a block is a word that was heard before it."""
    same = (batch["target"][:, :, None] == batch["heard"][:, None, :]) & (batch["heard"][:, None, :] >= 0)
    return same.tril(-1).any(-1)


def freeze_voice(model: DuplexModel) -> None:
    """Voice and embedding table keep their weights, so that the mouth keeps its voice."""
    for p in model.mouth.parameters():
        p.requires_grad_(False)


def load_mouth(model: DuplexModel, folder: Path) -> None:
    """Take the mouth of a voice run."""
    tensors = load_file(folder / "model.safetensors")
    model.mouth.load_state_dict({k.removeprefix("mouth."): v for k, v in tensors.items() if k.startswith("mouth.")})


def losses(reader: Reader, batch: dict[str, Tensor], told: TokenWeights = LESSONS) -> tuple[Tensor, dict[str, float]]:
    """Token loss with more weight on what is said back, and the heads' losses."""
    back, logits = copied(batch), reader(batch)
    weight = token_weights.weigh(batch["weight"], batch["target"], told)
    loss, parts = token_loss(logits, {**batch, "weight": weight + COPIED_WEIGHT * back})
    if back.any():
        parts["copied_right"] = (logits.argmax(-1) == batch["target"])[back].float().mean().item()
    named, parts["heard_right"] = reader.heads.named(batch["heard"])
    plan, parts["plan_right"] = reader.heads.planned(batch["target"])
    return loss + HEARD_WEIGHT * named + PLAN_WEIGHT * plan, {**parts, "heard": named.item(), "plan": plan.item()}


@dataclass(frozen=True, slots=True)
class WordsStage:
    """Attributes:
        voice: folder of a run of the voice, whose mouth and embedding table are taken.
        out: folder of the run.
        blocks, batch: of a batch; drills: how many of its rows are fast drills; pace: how many times faster than speech
            those are.
        captions: folder of a run of ears, or weights by name or folder, whose captions by pieces the mind learns to
            read; needed with `model.read_pieces`, whose ears' sizes come from there too.
        init: an earlier run of this stage, or weights by name or folder, whose mind goes on; it keeps what it knows of
            pieces that there still are, and `voice` must have them as it has.
        token_weights: of the kinds of tokens in the loss.
    """

    stage: Literal["words"]
    voice: str
    out: str
    blocks: int = 256
    batch: int = 8
    drills: int = 5
    seed: int = 0
    workers: int = 1
    model: DuplexConfig = field(default_factory=DuplexConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    captions: str | None = field(default=None, metadata=LATER)
    init: str | None = field(default=None, metadata=LATER)
    pace: float = field(default=2.5, metadata=LATER)
    token_weights: TokenWeights = field(default_factory=TokenWeights, metadata=LATER)


def train(stage: WordsStage) -> None:
    """Train the mind on text.

    Raises:
        ConfigError: the model has ears that text cannot stand in for, or `captions` does not go with them, or `voice`
            has other embeddings than `init` of pieces that both have.
        WeightsError: `captions` names nothing that has ears, or `init` no mind of these sizes.
    """
    stage, vocabulary = _with_captions(stage)
    spelled = [stages.folder_of(stage.captions) / CAPTIONS_FILE] if stage.captions else []
    inits = [stages.folder_of(stage.init) / "model.safetensors"] if stage.init else []
    folder = stages.begin(stage, [Path(stage.voice) / "model.safetensors", *spelled, *inits])
    torch.manual_seed(stage.seed)
    pieces = Pieces(skills.vocabulary())
    model = DuplexModel(stage.model, pieces, vocabulary)
    if vocabulary is not None:
        vocabulary.save(folder / CAPTIONS_FILE)
        nn.init.zeros_(model.connector.characters.weight)  # nobody teaches these here: nothing, rather than noise
    reader = Reader(model)
    if stage.init:
        take_all(reader, stages.folder_of(stage.init), ())
        if model.reader is not None and not model.reader.table.any():  # read nothing yet, and has nothing else here
            nn.init.normal_(model.reader.table, std=0.3)
    before = model.mouth.embedding.weight.detach().clone()
    load_mouth(model, Path(stage.voice))
    rows = shared_rows(stages.folder_of(stage.init), pieces) if stage.init else []
    if not torch.equal(before[rows], model.mouth.embedding.weight[rows]):
        raise ConfigError(f"voice: {stage.voice} has other embeddings than the mind: train it from the mind's")
    freeze_voice(model)
    for part in (model.encoder, model.own_in):
        for p in part.parameters():
            p.requires_grad_(False)
    texts = TextConversations(list(pieces.words), stage.blocks, stage.batch, stage.seed, stage.drills, vocabulary,
                              stage.pace, sounds=stage.model.read_sounds)
    loss_of = partial(losses, told=stage.token_weights)
    loop.run(reader, loader(texts, stage.workers), loss_of, stage.loop, folder)


def _with_captions(stage: WordsStage) -> tuple[WordsStage, Vocabulary | None]:
    """The stage with the ears' sizes that go with its captions, and what those are made of."""
    told = stage.model.encoder
    if not isinstance(told, EncoderConfig):
        raise ConfigError("model.encoder: text can stand in for the plain ears alone; leave `kind` out")
    if stage.model.read_pieces != (stage.captions is not None):
        raise ConfigError("captions and model.read_pieces: a mind reads captions by pieces with both, or with neither")
    if stage.captions is None:
        if told.caption_pieces:
            raise ConfigError("model.encoder.caption_pieces: captions by pieces come with `captions` alone")
        if stage.model.read_sounds and not told.sounds:
            raise ConfigError("model.read_sounds: these ears have no head for sounds")
        return stage, None
    encoder, vocabulary = ears_of_run(stages.folder_of(stage.captions))
    if vocabulary is None or not isinstance(encoder, EncoderConfig):
        raise ConfigError(f"captions: the ears of {stage.captions} have no captions by pieces")
    if told not in (EncoderConfig(), encoder):
        raise ConfigError(f"model.encoder: the ears of {stage.captions} have other sizes; leave it out")
    if stage.model.read_sounds and not encoder.sounds:
        raise ConfigError(f"model.read_sounds: the ears of {stage.captions} have no head for sounds")
    return replace(stage, model=replace(stage.model, encoder=encoder)), vocabulary
