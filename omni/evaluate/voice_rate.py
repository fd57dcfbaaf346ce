"""Does the voice follow a speaking rate? The same texts slower and faster: how long they take, and are they understood?
"""

from collections.abc import Sequence

import numpy as np

from omni.evaluate.metrics.metric import estimate, ratio
from omni.evaluate.reciter import Recital, Reciter
from omni.evaluate.voice_contract import heard, points
from omni.model.duplex import DuplexModel

RATES = (0.8, 1.0, 1.25)
_OWN = 1.0              # what the others are compared with


def seconds(recitals: Sequence[Recital]) -> np.ndarray:
    """(texts,) from each one's first piece to the end of its last."""
    return np.array([(said.ended[-1] - said.begun[0]) / 16_000 for said in recitals])


def measure(model: DuplexModel, said: Sequence[tuple[str, str]], rates: Sequence[float] = RATES) -> dict:
    """Durations and word errors at each rate, given to the mouth in every block; no states drive it.

    Args:
        said: (grammar, text) of each text.
        rates: times as fast as its teacher; 1.0 is among them.

    Returns:
        {rate: {"asked": 1 / rate, "took", "low", "high": seconds of all texts by those at rate 1.0, with the 95 %
        interval of a bootstrap over texts, "words", "word_error_rate", "beyond": {"points", "low", "high"} word errors
        beyond those at rate 1.0, paired by text}}

    Raises:
        ImportError: pocketsphinx is not installed.
    """
    texts = [text for _, text in said]
    recitals = {rate: Reciter(model, states=False, rate=rate).say(texts) for rate in rates}
    errors = {rate: heard(said, recitals[rate]) for rate in rates}
    plain, report = seconds(recitals[_OWN]), {}
    for rate in rates:
        took = estimate(ratio(list(zip(seconds(recitals[rate]), plain, strict=True)), count=len(texts)))
        words = sum(n for _, n in errors[rate])
        report[str(rate)] = {
            "asked": round(1 / rate, 4),
            **{name: None if x is None else round(x, 4) for name, x in zip(("took", "low", "high"), took, strict=True)},
            "words": words, "word_error_rate": round(sum(e for e, _ in errors[rate]) / words, 4),
            "beyond": points(errors[rate], errors[_OWN])}
    return report
