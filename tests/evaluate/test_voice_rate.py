"""The shipped voice follows a speaking rate."""

import numpy as np
import pytest

from omni.evaluate import voice_rate
from omni.evaluate.reciter import Reciter
from omni.model.weights import load_model

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["two plus three is five.", "a fox lived at the edge of a forest."]


def test_it_takes_longer_the_slower_it_is_asked_to_speak_and_as_long_as_asked():
    model, rates = load_model("tiny"), (0.6, 0.8, 1.0, 1.25, 1.6)
    took = np.array([voice_rate.seconds(Reciter(model, states=False, rate=rate).say(TEXTS)) for rate in rates])
    assert (np.diff(took, axis=0) < 0).all()
    for rate, seconds in zip(rates, took, strict=True):
        assert seconds * rate == pytest.approx(took[2], rel=0.1), rate
