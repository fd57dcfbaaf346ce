"""Who may speak, and small talk: what was cut goes on at the word, whoever waits is silent until called."""

import random

from skill_talk import plain, turn, turns

from omni.data import skills
from omni.data.skills import floor, smalltalk
from omni.data.skills.talk import Ask, Memory


def _say(memory: Memory, kind: str, seed: int = 0) -> str:
    return turn(Ask("x", "floor", kind), memory, random.Random(seed)).right.text


def test_going_on_begins_with_the_word_that_was_cut():
    memory = Memory()
    memory.said("one, two,", "three, four.")
    assert _say(memory, "go on") == "three, four." and memory.rest == ""
    assert _say(memory, "go on") == "yes, i am here."


def test_saying_it_again_says_the_whole_of_it():
    memory = Memory()
    assert _say(memory, "again") == "i have not said anything."
    memory.said("a large", "latte.")
    assert _say(memory, "again") == "a large latte."


def test_whoever_waits_is_silent_until_called_back():
    memory = Memory()
    assert _say(memory, "stop") == "" and not memory.waiting
    assert _say(memory, "wait") == "" and memory.waiting
    rng = random.Random(0)
    assert {skills.ask(rng, memory, "floor").kind for _ in range(50)} == {"back"}
    assert skills.ask(rng, memory, "smalltalk") is None and skills.ask(rng, memory, "recall") is None
    assert _say(memory, "back") == "yes, i am here." and not memory.waiting


def test_never_mind_drops_what_was_begun():
    memory = Memory(order={"coffeeDrink": "latte"}, groups=["one two"], name="nora", rest="three.")
    assert _say(memory, "never mind") in ("okay.", "all right.")
    assert not memory.order and not memory.groups and not memory.rest and memory.name == "nora"


def test_what_depends_on_an_earlier_answer_is_asked_only_after_one():
    drawn = turns("floor", 800)
    assert {t.ask.kind for t in drawn} == {"stop", "wait", "back", "go on", "again", "never mind"}
    for t in drawn:
        kind, before = t.ask.kind, t.before
        assert kind != "go on" or before.rest and t.right.text == before.rest
        assert kind != "again" or before.said_whole and t.right.text == before.said_whole
        assert (kind == "back") <= before.waiting and (kind in ("stop", "wait")) == (t.right.text == "")
        assert t.after.user_said == before.user_said, "nothing that a user would say to have said"


def test_hushing_is_short_and_decided_at_once():
    rng = random.Random(0)
    asks = [floor.hush(rng) for _ in range(200)]
    assert {a.kind for a in asks} == {"stop", "wait"} and all(a.over and a.user in floor.STOPS for a in asks)
    assert all(a.user.split()[a.decisive - 1] for a in asks) and floor.marked("stop| it") == ("stop it", 1)


def test_small_talk_says_one_of_its_replies_and_the_name_if_it_knows_it():
    for t in turns("smalltalk", 600):
        text = t.right.text
        if t.before.name and f" {t.before.name}" in text:
            text = text.replace(f" {t.before.name}", "")
        assert text in smalltalk.vocabulary(), t
    named = {turn(Ask("hello", "smalltalk", "hello"), Memory(name="nora"), random.Random(i)).right.text
             for i in range(20)}
    assert named == {"hello nora.", "hello there."}
    assert smalltalk.kind_of("hello") == "hello" and smalltalk.kind_of("what is the capital of france") is None
    assert smalltalk.reply_to(random.Random(0), "well done").startswith("thank you")
    assert smalltalk.reply_to(random.Random(0), "what is the capital of france") is None


def test_a_joke_is_not_told_twice_in_a_row():
    rng, memory, told = random.Random(0), Memory(), []
    for _ in range(40):
        told.append(turn(Ask("a joke", "smalltalk", "joke"), memory, rng).right.text)
    assert all(a != b for a, b in zip(told, told[1:], strict=False)) and len(set(told)) >= 5
    assert all(plain(joke) and "?" in joke for joke in told)


def test_who_needs_a_drink_orders_one():
    """Small talk answered "i need a drink" as well as orders did, and otherwise."""
    assert smalltalk.kind_of("i need a drink") is None
