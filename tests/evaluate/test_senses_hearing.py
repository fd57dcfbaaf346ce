"""The ears measured alone: the same captions as in use, and every number by hand."""

import random

import numpy as np
import pytest
import tiny
import torch

from omni.audio.files import write_wav
from omni.audio.mixing import active_level
from omni.data import held_out, skills
from omni.data.recordings import Recording
from omni.data.skills.talk import Memory
from omni.evaluate.metrics.metric import ratio
from omni.evaluate.senses import captions, sounds, stimuli
from omni.evaluate.senses.goals import GOALS, Row, by_case, measured
from omni.evaluate.senses.listener import Heard, Listener
from omni.model.duplex import DuplexModel
from omni.model.tokens import START_SPEAK

BLOCK = 1280
HEADS = {"characters": tiny.ENCODER, "pieces": tiny.SENSES}


def _noise(count: int, seed: int, level: float = 0.2) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)


@pytest.fixture(params=HEADS)
def model(request) -> DuplexModel:
    """One that never takes the floor, by either caption head."""
    model = tiny.duplex(encoder=HEADS[request.param], restless=False)
    plain, never = model.mind.logits, torch.zeros(len(model.pieces))
    never[START_SPEAK] = -1e9
    model.mind.logits = lambda hidden: plain(hidden) + never
    return model


def test_captions_are_those_of_the_whole_model_while_it_is_silent(model):
    """Block for block, in a batch of rooms of different lengths against each alone."""
    rooms = [_noise(BLOCK * n, n) for n in (34, 19, 32)]
    heard = Listener(model, batch=2).hear(rooms)
    on, none, count = torch.tensor([True]), torch.tensor([0]), 0
    for room, found in zip(rooms, heard, strict=True):
        state, said = model.init_state(1), []
        for i, block in enumerate(torch.from_numpy(room).split(BLOCK)):
            out = model.step(block[None], none, on, state)
            assert not out.speaking.any()
            if text := model.caption_text([k for k in out.caption[0].tolist() if k >= 0]):
                said.append((text, (i + 1) * BLOCK))
        assert list(found.captions) == said
        count += len(said)
    assert count > 5


def test_over_its_own_voice_they_are_those_of_the_parallel_forward(model):
    room, own = _noise(BLOCK * 10, 1), _noise(BLOCK * 10, 2)
    over, alone = Listener(model).hear([room, room], [own, None])
    with torch.inference_mode():
        frames, _ = model.hear(torch.from_numpy(room)[None], torch.from_numpy(own)[None])
        logits = model.encoder.pieces(frames) if model.encoder.pieces is not None else model.encoder.captions(frames)
    best = logits[0].argmax(-1).tolist()
    kept = [i for i, before in zip(best, [0, *best], strict=False) if i and i != before]
    assert over.text == model.caption_text(kept) != alone.text


def test_sounds_are_told_block_by_block_where_there_is_a_head():
    heard, = Listener(tiny.duplex(encoder=tiny.SENSES)).hear([_noise(BLOCK * 5 - 300, 0)])
    assert heard.sounds.shape == (5, tiny.SENSES.sounds)
    plain, = Listener(tiny.duplex()).hear([_noise(BLOCK, 0)])
    assert plain.sounds is None


def test_the_class_is_named_by_the_blocks_that_sound():
    """Loud in block 1 alone, where class 2 leads; in the quiet blocks class 0 does, by far."""
    samples = np.concatenate([np.full(BLOCK, 0.001), np.full(BLOCK, 0.5), np.full(BLOCK // 2, 0.001)])
    logits = np.array([[9, 0, 0], [0, 1, 2], [9, 0, 0]], np.float32)
    assert sounds.named(samples.astype(np.float32), Heard((), logits), BLOCK) == 2


def test_a_word_is_complete_with_its_last_character():
    heard = Heard(((" t", 100), ("wo thr", 200), ("ee", 300)))
    assert heard.words == ["two", "three"]
    assert heard.completed() == [("two", 200), ("three", 300)]


def test_delays_are_from_each_words_end_and_of_words_that_were_heard():
    """Heard: "two" 0.1 s after its end, "four" 0.2 s before; "three" never; the last "one" is another's, 3 s late."""
    lead = stimuli.LEAD
    times = (("two", 0, 8000), ("three", 8000, 16_000), ("four", 16_000, 24_000), ("one", 24_000, 32_000))
    heard = Heard(((" two", lead + 9600), (" tree", lead + 17_600), (" four", lead + 20_800),
                   (" one", lead + 80_000)))
    assert captions.delays_s(times, heard) == pytest.approx([0.1, -0.2])


def test_slots_are_words_side_by_side():
    words = "can i have a large iced coffee with a lot of sugar".split()
    assert captions.slots_found({"size": "large", "coffeeDrink": "iced coffee", "sugarAmount": "a lot of sugar",
                                 "milkAmount": "milk", "roast": "large coffee"}, words) == {
        "size": True, "coffeeDrink": True, "sugarAmount": True, "milkAmount": False, "roast": False}
    assert captions.slots_found({"size": "large"}, []) == {"size": False}


def test_captions_within_a_span_are_out_after_its_beginning():
    heard = Heard(((" yes", 100), (" no", 200), (" go", 300)))
    assert captions.within(heard, 100, 200) == ["no"]


def test_errors_are_in_words_without_case():
    assert captions.errors_in("A B yes", Heard(((" a yes", 1), (" yes", 2)))) == (1, 3)


def test_the_worlds_texts_are_half_of_wordings_that_no_lesson_has():
    """Of these, half are of the held-out sets, half of what the skills keep from their lessons, each in turn."""
    apart, own = found = captions.texts(80, 0)
    assert len(apart) == len(own) == 40 and found == captions.texts(80, 0) != captions.texts(80, 1)
    assert [text in held_out.wordings() for text in apart] == [True, False] * 20
    assert not any(text in held_out.wordings() for text in own)
    drawn = {name: {skills.ask(random.Random(i), Memory(), name).user for i in range(300)} for name in skills.names()}
    assert not set(apart) & set().union(*drawn.values()) and len(set(apart[1::2])) > 15
    assert [len(texts) for texts in captions.texts(1, 0)] == [1, 0]


def test_noise_is_scaled_by_the_loudest_frames():
    """A burst of 0.4 in silence, over a noise with a burst of its own: energies 12 dB apart, peak at a half."""
    speech, noise = np.zeros(20_480, np.float32), _noise(20_480, 0, 0.001)
    speech[4096:6144] = 0.4
    noise[10_240:12_288] = 0.05
    mixed = stimuli.at_loudest(speech, noise, 12.0)
    assert np.abs(mixed).max() == pytest.approx(0.5)
    heard, under = mixed[4096:6144], mixed[10_240:12_288]
    ratio_db = 10 * np.log10(np.square(heard).sum() / np.square(under).sum())
    assert ratio_db == pytest.approx(12.0, abs=0.2)


def test_words_run_on_in_a_room_and_each_has_its_span(tmp_path):
    words = []
    for i, text in enumerate(("yes", "no", "go")):
        write_wav(tmp_path / f"{text}.wav", _noise(8000, i), 16_000)
        words.append(Recording(tmp_path / f"{text}.wav", "speech_commands", f"p{i}", text))
    dry, spans = stimuli.running(words, None, random.Random(0))
    assert [b - a >= 16_000 for a, b in spans] == [True] * 3 and spans[0][0] == stimuli.LEAD
    assert all(a[1] == b[0] for a, b in zip(spans, spans[1:], strict=False)) and spans[-1][1] == len(dry)
    for first, _ in spans:
        assert active_level(dry[first:first + 8000]) > 20 * active_level(dry[first + 8000:first + 16_000])
    wet, wet_spans = stimuli.running(words, [_noise(40_000, 9)], random.Random(0))
    gap = slice(wet_spans[0][0] + 10_000, wet_spans[0][1])
    assert active_level(wet[gap]) > 5 * active_level(dry[gap]) and np.abs(wet).max() == pytest.approx(0.5)


@pytest.mark.parametrize("ratio_db", [6.0, -6.0])
def test_the_echo_is_as_loud_as_asked_and_comes_later(ratio_db):
    user, own = _noise(32_000, 0, 0.1), np.zeros(32_000, np.float32)
    own[8000:] = _noise(24_000, 1, 0.3)
    echo = stimuli.over_echo(user, own, ratio_db, random.Random(0)) - user
    assert np.abs(echo[:8000 + 320]).max() < 1e-6
    assert 20 * np.log10(active_level(user) / active_level(echo)) == pytest.approx(ratio_db, abs=0.3)


def test_a_stretch_of_noise_has_no_seam():
    slow = np.sin(np.arange(30_000) / 300).astype(np.float32)
    found = stimuli.stretch([slow], 50_000, random.Random(3))
    assert len(found) == 50_000 and np.abs(np.diff(found)).max() < 0.02


def test_a_row_reaches_what_its_value_reaches():
    assert GOALS["an4"].better == "lower"
    assert [Row("an4", value).reached for value in (0.05, 0.12, 0.13, None)] == ["aim", "floor", "no", "-"]
    assert [Row("words", value).reached for value in (0.96, 0.90, 0.5)] == ["aim", "floor", "no"]
    assert Row("words_clean", 0.99).reached == "-"


def test_intervals_are_over_speakers():
    """Two speakers of whom one is never understood: what is drawn lies between both, the value in the middle."""
    row = measured("an4", ratio(by_case([("a", 0, 2), ("b", 3, 3), ("a", 0, 1)])), "words")
    assert (row.value, row.low, row.high, row.count, row.cases) == (0.5, 0.0, 1.0, 6, 2)
