"""Pieces and their texts; the grammar forbids the impossible and nothing else."""

import itertools
import random

import pytest
import torch

from omni.base.errors import WeightsError
from omni.model.tokens import (
    CUT_0,
    CUT_2,
    END_SPEAK,
    FIRST_PIECE,
    LETTERS,
    MAX_WAITING,
    PAUSES,
    SPECIALS,
    START_SPEAK,
    THINK,
    Pieces,
    allowed,
)

PIECES = Pieces(["a", "small", "coffee", "don't", "i"])


def test_text_of_pieces_reads_as_a_sentence():
    ids = PIECES.encode("a small coffee, I V A. don't?")
    assert PIECES.decode(ids) == "a small coffee, I V A. don't?"
    assert [PIECES.symbol(t) for t in ids] == ["a", "small", "coffee", ",", "I", "V", "A", ".", "don't", "?"]
    assert "".join(PIECES.text(t) for t in ids) == " a small coffee, I V A. don't?"


def test_decode_of_encode_is_the_text_for_any_words_of_the_vocabulary():
    rng = random.Random(0)
    for _ in range(200):
        words = rng.choices([*PIECES.words, *LETTERS], k=rng.randint(1, 8))
        text = " ".join(w + rng.choice(["", "", ",", ".", "?"]) for w in words)
        assert PIECES.decode(PIECES.encode(text)) == text


def test_every_token_but_the_floors_own_encodes_to_itself():
    for token in range(FIRST_PIECE, len(PIECES)):
        assert PIECES.encode(PIECES.text(token)) == [token]


def test_unknown_words_are_spelled_and_unknown_characters_left_out():
    assert PIECES.decode(PIECES.encode("latte")) == "L A T T E"
    assert PIECES.decode(PIECES.encode("a zoë-7 small")) == "a Z O small"
    assert PIECES.encode("¡ 77 -") == []
    assert PIECES.encode("I i") == [PIECES.encode("I")[0], PIECES.encode("i")[0]]  # the letter and the word
    assert PIECES.encode("I") != PIECES.encode("i")


def test_text_never_becomes_a_floor_token():
    """A user or a document may write "<end_speak>"; it is spelled like any other unknown word."""
    for special in SPECIALS:
        assert all(t >= FIRST_PIECE for t in PIECES.encode(f"a {special} small"))
        assert PIECES.text(SPECIALS.index(special)) == ""


def test_pieces_survive_the_disk(tmp_path):
    PIECES.save(tmp_path / "pieces.json")
    again = Pieces.load(tmp_path / "pieces.json")
    assert again.words == PIECES.words and len(again) == len(PIECES)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"words": 3}', '{"words": ["a", "a"]}', "\x00"])
def test_a_file_that_is_no_list_of_pieces_is_named(tmp_path, content):
    (tmp_path / "pieces.json").write_text(content)
    with pytest.raises(WeightsError, match="pieces.json"):
        Pieces.load(tmp_path / "pieces.json")
    with pytest.raises(WeightsError, match="absent.json"):
        Pieces.load(tmp_path / "absent.json")


def test_words_must_be_unique():
    with pytest.raises(ValueError, match="unique"):
        Pieces(["a", "a"])


# ---- grammar -------------------------------------------------------------------------------------------------------

KINDS = {"think": [THINK], "start": [START_SPEAK], "end": [END_SPEAK], "cut": list(range(CUT_0, CUT_2 + 1)),
         "piece": list(range(FIRST_PIECE, len(PIECES)))}


def test_grammar_is_this_table_and_looks_at_nothing_else():
    table = {  # speaking, waiting, sounding -> kinds that may come
        (True, 0, False): {"end", "piece"}, (True, 0, True): {"think", "end", "piece"},
        **{(True, 1, sounding): {"think", "end", "piece"} for sounding in (False, True)},
        **{(True, 2, sounding): {"think", "end"} for sounding in (False, True)},
        **{(False, waiting, sounding): {"think", "start"} for waiting in range(3) for sounding in (False, True)}}
    states = list(table)
    mask = allowed(*(torch.tensor(part) for part in zip(*states, strict=True)), len(PIECES))
    assert mask.shape == (len(states), len(PIECES)) and mask.dtype == torch.bool
    for row, state in zip(mask, states, strict=True):
        for kind, tokens in KINDS.items():
            assert set(row[tokens].tolist()) == {kind in table[state]}, (state, kind)


def test_no_walk_that_the_grammar_allows_is_impossible():
    """Random walks with a random mouth: pieces only in speech, at most two waiting, floor taken and given in turn."""
    rng = random.Random(1)
    states = itertools.product((False, True), range(MAX_WAITING + 1), (False, True))
    choices = {state: allowed(*(torch.tensor([part]) for part in state), len(PIECES))[0].nonzero().flatten().tolist()
               for state in states}
    for _ in range(100):
        speaking, waiting, sounding, floor = False, 0, False, []
        for _ in range(60):
            token = rng.choice(choices[speaking, waiting, sounding])
            assert token not in KINDS["cut"], "what was never heard is the engine's to say"
            if token in (START_SPEAK, END_SPEAK):
                floor.append(token)
                speaking, waiting, sounding = token == START_SPEAK, 0, False
            if token >= FIRST_PIECE:
                assert speaking
                waiting += 1
            assert waiting <= MAX_WAITING
            assert token != THINK or waiting or sounding or not speaking, "a floor is held for something that is said"
            if rng.random() < 0.4:
                waiting, sounding = max(waiting - 1, 0), waiting > 0
        assert all(token == turn for token, turn in zip(floor, itertools.cycle((START_SPEAK, END_SPEAK)), strict=False))


def test_the_table_of_pauses_is_sounded():
    assert all(PIECES.encode(p) and PIECES.text(PIECES.encode(p)[0]) == p for p in PAUSES)
