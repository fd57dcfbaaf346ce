"""The mouth's contract: a language model of random weights drives it, and it speaks as well as without.

The world's texts, with states of three kinds, each a real forward in the block of its piece (`omni.evaluate.reciter`):

    none    no states: embeddings drive alone, as in the other rows of `omni evaluate voice`
    own     those of the mind that belongs to it, as in use
    random  those of minds that were never trained, each of a seed: language model, and all between ears and it
"""

from collections.abc import Sequence

import numpy as np

from omni.evaluate.controls import random_weights
from omni.evaluate.metrics.metric import estimate, ratio
from omni.evaluate.reciter import Recital, Reciter
from omni.evaluate.voice_listener import Listener
from omni.model.duplex import DuplexModel
from omni.model.vocoder import HOP

SEEDS = (0, 1, 2)


def untrained_mind(model: DuplexModel, seed: int) -> DuplexModel:
    """The same ears and mouth (shared, not copied) about a mind that never learned anything."""
    fresh = random_weights(model, seed)
    fresh.encoder, fresh.mouth = model.encoder, model.mouth
    return fresh


def measure(model: DuplexModel, said: Sequence[tuple[str, str]], seeds: Sequence[int] = SEEDS) -> dict:
    """Word errors with each kind of states, and what random ones cost.

    Args:
        said: (grammar, text) of each text.

    Returns:
        {"words": of the texts, "seeds",
         "none", "own", "random" (over all seeds): {"word_error_rate"}, and "each": of every seed,
         "beyond_none", "beyond_own": {"points", "low", "high"}: random states' word errors beyond those, paired by
             text, with the 95 % interval of a bootstrap over texts,
         "moved": {"share": of pieces whose time is another than without states, "most_ms": the largest difference}}

    Raises:
        ImportError: pocketsphinx is not installed.
    """
    texts = [text for _, text in said]
    none, own = (Reciter(model, states).say(texts) for states in (False, True))
    random = [Reciter(untrained_mind(model, seed)).say(texts) for seed in seeds]
    known = {"none": heard(said, none), "own": heard(said, own)}
    of_seeds = [heard(said, recitals) for recitals in random]
    words = sum(n for _, n in known["none"])
    together = [(float(np.mean([found[i][0] for found in of_seeds])), n) for i, (_, n) in enumerate(known["none"])]
    moved = np.concatenate([difference(recitals, none) for recitals in random])
    return {"words": words, "seeds": list(seeds),
            **{name: {"word_error_rate": round(sum(e for e, _ in parts) / words, 4)}
               for name, parts in {**known, "random": together}.items()},
            "each": [round(sum(e for e, _ in parts) / words, 4) for parts in of_seeds],
            **{f"beyond_{name}": points(together, parts) for name, parts in known.items()},
            "moved": {"share": round(float((moved != 0).mean()), 4), "most_ms": 10 * int(np.abs(moved).max())}}


def heard(said: Sequence[tuple[str, str]], recitals: Sequence[Recital]) -> list[tuple[int, int]]:
    """Word errors and words of each text."""
    listener = Listener(name for name, _ in said)
    return [listener.errors(name, text, recital.audio) for (name, text), recital in zip(said, recitals, strict=True)]


def points(parts: Sequence[tuple[float, int]], than: Sequence[tuple[float, int]]) -> dict[str, float]:
    """Word errors beyond others on the same texts, in points, with the interval of a bootstrap over texts."""
    beyond = [(100 * (own - other), n) for (own, n), (other, _) in zip(parts, than, strict=True)]
    value, low, high = estimate(ratio(beyond, count=sum(n for _, n in beyond)))
    low, high = (value if x is None else x for x in (low, high))   # of one text
    return {"points": round(value, 2), "low": round(low, 2), "high": round(high, 2)}


def difference(recitals: Sequence[Recital], others: Sequence[Recital]) -> np.ndarray:
    """Frames by which each piece of the same texts lasts longer than in the others, (pieces,) int64."""
    return np.concatenate([(a.lasts - b.lasts) // HOP for a, b in zip(recitals, others, strict=True)])
