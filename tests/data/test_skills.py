"""Replies are right: by arithmetic of their own, by the slots they must hold, and by words the model has."""

import random
import re

import pytest

from omni.data import skills
from omni.data.skills import numbers, orders, smalltalk, stories, unknown
from omni.model.encoder import CAPTION_CHARACTERS
from omni.model.tokens import LETTERS, PAUSES, Pieces

PIECES = Pieces(skills.vocabulary())


def _draw(skill: str | None, count: int = 400) -> list[skills.Exchange]:
    rng = random.Random(11)
    return [skills.exchange(rng, skill) for _ in range(count)]


_UNITS = {w: i for i, w in enumerate(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen".split())}
_TENS = {w: 10 * i for i, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}


def _value(text: str) -> int:
    """A number in words, read by rules of this test's own."""
    sign, total = 1, 0
    for word in text.split():
        if word == "minus":
            sign = -1
        elif word == "hundred":
            total *= 100
        else:
            total += _UNITS[word] if word in _UNITS else _TENS[word]
    return sign * total


def test_numbers_in_words_read_back_as_themselves():
    for n in range(-999, 1000):
        assert _value(numbers.words(n)) == n
        assert set(numbers.words(n).split()) <= set(numbers.vocabulary())
    assert numbers.words(21) == "twenty one" and numbers.words(-100) == "minus one hundred"


def test_sums_are_right():
    seen = set()
    for e in _draw("sums"):
        question, answer = e.reply.rstrip(".").split(" is ")
        a, sign, b = re.fullmatch(r"(.+?) (plus|minus|times) (.+)", question).groups()
        expected = {"plus": _value(a) + _value(b), "minus": _value(a) - _value(b), "times": _value(a) * _value(b)}[sign]
        assert _value(answer) == expected and e.facts == {"answer": answer}
        assert e.user.endswith(question)
        seen.add(sign)
    assert seen == {"plus", "minus", "times"}


def test_orders_are_read_back_with_every_slot_and_nothing_else():
    for e in _draw("orders"):
        words = e.reply.rstrip(".").replace(",", "").split()
        for value in e.facts.values():
            assert re.search(rf"\b{value}\b", e.reply), (e.reply, value)
            assert re.search(rf"\b{value}\b", e.user), (e.user, value)
            for word in value.split():
                words.remove(word)
        assert set(words) <= {*"okay sure right alright a an with and".split()}, "something nobody ordered"
        assert not re.search(r"\ba [aei]", e.reply) and not re.search(r"\ban [^aei]", e.reply)


def test_orders_cover_every_value_of_every_slot():
    rng, seen = random.Random(3), set()
    for _ in range(3000):
        seen.update(orders.draw_slots(rng).items())
    for name, values in (("coffeeDrink", orders.DRINKS), ("size", orders.SIZES), ("roast", orders.ROASTS),
                         ("numberOfShots", orders.SHOTS)):
        assert {v for n, v in seen if n == name} == set(values)


def test_what_is_to_be_repeated_is_repeated():
    for e in _draw("readback"):
        assert e.reply == e.facts["string"] + "." and e.user.endswith(e.facts["string"])


def test_stories_are_long_and_counting_counts():
    replies = {e.reply for e in _draw("stories")}
    counted = [r for r in replies if r.startswith("one")]
    assert [_value(w) for w in counted[0].rstrip(".").split(", ")] == list(range(1, 21))
    assert set(stories.STORIES.values()) < replies and all(len(s.split()) > 80 for s in stories.STORIES.values())


def test_pleasantries_answer_themselves_and_the_unknown_is_admitted():
    rng = random.Random(0)
    for e in _draw("smalltalk", 100):
        assert e.reply in {smalltalk.answer(rng, e.user) for _ in range(20)}
    assert smalltalk.answer(rng, "what is the capital of france") is None
    assert all("know" in e.reply for e in _draw("unknown", 60))
    assert len({unknown.question(rng) for _ in range(500)}) > 50


@pytest.mark.parametrize("skill", skills.names())
def test_the_vocabulary_has_every_word_of_every_reply(skill):
    for e in _draw(skill):
        assert e.skill == skill
        for word in re.sub(r"[,.?]", " ", e.reply).split():
            assert word in PIECES.words or word in LETTERS, word
        assert PIECES.decode(PIECES.encode(e.reply)) == e.reply
        assert e.reply[-1] in PAUSES, "a reply ends with the voice at rest"


def test_users_words_can_be_captioned():
    for e in _draw(None, 800):
        assert set(e.user.lower()) <= set(CAPTION_CHARACTERS), e.user
        assert e.user == " ".join(e.user.split()) and e.user


def test_the_vocabulary_is_sorted_unique_and_holds_no_letters_of_its_own():
    words = skills.vocabulary()
    assert words == sorted(set(words)) and not set(words) & set(LETTERS)


def test_all_skills_come_by_their_shares_and_a_seed_fixes_them():
    drawn = [e.skill for e in _draw(None, 2000)]
    assert set(drawn) == set(skills.names()) and 0.4 < drawn.count("orders") / 2000 < 0.5
    assert [e.user for e in _draw(None, 50)] == [e.user for e in _draw(None, 50)]
