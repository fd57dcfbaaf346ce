"""Stage "voice": the piece embeddings, the synthesizer and the vocoder learn the agent's one voice.

The teacher is flite's slt, spoken clause by clause with the silence at its ends trimmed; phone times and pitch are the
teacher's own. The embedding table learned here is the language model's input embedding afterwards, frozen, so that
the mind can be retrained without the voice. The gated projection of the hidden state is fed noise of unit size and
dropped half the time, so that a mind of random weights does not spoil the voice.
"""

import json
import multiprocessing
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm

from omni.base.config import LATER
from omni.base.errors import WeightsError
from omni.data import skills
from omni.data.flite import MISREAD, Flite
from omni.data.numbered import Numbered, loader
from omni.data.voices import spoken
from omni.model.features import LogMel
from omni.model.mouth import Mouth, MouthConfig
from omni.model.phones import PAUSE, phone_id
from omni.model.synthesizer import ABSENT, CONTEXT, FRAMES, Course
from omni.model.tokens import PAUSES, Pieces
from omni.model.vocoder import DELAY, HOP
from omni.model.weights import load_model
from omni.train import loop, stages
from omni.train.growing import EMBEDDING, bring_rows, pieces_of
from omni.train.loop import LoopConfig
from omni.train.team import first_alone, leads

_PAUSE_MS = {",": 180, ".": 320, "?": 320}
_TOLD = {"W": "double you", **MISREAD}  # how flite is told to say what it would say otherwise
FRAME = HOP  # samples
VOCODER_EVERY = 3  # one row in so many is sounded
BLIND = 0.04  # share of phones that are learned without their next piece


@dataclass(frozen=True, slots=True)
class Taught:
    """One text in the teacher's voice.

    Attributes:
        samples: float32 (N,), whole frames of 10 ms.
        f0_hz: float32 (frames,), 0 where unvoiced.
        tokens: its pieces.
        counts: phones of each piece.
        phones: ids of all phones, in order.
        starts: the frame that each phone begins in, and one more for the end.
    """

    samples: np.ndarray
    f0_hz: np.ndarray
    tokens: list[int]
    counts: list[int]
    phones: list[int]
    starts: list[int]


_flite: Flite | None = None


def teach(text: str, pieces: Pieces) -> Taught | None:
    """Speak a text; None if the teacher's words do not match the pieces, or it paused inside a clause."""
    global _flite
    _flite = _flite or Flite("slt")
    audio, f0, tokens, counts, phones, starts, at = [], [], [], [], [], [], 0
    for clause, pause in _clauses(text):
        ids = pieces.encode(clause)
        told = [spoken(_TOLD.get(s := pieces.symbol(i), s)) for i in ids]
        speech = _flite.speak(" ".join(told) + pause)
        words = _merge(speech.words, [len(t.split()) for t in told])
        if words is None or any(abs(b[0] - a[1]) > 1e-3 for a, b in zip(words, words[1:], strict=False)):
            return None
        begin, end = max(int(words[0][0] * 16_000) - FRAME, 0), int(words[-1][1] * 16_000)
        samples = speech.samples[begin:end + FRAME]
        count = -(-len(samples) // FRAME)
        audio.append(np.pad(samples, (0, count * FRAME - len(samples))))
        ticks = (begin + np.arange(count) * FRAME + FRAME // 2) // 80  # 5 ms frames of the pitch track
        track = speech.f0_hz
        f0.append(np.where(ticks < len(track), track[np.minimum(ticks, len(track) - 1)], 0))
        for token, (first, last) in zip(ids, words, strict=True):
            own = [(name, a) for name, a, b in speech.phones if first - 1e-4 <= a and b <= last + 1e-4]
            tokens.append(token)
            counts.append(len(own))
            for name, a in own:
                frame = at + max(round((a * 16_000 - begin) / FRAME), 0) if phones and starts[-1] >= at else at
                starts.append(max(frame, starts[-1] + 1) if starts else frame)
                phones.append(phone_id(name))
        at += count
        tokens.append(pieces.encode(pause)[0])
        counts.append(1)
        phones.append(PAUSE)
        starts.append(at)
        silent = _PAUSE_MS[pause] * 16 // FRAME
        audio.append(np.zeros(silent * FRAME, np.float32))
        f0.append(np.zeros(silent, np.float32))
        at += silent
    starts.append(at)
    if any(b <= a for a, b in zip(starts, starts[1:], strict=False)) or 0 in counts:
        return None
    return Taught(np.concatenate(audio), np.concatenate(f0), tokens, counts, phones, starts)


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


def _merge(words, wanted: list[int]) -> list[tuple[float, float]] | None:
    """Spans of pieces from the teacher's words; a piece is told in one word or in several, and flite makes two of
    "don't"."""
    spans, i = [], 0
    for want in wanted:
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
            if reply := skills.exchange(rng).reply:  # to some requests nothing is said
                texts.append(reply)
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
    np.savez(path, words=np.array(json.dumps(list(pieces.words))),
             samples=np.concatenate([(t.samples * 32767).astype(np.int16) for t in made]),
             f0=np.concatenate([t.f0_hz for t in made]).astype(np.float32),
             tokens=np.concatenate([t.tokens for t in made]), counts=np.concatenate([t.counts for t in made]),
             phones=np.concatenate([t.phones for t in made]), starts=np.concatenate([t.starts for t in made]),
             num_frames=[len(t.f0_hz) for t in made], num_tokens=[len(t.tokens) for t in made],
             num_phones=[len(t.phones) for t in made])


def pronunciations(path: Path, num_tokens: int, max_phones: int) -> np.ndarray:
    """(num_tokens, max_phones) int64: how each piece was said most often, `ABSENT` after its last phone; -1 throughout
    for pieces that were never said."""
    data = np.load(path, allow_pickle=False)
    ends, said = np.cumsum(data["counts"]), [Counter() for _ in range(num_tokens)]
    for token, count, end in zip(data["tokens"], data["counts"], ends, strict=True):
        said[token][tuple(data["phones"][end - count:end].tolist())] += 1
    table = np.full((num_tokens, max_phones), -1, np.int64)
    for token, found in enumerate(said):
        if found:
            phones = found.most_common(1)[0][0][:max_phones]
            table[token] = ABSENT
            table[token, :len(phones)] = phones
    return table


class Lessons(Numbered):
    """Random stretches of `blocks` blocks from the teacher's texts: the course of the pointer, and the sound."""

    def __init__(self, path: Path, blocks: int, batch: int, seed: int):
        self.path, self.frames, self.batch, self.seed = path, blocks * FRAMES, batch, seed

    def open(self):
        """See `Numbered`."""
        data = dict(np.load(self.path, allow_pickle=False))
        ends = {k: np.cumsum(data[f"num_{k}"]) for k in ("frames", "tokens", "phones")}
        weights = data["num_frames"] / data["num_frames"].sum()

        def make(generator: random.Random):
            rng = np.random.default_rng(generator.getrandbits(64))
            rows = [self._row(data, ends, int(rng.choice(len(weights), p=weights)), rng) for _ in range(self.batch)]
            return {k: torch.from_numpy(np.stack([r[k] for r in rows])) for k in rows[0]}

        return make

    def _row(self, data, ends, i: int, rng) -> dict[str, np.ndarray]:
        size = {k: int(data[f"num_{k}"][i]) for k in ends}
        first = {k: int(ends[k][i]) - size[k] for k in ends}
        n, k = size["frames"], size["phones"]
        phones = data["phones"][first["phones"]:first["phones"] + k]
        starts = data["starts"][first["phones"] + i:first["phones"] + i + k + 1]  # one entry more for each text before
        counts = data["counts"][first["tokens"]:first["tokens"] + size["tokens"]]
        piece = np.repeat(np.arange(len(counts)), counts)                         # of each phone
        tokens = data["tokens"][first["tokens"]:first["tokens"] + size["tokens"]][piece]
        place = (np.diff(piece, prepend=-1) > 0) + 2 * (np.diff(piece, append=len(counts)) > 0)
        lead = int(rng.integers(0, 24))
        total = max(lead + n + int(rng.integers(0, 40)), self.frames)
        index = np.full(total, -1)
        index[lead:lead + n] = np.repeat(np.arange(k), np.diff(starts))
        audio, f0 = np.zeros(total * FRAME, np.float32), np.zeros(total, np.float32)
        audio[lead * FRAME:(lead + n) * FRAME] = data["samples"][
            first["frames"] * FRAME:(first["frames"] + n) * FRAME] / 32768
        f0[lead:lead + n] = data["f0"][first["frames"]:first["frames"] + n]
        at = int(rng.integers(0, total - self.frames + 1))
        window = slice(at, at + self.frames)
        index, frame = index[window], np.arange(at, at + self.frames) - lead
        known, safe = index >= 0, np.maximum(index, 0)
        around = safe[:, None] + np.arange(-CONTEXT, CONTEXT + 1)
        within = (around >= 0) & (around < k) & known[:, None]
        around = np.clip(around, 0, k - 1)
        # nobody knows the piece after the first one of a reply in its first block, and sometimes later on
        ahead, behind = piece[around] - piece[safe][:, None], np.abs(piece[around] - piece[safe][:, None])
        blind = (piece[safe] == 0) & (frame < FRAMES) | (rng.random(k)[safe] < BLIND)
        within &= (behind <= 1) & ~((ahead > 0) & blind[:, None])
        return {"window": np.where(within, phones[around], ABSENT), "token": np.where(known, tokens[safe], -1),
                "place": np.where(known, place[safe], 0), "elapsed": np.where(known, frame - starts[safe], 0),
                "due": np.where(known, np.diff(starts)[safe], 0),
                "audio": audio[at * FRAME:(at + self.frames) * FRAME], "f0": f0[window]}


class VoiceTrainer(nn.Module):
    """The mouth with its teacher's features, and what its pieces are called.

    Args:
        table: (num_tokens, max_phones) of `pronunciations`.
    """

    def __init__(self, mouth: Mouth, table: Tensor):
        super().__init__()
        self.mouth, self.features = mouth, LogMel()
        self.register_buffer("table", table, persistent=False)

    def losses(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Spelling, phone times, log-mel, pitch, voicing and multi-resolution spectral loss."""
        mouth, synthesizer = self.mouth, self.mouth.synthesizer
        course = Course(*(batch[k] for k in ("window", "token", "place", "elapsed", "due")))
        drive, speaking = mouth.drives(course.token), course.token >= 0
        frames = synthesizer(course, drive)
        spelled, said = self._spelling()
        guess = synthesizer.log_frames(course.window, drive, course.place)
        late = (guess - course.due.clamp(min=1).float().log()).abs()
        timing = (late * (course.elapsed == 0) * speaking).sum() / ((course.elapsed == 0) & speaking).sum().clamp(min=1)
        mel = self.features(batch["audio"])
        f0, voiced = batch["f0"], (batch["f0"] > 0).float()
        pitch = octaves(f0)
        loss_mel = (frames[..., :80] - mel).abs().mean()
        loss_pitch = ((frames[..., 80] - pitch).abs() * voiced).sum() / voiced.sum().clamp(min=1)
        loss_voiced = F.binary_cross_entropy_with_logits(frames[..., 81], voiced)
        loss = spelled + timing * 0.5 + loss_mel * 4 + loss_pitch * 2 + loss_voiced * 0.5
        parts = {"spelled": spelled.item(), "said": said, "timing": timing.item(), "mel": loss_mel.item(),
                 "pitch": loss_pitch.item(), "voiced": loss_voiced.item()}
        if any(p.requires_grad for p in mouth.vocoder.parameters()):
            # the vocoder costs most, so it has fewer rows
            rows = 2 * -(-len(mel) // (2 * VOCODER_EVERY))
            spectral = stft_loss(*sounded(mouth, mel[:rows], frames[:rows], f0[:rows], batch["audio"][:rows]))
            loss, parts["spectral"] = loss + spectral, spectral.item()
        return loss, parts

    def _spelling(self) -> tuple[Tensor, float]:
        """Cross-entropy of the phones of every piece that was ever said, and the share of pieces spelled right."""
        tokens = (self.table[:, 0] >= 0).nonzero()[:, 0]
        logits, target = self.mouth.synthesizer.spelling(self.mouth.drives(tokens[None])[0]), self.table[tokens]
        right = (logits.argmax(-1) == target).all(1).float().mean().item()
        return F.cross_entropy(logits.flatten(0, 1), target.flatten()), right


def octaves(f0_hz: Tensor) -> Tensor:
    """Pitch as an acoustic frame tells it, about 200 Hz."""
    return torch.log2(f0_hz.clamp(min=50) / 200)


def sounded(mouth: Mouth, mel_BTM: Tensor, frames_BTC: Tensor, f0_hz_BT: Tensor, audio_BN: Tensor,
            ) -> tuple[Tensor, Tensor]:
    """What the vocoder makes, and what it should have made, (B, N - DELAY) each: the first half of the rows from the
    teacher's log-mel, the rest from the synthesizer's own frames, all at the teacher's pitch."""
    half = len(mel_BTM) // 2
    melody = torch.stack([octaves(f0_hz_BT), (f0_hz_BT > 0).float() * 2 - 1], 2)
    given = torch.cat([torch.cat([mel_BTM[:half], frames_BTC[half:, :, :80]]), melody], 2)
    return mouth.vocoder(given)[:, DELAY:], audio_BN[:, :-DELAY]


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
        init: folder of an earlier run, or weights by name or folder; its embedding table stays as it is, so that a mind
            trained on it keeps its inputs. A piece that it lacks has a random embedding, and is learned by its sound.
        vocoder: off, what makes samples of frames stays as `init` brought it, and is not computed.
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
    vocoder: bool = field(default=True, metadata=LATER)

    def __post_init__(self) -> None:
        if not self.vocoder and not self.init:
            raise ValueError("vocoder: can only stay as it is with `init`")


def train(stage: VoiceStage) -> None:
    """Prepare the lessons if they are not there, and train the voice.

    Raises:
        WeightsError: `init` is neither a run nor weights, or has a mouth of other sizes.
    """
    pieces, lessons = Pieces(skills.vocabulary()), Path(stage.lessons)
    with first_alone():
        if not lessons.exists():
            lessons.parent.mkdir(parents=True, exist_ok=True)
            prepare(lessons, pieces, stage.texts, stage.processes)
    folder = stages.begin(stage, [lessons])
    torch.manual_seed(stage.seed)
    table = pronunciations(lessons, len(pieces), stage.mouth.synthesizer.max_phones)
    trainer = VoiceTrainer(Mouth(stage.mouth, len(pieces)), torch.from_numpy(table))
    if stage.init:
        _take(trainer.mouth, stages.folder_of(stage.init), pieces)
        trainer.mouth.embedding.weight.requires_grad_(False)
    trainer.mouth.vocoder.requires_grad_(stage.vocoder)
    stream = Lessons(lessons, stage.blocks, stage.batch, stage.seed)
    loop.run(trainer, loader(stream, stage.workers), lambda model, batch: model.losses(batch), stage.loop, folder)
    if leads():
        pieces.save(folder / "pieces.json")


def _take(mouth: Mouth, folder: Path, pieces: Pieces) -> None:
    before = pieces_of(folder, pieces)
    known = load_file(folder / "model.safetensors")
    if any(name.startswith("mind.") for name in known):  # weights, and rounded ones
        known = load_model(folder).state_dict()
    known = {name: t for name, t in known.items() if name.startswith("mouth.")}
    known[EMBEDDING] = bring_rows(known[EMBEDDING], before, mouth.embedding.weight, pieces)
    try:
        mouth.load_state_dict({name.removeprefix("mouth."): t for name, t in known.items()})
    except RuntimeError as error:
        raise WeightsError(f"the mouth of {folder.name} is another: {error}") from error
