"""Conversations with the skills, for their tests: what was asked in which state of memory, and what is right to it."""

import copy
import random
import re
from dataclasses import dataclass

from omni.data import skills
from omni.data.skills import sounds
from omni.data.skills.talk import Answer, Ask, Memory

_UNITS = {w: i for i, w in enumerate(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen".split())}
_TENS = {w: 10 * i for i, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}


@dataclass(frozen=True, slots=True)
class Turn:
    """Attributes:
        before: memory as it was when `ask` was drawn; after: once it was taken, which is what `right` was given for.
    """

    before: Memory
    ask: Ask
    after: Memory
    right: Answer


def turn(ask: Ask, memory: Memory, rng: random.Random) -> Turn:
    """Let a skill take an ask and answer it; the memory goes on, nothing of the answer being cut."""
    before = copy.deepcopy(memory)
    skills.take(ask, memory)
    after = copy.deepcopy(memory)
    right = skills.answer(ask, memory, rng)
    assert memory == after, "answer() changed the memory"
    memory.said(right.text)
    return Turn(before, ask, after, right)


def turns(skill: str | None, count: int, seed: int = 11, held_out: bool = False) -> list[Turn]:
    """Turns of a skill, in conversations that are about it mostly and in which some replies are cut; of all, for None.
    """
    rng, found = random.Random(seed), []
    while len(found) < count:
        memory = Memory(sounds=tuple(rng.sample(list(sounds.NAMES), rng.choice([0, 0, 1, 2, 3]))))
        for _ in range(10):
            name, before = skill if rng.random() < 0.75 else None, copy.deepcopy(memory)
            ask = skills.ask(rng, memory, name, held_out)
            assert memory == before, "ask() changed the memory"
            if ask is None:
                continue
            taken = turn(ask, memory, rng)
            if skill in (None, ask.skill):
                found.append(taken)
            words = taken.right.text.split()
            if len(words) > 3 and rng.random() < 0.25:
                cut = rng.randrange(1, len(words))
                memory.said(" ".join(words[:cut]), " ".join(words[cut:]))
    return found[:count]


def plain(text: str) -> str:
    """The words without the pauses."""
    return " ".join(re.sub(r"[,.?]", " ", text).split())


def has(text: str, words: str) -> bool:
    """The words stand side by side in the text."""
    return f" {words} " in f" {plain(text)} "


def number(text: str) -> int:
    """A number in words, read by rules of the tests' own."""
    sign, total = 1, 0
    for word in text.split():
        if word == "minus":
            sign = -1
        elif word == "hundred":
            total *= 100
        else:
            total += _UNITS[word] if word in _UNITS else _TENS[word]
    return sign * total
