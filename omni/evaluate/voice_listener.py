"""Who hears what was said: an independent recogniser for each kind of text, told what can be said there."""

from collections.abc import Iterable

import numpy as np

from omni.base.words import word_errors
from omni.data.skills import orders
from omni.evaluate.recogniser import Recogniser
from omni.evaluate.senses import grammar
from omni.evaluate.senses.grammar import plain


def grammars() -> dict[str, str]:
    """What may be heard, by name; closed sets, the same for every speaker."""
    words = sorted({w for text in orders.vocabulary() for w in plain(text).split()})
    return {**grammar.world(), "words": grammar.one_of(words) + "+"}


class Listener:
    """Word errors. A recogniser keeps a running mean of what it has heard, so that speakers who are compared text by
    text have a listener each.

    Args:
        names: of the grammars that will be asked for.

    Raises:
        ImportError: pocketsphinx is not installed.
    """

    def __init__(self, names: Iterable[str]):
        rules = grammars()
        self._ears = {name: Recogniser(grammar=rules[name]) for name in dict.fromkeys(names)}

    def errors(self, name: str, text: str, samples: np.ndarray) -> tuple[int, int]:
        """Word errors in float32 samples (N,) at 16 kHz of a text, heard by a grammar, and the text's words."""
        return word_errors(plain(text), self._ears[name].hear(samples))
