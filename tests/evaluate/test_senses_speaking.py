"""The voice measured alone: the sound it has in use, and every number on signals whose answer is known."""

import random
import re
from itertools import islice

import numpy as np
import pytest
import tiny
import torch
from conftest import need

from omni.base.errors import OmniError
from omni.data.flite import Flite
from omni.data.speaker import BLOCK, VoiceSpeaker
from omni.evaluate import voice
from omni.evaluate.recogniser import LETTERS, Recogniser
from omni.evaluate.senses import compute, grammar, seams, vocoder
from omni.evaluate.senses.replies import replies, sayable
from omni.evaluate.senses.subject import EARS, MIND, VOICE, Subject
from omni.evaluate.senses.talker import Said, Talker
from omni.model.duplex import DuplexModel
from omni.model.tokens import Pieces
from omni.model.weights import load_model

TEXT = "one two three, four."


@pytest.fixture(scope="module")
def model() -> DuplexModel:
    model = tiny.duplex(restless=False)
    tiny.steady(model.mouth, level=0.0)
    return model


def test_a_text_sounds_as_it_does_in_use(model):
    """The speaker's first block is that of `<start_speak>`, in which no piece is decided yet."""
    said = Talker(model).say(model.pieces.encode(TEXT))
    known = VoiceSpeaker(model.mouth, model.pieces).render(TEXT).audio[BLOCK:]
    assert np.abs(said.audio[:len(known)] - known).max() < 1e-2 * np.abs(known).max() > 1e-5
    assert len(said.audio) % BLOCK == 0 and not said.audio[len(known) + BLOCK:].any()


def test_after_a_cut_nothing_sounds(model):
    pieces = model.pieces.encode(TEXT)
    whole, cut = Talker(model).say(pieces), Talker(model).say(pieces, cut_in=2)
    assert cut.cut_in == 2 and np.array_equal(cut.audio[:2 * BLOCK], whole.audio[:2 * BLOCK])
    assert seams.silent_after(cut, BLOCK) and not seams.silent_after(Said(whole.audio, 1), BLOCK)
    assert Talker(model).say(pieces, cut_in=1_000).cut_in is None


def test_a_step_at_a_border_is_found_and_silence_is_no_border():
    """A tone whose second border has a step of its whole amplitude; two blocks of silence follow."""
    tone = np.sin(np.arange(4 * BLOCK) / 5).astype(np.float32)
    assert seams.smooth(tone, BLOCK).tolist() == [True] * 3
    broken = np.concatenate([tone[:2 * BLOCK], tone[2 * BLOCK:] + 1.0])
    assert seams.smooth(broken, BLOCK).tolist() == [True, False, True]
    assert seams.smooth(np.pad(tone, (0, 2 * BLOCK)), BLOCK).tolist()[:3] == [True] * 3
    assert len(seams.smooth(np.zeros(4 * BLOCK, np.float32), BLOCK)) == 0


def test_what_is_heard_first_is_loud_enough():
    audio = np.zeros(3000, np.float32)
    audio[100], audio[700], audio[900] = 0.004, 0.006, 0.5
    assert seams.first_heard(audio) == 700
    assert seams.first_heard(np.zeros(100, np.float32)) is None


def test_the_rows_of_seams_count_what_was_said(model):
    rows = {row.name: row for row in seams.seams(Talker(model), 3, 0)}
    assert rows["starts"].count == 3 and rows["cuts"].value == 1.0 and rows["seams"].count > 10


def test_speech_against_itself_is_perfect_and_noise_spoils_it():
    need("flite")
    speech, pitch_hz = vocoder.taught(Flite("slt"), "would you bring me a large latte")
    assert len(pitch_hz) >= len(speech) // 160 and 100 < np.median(pitch_hz[pitch_hz > 0]) < 260
    noisy = speech + 0.03 * np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32)
    (same, clear), (spoilt, dull) = vocoder.quality(speech, speech), vocoder.quality(speech, noisy)
    assert clear > 0.999 > 0.97 > dull
    assert (same, spoilt) == (None, None) or same > 4.5 > 2.5 > spoilt


def test_the_shipped_vocoder_gives_the_teachers_words_back_in_time():
    """On another time STOI would be far lower: shifted by 20 ms it is."""
    need("flite")
    speech, pitch_hz = vocoder.taught(Flite("slt"), "a small cappuccino is all i need")
    reference, heard = Talker(load_model("tiny")).vocode(speech, pitch_hz)
    assert len(reference) == len(heard) and np.array_equal(reference[:len(speech)], speech)
    assert vocoder.quality(reference, heard)[1] > 0.9 > vocoder.quality(reference[320:], heard[:-320])[1]


def test_a_block_costs_what_the_clock_says(model):
    """A clock that goes on by 1, 2 and 4 ms: what lies between the marks of ears, voice and mind, block by block."""
    steps, now = [1_000_000, 2_000_000, 4_000_000, 0], [0, 0]

    def clock() -> int:
        now[0] += steps[(now[1] - 1) % 4]
        now[1] += 1
        return now[0]

    subject = Subject("tiny", model, frozenset((EARS, MIND, VOICE)), {})
    row, = compute.compute(subject, 40, 0, clock_ns=clock, cpu_ns=lambda: 0)
    assert row.value == pytest.approx(3.0) and row.count == 40 and row.low == row.high == row.value
    assert [row.detail[name]["p50_ms"] for name in ("ears", "voice", "mind", "ears and voice")] == [1, 2, 4, 3]


def test_the_grammars_take_every_reply_and_nothing_else():
    """Each JSGF as a regular expression over words."""
    rules, seen = {kind: _regular(rule) for kind, rule in grammar.world().items()}, set()
    for reply, skill in islice(replies(random.Random(0)), 2000):
        kind = grammar.kind_of(reply, skill)
        assert rules[kind].fullmatch(grammar.spoken(reply) + " "), (kind, skill, reply)
        seen.add(kind)
    assert seen == set(rules)
    for kind, wrong in {
            "order": "okay a espresso", "drink": "a one what drink would you like", "menu": "latte and tea",
            "sum": "two plus two is", "digits": "ten", "letters": "letter_a b", "code": "letter_a ten",
            "date": "the thirty second of may", "count": "one plus", "fact": "it is a paris",
            "memory": "your favourite colour is dog", "sounds": "i hear a piano",
            "sentences": "once upon a lamp"}.items():
        assert not rules[kind].fullmatch(wrong + " "), wrong


def test_letters_in_a_reply_are_names_of_letters():
    assert grammar.spoken("A, four B. it is a calf?") == "letter_a four letter_b it is a calf"


def test_what_the_voice_has_no_pieces_for_is_not_said():
    pieces = Pieces(["five", "six", "seven", "is", "plus"])
    for text in islice(sayable(random.Random(0), pieces), 30):
        assert text and pieces.knows(text)
    nothing = Pieces([])
    nothing.knows = lambda text: False
    with pytest.raises(OmniError, match="none of the world's replies"):
        next(sayable(random.Random(0), nothing))
    with pytest.raises(OmniError, match="hardly any"):
        voice.world(nothing, 2)


def _regular(rule: str) -> re.Pattern:
    for jsgf, regular in ((" | ", "|"), ("[", "("), ("]", ")?")):
        rule = rule.replace(jsgf, regular)
    return re.compile("".join(part if part in "()|?+" or part in (")?", ")+") else part and re.escape(part) + " "
                              for part in re.split(r"(\)\?|\)\+|[()|?+]|\s+)", rule) if part.strip()))


def test_letters_are_told_apart_from_words():
    need("flite")
    ear = Recogniser(grammar=grammar.world()["letters"])
    assert set(LETTERS) == set("abcdefghijklmnopqrstuvwxyz")
    assert ear.hear(voice.taught("X Y S.")) == "x y s"


def test_errors_beyond_the_teachers_are_of_the_same_texts():
    errors = {"agent": [(3, 5), (0, 2)], "teacher": [(1, 5), (1, 2)]}
    assert voice.beyond(errors) == [(2, 5), (-1, 2)]


def test_threads_are_as_they_were_after_computing(model):
    threads = torch.get_num_threads()
    compute.compute(Subject("tiny", model, frozenset((EARS, VOICE)), {}), 3, 0)
    assert torch.get_num_threads() == threads
