"""A minute in one breath: drift is seen where there is some, and the shipped voice has none."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from omni.evaluate import voice_minute
from omni.evaluate.reciter import Recital
from omni.model.tokens import Pieces
from omni.model.weights import load_model

pytestmark = pytest.mark.usefixtures("one_thread")

RATE_HZ = 16_000


def _tone(hz: float, gain: float, seconds: float) -> np.ndarray:
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (gain * sum(np.sin(2 * np.pi * hz * n * t) / n for n in range(1, 9))).astype(np.float32)


def test_a_voice_that_drifts_is_seen_to():
    """The same two sentences twice, the second time half as loud, a tone higher and slower by a quarter."""
    pieces, sentences = Pieces(tiny.WORDS), ["one two.", "three four."]
    audio = np.concatenate([_tone(160, 0.2, 1.2), _tone(180, 0.1, 1.5)])
    times = np.cumsum([0.0, *[0.2] * 6, *[0.25] * 6])
    at = (times * RATE_HZ).round().astype(int)
    recital = Recital(audio, np.array(2 * pieces.encode(" ".join(sentences))), at[:-1], at[1:])
    first, last = (voice_minute.part_of(recital, pieces, sentences, start, None) for start in (0, 6))
    assert first.pitch_hz == pytest.approx(160, rel=0.01) and last.pitch_hz == pytest.approx(180, rel=0.01)
    assert last.level_db - first.level_db == pytest.approx(-6.02, abs=0.1)
    assert first.words_per_s == pytest.approx(4 / 1.2) and last.words_per_s == pytest.approx(4 / 1.5)
    assert not first.errors and not last.errors


@pytest.mark.parametrize("first", range(3))
def test_a_breath_lasts_a_minute_and_ends_as_it_began(first):
    """Timed by a speaker that takes 0.3 s for a word."""
    def seconds(text: str) -> float:
        return 0.3 * len(text.split())

    speaker = SimpleNamespace(render=lambda text: SimpleNamespace(audio=range(int((seconds(text) + 0.16) * RATE_HZ))))
    sentences, opening = voice_minute.breath(speaker, first)
    assert sentences[:opening] == sentences[-opening:] and len(sentences) > 3 * opening
    assert 15 <= seconds(" ".join(sentences[:opening])) < 20 and 60 <= seconds(" ".join(sentences)) < 72
    assert len(set(sentences)) == len(sentences) - opening, "nothing else is said twice"


def test_the_shipped_voice_is_after_a_minute_what_it_was():
    """The same words at both ends, so that bars can be narrow."""
    ((first, last),), (seconds,) = voice_minute.ends(load_model("tiny"), 1, states=False, hear=False)
    assert seconds >= 60
    assert abs(last.level_db - first.level_db) < 0.5
    assert abs(last.pitch_hz / first.pitch_hz - 1) < 0.02
    assert abs(last.words_per_s / first.words_per_s - 1) < 0.02
