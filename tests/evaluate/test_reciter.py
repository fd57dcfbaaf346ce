"""A text recited sounds as it does in use: `DuplexModel.step`, told what to decide, does the same."""

import numpy as np
import pytest
import tiny
import torch

from omni.data.speaker import VoiceSpeaker
from omni.evaluate.reciter import Recital, Reciter
from omni.model.duplex import DuplexModel
from omni.model.synthesizer import Synthesizer
from omni.model.tokens import END_SPEAK, MAX_WAITING, START_SPEAK, THINK

TEXTS = ["one two three, four.", "four.", "two two one three four, one two."]


@pytest.fixture(scope="module")
def model() -> DuplexModel:
    """States matter: the gate is open."""
    model = tiny.duplex(restless=False)
    tiny.steady(model.mouth, level=0.0)
    with torch.no_grad():
        model.mouth.gate.fill_(1.0)
        model.mouth.synthesizer.timing[-1].bias += 1.0
    return model


def _in_use(model: DuplexModel, text: str) -> tuple[np.ndarray, list[int], list[int]]:
    """Sound, and samples at which pieces begin and end."""
    state, todo, token = model.init_state(1), model.pieces.encode(text), START_SPEAK
    audio, begun, ended, plain, queue = [], [], [], model.mind.logits, None
    try:
        while queue is None or token != END_SPEAK:
            if queue is not None:
                waiting, sounding = int(Synthesizer.waiting(queue)), bool(Synthesizer.sounding(queue))
                token = (todo.pop(0) if todo and waiting < MAX_WAITING else
                         THINK if todo or waiting or sounding else END_SPEAK)
            wanted = torch.zeros(len(model.pieces))
            wanted[token] = 1e4
            model.mind.logits = lambda hidden, wanted=wanted: wanted.expand(*hidden.shape[:-1], -1)
            out = model.step(torch.zeros(1, 1280), torch.zeros(1, dtype=torch.int64), torch.tensor([True]), state)
            assert int(out.token) == token
            for found, at in ((begun, out.begun_at), (ended, out.ended_at)):
                found += [len(audio) * 1280 + n for n in at[0].tolist() if n >= 0]
            audio.append(out.audio[0].numpy().copy())
            queue = state["mouth"]["queue"]
    finally:
        model.mind.logits = plain
    return np.concatenate(audio), begun, ended


@pytest.mark.parametrize("text", TEXTS)
def test_states_drive_it_as_in_use(model, text):
    said, = Reciter(model).say([text])
    audio, begun, ended = _in_use(model, text)
    assert said.pieces.tolist() == model.pieces.encode(text)
    assert said.begun.tolist() == begun and said.ended.tolist() == ended and (said.lasts > 0).all()
    _alike(said.audio, audio)


def test_without_states_it_is_the_voice_of_lessons(model):
    for text, said in zip(TEXTS, Reciter(model, states=False).say(TEXTS), strict=True):
        known = VoiceSpeaker(model.mouth, model.pieces).render(text).audio
        _alike(said.audio, known)


def test_an_open_gate_lets_states_move_pieces(model):
    with_states, without = (Reciter(model, states).say(TEXTS) for states in (True, False))
    assert any((a.lasts != b.lasts).any() for a, b in zip(with_states, without, strict=True))


def test_texts_said_together_are_said_as_alone(model):
    for one, text in zip(Reciter(model, batch=2).say(TEXTS), TEXTS, strict=True):
        _same(one, Reciter(model).say([text])[0])


def _alike(audio: np.ndarray, known: np.ndarray) -> None:
    """But for rounding."""
    assert len(audio) == len(known) and np.abs(audio - known).max() < 1e-2 * np.abs(known).max() > 1e-5


def _same(one: Recital, other: Recital) -> None:
    for name in ("pieces", "begun", "ended"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
    _alike(one.audio, other.audio)


def test_a_rate_is_passed_to_the_mouth(model):
    slow, plain, same, fast = (Reciter(model, states=False, rate=rate).say(TEXTS[2:])[0]
                               for rate in (0.5, None, 1.0, 2.0))
    _same(plain, same)
    assert slow.lasts.sum() > plain.lasts.sum() > fast.lasts.sum()
