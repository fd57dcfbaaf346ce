"""Rows of seams: no step where one block of sound meets the next, a prompt start, silence after a cut.

    block i - 1           |block i
    ~~~~~~~~~~~~~~~~~~~~~a|b~~~~~~~~~~~~~~~~~~~~~~~     |b - a| against the largest step in both blocks
"""

import random
from itertools import islice

import numpy as np

from omni.evaluate.metrics.metric import ratio
from omni.evaluate.senses.goals import Row, measured
from omni.evaluate.senses.replies import sayable
from omni.evaluate.senses.talker import Said, Talker

NUM_TEXTS = 24
_AUDIBLE = 0.01     # of a reply's peak


def seams(talker: Talker, most: int | None, seed: int) -> list[Row]:
    """Rows "seams", "starts" and "cuts", of replies that the voice has words for."""
    rng, model = random.Random(f"{seed}/seams"), talker.model
    texts = list(islice(sayable(rng, model.pieces), min(most or NUM_TEXTS, NUM_TEXTS)))
    whole = [talker.say(model.pieces.encode(text)) for text in texts]
    length = [len(said.audio) // talker.block for said in whole]
    cuts = [talker.say(model.pieces.encode(text), cut_in=rng.randrange(1, max(n // 2, 2)))
            for text, n in zip(texts, length, strict=True)]
    borders = [smooth(said.audio, talker.block) for said in whole]
    inside = [smooth(said.audio[talker.block // 2:], talker.block) for said in whole]
    by_chance = float(np.mean(np.concatenate(inside))) if sum(map(len, inside)) else None
    cut = [silent_after(said, talker.block) for said in cuts if said.cut_in is not None]
    late = [first_heard(said.audio) for said in whole]
    heard = [n for n in late if n is not None]
    return [measured("seams", ratio([(float(b.sum()), len(b)) for b in borders]), "borders",
                     "" if by_chance is None else f"{by_chance:.4f} in the middle of blocks",
                     {"inside_blocks": by_chance}),
            measured("starts", ratio([(float(n is not None and n < talker.block), 1) for n in late]), "replies",
                     f"heard after {np.median(heard) / 16:.0f} ms in the median, {max(heard) / 16:.0f} ms at most"
                     if heard else "nothing is heard"),
            measured("cuts", ratio([(float(ok), 1) for ok in cut]), "cuts")]


def smooth(audio: np.ndarray, block: int) -> np.ndarray:
    """bool of each border between blocks of which one sounds: whether its step is not above the largest of both."""
    steps = np.abs(np.diff(audio.astype(np.float64)))       # steps[n] leads to sample n + 1
    found = []
    for border in range(block, len(audio) - block + 1, block):
        own = max(steps[border - block:border - 1].max(), steps[border:border + block - 1].max())
        if own or steps[border - 1]:
            found.append(steps[border - 1] <= own)
    return np.array(found, bool)


def first_heard(audio: np.ndarray) -> int | None:
    """The first sample that is loud enough, None if nothing sounds at all."""
    level = np.abs(audio)
    return int(np.argmax(level >= _AUDIBLE * level.max())) if level.max() else None


def silent_after(said: Said, block: int) -> bool:
    """Whether nothing at all sounds from one block after the cut's block began."""
    return not said.audio[(said.cut_in + 1) * block:].any()
