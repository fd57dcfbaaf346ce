"""An utterance of the bank stands for what somebody has in mind only where it can be said now."""

import random

import numpy as np
import pytest
import tiny

from omni.base.errors import OmniError
from omni.data import bank, recordings, skills, streams, user
from omni.data.asks import Asks, placed
from omni.data.bank import Utterance
from omni.data.lines import SoundSource, TextSource
from omni.data.skills.talk import Ask, Memory
from omni.data.streams import SoundConversations
from omni.data.user import TALK, asked
from omni.model.mouth import Mouth
from omni.model.tokens import FIRST_PIECE, Pieces

RNG = random.Random(0)


def utterance(text: str | None, skill: str, kind: str, values: dict | None = None, source: str = "espeak:a",
              dev: bool = False, **more) -> Utterance:
    samples = (np.random.default_rng(len(text or "")).standard_normal(16_000) * 5_000).astype(np.int16)
    return Utterance(samples, text, "", skill, source, dev, kind=kind, values=values or {}, **more)


def test_a_bank_that_does_not_say_what_it_asks_is_refused():
    with pytest.raises(OmniError, match="make it anew"):
        Asks([utterance("hello", "smalltalk", "")])


def test_words_and_values_are_those_of_the_utterance():
    memory = Memory()
    asks = Asks([utterance("capital of spain please", "facts", "capital", {"x": "spain", "y": ""}, decisive=2)])
    drawn = Ask("what is the capital of france", "facts", "capital", {"x": "france", "y": ""})
    u, ask = asks.like(drawn, memory, False, RNG)
    assert ask.user == u.text and ask.values["x"] == "spain" and ask.decisive == 2
    assert asks.like(Ask("hello", "smalltalk", "hello"), memory, False, RNG) is None


def test_what_refers_to_what_was_said_refers_to_what_was_really_said():
    memory = Memory(result=7, order={"coffeeDrink": "mocha"}, name="anna", skill="sums")
    chain = utterance("plus five", "sums", "chain", {"a": "twenty", "sign": "plus", "b": "five"})
    ask = placed(chain, Ask("times two", "sums", "chain", {"a": "seven", "sign": "times", "b": "two"}), memory)
    assert ask.values == {"a": "seven", "sign": "plus", "b": "five"}
    skills.take(ask, memory)
    assert memory.result == 12
    done = utterance("that's all", "orders", "done", {"coffeeDrink": "latte"})
    assert placed(done, Ask("", "orders", "done", {"coffeeDrink": "mocha"}), memory).values == {"coffeeDrink": "mocha"}
    name = utterance("no my name is ben", "recall", "name", {"name": "ben", "was": "emma"})
    ask = placed(name, Ask("", "recall", "name", {"name": "x"}), memory)
    assert ask.values == {"name": "ben", "was": "anna"}
    assert placed(name, Ask("", "recall", "name", {"name": "x"}), Memory()).values == {"name": "ben"}


def test_a_chain_that_has_no_result_is_not_said():
    memory = Memory(result=900, skill="sums")
    drawn = Ask("", "sums", "chain", {"a": "nine hundred", "sign": "plus", "b": "two"})
    assert placed(utterance("times nine", "sums", "chain", {"a": "two", "sign": "times", "b": "nine"}), drawn,
                  memory) is None
    drawn = Ask("", "sums", "chain", {"a": "minus nine", "sign": "plus", "b": "two"})
    assert placed(utterance("divide that by two", "sums", "chain", {"a": "two", "sign": "divided by", "b": "two"}),
                  drawn, memory) is None


def test_what_is_asked_about_something_is_asked_about_that():
    pool = [utterance(f"what is my favourite {of}", "recall", "what favourite", {"of": of})
            for of in ("colour", "drink", "day", "city")]
    asks, memory = Asks(pool), Memory(favourites={"day": "monday"})
    drawn = Ask("", "recall", "what favourite", {"of": "day"})
    found = [asks.like(drawn, memory, False, random.Random(i))[1].values["of"] for i in range(20)]
    assert found.count("day") >= 18
    drinks = [utterance("a large latte", "orders", "order", {"size": "large", "coffeeDrink": "latte"}),
              utterance("a mocha", "orders", "order", {"coffeeDrink": "mocha"})]
    for i in range(10):
        assert Asks(drinks).like(Ask("a latte", "orders", "order", {"coffeeDrink": "latte"}), memory, True,
                                 random.Random(i))[1].user == "a mocha"


def test_real_orders_count_without_words():
    real = utterance(None, "orders", "order", {"coffeeDrink": "latte", "size": "small"}, "coffee_orders", decisive=3)
    asks = Asks([real, utterance("a mocha", "orders", "order", {"coffeeDrink": "mocha"})])
    drawn = Ask("a small mocha", "orders", "order", {"coffeeDrink": "mocha", "size": "small"})
    _, ask = asks.like(drawn, Memory(), True, RNG)
    assert ask.user == "" and ask.values["coffeeDrink"] == "latte"
    assert asks.like(drawn, Memory(), False, RNG)[1].user == "a mocha"


@pytest.fixture
def source(monkeypatch, tmp_path) -> SoundSource:
    lines = [utterance(f"order {i}", "orders", "order", {"coffeeDrink": "latte"}) for i in range(3)]
    lines += [utterance("stop", "floor", "stop", source="speech_commands"), utterance("wait", "floor", "wait"),
              utterance("hello", "smalltalk", "hello"), utterance("a dev line", "smalltalk", "hello", dev=True)]
    lines += [utterance(w, "readback", "whole", {"string": w}, "speech_commands", open=True) for w in ("one", "two")]
    lines += [utterance("uh huh", "backchannel", ""), utterance("yeah", "words", "", source="speech_commands"),
              utterance("pass me the salt", "other", ""), utterance("bed", "words", "", source="speech_commands")]
    clip = np.concatenate([np.zeros(32_000), np.sin(np.arange(16_000) / 4) * 0.2, np.zeros(32_000)])
    monkeypatch.setattr(bank, "load", lambda folder: lines)
    monkeypatch.setattr(recordings, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(recordings, "sounds", lambda root: [
        recordings.Recording(tmp_path / "a.ogg", "sound_events", "", "rain")])
    monkeypatch.setattr(recordings, "read", lambda path: clip.astype(np.float32))
    return SoundSource(tmp_path)


def test_a_source_asks_only_what_its_bank_has(source):
    rng, seen = random.Random(1), set()
    for _ in range(60):
        line = source.ask(rng, Memory())
        if line is not None:
            seen.add((line.ask.skill, line.ask.kind))
            assert line.text == line.ask.user and line.text != "a dev line" and line.num_samples == len(line.samples)
    assert seen <= {("orders", "order"), ("floor", "stop"), ("floor", "wait"), ("smalltalk", "hello"),
                    ("readback", "whole")} and len(seen) > 2
    assert source.ask(rng, Memory(), "floor", ("stop",)).ask.kind == "stop"
    assert source.ask(rng, Memory(), "facts") is None


def test_strung_digits_may_go_on_and_have_pauses(source):
    for seed in range(20):
        line = source._strung(random.Random(seed))
        assert line.ask.open and line.ask.values["string"].replace(",", "") == line.text
        assert 2 <= len(line.text.split()) <= 6


def test_what_asks_for_nothing_has_no_ask(source):
    rng = random.Random(2)
    for kind in ("backchannel", "other", "word", "sound"):
        for _ in range(10):
            line = source.draw(kind, rng)
            assert line.ask is None and (line.sound == "rain") == (kind == "sound")
    assert {source.draw("backchannel", rng).text for _ in range(20)} == {"uh huh", "yeah"}
    assert source.draw("word", rng).text == "bed"


def test_of_a_clip_what_is_loud_is_heard_as_loud_as_speech(source):
    for seed in range(10):
        part = source.draw("sound", random.Random(seed)).samples.astype(np.float32) / 32_768
        assert 0.04 < np.abs(part[:min(len(part), 8_000)]).max() < 0.3


def test_replies_of_hasty_rows_pass_in_silence_and_fast(source, monkeypatch, tmp_path):
    pieces = Pieces(skills.vocabulary())
    mouth = tiny.randomise(Mouth(tiny.MOUTH, len(pieces))).eval()
    for name in ("rooms", "noises"):
        monkeypatch.setattr(recordings, name, lambda root: [])
    for name in ("Augment", "mix"):
        monkeypatch.setattr(streams, name, lambda *args: np.zeros(200 * 1280, np.float32))
    lessons = SoundConversations(tmp_path, mouth, list(pieces.words), 200, 2, seed=3, drills=2, hasty=1, copies=1)
    batch = lessons.open()(random.Random(4))
    spoken = (batch["target"] >= FIRST_PIECE).sum(1)
    assert batch["own"][0].abs().max() > 0 and not batch["own"][1].any() and (spoken > 0).all()
    gaps = (batch["target"][1] >= FIRST_PIECE).nonzero()[:, 0].diff()
    assert gaps.min() == 1 and gaps.median() <= 2


def test_asks_keep_to_what_was_wanted():
    rng = random.Random(3)
    for _ in range(30):
        assert asked(rng, Memory(), over=True).over
        assert asked(rng, Memory(), "floor", ("wait",)).kind == "wait"
        assert asked(rng, Memory(), longest=40).user
    assert asked(rng, Memory(), "floor", ("go on",)) is None, "there is nothing to go on with"
    assert sum(TALK.between.values()) == pytest.approx(1)


def test_what_is_held_out_is_drawn_anew(monkeypatch):
    """A generator hits upon a held-out text once in many thousands, and training is not to end there."""
    apart = {asked(random.Random(seed), Memory(), "sums").user.lower() for seed in range(60)}
    monkeypatch.setattr(user, "wordings", lambda: apart)
    found = [asked(random.Random(seed), Memory(), "sums").user.lower() for seed in range(60)]
    assert len(apart) > 50 and not apart & set(found)
    said = TextSource().ask(random.Random(5), Memory(), "sums")
    assert said.text.lower() not in apart
