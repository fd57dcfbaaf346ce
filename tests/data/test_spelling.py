"""Captions by pieces, written without sound: late, uneven, with the errors that a caption head makes, and no others."""

import random

import numpy as np
import pytest

from omni.data import skills, spelling
from omni.data.conversations import Conversation
from omni.data.lines import TextLine
from omni.data.spelling import Speller
from omni.data.streams import TextConversations
from omni.data.user import BLOCK, RATE_HZ, Heard
from omni.model.captions import WORD_START, Vocabulary
from omni.model.encoder import CAPTION_CHARACTERS
from omni.model.tokens import Pieces

FRAME = BLOCK // spelling.FRAMES_PER_BLOCK
WHOLE = [WORD_START + w for w in ("to", "two", "want")]
VOCABULARY = Vocabulary([*CAPTION_CHARACTERS[1:], WORD_START, *(WORD_START + c for c in "tw"), WORD_START + "tw",
                         WORD_START + "wa", "nt", *WHOLE])
PIECES = Pieces(["two", "to", "want", "large", "latte", "mocha", "nine", "five"])


def _talk(num_blocks: int = 60) -> Conversation:
    words = [("two", 8_000, 12_000), ("want", 12_000, 20_000), ("xi", 24_000, 30_000)]
    talk = Conversation(num_blocks)
    talk.heard = [Heard(TextLine("two want xi", 30_000, words), 5_000, "turn")]
    return talk


@pytest.fixture
def plain(monkeypatch) -> Speller:
    """Hears everything right, in whole words, once."""
    for name, value in (("ERRORS", (0.0,)), ("APART", 0.0), ("TWICE", 0.0)):
        monkeypatch.setattr(spelling, name, value)
    return Speller(VOCABULARY, PIECES)


def test_a_words_pieces_are_there_soon_after_its_end(plain):
    waits = []
    for seed in range(40):
        talk = _talk()
        frames, words = plain(talk, random.Random(seed))
        assert VOCABULARY.decode(frames.tolist()) == " two want xi"
        lasts = np.flatnonzero(frames.numpy())[[0, 1, -1]]
        for at, (word, _, last) in zip(lasts, talk.heard[0].line.words, strict=True):
            waits.append((at * FRAME - 5_000 - last) / RATE_HZ)
            block = at // spelling.FRAMES_PER_BLOCK
            assert int(words[block]) == (PIECES.encode(word)[0] if word != "xi" else -1)
        assert (words >= 0).sum() == 2
    assert -0.04 <= min(waits) < 0.06 and 0.12 < max(waits) <= spelling.LATEST_S
    assert len({round(w, 2) for w in waits}) > 5, "uneven"


def test_what_two_say_at_once_is_all_there(plain):
    talk = _talk()
    talk.heard.append(Heard(TextLine("two want", 20_000, talk.heard[0].line.words[:2]), 5_000, "other"))
    frames, _ = plain(talk, random.Random(0))
    said = [VOCABULARY.pieces[i - 1] for i in frames.tolist() if i]
    assert said.count(WORD_START + "two") == 2 and said.count(WORD_START + "want") == 2


def test_what_ends_after_the_conversation_is_left_out(plain):
    frames, words = plain(_talk(num_blocks=10), random.Random(0))
    assert len(frames) == 20 and len(words) == 10 and not frames.any() and (words == -1).all()


def test_errors_are_words_left_out_taken_for_others_or_apart(monkeypatch):
    speller, rng = Speller(VOCABULARY, PIECES), random.Random(0)
    monkeypatch.setattr(spelling, "APART", 0.0)
    assert all(speller.said("two", 0.0, rng) == VOCABULARY.encode("two")[0] for _ in range(50))
    said = [VOCABULARY.decode(speller.said("two", 1.0, rng)).strip() for _ in range(400)]
    assert 0.2 < said.count("") / 400 < 0.4, "one piece, left out"
    assert said.count("to") / 400 > 0.3, "the same sounds"
    assert "two" not in said or said.count("two") < 0.1 * 400
    long = {tuple(speller.said("large", 1.0, rng)) for _ in range(200)}
    whole = VOCABULARY.encode("large")[0]
    assert any(len(ids) == len(whole) - 1 for ids in long), "one of several pieces left out"
    monkeypatch.setattr(spelling, "APART", 1.0)
    apart = {tuple(speller.said("want", 0.0, rng)) for _ in range(100)}
    assert len(apart) > 3 and {VOCABULARY.decode(ids) for ids in apart} == {" want"}


def test_words_are_alike_by_sound_by_spelling_or_by_the_names_of_letters():
    speller = Speller(VOCABULARY, Pieces(["two", "to", "mocha", "latte", "ladder", "nine", "fine", "five", "write"]))
    assert speller.alike("two") == ["to"]
    assert "fine" in speller.alike("nine") and "five" in speller.alike("fine") and "mocha" not in speller.alike("nine")
    assert "write" in speller.alike("right") and "mocha" not in speller.alike("latte")
    assert set("dpv") <= set(speller.alike("b")) and "m" not in speller.alike("b") and "n" in speller.alike("m")
    assert speller.alike("zzz") == []


def test_batches_have_pieces_in_place_of_characters():
    texts = TextConversations(list(skills.vocabulary()), 80, 3, 0, drills=1, captions=VOCABULARY)
    batch, again = next(iter(texts)), next(iter(texts))
    assert "characters" not in batch and batch["pieces"].shape == (3, 160) and batch["heard"].shape == (3, 80)
    assert int(batch["pieces"].max()) <= len(VOCABULARY) and (batch["pieces"] > 0).any() and (batch["heard"] >= 0).any()
    assert all((batch[k] == again[k]).all() for k in batch), "batches are numbered"
