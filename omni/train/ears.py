"""Stage "ears": the encoder learns words by CTC on single utterances in rooms and noise, before it meets a dialogue."""

import argparse
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from omni.data import bank, recordings
from omni.data.augment import Augment
from omni.data.streams import active_span
from omni.model.encoder import Encoder, EncoderConfig, caption_ids, caption_text
from omni.model.features import EAR_FLOOR, LogMel
from omni.train import loop

GUIDED_STEPS = 200  # rough alignment alone for as many steps, then as many of fading it out

# share of each source in a batch: real people weigh far more than their hours
_SHARES = {"synthetic": 0.62, "an4": 0.15, "alphanumeric": 0.03, "speech_commands": 0.13, "phrases": 0.03,
           "read_sentences": 0.04}


SLOT = 320  # samples in a caption slot of 20 ms


class Utterances(IterableDataset):
    """Segments of `seconds` with one or more utterances in a row, a room around them, and their text.

    A rough alignment comes with them, each utterance's characters spread evenly over its span: CTC alone stays long on
    its first plateau (blank everywhere), a few hundred steps of this guess get it off.
    """

    def __init__(self, folder: Path, seconds: float, batch: int, seed: int, clean: float):
        self.folder, self.count, self.batch, self.seed = folder, int(seconds * 16_000), batch, seed
        self.clean = clean  # share of segments with next to no noise and no room

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(self.seed * 1000 + (worker.id if worker else 0))
        root = recordings.data_dir()
        lines = [u for u in bank.load(self.folder) if not u.dev and u.text]
        pools = {s: [u for u in lines if (u.source == s if s != "synthetic" else ":" in u.source)] for s in _SHARES}
        augment = Augment(recordings.rooms(root), recordings.noises(root), [u.samples for u in lines])
        while True:
            items = [self._item(pools, augment, rng) for _ in range(self.batch)]
            yield (torch.from_numpy(np.stack([x for x, _, _ in items])),
                   [torch.tensor(caption_ids(t)) for _, t, _ in items],
                   torch.from_numpy(np.stack([g for _, _, g in items])))

    def _item(self, pools, augment: Augment, rng: random.Random) -> tuple[np.ndarray, str, np.ndarray]:
        x, texts, at = np.zeros(self.count, np.float32), [], rng.randrange(0, 8000)
        guess = np.zeros(self.count // SLOT, np.int64)
        while True:
            u = rng.choice(pools[rng.choices(list(_SHARES), list(_SHARES.values()))[0]])
            if at + len(u.samples) > self.count - 1600:
                if texts:
                    break
                if len(u.samples) > self.count - 3200:
                    continue
                at = 0
            y = u.samples.astype(np.float32) / 32768 * 10 ** (rng.uniform(-8, 0) / 20)
            y = y if self.clean > 0.9 else augment.colour(y, rng)
            x[at:at + len(y)] += y
            texts.append(u.text)
            a, b = active_span(u.samples)
            ids = caption_ids(u.text)
            slots = np.arange((at + a) // SLOT, (at + b) // SLOT)
            late = np.minimum(slots + 4, len(guess) - 1)
            guess[late] = np.asarray(ids)[(slots - slots[0]) * len(ids) // len(slots)]
            at += len(y) + rng.randrange(3000, 20_000)
        if rng.random() < self.clean:
            x = augment.level(augment.noise(x, rng, 25, 50), rng)
        else:
            x = augment.level(augment.noise(augment.room(x, rng), rng), rng)
        return x, " ".join(texts), guess


class Ears(nn.Module):
    """Encoder and features, from samples to CTC logits, with masking in training."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.features, self.encoder = LogMel(floor=EAR_FLOOR), Encoder(config)

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


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Levenshtein distance in words, and the number of reference words."""
    r, h = reference.split(), hypothesis.split()
    row = list(range(len(h) + 1))
    for i, word in enumerate(r, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(h, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1], len(r)


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


def main(argv: list[str] | None = None) -> None:
    """Train the ears alone."""
    parser = argparse.ArgumentParser(prog="omni train ears", description=__doc__,
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lr", type=float, default=1.2e-3)
    parser.add_argument("--seconds", type=float, default=6.4)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--clean", type=float, default=0.2, help="share of segments without noise or room")
    parser.add_argument("--init", type=Path, help="folder of an earlier run to start from")
    args = parser.parse_args(argv)
    torch.manual_seed(0)
    steps = {"done": 0}
    model = Ears(EncoderConfig())
    if args.init:
        model.load_state_dict(load_file(args.init / "model.safetensors"))
        steps["done"] = 2 * GUIDED_STEPS
    lessons = Utterances(args.bank, args.seconds, args.batch, 0, args.clean)
    data = DataLoader(lessons, batch_size=None, num_workers=1, prefetch_factor=3)

    def loss_of(model: Ears, batch) -> tuple[torch.Tensor, dict[str, float]]:
        x, targets, guess = batch
        logits = model(x)
        loss = ctc(logits, targets)
        steps["done"] += 1
        share = min(1.0, max(0.0, 2 - steps["done"] / GUIDED_STEPS))
        if share == 0:
            return loss, {"ctc": loss.item()}
        weight = torch.where(guess > 0, 1.0, 0.2)
        guided = (F.cross_entropy(logits.flatten(0, 1), guess.flatten(), reduction="none") * weight.flatten()).sum()
        guided = guided / weight.sum()
        return loss * (1 - share) + guided * share, {"ctc": loss.item(), "guided": guided.item()}

    config = loop.LoopConfig(args.minutes, args.lr, warmup=80, threads=args.threads)
    loop.run(model, iter(data), loss_of, config, args.out, validator(args.bank))


def load_encoder(folder: Path) -> dict[str, torch.Tensor]:
    """The encoder's tensors of a finished run, without prefix."""
    return {k.removeprefix("encoder."): v for k, v in load_file(folder / "model.safetensors").items()
            if k.startswith("encoder.")}


if __name__ == "__main__":
    main()
