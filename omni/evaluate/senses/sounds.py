"""Row of sounds: which of ten classes a clip is of."""

import random

import numpy as np

from omni.data import recordings
from omni.data.hearing import SOUNDS
from omni.evaluate.metrics.metric import ratio
from omni.evaluate.senses.goals import Row, measured
from omni.evaluate.senses.listener import Heard, Listener

_QUIET = 0.05       # of the loudest block's level: what lies below is the pause between two barks


def sounds(listener: Listener, most: int | None, seed: int) -> list[Row]:
    """Row "sounds"; in its details the share of each class."""
    clips = [r for r in recordings.sounds(recordings.data_dir()) if r.dev]
    if most is not None and most < len(clips):
        clips = random.Random(seed).sample(clips, most)
    samples = [recordings.read(r.path) for r in clips]
    heard = listener.hear(samples, what="sounds")
    if any(h.sounds is None for h in heard):
        return [Row("sounds", None, note="the model has no head for sounds")]
    right = [SOUNDS[named(x, h, listener.block)] == r.text for r, x, h in zip(clips, samples, heard, strict=True)]
    each = {kind: [ok for ok, r in zip(right, clips, strict=True) if r.text == kind] for kind in SOUNDS}
    return [measured("sounds", ratio([(float(ok), 1) for ok in right]), "clips", "",
                     {kind: f"{sum(values)} of {len(values)}" for kind, values in each.items()})]


def named(samples: np.ndarray, heard: Heard, block: int) -> int:
    """Index of the class with the highest mean logit over the blocks in which something sounds."""
    blocks = np.pad(samples, (0, -len(samples) % block)).reshape(-1, block)
    level = np.sqrt(np.square(blocks, dtype=np.float64).mean(1))
    return int(heard.sounds[level >= _QUIET * level.max()].mean(0).argmax())
