"""Captions by pieces of words: nothing is lost in taking words apart, and what is written down is what comes back."""

import json
import random

import pytest
import tiny
import torch

from omni.base.errors import WeightsError
from omni.model.captions import CAPTIONS_FILE, WORD_START, PieceCaptions, Vocabulary, plain_words

TEXTS = ["two large lattes please", "the large one", "it's two", "a latte and the tea"] * 10


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.learn(TEXTS, most=60, at_least=5)


def _joined(words: list[list[int]]) -> list[int]:
    return [i for word in words for i in word]


@pytest.mark.parametrize("text", ["two large lattes please", "it's a quiz", "zyx", "", "e e e"])
def test_every_text_comes_back_with_a_space_before_each_word(vocabulary, text):
    words = vocabulary.encode(text)
    assert len(words) == len(text.split()) and all(i > 0 for i in _joined(words)), "0 is the blank"
    assert vocabulary.decode(_joined(words)) == "".join(f" {word}" for word in text.split())


def test_what_is_no_character_parts_words():
    assert plain_words("Hello, it's 5 O'Clock-ish!") == ["hello", "it's", "o'clock", "ish"]


def test_frequent_words_are_whole_and_others_in_parts(vocabulary):
    assert [len(word) for word in vocabulary.encode("two large the")] == [1, 1, 1]
    assert all(len(word) > 1 for word in vocabulary.encode("twig larger them"))


def test_a_list_is_single_characters_first_and_then_joins_of_earlier_pieces(vocabulary):
    single = [piece for piece in vocabulary.pieces if len(piece) == 1]
    assert vocabulary.pieces[:len(single)] == tuple(single) and len(single) == 28 and len(vocabulary) <= 60
    for at, piece in enumerate(vocabulary.pieces[28:], 28):
        before = set(vocabulary.pieces[:at])
        assert any({piece[:cut], piece[cut:]} <= before for cut in range(1, len(piece))), piece
    assert Vocabulary.learn(TEXTS, most=60, at_least=5).pieces == vocabulary.pieces


def test_words_taken_apart_otherwise_are_the_same_words(vocabulary):
    rng, text = random.Random(0), "two large lattes please"
    plain = vocabulary.encode(text)
    ways = [vocabulary.encode(text, 0.5, rng.random) for _ in range(200)]
    assert all(vocabulary.decode(_joined(way)) == " " + text for way in ways)
    other = sum(way[0] != plain[0] for way in ways) / len(ways)
    assert 0.1 < other < 0.5, "half the words, and of these not all"
    assert vocabulary.encode(text) == plain, "what chance did is not remembered"


def test_texts_of_parts_of_a_caption_are_the_caption(vocabulary):
    ids = _joined(vocabulary.encode("two larger lattes"))
    whole = vocabulary.decode(ids)
    for cut in range(len(ids) + 1):
        assert vocabulary.decode(ids[:cut]) + vocabulary.decode(ids[cut:]) == whole
    assert vocabulary.decode([-1, 0, *ids, -1]) == whole == " two larger lattes"


def test_a_list_survives_its_file(vocabulary, tmp_path):
    vocabulary.save(tmp_path / CAPTIONS_FILE)
    assert Vocabulary.load(tmp_path / CAPTIONS_FILE).pieces == vocabulary.pieces


@pytest.mark.parametrize("content, told", [
    ("{", "no list of pieces"), ('{"a": 1}', "not a list of strings"), ("[1]", "not a list of strings"),
    (json.dumps(["a", "a"]), "not unique"), (json.dumps([WORD_START, "a"]), "no piece 'b'")])
def test_what_is_no_list_is_refused(tmp_path, content, told):
    (tmp_path / CAPTIONS_FILE).write_text(content)
    with pytest.raises(WeightsError, match=told) as caught:
        Vocabulary.load(tmp_path / CAPTIONS_FILE)
    assert CAPTIONS_FILE in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(WeightsError, match=f"{CAPTIONS_FILE} is missing"):
        Vocabulary.load(tmp_path / CAPTIONS_FILE)


@torch.no_grad()
def test_a_frame_is_heard_in_this_one_and_a_few_later_ones():
    head = tiny.randomise(PieceCaptions(8, 5, num_layers=2, kernel=3))
    x = torch.randn(1, 12, 8, generator=torch.Generator().manual_seed(0))
    louder = x.clone()
    louder[0, 4, 0] += 1
    moved = (head(louder) - head(x)).abs().amax(2)[0] > 1e-5
    assert moved.tolist() == [4 <= t <= 8 for t in range(12)], "two frames a layer, and no more"


def test_a_fresh_head_says_blank():
    torch.manual_seed(0)
    logits = PieceCaptions(16, 100, num_layers=1, kernel=3)(torch.randn(1, 50, 16))
    assert (logits.argmax(-1) == 0).all() and 0.5 < logits.softmax(-1)[..., 0].mean() < 0.99
