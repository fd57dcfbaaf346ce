"""The one thing a baseline says, long enough to be interrupted."""

from dataclasses import dataclass

import numpy as np

from omni.base.timebase import TINY
from omni.data.flite import Flite
from omni.data.voices import loud_span

TEXT = ("There is a lot to say about that, so let me take it from the beginning. First we look at where it came from, "
        "then at how it is used today, and after that at what most people get wrong. If anything is not clear, say so.")


@dataclass(frozen=True, slots=True)
class Word:
    """A word and its samples [start, end) within the reply."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FixedReply:
    """Speech and what is said in it when.

    Attributes:
        samples: float32 (N,) at 16 kHz.
        words: in order, none over another.
    """

    samples: np.ndarray
    words: tuple[Word, ...]

    def __post_init__(self):
        borders = [0, *(at for word in self.words for at in (word.start, word.end)), len(self.samples)]
        if borders != sorted(borders) or any(word.start == word.end for word in self.words):
            raise ValueError("the words of a reply lie in it one after the other")


def speak_reply(text: str = TEXT) -> FixedReply:
    """The text in flite's voice slt, the agent's own, from its first sound to its last; the usual one takes 12 s.

    Raises:
        OmniError: flite is not installed.
    """
    speech = Flite("slt").speak(text)
    assert speech.rate_hz == TINY.sample_rate_hz, "slt speaks at another rate"
    first, last = loud_span(speech.samples)

    def place(seconds: float) -> int:
        return min(max(round(seconds * speech.rate_hz), first), last) - first

    return FixedReply(speech.samples[first:last], tuple(Word(word, place(a), place(b)) for word, a, b in speech.words))
