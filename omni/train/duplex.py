"""Stage "duplex": ears and mind together, on whole conversations with sound, own voice and echo.

The ears bring their sizes and the pieces of their captions with them, in the folder of their run. Captions go on being
taught beside the mind, by characters and, where there is such a head, by pieces, so that both heads follow the frames
that they read. Heads for sounds and speech have no lessons here: they are held to what they said when they came. With
`ears_rate` 0 the ears stay as they are, and what only they would learn from is left out.

Sound teaches slowly: an exchange takes as long as people need for it. So some of the batches may be text, as those of
stage "words" (`text`): what the mind learned by reading stays, and goes on, while it learns to hear.
"""

import copy
import random
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.base.config import LATER
from omni.base.errors import ConfigError
from omni.data import skills
from omni.data.lines import PAUSES
from omni.data.numbered import Echoed, Mixed, Through, loader
from omni.data.streams import BATCH, DRILLS, SoundConversations, TextConversations
from omni.model.captions import CAPTIONS_FILE, Vocabulary
from omni.model.connector import Connector
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.ears import ears_of_run
from omni.model.encoder import EncoderConfig, caption_text
from omni.model.tokens import Pieces
from omni.model.weights import save_model
from omni.train import adapters, loop, stages, token_weights
from omni.train.adapters import LoraSettings
from omni.train.ears import take_ears
from omni.train.ears_losses import ctc
from omni.train.growing import take_all
from omni.train.heads import MindHeads
from omni.train.loop import LoopConfig
from omni.train.preference import Preference, PreferenceSettings
from omni.train.rollouts import Rollouts, RolloutsConfig
from omni.train.team import leads
from omni.train.token_weights import LESSONS, TokenWeights
from omni.train.words import Reader, TextLessons, freeze_voice, load_mouth, token_loss
from omni.train.words import losses as text_losses

SLOTS = 4  # slots of captions by characters in a block
HEARD_WEIGHT, PLAN_WEIGHT, CHARACTER_WEIGHT, PIECE_WEIGHT, KEPT_WEIGHT = 0.1, 0.2, 0.3, 0.1, 0.2
BLANK = 12.0  # logit of the blank where a stretch is filled up; the others are 0


class Lesson(nn.Module):
    """The whole model, and the heads of its mind."""

    def __init__(self, model: DuplexModel):
        super().__init__()
        self.model, self.heads, self.frozen = model, MindHeads(model), False
        self.preference: Preference | None = None
        self._reader = [Reader(model, self.heads)]  # in a list, as it has nothing of its own
        self._before: list[nn.Module] = []  # in a list, so that it is no part of this module

    def freeze_ears(self) -> None:
        """From now on the ears learn nothing."""
        self.frozen = True
        self.model.encoder.requires_grad_(False)

    @property
    def reader(self) -> Reader:
        """The same mind, for batches of text."""
        return self._reader[0]

    def hear(self, room_BN: Tensor, own_BN: Tensor) -> tuple[Tensor, Tensor]:
        """As the model's, without the ears' gradients if they are frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.model.hear(room_BN, own_BN)

    def remember_ears(self, device: str) -> None:
        """From now on `kept` compares with the ears as they are now, if they have what it looks at."""
        encoder = self.model.encoder
        if encoder.sounds is not None or encoder.speech is not None:
            self._before = [copy.deepcopy(encoder).eval().requires_grad_(False).to(device)]

    def kept(self, frames_BTD: Tensor, room_BN: Tensor, own_mel_BTM: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of the heads for sounds and speech against what the remembered ears say, so that they are not
        unlearned (Learning without Forgetting, arXiv 1606.09282); empty if there is nothing to compare."""
        losses = {}
        for before in self._before:
            known = before(self.model.features(room_BN), own_mel_BTM)
            for name in ("sounds", "speech"):
                if (head := getattr(self.model.encoder, name)) is not None:
                    said = getattr(before, name)(known).sigmoid()
                    losses[name] = F.binary_cross_entropy_with_logits(head(frames_BTD), said)
        return losses


class FrozenEars:
    """What ears that learn nothing hear of a batch takes the place of its sound: once for all times that it comes, and
    where it is made.

    Args:
        model: whose ears these are; they are copied.
        bf16: they compute in bfloat16.
    """

    def __init__(self, model: DuplexModel, bf16: bool):
        self._features = copy.deepcopy(model.features).eval()
        self._encoder = copy.deepcopy(model.encoder).eval().requires_grad_(False)
        self._bf16 = bf16

    def __call__(self, batch: dict) -> dict:
        """The batch with `frames` and `own_mel`, see `DuplexModel.hear`, in place of `room` and `own`."""
        others = {k: v for k, v in batch.items() if k not in ("room", "own")}
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            own_mel = self._features(batch["own"])
            frames = self._encoder(self._features(batch["room"]), own_mel)
        return {**others, "frames": frames, "own_mel": own_mel}


def losses(lesson: Lesson, batch: dict, told: TokenWeights = LESSONS) -> tuple[Tensor, dict[str, float]]:
    """Token loss, the losses of the mind's heads and of what the ears are to keep, that of preference where there is
    one, and CTC on the stretches whose words are known; of a batch of text, what stage "words" has."""
    if "captions" not in batch:
        return text_losses(lesson.reader, batch, told)
    model, offset = lesson.model, random.randrange(4000)
    if "frames" in batch:
        frames, own_mel = batch["frames"], batch["own_mel"]
    else:
        frames, own_mel = lesson.hear(batch["room"], batch["own"])
    logits, _ = model.decide(frames, own_mel, batch["fed"], batch["backlog"], offset)
    weight = token_weights.weigh(batch["weight"], batch["target"], told)
    loss, parts = token_loss(logits, {**batch, "weight": weight})
    if lesson.preference is not None:
        preferred, more = lesson.preference(logits, (frames, own_mel) if lesson.frozen else None, batch, offset)
        loss, parts = loss + preferred, {**parts, **more}
    plan, parts["plan_right"] = lesson.heads.planned(batch["target"])
    parts["plan"] = plan.item()
    loss = loss + PLAN_WEIGHT * plan
    if not lesson.frozen:
        for name, kept in lesson.kept(frames, batch["room"], own_mel).items():
            parts[name] = kept.item()
            loss = loss + KEPT_WEIGHT * kept
    spans = [(row, *span) for row, found in enumerate(batch["captions"]) for span in found]
    if spans:
        heard = lesson.heads.spelled([(row, first, last, words) for row, first, last, _, words in spans])
        parts["heard"] = heard.item()
        loss = loss + HEARD_WEIGHT * heard
    if spans and not lesson.frozen:
        spelled = ctc(stretches(model.encoder.captions(frames), spans, SLOTS), [ids for *_, ids, _ in spans])
        parts["ctc"] = spelled.item()
        loss = loss + CHARACTER_WEIGHT * spelled
        if model.vocabulary is not None:
            targets = [_pieces_of(ids, model.vocabulary) for *_, ids, _ in spans]
            written = ctc(stretches(model.encoder.pieces(frames), spans, model.config.encoder.block_frames), targets)
            parts["pieces"] = written.item()
            loss = loss + PIECE_WEIGHT * written
    return loss, parts


def stretches(logits_BTC: Tensor, spans: list[tuple], per_block: int) -> Tensor:
    """(len(spans), longest, C), the logits of each stretch (row, first block, one past the last, ...), filled up with
    blanks. `per_block`: logits in a block."""
    longest = max(last - first for _, first, last, *_ in spans) * per_block
    cut = [logits_BTC[row, first * per_block:last * per_block] for row, first, last, *_ in spans]
    blank = logits_BTC.new_zeros(longest, logits_BTC.shape[-1])
    blank[:, 0] = BLANK
    return torch.stack([torch.cat([c, blank[len(c):]]) for c in cut])


def _pieces_of(characters: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Ids of the pieces of a text that is told by its characters' ids."""
    words = vocabulary.encode(caption_text(characters.tolist()))
    return torch.tensor([i for word in words for i in word], dtype=torch.long, device=characters.device)


@dataclass(frozen=True, slots=True)
class DuplexStage:
    """Attributes:
        bank: folder of stage "bank".
        out: folder of the run; the finished model lies in its folder `weights`.
        ears: folder of a run, or weights by name or folder, that ears are taken from, with their sizes:
            `model.encoder` is left out or the same.
        ears_rate: their learning rate as a share of the rest's; 0 leaves them as they are, at half the time a step.
        words: folder of a run that the mind is taken from.
        voice: folder of a run whose mouth is taken in place of that of `words`.
        init: an earlier run of this stage, or weights by name or folder, to go on from, with a new schedule and with
            what `ears` and `voice` bring; the heads of the mind, which weights lack, begin anew then.
        blocks, batch: of a batch; drills: how many of its rows are turn upon turn.
        seed: of the conversations.
        lora: adapters learn in place of the language model, and are part of it in the end; all of it learns without.
        token_weights: of the kinds of tokens in the loss.
        preference: what is right about the floor is preferred to what the mind of `init` would have done as well.
        rollouts: conversations of the model itself among the lessons.
        long_share, long_blocks: share of the lessons' batches with fewer and longer rows, and how long those are.
        text: lessons without sound among them.
        interrupted: how many of the rows after the drills are long speech that is talked into.
        pauses: share of what the agent is asked with sound that has a pause in which people think.
        listening: how many of the drills have something between the turns that sounds and can be asked about.
        hasty: how many of the drills have silent replies, faster than speech: more exchanges in the same time.
        copies: how many of those are mostly strings and orders to say back.
        revoice: share of what is said that another throat says.
        echo: how often a batch with sound comes, `Echoed`: to make one takes longer than a step.
        fuse: the mind's layers are compiled, which takes a C++ compiler and half a minute; a step of text then takes
            three quarters of the time on a CPU with AMX.
    """

    stage: Literal["duplex"]
    bank: str
    out: str
    ears: str | None = None
    ears_rate: float = 1.0
    words: str | None = None
    voice: str | None = None
    init: str | None = None
    blocks: int = 250
    batch: int = BATCH
    drills: int = DRILLS
    seed: int = 0
    workers: int = 1
    model: DuplexConfig = field(default_factory=DuplexConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    lora: LoraSettings | None = field(default=None, metadata=LATER)
    token_weights: TokenWeights = field(default_factory=TokenWeights, metadata=LATER)
    preference: PreferenceSettings | None = field(default=None, metadata=LATER)
    rollouts: RolloutsConfig = field(default_factory=RolloutsConfig, metadata=LATER)
    long_share: float = field(default=0.0, metadata=LATER)
    long_blocks: int = field(default=1_600, metadata=LATER)
    text: TextLessons = field(default_factory=TextLessons, metadata=LATER)
    echo: int = field(default=1, metadata=LATER)
    interrupted: int = field(default=0, metadata=LATER)
    pauses: float = field(default=PAUSES, metadata=LATER)
    listening: int = field(default=0, metadata=LATER)
    hasty: int = field(default=0, metadata=LATER)
    copies: int = field(default=0, metadata=LATER)
    revoice: float = field(default=0.0, metadata=LATER)
    fuse: bool = field(default=False, metadata=LATER)

    def __post_init__(self) -> None:
        if self.preference is not None and not self.init:
            raise ValueError("preference: needs `init`, a mind that has learned to take the floor")
        if self.echo < 1:
            raise ValueError(f"echo is at least 1, not {self.echo}")
        if not 0 <= self.pauses <= 1:
            raise ValueError(f"pauses is a share, 0 to 1, not {self.pauses}")
        if not 0 <= self.revoice <= 1:
            raise ValueError(f"revoice is a share, 0 to 1, not {self.revoice}")
        if min(self.listening, self.hasty) < 0 or self.listening + self.hasty > self.drills:
            raise ValueError(f"listening and hasty are some of the drills, {self.drills}, not {self.listening} and "
                             f"{self.hasty}")
        if not 0 <= self.copies <= self.hasty:
            raise ValueError(f"copies are some of the hasty drills, {self.hasty}, not {self.copies}")


def train(stage: DuplexStage) -> None:
    """Join ears, mind and voice, and train on sound.

    Raises:
        ConfigError: `model.encoder` contradicts the ears that are to be taken, or the voice the mind of `init`.
        WeightsError: the folder of a run lacks what is to be taken from it.
    """
    stage, vocabulary = _with_ears(stage)
    taken = [p for p in (stage.ears, stage.words, stage.voice, stage.init) if p]
    sources = [stages.folder_of(p) / "model.safetensors" for p in taken]
    folder = stages.begin(stage, [Path(stage.bank), *sources])
    if vocabulary is not None:
        vocabulary.save(folder / CAPTIONS_FILE)
    torch.manual_seed(stage.seed + 1)
    pieces = Pieces(skills.vocabulary())
    model = DuplexModel(stage.model, pieces, vocabulary)
    lesson = Lesson(model)
    # what goes with the ears; a connector that passes characters on has learned to read them, whoever hears
    ears = ("model.encoder.",) if isinstance(model.connector, Connector) else ("model.encoder.", "model.connector.")
    if stage.words:
        take_all(lesson, Path(stage.words), ears)  # those of its own have heard nothing
        for p in model.own_in.parameters():  # its own voice says nothing to the mind yet, rather than noise
            nn.init.zeros_(p)
    if stage.init:
        leave = (ears if stage.ears else ()) + (("model.mouth.",) if stage.voice else ())
        take_all(lesson, stages.folder_of(stage.init), leave)
    if stage.voice:
        _take_voice(model, Path(stage.voice), trained=bool(stage.init))
    if stage.ears:
        take_ears(model, stage.ears)
    if stage.ears_rate == 0:
        lesson.freeze_ears()
    elif stage.ears or stage.init:
        lesson.remember_ears(loop.own_device(stage.loop.device))
    freeze_voice(model)
    if stage.preference is not None:
        lesson.preference = Preference(stage.preference, model, loop.own_device(stage.loop.device))
    if stage.lora is not None:
        adapters.adapt(model, stage.lora)
    if stage.fuse:
        model.mind.fuse()
    stream = SoundConversations(Path(stage.bank), copy.deepcopy(model.mouth).eval(), list(pieces.words), stage.blocks,
                                stage.batch, stage.seed, drills=stage.drills, long_share=stage.long_share,
                                long_blocks=stage.long_blocks, interrupted=stage.interrupted, pauses=stage.pauses,
                                listening=stage.listening, revoice=stage.revoice,
                                floor_every=stage.model.floor_every, hasty=stage.hasty, copies=stage.copies)
    if lesson.frozen and loop.own_device(stage.loop.device) == "cpu":
        stream = Through(stream, FrozenEars(model, stage.loop.computes_bf16))
    if stage.echo > 1:
        stream = Echoed(stream, stage.echo)
    if (text := stage.text).share > 0:
        captions = vocabulary if stage.model.read_pieces else None
        texts = TextConversations(list(pieces.words), text.blocks, text.batch, stage.seed, text.drills, captions,
                                  text.pace, sounds=stage.model.read_sounds, interrupted=text.interrupted,
                                  recitals=text.recitals, quizzes=text.quizzes, broken=text.broken, copies=text.copies,
                                  pauses=text.pauses or None, long_share=text.long_share, long_blocks=text.long_blocks,
                                  floor_every=stage.model.floor_every, broken_pace=text.broken_pace,
                                  listening=text.listening)
        stream = Mixed(stream, texts, text.share, stage.seed)
    batches, rollouts = loader(stream, stage.workers), None
    if stage.rollouts.share > 0:
        rollouts = Rollouts(stage.rollouts, Path(stage.bank), stage.seed)
        batches = rollouts.mixed(batches, model)
    loop.run(lesson, batches, partial(losses, told=stage.token_weights), stage.loop, folder,
             lr_scale=lambda name: stage.ears_rate if name.startswith("model.encoder.") else 1.0, also=rollouts)
    if stage.lora is not None:
        adapters.merge(model)
    if not leads():
        return
    if stage.lora is not None:
        loop.save(folder / "model.safetensors", dict(lesson.state_dict()))  # plain, for the stages after this one
    save_model(model.cpu(), folder / "weights")


def _with_ears(stage: DuplexStage) -> tuple[DuplexStage, Vocabulary | None]:
    """The stage with the sizes of the ears that it takes, and what their captions are made of."""
    told = stage.model.encoder
    if not (source := stage.ears or stage.init):
        if told.caption_pieces:
            raise ConfigError("model.encoder.caption_pieces: captions by pieces come with `ears` alone")
        if stage.model.read_pieces:
            raise ConfigError("model.read_pieces: captions by pieces come with `ears` alone")
        if stage.model.read_sounds and not getattr(told, "sounds", 0):
            raise ConfigError("model.read_sounds: these ears have no head for sounds")
        return stage, None
    encoder, vocabulary = ears_of_run(stages.folder_of(source))
    if stage.model.read_pieces and vocabulary is None:
        raise ConfigError(f"model.read_pieces: the ears of {source} have no captions by pieces")
    if stage.model.read_sounds and not getattr(encoder, "sounds", 0):
        raise ConfigError(f"model.read_sounds: the ears of {source} have no head for sounds")
    if told not in (EncoderConfig(), encoder):
        raise ConfigError(f"model.encoder: the ears of {source} have other sizes; leave it out")
    return replace(stage, model=replace(stage.model, encoder=encoder)), vocabulary


def _take_voice(model: DuplexModel, folder: Path, trained: bool) -> None:
    """The mouth of a run; a mind that is trained knows the pieces by the table that it has."""
    before = model.mouth.embedding.weight.detach().clone()
    load_mouth(model, folder)
    if trained and not torch.equal(before, model.mouth.embedding.weight):
        raise ConfigError(f"voice: {folder} has another embedding table than the mind: train it from the mind's")
