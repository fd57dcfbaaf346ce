"""What holds for every skill, and the registry that is all a new one needs."""

import random
import types

import pytest
from skill_talk import Turn, has, number, plain, turn, turns

from omni.data import held_out, skills
from omni.data.skills import numbers, unknown
from omni.data.skills.talk import Answer, Ask, Memory
from omni.model.encoder import CAPTION_CHARACTERS
from omni.model.tokens import LETTERS, PAUSES, Pieces

PIECES = Pieces(skills.vocabulary())


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[Turn]]:
    """Of each skill, turns as lessons have them."""
    return {name: turns(name, 400) for name in skills.names()}


@pytest.fixture(scope="module")
def apart() -> dict[str, list[Turn]]:
    """Of each skill, turns as no lesson has them."""
    return {name: turns(name, 250, seed=12, held_out=True) for name in skills.names()}


def test_numbers_in_words_read_back_as_themselves():
    for n in range(-999, 1000):
        assert number(numbers.words(n)) == n
        assert set(numbers.words(n).split()) <= set(numbers.vocabulary())
    assert numbers.words(21) == "twenty one" and numbers.words(-100) == "minus one hundred"


@pytest.mark.parametrize("skill", skills.names())
def test_the_vocabulary_has_every_word_of_every_reply(skill, drawn, apart):
    for t in drawn[skill] + apart[skill]:
        text = t.right.text
        assert t.ask.skill == skill and PIECES.knows(text), (t.ask, text)
        assert PIECES.decode(PIECES.encode(text)) == text
        assert not text or text[-1] in PAUSES, "a reply ends with the voice at rest"


def test_what_the_user_said_is_said_back_only_in_words_that_the_agent_has():
    """It was spelled letter by letter where the user's words had no pieces, which is most of what users say."""
    memory = Memory(user_said="where are my sunglasses", skill="unknown")
    rng = random.Random(0)
    assert "user said" not in {skills.ask(rng, memory, "recall").kind for _ in range(200)}
    memory.user_said = "hello"
    assert "user said" in {skills.ask(rng, memory, "recall").kind for _ in range(200)}


@pytest.mark.parametrize("skill", skills.names())
def test_answers_have_their_facts_and_nothing_that_was_taken_back(skill, drawn, apart):
    for t in drawn[skill] + apart[skill]:
        for fact in t.right.facts.values():
            assert fact and has(t.right.text, fact), t
        assert not any(has(t.right.text, gone) for gone in t.right.never), t


@pytest.mark.parametrize("skill", skills.names())
def test_users_words_can_be_captioned_and_decide_in_time(skill, drawn, apart):
    for t in drawn[skill] + apart[skill]:
        user = t.ask.user
        assert user and user == " ".join(user.split())
        assert all(word.islower() or word in LETTERS for word in user.split()), user
        assert set(user.lower()) <= set(CAPTION_CHARACTERS), user
        assert 1 <= t.ask.decisive <= len(user.split()), t.ask


def test_what_is_held_out_is_in_no_lesson_of_any_skill(drawn, apart):
    own = {t.ask.user for some in drawn.values() for t in some}
    kept = {t.ask.user for some in apart.values() for t in some}
    assert not own & kept
    assert not {text.lower() for text in own} & held_out.wordings()
    assert all(len({t.ask.user for t in some}) > 50 for some in apart.values())


def test_a_seed_fixes_what_is_said():
    assert turns(None, 60) == turns(None, 60) != turns(None, 60, seed=12)


def test_all_skills_come_by_their_shares():
    assert sum(skills.shares().values()) == pytest.approx(1.0)
    rng = random.Random(5)
    asked = [skills.ask(rng, Memory()).skill for _ in range(2000)]
    for name, share in skills.shares().items():
        assert asked.count(name) / 2000 == pytest.approx(share, abs=0.035), name


def test_only_the_unknown_is_admitted_not_to_be_known(drawn):
    for name, some in drawn.items():
        for t in some:
            if name == "unknown":
                assert unknown.admits(t.right.text) and t.ask.user and t.after.order == t.before.order
            elif name not in ("recall", "floor"):   # which say earlier texts again
                assert not unknown.admits(t.right.text) or t.right.text.startswith("i don't know, i hear"), t
    assert not unknown.admits("you have not told me.") and unknown.admits("Sorry, I don't know.")
    assert len({unknown.question(random.Random(i)) for i in range(200)}) > 150


def test_the_vocabulary_is_sorted_unique_small_and_holds_no_letters_of_its_own():
    words = skills.vocabulary()
    assert words == sorted(set(words)) and not set(words) & set(LETTERS) and len(words) <= 1000
    assert not any(set(word) & set(PAUSES) for word in words)


def test_an_exchange_stands_alone():
    rng = random.Random(3)
    for _ in range(200):
        e = skills.exchange(rng)
        assert all(has(e.reply, fact) for fact in e.facts.values()) and e.skill in skills.names()
    assert skills.exchange(rng, "sums").skill == "sums"
    assert skills.alone(Ask("stop", "floor", "stop"), rng) == ""


def test_a_new_skill_is_known_by_its_name_in_the_registry_alone(monkeypatch):
    parrot = types.ModuleType("parrot")
    parrot.SHARE = 100.0
    parrot.ask = lambda rng, memory, held_out=False: Ask("pretty polly", "parrot", "pretty")
    parrot.take = lambda ask, memory: memory.groups.append("polly")
    parrot.answer = lambda ask, memory, rng: Answer(f"squawk, {' '.join(memory.groups)}.")
    parrot.vocabulary = lambda: ["squawk, polly."]
    monkeypatch.setattr(skills, "_SKILLS", {**skills._SKILLS, "parrot": parrot})
    monkeypatch.setattr(skills, "_NAMES", (*skills._NAMES, "parrot"))
    assert "parrot" in skills.names() and skills.shares()["parrot"] > 0.9
    assert {"squawk", "polly"} <= set(skills.vocabulary())
    rng, memory = random.Random(0), Memory()
    said = next(a for a in (skills.ask(rng, memory) for _ in range(50)) if a.skill == "parrot")
    taken = turn(said, memory, rng)
    assert taken.right.text == "squawk, polly." and memory.skill == "parrot" and memory.user_said == "pretty polly"
    assert plain(skills.exchange(rng, "parrot").reply) == "squawk polly"
