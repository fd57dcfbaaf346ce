"""The contract of the shipped mouth: a mind that never learned anything drives it, and it speaks as before."""

import numpy as np
import pytest
import torch

from omni.evaluate import voice_contract
from omni.evaluate.pitch import pitch_hz
from omni.evaluate.reciter import Recital, Reciter
from omni.model.weights import load_model

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["okay, a small latte with oat milk.", "nora took her small lantern, and held it to the window all night long.",
         "Q U I L L."]


def _voice(said: list[Recital]) -> tuple[float, float]:
    """Median pitch in Hz, and level in dB, of voiced frames."""
    pitch, level = (np.concatenate(x) for x in zip(*(pitch_hz(one.audio) for one in said), strict=True))
    return float(np.median(pitch[pitch > 0])), 10 * float(np.log10((level[pitch > 0] ** 2).mean()))


def test_states_of_an_untrained_mind_move_no_piece_by_more_than_a_frame_and_an_open_gate_does():
    """A frame is what rounding can do to a phone whose time lies between two."""
    model = load_model("tiny")
    plain, speaker = Reciter(model, states=False).say(TEXTS), Reciter(voice_contract.untrained_mind(model, 0))
    driven = speaker.say(TEXTS)
    moved = voice_contract.difference(driven, plain)
    assert len(moved) == sum(len(model.pieces.encode(text)) for text in TEXTS)
    assert np.abs(moved).max() <= 1
    (pitch, level), (driven_pitch, driven_level) = _voice(plain), _voice(driven)
    assert abs(driven_pitch / pitch - 1) < 0.01 and abs(driven_level - level) < 0.25
    with torch.no_grad():
        speaker.model.mouth.gate.fill_(1.0)
    assert np.abs(voice_contract.difference(speaker.say(TEXTS), plain)).max() > 1


def test_an_untrained_mind_has_the_same_ears_and_mouth_and_nothing_else_of_the_model():
    model = load_model("tiny")
    one, other = (voice_contract.untrained_mind(model, seed) for seed in (0, 1))
    again = voice_contract.untrained_mind(model, 0)
    assert one.mouth is model.mouth and one.encoder is model.encoder and one.config == model.config
    known, minds = dict(model.named_parameters()), [dict(mind.named_parameters()) for mind in (one, other, again)]
    own = [name for name in minds[0] if not name.startswith(("mouth.", "encoder.", "mind.model.model.embed_tokens"))]
    assert {name.split(".")[0] for name in own} >= {"mind", "connector", "token_in", "own_in", "backlog", "reader"}
    for name in (name for name in own if "norm" not in name and minds[0][name].dim() > 1):
        drawn = [mind[name] for mind in minds]
        assert torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], known[name]), name
        assert not torch.equal(drawn[0], drawn[1]) or not drawn[0].any(), name


def test_points_are_paired_by_text():
    """Two errors more in 40 words; the pairing leaves no doubt where all texts lose alike."""
    found = voice_contract.points([(2, 10), (1, 10), (1, 20)], [(1, 10), (1, 10), (0, 20)])
    assert found["points"] == 5.0 and found["low"] <= 5.0 <= found["high"]
    alike = voice_contract.points([(3, 10), (1, 10)], [(2, 10), (0, 10)])
    assert alike == {"points": pytest.approx(10.0), "low": pytest.approx(10.0), "high": pytest.approx(10.0)}
