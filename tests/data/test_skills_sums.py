"""Sums are right, by arithmetic of the test's own: whole ones, chains, remainders and negative results."""

import random
import re

import pytest
from skill_talk import Turn, number, turn, turns

from omni.data.skills import sums
from omni.data.skills.talk import Ask, Memory

_SUM = re.compile(r"(.+?) (plus|times|divided by|minus) (.+) is (.+?)(?:, remainder (.+))?\.")


@pytest.fixture(scope="module")
def drawn() -> list[Turn]:
    return turns("sums", 1500)


def _parse(text: str) -> tuple[int, str, int, int, int | None]:
    """First operand, sign, second operand, result, remainder; a number may begin with "minus"."""
    a, sign, b, result, rest = _SUM.fullmatch(text).groups()
    return number(a), sign, number(b), number(result), None if rest is None else number(rest)


def _right(text: str) -> bool:
    """The sum is true."""
    a, sign, b, result, rest = _parse(text)
    if sign == "divided by":
        return result == a // b and (rest or 0) == a % b and (rest is None) == (a % b == 0)
    return rest is None and result == {"plus": a + b, "minus": a - b, "times": a * b}[sign]


def test_sums_are_right_with_their_remainders(drawn):
    seen = set()
    for t in drawn:
        if t.right.text == "nothing can be divided by zero.":
            assert t.ask.values["b"] == "zero" and t.after.result is None
            continue
        assert _right(t.right.text), t
        a, sign, b, result, rest = _parse(t.right.text)
        assert -999 <= result <= 999 and t.after.result == (result if rest is None else None)
        assert (a, sign, b) == (number(t.ask.values["a"]), t.ask.values["sign"], number(t.ask.values["b"]))
        seen |= {sign, "negative" if result < 0 else "", "remainder" if rest is not None else ""}
    assert {"plus", "minus", "times", "divided by", "negative", "remainder"} <= seen


def test_both_numbers_are_in_the_question(drawn):
    for t in drawn:
        user = t.ask.user.replace("hundred and ", "hundred ").replace("a hundred", "one hundred")
        wanted = ["b"] if t.ask.kind == "chain" else ["a", "b"]
        doubled = re.search(r"\b(double|halve|half of)\b", user)
        assert doubled and t.ask.values["b"] == "two" or all(t.ask.values[n] in user for n in wanted), t


def test_a_chain_goes_on_from_the_result(drawn):
    chains = [t for t in drawn if t.ask.kind == "chain"]
    assert len(chains) > 100 and any(t.before.result < 0 for t in chains)
    for t in chains:
        assert number(t.ask.values["a"]) == t.before.result and t.before.skill == "sums"


def test_a_chain_by_hand():
    rng, memory, texts = random.Random(0), Memory(), []
    for a, sign, b in (("six", "times", "seven"), ("forty two", "minus", "fifty"), ("minus eight", "plus", "three"),
                       ("seventeen", "divided by", "five"), ("five", "divided by", "zero")):
        texts.append(turn(Ask("x", "sums", "sum", {"a": a, "sign": sign, "b": b}), memory, rng).right.text)
    assert texts == ["six times seven is forty two.", "forty two minus fifty is minus eight.",
                     "minus eight plus three is minus five.", "seventeen divided by five is three, remainder two.",
                     "nothing can be divided by zero."]
    assert memory.result is None


def test_about_one_sum_in_twelve_is_kept_from_lessons(drawn):
    pairs = [(a, "plus", b) for a in range(30) for b in range(30)]
    assert 0.06 < sum(sums.kept_apart(*pair) for pair in pairs) / len(pairs) < 0.11

    def apart(t: Turn) -> bool:
        return sums.kept_apart(number(t.ask.values["a"]), t.ask.values["sign"], number(t.ask.values["b"]))
    assert not any(apart(t) for t in drawn)
    whole = [t for t in turns("sums", 300, seed=3, held_out=True) if t.ask.kind == "sum"]
    assert 0.3 < sum(map(apart, whole)) / len(whole) < 0.7
