"""Stage "voice": the piece embeddings, the synthesizer and the vocoder learn the agent's one voice.

The teacher is flite's slt, spoken clause by clause with the silence at its ends trimmed; word times and pitch are the
teacher's own. The embedding table learned here is the language model's input embedding afterwards, frozen, so that
the mind can be retrained without the voice. The gated projection of the hidden state is fed noise of unit size and
dropped half the time, so that a mind of random weights does not spoil the voice.
"""

import multiprocessing
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm

from omni.data import skills
from omni.data.flite import Flite
from omni.data.numbered import Numbered, loader
from omni.data.voices import spoken
from omni.model.features import LogMel
from omni.model.mouth import Mouth, MouthConfig
from omni.model.synthesizer import SUBFRAMES
from omni.model.tokens import PAUSES, Pieces
from omni.model.vocoder import DELAY
from omni.train import loop, stages
from omni.train.loop import LoopConfig

SUB = 320  # samples in a sub-frame
_PAUSE_MS = {",": 180, ".": 320, "?": 320}


@dataclass(frozen=True, slots=True)
class Taught:
    """One text in the teacher's voice: `tokens` and the sub-frame each begins at (one more for the end)."""

    samples: np.ndarray
    f0_hz: np.ndarray  # every 10 ms, 0 unvoiced
    tokens: list[int]
    starts: list[int]


_flite: Flite | None = None


def teach(text: str, pieces: Pieces) -> Taught | None:
    """Speak a text; None if the teacher's words do not match the pieces."""
    global _flite
    _flite = _flite or Flite("slt")
    audio, f0, tokens, starts, at = [], [], [], [], 0
    for clause, pause in _clauses(text):
        ids = pieces.encode(clause)
        shown = [pieces.symbol(i) for i in ids]
        speech = _flite.speak(" ".join(spoken(s).replace("double-you", "double you") for s in shown) + pause)
        words = _merge(speech.words, shown)
        if words is None:
            return None
        begin, end = int(words[0][0] * 16_000), int(words[-1][1] * 16_000)
        begin = max(begin - 160, 0)
        samples = speech.samples[begin:end + 160]
        count = -(-len(samples) // SUB) * SUB
        audio.append(np.pad(samples, (0, count - len(samples))))
        frames = (begin + np.arange(count // 160) * 160 + 80) // 80  # 5 ms frames of the pitch track
        track = speech.f0_hz
        f0.append(np.where(frames < len(track), track[np.minimum(frames, len(track) - 1)], 0))
        for token, (start, _) in zip(ids, words, strict=False):
            tokens.append(token)
            starts.append((at + max(int(start * 16_000) - begin, 0)) // SUB if starts else 0)
        at += count
        tokens.append(pieces.encode(pause)[0])
        starts.append(at // SUB)
        silent = _PAUSE_MS[pause] * 16 // SUB * SUB
        audio.append(np.zeros(silent, np.float32))
        f0.append(np.zeros(silent // 160, np.float32))
        at += silent
    starts.append(at // SUB)
    if any(b <= a for a, b in zip(starts, starts[1:], strict=False)):
        return None
    return Taught(np.concatenate(audio), np.concatenate(f0), tokens, starts)


def _clauses(text: str) -> list[tuple[str, str]]:
    found, words = [], []
    for word in text.replace(",", " , ").replace(".", " . ").replace("?", " ? ").split():
        if word in PAUSES:
            if words:
                found.append((" ".join(words), word))
            words = []
        else:
            words.append(word)
    if words:
        found.append((" ".join(words), "."))
    return found


def _merge(words, shown: list[str]) -> list[tuple[float, float]] | None:
    """Spans of pieces from the teacher's words: "W" is two of them, and "don't" may be."""
    spans, i = [], 0
    for symbol in shown:
        want = 2 if symbol == "W" else 1
        if i + want > len(words):
            return None
        end = i + want
        while end < len(words) and words[end][0].startswith("'"):
            end += 1
        spans.append((words[i][1], words[end - 1][2]))
        i = end
    return spans if i == len(words) else None


def _texts(count: int, pieces: Pieces, seed: int) -> list[str]:
    rng, texts = random.Random(seed), []
    while len(texts) < count:
        if rng.random() < 0.6:
            texts.append(skills.exchange(rng).reply)
        else:  # any piece after any other, so that the voice does not lean on its sentences
            symbols = [*pieces.words, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
            words = rng.choices(symbols, k=rng.randint(2, 10))
            if rng.random() < 0.4:
                words.insert(rng.randint(1, len(words)), ",")
            texts.append(" ".join(words) + rng.choice([".", ".", ",", "?"]))
    return texts


def _teach_many(task: tuple[list[str], list[str]]) -> list[Taught]:
    words, texts = task
    pieces = Pieces(words)
    return [t for t in (teach(text, pieces) for text in texts) if t is not None and len(t.samples) < 16_000 * 60]


def prepare(path: Path, pieces: Pieces, count: int, processes: int, seed: int = 0) -> None:
    """Speak `count` texts and keep them in one .npz (arrays only)."""
    texts = _texts(count, pieces, seed)
    tasks = [(list(pieces.words), texts[i:i + 20]) for i in range(0, count, 20)]
    made: list[Taught] = []
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for some in tqdm(pool.imap(_teach_many, tasks), total=len(tasks), desc="teacher", unit="x20"):
            made.extend(some)
    np.savez(path, samples=np.concatenate([(t.samples * 32767).astype(np.int16) for t in made]),
             f0=np.concatenate([t.f0_hz for t in made]).astype(np.float32),
             tokens=np.concatenate([t.tokens for t in made]), starts=np.concatenate([t.starts for t in made]),
             num_samples=[len(t.samples) for t in made], num_tokens=[len(t.tokens) for t in made])


class Lessons(Numbered):
    """Random stretches of `blocks` blocks from the teacher's texts, on the sub-frame grid."""

    def __init__(self, path: Path, blocks: int, batch: int, seed: int):
        self.path, self.subs, self.batch, self.seed = path, blocks * SUBFRAMES, batch, seed

    def open(self):
        """See `Numbered`."""
        data = dict(np.load(self.path, allow_pickle=False))
        s_ends, t_ends = np.cumsum(data["num_samples"]), np.cumsum(data["num_tokens"])
        weights = data["num_samples"] / data["num_samples"].sum()

        def make(generator: random.Random):
            rng = np.random.default_rng(generator.getrandbits(64))
            rows = [self._row(data, s_ends, t_ends, int(rng.choice(len(weights), p=weights)), rng)
                    for _ in range(self.batch)]
            return {k: torch.from_numpy(np.stack([r[k] for r in rows])) for k in rows[0]}

        return make

    def _row(self, data, s_ends, t_ends, i: int, rng) -> dict[str, np.ndarray]:
        n, k = int(data["num_samples"][i]), int(data["num_tokens"][i])
        s0, t0 = int(s_ends[i]) - n, int(t_ends[i]) - k
        tokens = data["tokens"][t0:t0 + k]
        starts = data["starts"][t0 + i:t0 + i + k + 1]  # one more entry than tokens for each text before
        lead = int(rng.integers(0, 12))
        total = lead + n // SUB + int(rng.integers(0, 20))
        piece = np.full(max(total, self.subs), -1)
        for j in range(k):
            piece[lead + starts[j]:lead + starts[j + 1]] = j
        audio = np.zeros(len(piece) * SUB, np.float32)
        audio[lead * SUB:lead * SUB + n] = data["samples"][s0:s0 + n] / 32768
        f0 = np.zeros(len(piece) * 2, np.float32)
        f0[lead * 2:lead * 2 + n // 160] = data["f0"][s0 // 160:(s0 + n) // 160]
        at = int(rng.integers(0, len(piece) - self.subs + 1))
        window = slice(at, at + self.subs)
        index, place = piece[window], np.arange(at, at + self.subs) - lead
        known = index >= 0
        safe = np.maximum(index, 0)

        def token_at(j: np.ndarray) -> np.ndarray:
            return np.where(known & (j >= 0) & (j < k), tokens[np.clip(j, 0, k - 1)], -1)

        sounded = np.where(known, place - starts[safe], 0)
        following = token_at(safe + 1)
        # the first piece of a reply starts before its next piece is known; that comes one block later
        following = np.where((safe == 0) & (sounded < SUBFRAMES), -1, following)
        after_end = (index < 0) & (place >= starts[k])
        previous = np.where(after_end, tokens[k - 1], token_at(safe - 1))
        return {"current": token_at(safe), "previous": previous, "following": following,
                "sounded": sounded, "duration": np.where(known, starts[safe + 1] - starts[safe], 0),
                "audio": audio[at * SUB:(at + self.subs) * SUB], "f0": f0[at * 2:(at + self.subs) * 2]}


class VoiceTrainer(nn.Module):
    """The mouth with its teacher's features."""

    def __init__(self, mouth: Mouth):
        super().__init__()
        self.mouth, self.features = mouth, LogMel()

    def losses(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Pointer, log-mel, pitch, voicing and multi-resolution spectral loss."""
        mouth, synthesizer = self.mouth, self.mouth.synthesizer
        drives = [mouth.drives(batch[k], place) for place, k in enumerate(("previous", "current", "following"))]
        speaking = batch["current"] >= 0
        frames, logit = synthesizer(drives[0], drives[1], drives[2], batch["sounded"], speaking)
        # the pointer, at every age around the true end
        duration = batch["duration"]
        ages = (duration + torch.randint_like(duration, -10, 11)).clamp(min=1)
        guess = synthesizer.ended(drives[1], drives[2], synthesizer.position(ages))
        pointer = F.binary_cross_entropy_with_logits(guess, (ages >= duration).float(), reduction="none")
        pointer = pointer[speaking].mean()
        mel = self.features(batch["audio"])
        f0, voiced = batch["f0"], (batch["f0"] > 0).float()
        pitch = torch.log2(f0.clamp(min=50) / 200)
        loss_mel = (frames[..., :80] - mel).abs().mean()
        loss_pitch = ((frames[..., 80] - pitch).abs() * voiced).sum() / voiced.sum().clamp(min=1)
        loss_voiced = F.binary_cross_entropy_with_logits(frames[..., 81], voiced)
        # half of the vocoder's lessons on the teacher's frames, half on the synthesizer's own
        taught = torch.cat([mel, pitch[..., None], (voiced * 2 - 1)[..., None]], 2)
        own = torch.cat([frames[..., :80], pitch[..., None], (voiced * 2 - 1)[..., None]], 2)
        half = len(mel) // 2
        heard = mouth.vocoder(torch.cat([taught[:half], own[half:]]))
        spectral = stft_loss(heard[:, DELAY:], batch["audio"][:, :-DELAY])
        loss = pointer * 0.3 + loss_mel * 4 + loss_pitch * 2 + loss_voiced * 0.5 + spectral
        return loss, {"pointer": pointer.item(), "mel": loss_mel.item(), "pitch": loss_pitch.item(),
                      "voiced": loss_voiced.item(), "spectral": spectral.item()}


def stft_loss(x_BN: Tensor, y_BN: Tensor) -> Tensor:
    """Spectral convergence and log-magnitude distance at three resolutions (arXiv 1910.11480)."""
    total = x_BN.new_zeros(())
    for n_fft in (256, 512, 1024):
        window = torch.hann_window(n_fft, device=x_BN.device)
        a, b = (torch.stft(z, n_fft, n_fft // 4, window=window, return_complex=True).abs() for z in (x_BN, y_BN))
        converged = (a - b).norm(dim=(1, 2)) / b.norm(dim=(1, 2)).clamp(min=1.0)
        logs = ((a + 1e-2).log() - (b + 1e-2).log()).abs().mean()
        total = total + converged.mean() + logs
    return total / 3


@dataclass(frozen=True, slots=True)
class VoiceStage:
    """Attributes:
        lessons: file of the teacher's speech; made from `texts` texts if it is not there.
        out: folder of the run.
        init: folder of an earlier run; its embedding table stays as it is, so that a mind trained on it keeps its
            inputs.
        blocks, batch: of a batch.
        processes: that speak.
    """

    stage: Literal["voice"]
    lessons: str
    out: str
    init: str | None = None
    texts: int = 3000
    blocks: int = 32
    batch: int = 12
    seed: int = 0
    workers: int = 1
    processes: int = 2
    mouth: MouthConfig = field(default_factory=MouthConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)


def train(stage: VoiceStage) -> None:
    """Prepare the lessons if they are not there, and train the voice."""
    pieces, lessons = Pieces(skills.vocabulary()), Path(stage.lessons)
    if not lessons.exists():
        lessons.parent.mkdir(parents=True, exist_ok=True)
        prepare(lessons, pieces, stage.texts, stage.processes)
    folder = stages.begin(stage, [lessons])
    torch.manual_seed(stage.seed)
    trainer = VoiceTrainer(Mouth(stage.mouth, len(pieces)))
    if stage.init:
        trainer.load_state_dict(load_file(Path(stage.init) / "model.safetensors"))
        trainer.mouth.embedding.weight.requires_grad_(False)
    stream = Lessons(lessons, stage.blocks, stage.batch, stage.seed)
    loop.run(trainer, loader(stream, stage.workers), lambda model, batch: model.losses(batch), stage.loop, folder)
    pieces.save(folder / "pieces.json")
