"""The teacher's voice and the synthetic users, where the programs that make them are installed."""

import dataclasses
import gc
import os
import random
from collections import Counter

import numpy as np
import pytest
import tiny

from omni.base.errors import ConfigError, OmniError
from omni.data import bank, voices
from omni.data.espeak import Espeak
from omni.data.festival import Festival
from omni.data.flite import Flite
from omni.data.hibari import Hibari
from omni.data.pico import Pico
from omni.data.piper import Piper
from omni.data.skills.talk import Memory
from omni.model.phones import PHONES
from omni.model.tokens import PAUSES, Pieces
from omni.train import voice


def _have(make):
    """What `make` gives, or a skip that says what is not installed; where all is promised, a failure."""
    try:
        return make()
    except OmniError as error:
        if os.environ.get("OMNI_REQUIRE_ALL") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def slt() -> Flite:
    return _have(lambda: Flite("slt"))


def test_the_same_text_sounds_the_same_whatever_was_said_before(slt):
    first = slt.speak("one two three").samples
    slt.speak("four five")
    assert np.array_equal(slt.speak("one two three").samples, first)


def test_words_have_times_within_the_sound(slt):
    speech = slt.speak("one two three")
    assert [w for w, _, _ in speech.words] == ["one", "two", "three"] and speech.rate_hz == 16_000
    ends = [t for _, a, b in speech.words for t in (a, b)]
    assert ends == sorted(ends) and ends[-1] <= len(speech.samples) / 16_000
    voiced = speech.f0_hz[speech.f0_hz > 0]
    assert len(voiced) > 20 and 100 < np.median(voiced) < 300


def test_a_lesson_of_the_teacher_lies_on_the_grid_of_frames(slt):
    pieces = Pieces(tiny.WORDS)
    taught = voice.teach("one two W, three.", pieces)
    assert taught.tokens == pieces.encode("one two W, three.")
    assert len(taught.starts) == len(taught.phones) + 1 == sum(taught.counts) + 1 and taught.starts[0] == 0
    assert (np.diff(taught.starts) > 0).all() and taught.starts[-1] * voice.FRAME == len(taught.samples)
    assert len(taught.f0_hz) * voice.FRAME == len(taught.samples)
    said = [PHONES[p - 1] for p in taught.phones]
    assert said[:5] == ["w", "ah", "n", "t", "uw"] and said[-5:] == ["pau", "th", "r", "iy", "pau"]
    last = 0
    for token, count in zip(taught.tokens, taught.counts, strict=True):
        a, b, last = taught.starts[last], taught.starts[last + count], last + count
        sound = np.abs(taught.samples[a * voice.FRAME:b * voice.FRAME]).max()
        assert (sound < 0.01) == (pieces.symbol(token) in PAUSES)


def test_users_speak_with_voices_of_their_own_set():
    rng = random.Random(0)
    sets = {held: {_have(lambda h=held: voices.draw_voice(rng, h)).name for _ in range(300)} for held in (False, True)}
    assert len(sets[False]) > 50 and not sets[False] & sets[True]
    assert "slt" not in sets[False] | sets[True], "the agent's voice is no user's"


@pytest.mark.parametrize("engine", ["espeak", "flite"])
def test_users_are_trimmed_speech_at_sixteen_kilohertz(engine):
    rng = random.Random(1)
    speaker = next(v for v in iter(lambda: _have(lambda: voices.draw_voice(rng)), None) if v.engine == engine)
    sound = _have(lambda: voices.speak("a small coffee please", speaker))
    assert sound.dtype == np.float32 and 8_000 < len(sound) < 64_000
    assert np.abs(sound[:400]).max() > 0.005 * np.abs(sound).max(), "it begins with speech"


@pytest.mark.parametrize("engine", ["espeak", "flite"])
def test_users_phones_have_times_within_the_trimmed_sound(engine):
    name = {"espeak": "en-us+f3", "flite": "rms"}[engine]
    speech = _have(lambda: voices.speak_aligned("two large lattes", voices.Voice(engine, name, 150, 50)
                                                if engine == "espeak" else voices.Voice(engine, name, 100, 0)))
    assert len(speech.phones) > 9 and all(p.startswith(engine[0] + ":") for p, _, _ in speech.phones)
    times = [t for _, a, b in speech.phones for t in (a, b)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= len(speech.samples)
    loud = [np.abs(speech.samples[a:b]).max() for _, a, b in speech.phones]
    assert np.median(loud) > 0.1 * np.abs(speech.samples).max()


def test_espeak_tells_the_words_and_refuses_a_voice_it_lacks():
    engine = _have(Espeak)
    speech = engine.speak("one two three", "en-us+m2")
    assert [w for w, _, _ in speech.words if w] == ["one", "two", "three"] and speech.rate_hz == 22_050
    assert 0.5 < len(speech.samples) / speech.rate_hz < 3
    with pytest.raises(OmniError, match="no-such"):
        engine.speak("one", "no-such")


def test_espeak_outlives_another_speaker():
    first, second = _have(Espeak), _have(Espeak)
    said = second.speak("two", "en-us+m2")
    del second
    gc.collect()                                       # the library must not call what the second left behind
    assert len(first.speak("two", "en-us+m2").samples) == len(said.samples) > 0


def test_festival_tells_words_and_phones_and_refuses_a_voice_it_lacks():
    voice = _have(lambda: Festival("ked"))
    speech = voice.speak('don\'t "stop" (exit) now')
    assert [w for w, _, _ in speech.words] == ["don't", "stop", "exit", "now"] and speech.rate_hz == 16_000
    ends = [t for _, a, b in speech.phonemes for t in (a, b)]
    assert ends == sorted(ends) and ends[-1] <= len(speech.samples) / 16_000 + 0.01
    assert len(voice.speak("stop", stretch=1.3).samples) > 1.15 * len(voice.speak("stop").samples)
    with pytest.raises(OmniError, match="no-such"):
        Festival("no-such")


def test_pico_speaks_as_fast_and_as_high_as_told_and_takes_no_markup():
    voice = _have(lambda: Pico("en-GB"))
    plain = voice.speak("one large latte")
    assert plain.rate_hz == 16_000 and 8_000 < len(plain.samples) < 64_000 and np.abs(plain.samples).max() > 0.05
    assert len(voice.speak("one large latte", rate=80).samples) > 1.15 * len(plain.samples)
    high = voice.speak("one large latte", pitch=130)
    assert _pitch_hz(high.samples) > 1.15 * _pitch_hz(plain.samples)
    spelled = voice.speak("<volume level='0'>one large latte</volume>")
    assert np.abs(spelled.samples).max() > 0.05, "what looks like a tag is read"
    with pytest.raises(OmniError, match="en-XX"):
        Pico("en-XX")


def _pitch_hz(x: np.ndarray) -> float:
    """Median over frames of 50 ms of the strongest repetition between 100 and 400 Hz."""
    found = []
    for frame in x[:len(x) // 800 * 800].reshape(-1, 800):
        if np.abs(frame).max() > 0.1 * np.abs(x).max():
            again = np.correlate(frame, frame, "full")[800:]
            lag = 40 + int(again[39:159].argmax())
            found.append(16_000 / lag)
    return float(np.median(found))


def test_pico_speaks_where_a_bank_asks_for_it_and_never_for_development():
    rng = random.Random(5)
    engines = [_have(lambda: voices.draw_voice(rng, pico=0.3)).engine for _ in range(400)]
    assert 80 < engines.count("pico") < 160
    assert all(voices.draw_voice(rng, held_out=True, pico=1.0).engine != "pico" for _ in range(50))
    before, after = random.Random(6), random.Random(6)
    assert voices.draw_voice(before) == voices.draw_voice(after, pico=0.0), "banks without it are as they were"
    speech = _have(lambda: voices.speak_aligned("my name is I V A", voices.Voice("pico", "en-US", 100, 100)))
    assert speech.phones == () and speech.words == () and len(speech.samples) > 16_000


@pytest.mark.parametrize("make", [Hibari, Piper])
def test_a_neural_voice_speaks_as_fast_as_told(make):
    voice, text = _have(make), "can i get a large latte with soy milk please"
    fast, said = voice.speak(text, 125), range(6)
    assert 1 < len(fast.samples) / fast.rate_hz < 4 and 0.05 < np.abs(fast.samples).max() <= 1
    slow_samples, fast_samples = (sum(len(voice.speak(text, rate).samples) for _ in said) for rate in (80, 125))
    assert 1.25 < slow_samples / fast_samples < 2, "over many, since one of them draws its rhythm anew each time"
    again = voice.speak(text, 125).samples
    assert np.array_equal(fast.samples, again) == (make is Hibari)
    with pytest.raises(OmniError, match="no-such"):
        make("no-such")


def test_piper_reads_the_phones_of_espeak_with_blanks_between():
    voice = _have(Piper)
    ipa = Espeak().ipa("a latte, please", "en-us")
    assert ipa.startswith("ɐ l") and ipa.endswith("iːz") and "  " not in ipa
    ids = voice.ids(ipa)
    assert ids[:2] == [1, 0] and ids[-1] == 2 and set(ids[1:-1:2]) == {0} and len(ids) == 2 * len(ipa) + 3
    with pytest.raises(OmniError, match="no-such"):
        Espeak().ipa("a", "no-such")


def test_words_have_times_whatever_was_read_for_its_phones_before():
    """After some 25 texts read for their phones espeak-ng told nothing of the first word that it said next."""
    speaker = _have(Espeak)
    alone = speaker.speak("one two three", "en-us")
    for _ in range(60):
        speaker.ipa("what is the capital of france and how do you spell it", "en-us")
    after = speaker.speak("one two three", "en-us")
    assert [word for word, _, _ in after.words] == ["one", "two", "three"]
    assert np.allclose([at for _, *at in after.words], [at for _, *at in alone.words], atol=0.005)


def test_neural_voices_speak_where_a_bank_asks_for_them_and_never_for_development():
    rng = random.Random(5)
    engines = [_have(lambda: voices.draw_voice(rng, pico=0.3, neural=0.4)).engine for _ in range(400)]
    assert 50 < engines.count("hibari") < 110 and 50 < engines.count("piper") < 110 and 40 < engines.count("pico") < 110
    assert {voices.draw_voice(rng, held_out=True, neural=1.0).engine for _ in range(50)} <= {"espeak", "flite"}
    before, after = random.Random(6), random.Random(6)
    assert voices.draw_voice(before) == voices.draw_voice(after, neural=0.0), "banks without them are as they were"
    for engine, name in (("hibari", "heart"), ("piper", "joe")):
        speech = _have(lambda one=engine, who=name: voices.speak_aligned("spell I V A", voices.Voice(one, who, 100, 0)))
        assert speech.phones == () and speech.words == () and 12_000 < len(speech.samples) < 64_000


def test_the_benchs_speakers_are_in_no_lesson():
    pairs = [(voices.draw_unseen(random.Random(i)), voices.draw_unseen(random.Random(i), another=True))
             for i in range(40)]
    assert all(a.name != b.name for a, b in pairs)
    rng = random.Random(3)
    trained = {(v.engine, v.name) for v in (_have(lambda: voices.draw_voice(rng)) for _ in range(400))}
    assert not {(v.engine, v.name) for pair in pairs for v in pair} & trained
    assert len({v.pitch for pair in pairs for v in pair}) > 20


def test_flite_keeps_its_own_pitch_and_what_is_one_word_stays_one():
    voice = voices.Voice("flite", "kal16", 100, 0)
    before = _have(lambda: voices.speak_aligned("what's nine plus W", voice))
    voices.speak("what's nine", voices.Voice("flite", "kal16", 100, 150))
    assert (voices.speak_aligned("what's nine plus W", voice).samples == before.samples).all()
    assert [w for w, _, _ in before.words] == ["what's", "nine", "plus", "W"]


def test_every_word_has_its_time_though_engines_count_otherwise():
    events = (("what", 0.0, 0.2), ("'s", 0.2, 0.3), ("in", 0.3, 0.8), ("", 0.8, 0.81), ("box", 0.9, 1.2))
    spans = voices._each(events, ["what's", "in", "the", "box"])
    assert spans[0] == (0.0, 0.3) and spans[3] == (0.9, 1.2)
    assert spans[1] == pytest.approx((0.3, 0.5)) and spans[2] == pytest.approx((0.5, 0.8))
    assert voices._each((("on", 0.0, 0.4),), ["on", "the"])[1] == pytest.approx((0.16, 0.4))
    assert voices._each((("other", 0.0, 0.4),), ["on", "the"]) == []
    assert voices._each((("the", 0.0, 0.4),), ["on", "the"]) == []
    for engine, name in (("espeak", "en-us+f3"), ("flite", "rms")):
        speaker = voices.Voice(engine, name, 150 if engine == "espeak" else 100, 0)
        speech = _have(lambda speaker=speaker: voices.speak_aligned("what's the weather in the north now", speaker))
        assert [w for w, _, _ in speech.words] == "what's the weather in the north now".split()
        times = [t for _, a, b in speech.words for t in (a, b)]
        assert times == sorted(times) and times[-1] <= len(speech.samples)


def test_an_ask_in_two_halves_has_silence_between_and_the_times_of_all_its_words():
    speaker = voices.Voice("flite", "rms", 100, 0)
    whole = _have(lambda: voices.speak_aligned("can i have a large latte", speaker))
    for seed in range(5):
        speech = bank._halves("can i have a large latte", speaker, random.Random(seed))
        assert [w for w, _, _ in speech.words] == [w for w, _, _ in whole.words]
        gaps = [b[1] - a[2] for a, b in zip(speech.words, speech.words[1:], strict=False)]
        after = int(np.argmax(gaps))
        assert 1 <= after <= 3 and 3_000 < gaps[after] < 20_500 and sorted(gaps)[-2] < 2_000
        middle = (speech.words[after][2] + speech.words[after + 1][1]) // 2
        assert not speech.samples[middle - 500:middle + 500].any()
        assert speech.phones[-1][2] <= len(speech.samples)


def test_a_bank_says_what_it_is_asked_to(tmp_path, monkeypatch):
    """Pico, halves and more stories where the stage asks for them; a skill that there is none of is refused."""
    _have(lambda: Pico("en-US"))
    _have(lambda: Flite("rms"))
    monkeypatch.setattr(bank.recordings, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(bank.recordings, "speech", lambda root: [])
    bank.train(bank.BankStage("bank", str(tmp_path / "bank"), count=100, pico=0.5, halves=0.6,
                              more={"stories": 0.5}, lexicon=0.2, processes=1))
    lines = [u for u in bank.load(tmp_path / "bank") if not u.dev]
    assert 30 < sum(u.source.startswith("pico:") for u in lines) < 65
    assert sum(u.skill == "stories" for u in lines) > 20
    some, words = [u for u in lines if u.skill == "lexicon"], {w.lower() for w in bank.lexicon(3)}
    assert 8 < len(some) < 32 and all(3 <= len(u.text.split()) <= 8 and not u.kind for u in some) and len(words) > 800
    assert {w for u in some for w in u.text.split()} <= words
    quiet = [np.abs(u.samples[:len(u.samples) // 3200 * 3200].reshape(-1, 3200)).max(1) == 0 for u in lines if u.kind]
    assert sum(bool(q.any()) for q in quiet) > 10
    with pytest.raises(ValueError, match="no skill 'storys'; did you mean 'stories'"):
        bank.BankStage("bank", "x", more={"storys": 0.1})
    for wrong in ({"pico": 1.5}, {"halves": -0.1}, {"evenly": 2}, {"more": {"stories": 0.7, "sums": 0.7}}):
        with pytest.raises(ValueError):
            bank.BankStage("bank", "x", **wrong)


def test_a_bank_goes_on_with_an_earlier_one(tmp_path, monkeypatch):
    """Its utterances and the words found for its recordings come first; what is added is heard as it was said."""
    _have(lambda: Flite("rms"))
    monkeypatch.setattr(bank.recordings, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(bank.recordings, "speech", lambda root: [])
    first = bank.BankStage("bank", str(tmp_path / "first"), count=50, processes=1)
    bank.train(first)
    (tmp_path / "first" / bank.WORDINGS).write_text("")
    bank.train(dataclasses.replace(first, out=str(tmp_path / "second"), init=first.out, evenly=1.0, seed=4))
    one, two = (bank.load(tmp_path / name) for name in ("first", "second"))
    assert len(two) > len(one) + 30 and (tmp_path / "second" / bank.WORDINGS).exists()
    for before, now in zip(one, two, strict=False):
        assert before.text == now.text and np.array_equal(before.samples, now.samples)
    assert all(np.abs(u.samples).max() > 16_000 for u in two), "each begins where it begins"
    for wrong in (str(tmp_path / "none"), first.out):
        with pytest.raises(ConfigError, match="init"):
            bank.train(dataclasses.replace(first, init=wrong))


def test_what_is_asked_least_can_be_asked_evenly():
    found = []
    for evenly in (0.0, 1.0):
        rng, memory, asked = random.Random(5), Memory(), Counter()
        for _ in range(1500):
            bank._draw(rng, memory, evenly=evenly, asked=asked)
        found.append(asked)
    natural, even = found
    follows = [("sums", "chain"), ("recall", "about me"), ("recall", "user said"), ("readback", "first part"),
               ("readback", "last"), ("smalltalk", "hello"), ("smalltalk", "maker")]
    assert sum(even[k] for k in follows) > 2 * sum(natural[k] for k in follows)
    assert len(even) > len(natural) and max(even.values()) < max(natural.values())


def test_trimming_leaves_ten_milliseconds():
    x = np.zeros(10_000, np.float32)
    x[3000:5000] = 0.5
    assert voices.loud_span(x) == (3000 - 160, 5000 + 160) and voices.loud_span(np.zeros(99, np.float32)) == (0, 0)
    assert voices.spoken("my name is I V A i") == "my name is eye vee ay i"
