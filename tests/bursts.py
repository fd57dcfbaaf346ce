"""Conversations made of tone bursts, whose numbers are known by hand."""

import numpy as np
import pytest

from omni.evaluate.cases import Case, Floor, Word
from omni.evaluate.record import Caption
from omni.evaluate.verdicts import TurnSpan

RATE = 16_000


def place(seconds: float) -> int:
    """In samples."""
    return round(seconds * RATE)


def turn(kind: str, start: float, end: float, decisive: float | None = None, text: str | None = None,
         answer: tuple[str, ...] = ()) -> TurnSpan:
    return TurnSpan(f"{kind} {start}", place(start), place(end), place(start), place(end), kind, text, answer,
                    None if decisive is None else place(decisive))


def says(start: float, end: float, words: str | None = "a b c d", reason: str | None = "finished") -> tuple:
    return place(start), place(end), words, reason


def cut(start: float, end: float) -> tuple:
    return says(start, end, reason="interrupted")


def tone(start: int, end: int) -> np.ndarray:
    """300 Hz at -17 dBFS with ramps of 5 ms."""
    samples = 0.2 * np.sin(2 * np.pi * 300 * np.arange(start, end) / RATE)
    ramp = np.linspace(0, 1, 80)
    samples[:80] *= ramp
    samples[-80:] *= ramp[::-1]
    return samples.astype(np.float32)


def talk(length: float, turns=(), agent=(), captions=()) -> Case:
    """A conversation: `says` bursts with evenly spread words (none: noise that is no reply), captions (text, at)."""
    sound, replies, words = np.zeros(place(length), np.float32), [], []
    for start, end, text, reason in agent:
        sound[start:end] = tone(start, end)
        if text is not None:
            replies.append(Floor(start, end, end, reason))
            edges = np.linspace(start, end, len(text.split()) + 1).astype(int).tolist()
            words.extend(Word(word, *span) for word, *span in zip(text.split(), edges, edges[1:], strict=False))
    user = 0.01 * np.random.default_rng(0).standard_normal(len(sound)).astype(np.float32)
    turns = sorted(turns, key=lambda t: t.speech_start)
    return Case("talk", user, sound, tuple(turns), tuple(replies), tuple(words),
                tuple(Caption(text, place(at)) for text, at in captions))


def number(measured, *cases: Case) -> tuple[float | None, int]:
    found = measured(cases)
    return close(found.value), found.count


def close(value: float | None):
    return None if value is None else pytest.approx(value, abs=1e-9)


ASK = turn("turn", 1, 2)
STOP = turn("stop", 3, 3.6, 3.3)
PART, REST = turn("pause", 1, 2), turn("turn", 3, 4)


def paused(length: float, wait: float | None, answer: float = 0.2) -> Case:
    """A pause of some length, `wait` into which the agent begins; it answers the whole `answer` after it."""
    rest = turn("turn", 2 + length, 3 + length)
    into = [] if wait is None else [cut(2 + wait, 2.3 + length)]
    return talk(12, [PART, rest], [*into, says(3 + length + answer, 5 + length)])
