"""What the agent knows, remembers and hears: tables of facts, names and favourites, sounds by their classes."""

import random

import pytest
from skill_talk import Turn, has, plain, turn, turns

from omni.data import hearing, skills
from omni.data.skills import facts, recall, sounds
from omni.data.skills.talk import Ask, Memory

_KINDS = ("capital", "opposite", "sound", "young", "legs", "colour", "count", "after", "before", "nth", "length",
          "spelling")


def _of(skill: str, kind: str, drawn: list[Turn]) -> list[Turn]:
    found = [t for t in drawn if t.ask.skill == skill and t.ask.kind == kind]
    assert len(found) > 5, kind
    return found


def _fact(kind: str, x: str, y: str = "") -> str:
    return skills.alone(Ask("x", "facts", kind, {"x": x, "y": y}), random.Random(0))


def test_facts_are_many():
    assert sum(len(facts.table(kind)) for kind in _KINDS) >= 200
    assert len({answer for kind in _KINDS for answer in facts.table(kind).values()}) >= 200


@pytest.mark.parametrize(("kind", "asked", "right"), [
    ("capital", ("france",), "it is paris."), ("capital", ("australia",), "it is canberra."),
    ("opposite", ("hot",), "it is cold."), ("opposite", ("cold",), "it is hot."), ("sound", ("a cow",), "it says moo."),
    ("young", ("a dog",), "it is a puppy."), ("young", ("an elephant",), "it is a calf."),
    ("legs", ("a spider",), "it has eight legs."), ("legs", ("a fish",), "it has no legs."),
    ("colour", ("snow",), "it is white."), ("count", ("days", "in a week"), "there are seven."),
    ("count", ("sides", "on a hexagon"), "there are six."), ("after", ("day", "sunday"), "it is monday."),
    ("after", ("letter", "C"), "it is D."), ("before", ("month", "january"), "it is december."),
    ("nth", ("third",), "it is march."), ("length", ("february",), "there are twenty eight."),
    ("spelling", ("coffee",), "C O F F E E.")])
def test_a_fact_is_right(kind, asked, right):
    assert _fact(kind, *asked) == right


def test_facts_are_told_as_they_stand_in_the_table():
    for t in turns("facts", 500):
        x, y = t.ask.values["x"], t.ask.values["y"]
        assert has(t.ask.user, x) and (not y or has(t.ask.user, y)), t
        assert has(t.right.text, facts.table(t.ask.kind)[x, y])
    for (word, _), letters in facts.table("spelling").items():
        assert letters.replace(" ", "").lower() == word
    days = {("day", d): facts.table("after")["day", d] for d in facts._DAYS}
    assert all(facts.table("before")["day", after] == d for (_, d), after in days.items())


def test_a_name_and_favourites_are_kept_over_a_long_talk():
    rng, memory = random.Random(1), Memory()
    turn(Ask("my name is nora", "recall", "name", {"name": "nora"}), memory, rng)
    for of, is_ in (("colour", "green"), ("drink", "tea"), ("animal", "owl")):
        turn(Ask("x", "recall", "favourite", {"of": of, "is": is_}), memory, rng)
    for _ in range(60):
        said = skills.ask(rng, memory)
        if said.skill != "recall":
            turn(said, memory, rng)
    assert turn(Ask("x", "recall", "what name"), memory, rng).right.text == "your name is nora."
    for of, is_ in (("colour", "green"), ("drink", "tea"), ("animal", "owl")):
        asked = turn(Ask("x", "recall", "what favourite", {"of": of}), memory, rng)
        assert asked.right.text == f"your favourite {of} is {is_}."
    assert plain(turn(Ask("x", "recall", "about me"), memory, rng).right.text) == (
        "your name is nora your favourite colour is green your favourite drink is tea and your favourite animal is owl")
    no = turn(Ask("x", "recall", "what favourite", {"of": "food"}), memory, rng)
    assert no.right.text.startswith("you have not told me") and no.right.facts == {"untold": "you have not told me"}


def test_recall_answers_by_what_was_told():
    drawn = turns("recall", 1200)
    for t in _of("recall", "what name", drawn):
        assert has(t.right.text, t.before.name) if t.before.name else has(t.right.text, "not told me")
    for t in _of("recall", "what favourite", drawn):
        told = t.before.favourites.get(t.ask.values["of"])
        assert has(t.right.text, told) if told else has(t.right.text, "not told me")
    for t in _of("recall", "name", drawn):
        name = t.ask.values["name"]
        assert t.after.name == name and has(t.ask.user, name) and has(t.right.text, name)
        assert t.right.never == ((t.before.name,) if t.before.name else ())
    for t in _of("recall", "favourite", drawn):
        of, is_ = t.ask.values["of"], t.ask.values["is"]
        assert t.after.favourites == {**t.before.favourites, of: is_} and has(t.right.text, is_)
        assert has(t.ask.user, is_) and has(t.ask.user, of) and is_ in recall.FAVOURITES[of]
        assert t.right.never == ((t.before.favourites[of],) if of in t.before.favourites else ())


def test_what_was_just_said_by_either_is_said_again():
    rng, memory = random.Random(0), Memory()
    assert turn(Ask("x", "recall", "user said"), memory, rng).right.text == "you have not said anything."
    assert memory.user_said == "", "the question itself is nothing that was said"
    turn(Ask("hello there", "smalltalk", "hello"), memory, rng)
    memory.said("hello, my", "friend.")
    mine = turn(Ask("what did you just say", "recall", "agent said"), memory, rng)
    assert mine.right.text == "hello, my." and mine.right.facts == {"said": "hello my"}
    again = turn(Ask("what did i just say", "recall", "user said"), memory, rng)
    assert again.right.text == "you said, hello there."


def test_every_class_of_sound_has_a_name_a_key_and_a_place():
    assert tuple(sounds.NAMES) == tuple(sounds.KEYS) == tuple(sounds.PLACES) == hearing.SOUNDS
    assert all(has(sounds.NAMES[name], sounds.KEYS[name]) and has(*sounds.PLACES[name]) for name in hearing.SOUNDS)
    assert len(set(sounds.KEYS.values())) == len(hearing.SOUNDS)


def test_what_sounds_is_named_all_of_it_and_nothing_else():
    drawn = turns("sounds", 900)
    for t in _of("sounds", "what", drawn):
        named = {name for name, key in sounds.KEYS.items() if has(t.right.text, key)}
        assert named == set(t.before.sounds), t
        assert t.before.sounds or has(t.right.text, "nothing"), t
    for t in _of("sounds", "where", drawn):
        for sound in t.before.sounds[-2:]:
            assert has(t.right.text, sounds.PLACES[sound][1])
        assert t.before.sounds or has(t.right.text, "nothing special")
    for t in _of("sounds", "whether", drawn):
        assert t.right.text.split(",")[0] == ("yes" if t.ask.values["sound"] in t.before.sounds else "no")
    assert {len(t.before.sounds) for t in drawn} == {0, 1, 2, 3}
