"""Stage "ears": the encoder learns words on single utterances in rooms and noise, before it meets a dialogue.

CTC on characters throughout; beside it, on synthetic speech, the phone that sounds in each frame, as the synthesizer
planned it, read from a middle layer by a head that is dropped afterwards. CTC alone stays for thousands of steps on its
first plateau (blank everywhere); phones are learned within hundreds, and characters follow from them.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from omni.base.words import word_errors
from omni.data import bank, recordings
from omni.data.augment import Augment
from omni.data.numbered import Numbered, loader
from omni.model.encoder import Encoder, EncoderConfig, caption_ids, caption_text
from omni.model.features import EAR_FLOOR, LogMel
from omni.train import loop, stages
from omni.train.loop import LoopConfig

FRAME = 640  # samples in a 25 Hz frame
PHONE_LATE = 960  # samples between what is named and the frame's end: a phone is named once it has been heard
PHONE_WEIGHT = 0.5
FAST_OR_SLOW = 0.6  # share of real recordings played faster or slower, which moves the pitch too

# share of each source in a batch: real people weigh far more than their hours
_SHARES = {"synthetic": 0.42, "coffee_orders": 0.14, "an4": 0.19, "alphanumeric": 0.04, "speech_commands": 0.16,
           "phrases": 0.03, "read_sentences": 0.02}


class Utterances(Numbered):
    """Segments of `seconds` with one or more utterances in a row, a room around them, and their text.

    With them comes the phone of every 25 Hz frame: 0 in silence, -1 where nothing is known.
    """

    def __init__(self, folder: Path, seconds: float, batch: int, seed: int, clean: float):
        self.folder, self.count, self.batch, self.seed = folder, int(seconds * 16_000), batch, seed
        self.clean = clean  # share of segments with next to no noise and no room

    def open(self):
        """See `Numbered`."""
        root = recordings.data_dir()
        lines = [u for u in bank.load(self.folder) if not u.dev and u.text]
        pools = {s: [u for u in lines if (u.source == s if s != "synthetic" else ":" in u.source)] for s in _SHARES}
        pools = {name: found for name, found in pools.items() if found}  # orders have words only after stage "wordings"
        self.phones = {name: i + 1 for i, name in enumerate(phone_names(self.folder))}
        augment = Augment(recordings.rooms(root), recordings.noises(root), [u.samples for u in lines])

        def make(rng: random.Random):
            items = [self._item(pools, augment, rng) for _ in range(self.batch)]
            return (torch.from_numpy(np.stack([x for x, _, _ in items])),
                    [torch.tensor(caption_ids(t)) for _, t, _ in items],
                    torch.from_numpy(np.stack([g for _, _, g in items])))

        return make

    def _item(self, pools, augment: Augment, rng: random.Random) -> tuple[np.ndarray, str, np.ndarray]:
        x, texts, at = np.zeros(self.count, np.float32), [], rng.randrange(0, 8000)
        phones = np.zeros(self.count // FRAME, np.int64)
        while True:
            u = rng.choice(pools[rng.choices(list(pools), [_SHARES[name] for name in pools])[0]])
            if at + len(u.samples) > self.count - 1600:
                if texts:
                    break
                if len(u.samples) > self.count - 3200:
                    continue
                at = 0
            y = u.samples.astype(np.float32) / 32768 * 10 ** (rng.uniform(-8, 0) / 20)
            if not u.phones and rng.random() < FAST_OR_SLOW:  # a real recording: people are few, some speak otherwise
                y = soxr.resample(y, 16_000, 16_000 / rng.uniform(0.88, 1.14))
                if at + len(y) > self.count:
                    continue
            y = y if self.clean > 0.9 else augment.colour(y, rng)
            x[at:at + len(y)] += y
            texts.append(u.text)
            if not u.phones:  # a real recording
                phones[at // FRAME:(at + len(y) + PHONE_LATE) // FRAME + 1] = -1
            for name, first, last in u.phones:
                ends = (np.arange((at + first) // FRAME, (at + last) // FRAME + 3) + 1) * FRAME - PHONE_LATE
                hit = ends[(ends >= at + first) & (ends < at + last)]
                phones[(hit + PHONE_LATE) // FRAME - 1] = self.phones.get(name, -1)
            at += len(y) + rng.randrange(3000, 20_000)
        if rng.random() < self.clean:
            x = augment.level(augment.noise(x, rng, 25, 50), rng)
        else:
            x = augment.level(augment.noise(augment.room(x, rng), rng), rng)
        return x, " ".join(texts), phones


def phone_names(folder: Path) -> list[str]:
    """Phones that the bank has often enough to be learned, by engine, sorted."""
    counts = Counter(name for u in bank.load(folder) if not u.dev for name, _, _ in u.phones)
    return sorted(name for name, n in counts.items() if n >= 50)


class Ears(nn.Module):
    """Encoder and features, from samples to CTC logits, with masking in training and a head for phones."""

    def __init__(self, config: EncoderConfig, phones: list[str]):
        super().__init__()
        self.features, self.encoder = LogMel(floor=EAR_FLOOR), Encoder(config)
        self.phone_norm, self.phone = nn.LayerNorm(config.dim), nn.Linear(config.dim, len(phones) + 1)
        engines = [0] + ["fe".index(name[0]) + 1 for name in phones]
        self.register_buffer("engine", torch.tensor(engines), persistent=False)
        self.encoder.blocks[config.num_layers // 2].register_forward_hook(self._keep)

    def _keep(self, _module, _inputs, output: torch.Tensor) -> None:
        self.middle = output

    def phone_loss(self, phones_BT: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the last forward's frames; a phone competes with its own engine's phones and silence."""
        logits, target = self.phone(self.phone_norm(self.middle)).flatten(0, 1), phones_BT.flatten()
        side = self.engine[target.clamp(min=0)]
        other = (self.engine[None] != side[:, None]) & (self.engine[None] != 0) & (side[:, None] != 0)
        return F.cross_entropy(logits.masked_fill(other, -1e4), target, ignore_index=-1)

    def forward(self, x_BN: torch.Tensor) -> torch.Tensor:
        mel = self.features(x_BN)
        if self.training:
            mel = mask(mel)
        own = self.features(torch.zeros_like(x_BN[:1, :16_000]))[:, :1].expand_as(mel)
        return self.encoder.captions(self.encoder(mel, own))


def mask(mel_BTM: torch.Tensor) -> torch.Tensor:
    """SpecAugment (arXiv 1904.08779): a few bands and short spans become the mean."""
    mel = mel_BTM.clone()
    B, T, M = mel.shape
    for b in range(B):
        for _ in range(2):
            width, at = random.randint(0, 12), random.randint(0, M - 13)
            mel[b, :, at:at + width] = mel[b].mean()
        for _ in range(T // 150):
            width, at = random.randint(0, 18), random.randint(0, T - 19)
            mel[b, at:at + width] = mel[b].mean()
    return mel


def ctc(logits_BTC: torch.Tensor, targets: list[torch.Tensor]) -> torch.Tensor:
    """Mean CTC loss per character."""
    lengths = torch.tensor([len(t) for t in targets])
    frames = torch.full((len(targets),), logits_BTC.shape[1], dtype=torch.long)
    losses = F.ctc_loss(logits_BTC.log_softmax(2).transpose(0, 1), torch.cat(targets), frames, lengths,
                        reduction="none", zero_infinity=True)
    return losses.sum() / lengths.sum().clamp(min=1)


def greedy(logits_TC: torch.Tensor) -> str:
    """Best path, repeats merged, blanks removed."""
    ids = logits_TC.argmax(-1).tolist()
    return caption_text([i for i, before in zip(ids, [0, *ids], strict=False) if i and i != before])


def validator(folder: Path, each: int = 60):
    """A function that gives word error rates on development utterances, by source."""
    lines = [u for u in bank.load(folder) if u.dev and u.text]
    rng = random.Random(5)
    sets = {}
    for source in ("an4", "speech_commands", "flite:kal16", "espeak"):
        pool = [u for u in lines if u.source.startswith(source)]
        rng.shuffle(pool)
        sets[source] = pool[:each]

    def validate(model: Ears) -> dict[str, float]:
        scores = {}
        for source, pool in sets.items():
            wrong = total = 0
            for u in pool:
                x = np.pad(u.samples.astype(np.float32) / 32768, (4000, 6000))
                x = x[:len(x) - len(x) % 1280] + np.random.default_rng(0).standard_normal(len(x) - len(x) % 1280) * 1e-3
                e, n = word_errors(u.text, greedy(model(torch.from_numpy(x.astype(np.float32))[None])[0]))
                wrong, total = wrong + e, total + n
            scores[f"wer_{source}"] = round(wrong / max(total, 1), 3)
        return scores

    return validate


@dataclass(frozen=True, slots=True)
class EarsStage:
    """Attributes:
        bank: folder of stage "bank", with its wordings if there are any.
        out: folder of the run.
        init: folder of an earlier run to start from.
        seconds: of a segment; batch: segments in a batch.
        clean: share of segments with next to no noise and no room.
        workers: processes that make batches.
    """

    stage: Literal["ears"]
    bank: str
    out: str
    init: str | None = None
    seconds: float = 5.0
    batch: int = 14
    clean: float = 0.45
    seed: int = 0
    workers: int = 1
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)


def train(stage: EarsStage) -> None:
    """Train the ears alone."""
    folder = stages.begin(stage, [Path(stage.bank)])
    torch.manual_seed(stage.seed)
    model = Ears(stage.encoder, phone_names(Path(stage.bank)))
    if stage.init:
        known = load_file(Path(stage.init) / "model.safetensors")
        if known["phone.weight"].shape != model.phone.weight.shape:     # another bank names other phones
            known = {n: t for n, t in known.items() if n not in ("phone.weight", "phone.bias")}
        model.load_state_dict(known, strict=False)

    def loss_of(model: Ears, batch) -> tuple[torch.Tensor, dict[str, float]]:
        x, targets, phones = batch
        heard = ctc(model(x), targets)
        named = model.phone_loss(phones)
        return heard + PHONE_WEIGHT * named, {"ctc": heard.item(), "phone": named.item()}

    lessons = Utterances(Path(stage.bank), stage.seconds, stage.batch, stage.seed, stage.clean)
    loop.run(model, loader(lessons, stage.workers), loss_of, stage.loop, folder, validator(Path(stage.bank)))


def load_encoder(folder: Path) -> dict[str, torch.Tensor]:
    """The encoder's tensors of a finished run, without prefix."""
    return {k.removeprefix("encoder."): v for k, v in load_file(folder / "model.safetensors").items()
            if k.startswith("encoder.")}

