"""Stage "ears": the encoder learns words on single utterances in rooms and noise, before it meets a dialogue.

CTC on characters throughout; beside it, on synthetic speech, the phone that sounds in each frame, as the synthesizer
planned it, read from a middle layer by a head that is dropped afterwards. CTC alone stays for thousands of steps on its
first plateau (blank everywhere); phones are learned within hundreds, and characters follow from them. Where the
encoder has more heads, pieces of words, sounds and speech are learned beside them.
"""

import dataclasses
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.base.config import LATER
from omni.base.errors import ConfigError
from omni.data import bank
from omni.data.hearing import SOUNDS, Hearing, HearingConfig, phone_names
from omni.data.numbered import Echoed, loader
from omni.model.captions import CAPTIONS_FILE, WORD_START, Vocabulary
from omni.model.connector import Connector
from omni.model.duplex import DuplexModel
from omni.model.encoder import Encoder, EncoderConfig
from omni.model.features import EAR_FLOOR, LogMel
from omni.train import loop, stages
from omni.train.ears_losses import ctc, known_bce, mask, timed_ctc, warp
from omni.train.ears_scores import Scores
from omni.train.loop import LoopConfig
from omni.train.team import first_alone, leads

HEADS = ("pieces", "sounds", "speech")  # of the encoder, which a run that it begins with may lack
PHONE_WEIGHT, PIECE_WEIGHT, SOUND_WEIGHT, SPEECH_WEIGHT = 0.5, 1.0, 2.0, 0.1
_ENGINES = "fev"  # flite, espeak, festival: the first letter of a phone's name (omni.data.voices)


class Ears(nn.Module):
    """Encoder and features, from samples to frames, with masking in training and a head for phones.

    Args:
        warp: in training, what is heard without the own voice comes from throats up to this share longer or shorter.
    """

    def __init__(self, config: EncoderConfig, phones: list[str], warp: float = 0.0):
        super().__init__()
        self.warp = warp
        self.features, self.encoder = LogMel(floor=EAR_FLOOR), Encoder(config)
        self.phone_norm, self.phone = nn.LayerNorm(config.dim), nn.Linear(config.dim, len(phones) + 1)
        engines = [0] + [_ENGINES.index(name[0]) + 1 for name in phones]
        self.register_buffer("engine", torch.tensor(engines), persistent=False)
        self.encoder.blocks[config.num_layers // 2].register_forward_hook(self._keep)

    def _keep(self, _module, _inputs, output: Tensor) -> None:
        self.middle = output

    def phone_loss(self, phones_BT: Tensor) -> Tensor:
        """Cross-entropy of the last forward's frames; a phone competes with its own engine's phones and silence."""
        known = phones_BT >= 0
        logits, target = self.phone(self.phone_norm(self.middle[known])), phones_BT[known]
        side = self.engine[target]
        other = (self.engine[None] != side[:, None]) & (self.engine[None] != 0) & (side[:, None] != 0)
        return F.cross_entropy(logits.masked_fill(other, -1e4), target, reduction="sum") / known.sum().clamp(min=1)

    def forward(self, room_BN: Tensor, own_BN: Tensor | None = None, mine_B: Tensor | None = None) -> Tensor:
        """Encoder frames (B, T, dim) at 25 Hz.

        Args:
            own_BN: own voice on the same clock, silence if None; mine_B: which rows have any, all if None.
        """
        mel = self.features(room_BN)
        if self.training and self.warp:
            factor = 1 + self.warp * (2 * torch.rand(len(mel)) - 1).to(mel.device)
            mine = torch.zeros(len(mel), dtype=torch.bool) if own_BN is None else (
                torch.ones(len(mel), dtype=torch.bool) if mine_B is None else mine_B)
            mel = warp(mel, torch.where(mine.to(mel.device), 1.0, factor))  # the own stream would not fit its echo
        if self.training:
            mel = mask(mel)
        own = self.features(torch.zeros_like(room_BN[:1, :1280]))[:, :1].expand_as(mel)
        if own_BN is not None and mine_B is None:
            own = self.features(own_BN)
        elif own_BN is not None and mine_B.any():
            own = own.clone()
            own[mine_B] = self.features(own_BN[mine_B])
        return self.encoder(mel, own)


def losses(model: Ears, batch: dict, sound_weight: float = SOUND_WEIGHT) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch of `Hearing`, and its parts."""
    frames, encoder = model(batch["room"], batch["own"], batch["mine"]), model.encoder
    heard, named = ctc(encoder.captions(frames), batch["characters"]), model.phone_loss(batch["phones"])
    loss, parts = heard + PHONE_WEIGHT * named, {"ctc": heard.item(), "phone": named.item()}
    if encoder.pieces is not None:
        pieces = timed_ctc(encoder.pieces(frames), batch["pieces"], batch["classes"], batch["late"])
        loss, parts["pieces"] = loss + PIECE_WEIGHT * pieces, pieces.item()
    if encoder.sounds is not None:
        sounds = known_bce(encoder.sounds(frames), batch["sounds"])
        loss, parts["sounds"] = loss + sound_weight * sounds, sounds.item()
    if encoder.speech is not None:
        speech = known_bce(encoder.speech(frames)[..., 0], batch["speech"])
        loss, parts["speech"] = loss + SPEECH_WEIGHT * speech, speech.item()
    return loss, parts


@dataclass(frozen=True, slots=True)
class EarsStage:
    """Attributes:
        bank: folder of stage "bank", with its wordings if there are any.
        out: folder of the run; holds captions.json beside the tensors if there are captions by pieces.
        init: folder of an earlier run to start from, or weights by name or folder, whose encoder has these sizes; its
            heads are taken if they have the same shape, and the pieces of its captions.
        vocabulary: "init" for the pieces of `init`; "bank" to learn them from the bank's texts, where pieces that both
            have keep what their outputs have learned.
        hearing: what is heard; warp: see `Ears`.
        seed: of the stream and of fresh weights.
        workers: processes that make batches.
        sound_weight: of the sound head's loss.
        echo: how often a batch comes, `Echoed`; what is masked and how long throats are is drawn anew each time.
        encoder: `caption_pieces` is the most there may be; those that occur too seldom are left out.
    """

    stage: Literal["ears"]
    bank: str
    out: str
    init: str | None = None
    vocabulary: Literal["init", "bank"] = "init"
    hearing: HearingConfig = field(default_factory=HearingConfig)
    warp: float = 0.0
    seed: int = 0
    workers: int = 1
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    sound_weight: float = field(default=SOUND_WEIGHT, metadata=LATER)
    echo: int = field(default=1, metadata=LATER)

    def __post_init__(self) -> None:
        if self.echo < 1:
            raise ValueError(f"echo is at least 1, not {self.echo}")


def train(stage: EarsStage) -> None:
    """Train the ears alone.

    Raises:
        ConfigError: the sound head is of another size than there are classes, or `init` has another encoder.
    """
    if stage.encoder.sounds not in (0, len(SOUNDS)):
        raise ConfigError(f"encoder.sounds: {stage.encoder.sounds}; there are {len(SOUNDS)} classes, or 0 for no head")
    source = Path(stage.bank)
    folder = stages.begin(stage, [source])
    torch.manual_seed(stage.seed)
    phones, vocabulary, encoder = phone_names(source), None, stage.encoder
    if encoder.caption_pieces:
        with first_alone():
            vocabulary = _vocabulary(stage, folder)
        encoder = dataclasses.replace(encoder, caption_pieces=len(vocabulary))
    model = Ears(encoder, phones, stage.warp)
    if stage.init:
        known, before = stages.ears_of(stage.init)
        if vocabulary is not None and before is not None and before.pieces != vocabulary.pieces:
            _grow(known, before, vocabulary)
        for name in stages.take(model, known):
            if name.startswith("encoder.") and name.split(".")[1] not in HEADS:
                raise ConfigError(f"init: {stage.init} has no {name} of this shape")
    lessons = Hearing(source, stage.hearing, stage.seed, phones, vocabulary)
    lessons.by_source(lessons.lines())  # says at once if there is nothing to hear
    told = partial(losses, sound_weight=stage.sound_weight)
    stream = Echoed(lessons, stage.echo) if stage.echo > 1 else lessons
    loop.run(model, loader(stream, stage.workers), told, stage.loop, folder,
             Scores(source, vocabulary, stage.hearing.voice))


def _vocabulary(stage: EarsStage, folder: Path) -> Vocabulary:
    """Of the run that is gone on from, of the one that is built on, or learned from the bank's texts; it is written."""
    vocabulary = Vocabulary.load(folder / CAPTIONS_FILE) if (folder / CAPTIONS_FILE).exists() else None
    if vocabulary is None and stage.init and stage.vocabulary == "init":
        vocabulary = stages.ears_of(stage.init)[1]
    if vocabulary is None:
        texts = (u.text for u in bank.load(Path(stage.bank)) if u.text and not u.dev)
        vocabulary = Vocabulary.learn(texts, stage.encoder.caption_pieces)
    if leads():
        vocabulary.save(folder / CAPTIONS_FILE)
    return vocabulary


def _grow(known: dict[str, Tensor], before: Vocabulary, now: Vocabulary) -> None:
    """Bring the outputs of captions by pieces into another vocabulary's order, in place; a piece that is new has the
    mean of what its parts had, so that it begins where they end."""
    places = {piece: i + 1 for i, piece in enumerate(before.pieces)}

    def parts(piece: str) -> list[int]:
        if piece in places:
            return [places[piece]]
        start, rest = (WORD_START, piece[1:]) if piece.startswith(WORD_START) else ("", piece)
        found = before.encode(rest)  # from the beginning of a word; what was inside one is near enough
        return [i for word in found for i in word] if rest else [places[start]]

    for name in ("encoder.pieces.out.weight", "encoder.pieces.out.bias"):
        if name in known:
            old = known[name]
            known[name] = torch.stack([old[0], *(old[parts(piece)].mean(0) for piece in now.pieces)])


def load_encoder(source: str | Path) -> dict[str, torch.Tensor]:
    """The encoder's tensors, without prefix, of a finished run, or of weights by name or folder."""
    known, _ = stages.ears_of(str(source))
    return {k.removeprefix("encoder."): v for k, v in known.items() if k.startswith("encoder.")}


@torch.no_grad()
def take_ears(model: DuplexModel, source: str) -> None:
    """Give a model the ears of a run, or of weights by name or folder; its connector spells what they do."""
    model.encoder.load_state_dict(load_encoder(source))
    if isinstance(model.connector, Connector):  # another one passes no characters on
        model.connector.spell.weight.copy_(model.encoder.caption.weight)
        model.connector.spell.bias.copy_(model.encoder.caption.bias)
