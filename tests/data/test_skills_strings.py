"""Reading back and counting: strings come back item by item, in their groups, with what was corrected."""

import random
import re

import pytest
from skill_talk import Turn, has, number, plain, turn, turns

from omni.data.skills import readback, stories
from omni.data.skills.talk import Ask, Memory

_STEPS = {"twos": 2, "threes": 3, "fours": 4, "fives": 5, "tens": 10}


@pytest.fixture(scope="module")
def drawn() -> list[Turn]:
    return turns("readback", 1200)


@pytest.fixture(scope="module")
def long() -> list[Turn]:
    return turns("stories", 900)


def _of(drawn: list[Turn], kind: str) -> list[Turn]:
    found = [t for t in drawn if t.ask.kind == kind]
    assert len(found) > 5, kind
    return found


def test_a_whole_string_comes_back_as_it_was_told(drawn):
    for t in _of(drawn, "whole"):
        assert has(t.ask.user, plain(t.right.text)), t
        assert t.right.facts == {"string": plain(t.right.text)} and t.after.groups == t.right.text[:-1].split(", ")
    kinds = {readback.kind_of(t.after.groups[0]) for t in drawn if t.after.groups}
    assert kinds == {"digits", "name", "code", "date"}


def test_long_strings_have_pauses_between_groups_of_two_to_four(drawn):
    for t in _of(drawn, "whole"):
        sizes = [len(group.split()) for group in t.after.groups]
        if readback.kind_of(t.after.groups[0]) == "digits" and sum(sizes) > 4:
            assert len(sizes) > 1 and set(sizes) <= {2, 3, 4}, t


def test_a_further_part_is_told_alone_and_kept_with_the_others(drawn):
    for t in _of(drawn, "next"):
        assert t.after.groups == [*t.before.groups, plain(t.right.text)] and has(t.ask.user, plain(t.right.text))


def test_a_correction_replaces_the_last_part(drawn):
    for t in _of(drawn, "correct"):
        new = t.ask.values["string"]
        assert t.after.groups == [*t.before.groups[:-1], new] != t.before.groups and has(t.ask.user, new)
        assert plain(t.right.text) == " ".join(t.after.groups)
        old = t.before.groups[-1]
        assert len(old.split()) == 1 or old in t.right.never or has(t.right.text, old)
    for t in _of(drawn, "item"):
        before, after = " ".join(t.before.groups).split(), plain(t.right.text).split()
        assert after == [*before[:-1], t.ask.values["string"]] != before


def test_parts_of_it_and_all_of_it_are_told_again(drawn):
    for kind, part in (("back", slice(None)), ("last", slice(-1, None)), ("first part", slice(1))):
        for t in _of(drawn, kind):
            assert plain(t.right.text) == " ".join(t.before.groups[part]) and t.after.groups == t.before.groups


def test_dates_are_days_that_exist():
    said = {readback.ordinal(day) for day in range(1, 32)}
    assert len(said) == 31 and readback.ordinal(21) == "twenty first" and readback.ordinal(30) == "thirtieth"
    dates = [t.after.groups[0] for t in turns("readback", 300, seed=4) if t.after.groups]
    for date in (d for d in dates if readback.kind_of(d) == "date"):
        if found := re.fullmatch(r"(?:the )?(.+?) of (\w+)|(\w+) (?:the )?(.+)", date):
            assert {found[1], found[4]} & said or date.split()[0] in ("nineteen", "twenty", "two"), date


def test_counting_counts(long):
    for t in _of(long, "count"):
        values = t.ask.values
        low, high = number(values["from"]), number(values["to"])
        step = _STEPS.get(values.get("by", ""), 1) * (1 if high > low else -1)
        counted = [number(part) for part in t.right.text.rstrip(".").split(", ")]
        assert counted[0] == low and counted[-1] == high and len(counted) > 3, t
        assert all(b - a == step for a, b in zip(counted, counted[1:], strict=False)), t
        assert has(t.ask.user, values["by"] if "by" in values else values["to"] if high > low else values["from"])


def test_the_alphabet_the_days_and_the_months_are_complete(long):
    right = {"alphabet": " ".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
             "days": "monday tuesday wednesday thursday friday saturday sunday",
             "months": "january february march april may june july august september october november december"}
    for kind, words in right.items():
        assert {plain(t.right.text) for t in _of(long, kind)} == {words}


def test_stories_are_long_and_those_that_were_asked_for(long):
    assert len(stories.STORIES) == 8 and all(80 < len(s.split()) < 120 for s in stories.STORIES.values())
    for t in _of(long, "named"):
        story = t.ask.values["story"]
        assert has(t.ask.user, story) and t.right.text == stories.STORIES[story] and has(t.right.text, story)
    for t in _of(long, "another"):
        told = stories.story_in(t.before.said_whole)
        assert told and t.right.text in stories.STORIES.values() and t.right.text != stories.STORIES[told]
    for t in _of(long, "which"):
        assert all(has(t.right.text, name) for name in stories.STORIES)
    for name, story in stories.STORIES.items():
        assert [other for other in stories.STORIES if has(stories.STORIES[other], name)] == [name], "its very own word"
        assert stories.story_in(story[30:90]) == name


def test_a_correction_by_hand():
    rng, memory = random.Random(0), Memory()
    whole = {"string": "five five five, one two three four"}
    first = turn(Ask("five five five one two three four", "readback", "whole", whole), memory, rng)
    assert first.right.text == "five five five, one two three four."
    values = {"string": "one two three five", "not string": "one two three four"}
    then = turn(Ask("no one two three five", "readback", "correct", values), memory, rng)
    assert then.right.text == "five five five, one two three five." and then.right.never == ("one two three four",)
    last = turn(Ask("the last digit is nine", "readback", "item", {"string": "nine"}), memory, rng)
    assert last.right.text == "five five five, one two three nine."
