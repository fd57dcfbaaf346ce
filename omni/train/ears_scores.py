"""How well ears hear while they learn: word errors of people and voices kept apart, over own echo, and sounds named."""

import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omni.audio.mixing import active_level, gain
from omni.base.words import word_errors
from omni.data import bank, recordings
from omni.data.hearing import BLOCK, FRAME, sound_clips
from omni.data.own_voice import OwnVoice
from omni.model.captions import Vocabulary
from omni.model.encoder import caption_text

SETS = ("an4", "speech_commands", "flite:kal16", "espeak")
ECHO_SETS = ("an4", "espeak")
RATIOS_DB = (None, 6.0, -6.0)  # user to echo; none is silence of one's own


def best_path(logits_TC: Tensor) -> list[int]:
    """Ids of the best path, repeats merged, blanks removed."""
    ids = logits_TC.argmax(-1).tolist()
    return [i for i, before in zip(ids, [0, *ids], strict=False) if i and i != before]


def greedy(logits_TC: Tensor) -> str:
    """The characters of the best path."""
    return caption_text(best_path(logits_TC))


class Scores:
    """A function that gives scores of ears on development data.

    Args:
        folder: of a bank.
        voice: weights whose mouth is the own voice, none for no echo.
        each: utterances of each source; a third of them over echo.
    """

    def __init__(self, folder: Path, vocabulary: Vocabulary | None = None, voice: str | None = None, each: int = 60):
        lines, rng = [u for u in bank.load(folder) if u.dev and u.text], random.Random(5)
        self.vocabulary, self.sets = vocabulary, {}
        for source in SETS:
            pool = [u for u in lines if u.source.startswith(source)]
            rng.shuffle(pool)
            self.sets[source] = [(padded(u.samples), u.text) for u in pool[:each]]
        self.clips = sound_clips(recordings.data_dir(), dev=True)
        self.over_echo = []
        if voice is not None:
            own = OwnVoice(voice, count=each)
            heard = [pair for source in ECHO_SETS for pair in self.sets[source][:each // 3]]
            self.over_echo = [(x, _own(own, i, len(x)), text) for i, (x, text) in enumerate(heard)]

    @torch.no_grad()
    def __call__(self, model) -> dict[str, float]:
        scores = {}
        for source, pairs in self.sets.items():
            errors = self._errors(model, [(x, None, text) for x, text in pairs])
            scores.update({f"wer_{kind}_{source}": wer for kind, wer in errors.items()})
        for ratio_db in RATIOS_DB if self.over_echo else ():
            errors = self._errors(model, [(x, None, text) if ratio_db is None else (*_over_echo(x, own, ratio_db), text)
                                          for x, own, text in self.over_echo])
            name = "none" if ratio_db is None else f"{ratio_db:+.0f}dB"
            scores.update({f"wer_{kind}_echo_{name}": wer for kind, wer in errors.items()})
        if model.encoder.sounds is not None:
            scores["sounds_right"] = self._named(model)
        return scores

    def _errors(self, model, items: list[tuple[np.ndarray, np.ndarray | None, str]]) -> dict[str, float]:
        """Word error rates by characters ("c") and by pieces ("p"), in batches of about the same length."""
        wrong, total = {"c": 0, "p": 0}, 0
        items = sorted(items, key=lambda item: len(item[0]))
        for at in range(0, len(items), 10):
            group = items[at:at + 10]
            longest = len(group[-1][0])
            room = torch.stack([_to(x, longest, model) for x, _, _ in group])
            own = None
            if group[0][1] is not None:
                own = torch.stack([_to(own, longest, model) for _, own, _ in group])
            frames = model(room, own)
            spelled = model.encoder.captions(frames)
            pieces = model.encoder.pieces(frames) if model.encoder.pieces is not None else None
            for row, (x, _, text) in enumerate(group):
                num_frames = len(x) // FRAME
                errors, words = word_errors(text, greedy(spelled[row, :2 * num_frames]))
                wrong["c"], total = wrong["c"] + errors, total + words
                if pieces is not None:
                    said = self.vocabulary.decode(best_path(pieces[row, :num_frames]))
                    wrong["p"] += word_errors(text, said)[0]
        return {kind: round(wrong[kind] / max(total, 1), 3) for kind in ("c", "p")
                if kind == "c" or model.encoder.pieces is not None}

    def _named(self, model) -> float:
        """Share of unseen clips whose class has the highest mean logit over the blocks in which anything sounds."""
        right = 0
        for kind, clip in self.clips:
            x = torch.from_numpy(clip[:len(clip) // BLOCK * BLOCK].astype(np.float32) / 32768)[None]
            x = x.to(next(model.parameters()).device)
            logits = model.encoder.sounds(model(x))[0]
            level = x.view(-1, BLOCK).square().mean(1).sqrt()
            right += int(logits[level > 0.05 * level.max()].mean(0).argmax() == kind)
        return round(right / max(len(self.clips), 1), 3)


def padded(samples: np.ndarray) -> np.ndarray:
    """int16 speech as float32 with silence before and after: whole blocks, above a faint floor of noise."""
    x = np.pad(samples.astype(np.float32) / 32768, (4000, 6000))
    x = x[:len(x) // BLOCK * BLOCK]
    return (x + np.random.default_rng(0).standard_normal(len(x)) * 1e-3).astype(np.float32)


def _own(voice: OwnVoice, number: int, count: int) -> np.ndarray:
    """The own voice, talking all the while."""
    parts, length = [], 0
    while length < count:
        parts.append(voice.reply(number % voice.count))
        length, number = length + len(parts[-1]), number + 7
    return np.concatenate(parts)[:count]


def _over_echo(x: np.ndarray, own: np.ndarray, ratio_db: float) -> tuple[np.ndarray, np.ndarray]:
    """Room and own stream: a plain echo 120 ms late, the user `ratio_db` above it."""
    echo = np.pad(own, (1920, 0))[:len(own)]
    echo = echo * (active_level(x) / max(active_level(echo), 1e-6) / gain(ratio_db))
    return (x + echo).astype(np.float32), own


def _to(x: np.ndarray, count: int, model) -> Tensor:
    return torch.from_numpy(np.pad(x, (0, count - len(x)))).to(next(model.parameters()).device)
