"""The independent ear hears what is said among the words it is given, and nothing where nothing is."""

import numpy as np
import pytest
from conftest import need

from omni.data import voices
from omni.evaluate.recogniser import Recogniser

DRINKS = ["americano", "espresso", "cappuccino"]
WORDS = [*DRINKS, *"large small with milk please two three".split()]


def _speak(text: str) -> np.ndarray:
    need("flite")
    return voices.speak(text, voices.Voice("flite", "slt", 100, 0))


@pytest.mark.parametrize("drink", DRINKS)
def test_a_word_of_the_teacher_is_told_from_the_others(drink):
    heard = Recogniser(WORDS).hear(_speak(f"large {drink} with milk")).split()
    assert [word for word in heard if word in DRINKS] == [drink]


def test_the_same_recogniser_hears_the_next_one_afresh():
    recogniser = Recogniser(WORDS)
    assert [recogniser.hear(_speak(text)) for text in ("two", "three")] == ["two", "three"]


def test_a_word_it_cannot_pronounce_is_named():
    with pytest.raises(ValueError, match="zzyzx"):
        Recogniser(["milk", "zzyzx"])


def test_silence_has_no_words_in_general():
    assert Recogniser().hear(np.zeros(16_000, np.float32)) == ""
