"""What skills have in common: what a user asks, what is right to answer, and what both remember.

A skill is an oracle that reacts. It never plans a conversation: given what was really said and really heard so far, it
says what a user might ask next and what would be right to answer now. So the same skill writes a lesson, plays a user
against a running agent, and says of the agent's own mistakes what it should have done.

    rng, memory ──► ask() ──► Ask ──► take(): memory changes ──► answer() ──► Answer
                                                                                │
                      memory.said(what was heard, what was not) ◄── the agent ◄─┘

Texts are lower case and spelled out ("twenty one"); a single upper-case letter is the letter's name ("I V A"); the
agent's replies carry "," "." and "?" where the voice pauses.
"""

import random
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import yaml

from omni.base.config import data_path


@dataclass(frozen=True, slots=True)
class Ask:
    """Something a user says to the agent.

    Attributes:
        user: the words.
        skill: name of the skill that answers it.
        kind: what is meant, a name of the skill's own ("order", "correct", "so far").
        values: what is told, slot name to words, as far as the skill needs it to answer.
        over: people say this while the agent speaks, and it is a reason to yield.
        decisive: how many of its words it takes until it is clear that it is for the agent and what kind of thing it
            is; an agent that speaks should yield one block after the last of them has ended.
        open: people often pause here and go on, so that only a longer silence says that it is all.
    """

    user: str
    skill: str
    kind: str
    values: dict[str, str] = field(default_factory=dict)
    over: bool = True
    decisive: int = 2
    open: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What is right to say.

    Attributes:
        text: the agent's words; empty if silence is right.
        facts: what the words must contain to be right, name to words; for evaluation.
        never: words that a right answer does not contain (a value that was corrected away).
    """

    text: str
    facts: dict[str, str] = field(default_factory=dict)
    never: tuple[str, ...] = ()


@dataclass(slots=True)
class Memory:
    """What an attentive listener knows of a conversation so far. Belongs to the oracle; skills write their own part.

    Attributes:
        order: slots of the coffee order that is being taken; empty if none is.
        groups: the string that is being read back, group by group.
        result: of the last sum.
        name: what the user is called; favourites: what of, to what ("colour" to "green").
        user_said: the last thing the user said to the agent that was worth remembering.
        agent_said: what was heard of the agent's last answer, as it was said, with its pauses.
        rest: what was not heard of it because it was cut; empty if all of it was. It begins with the word that was cut.
        said_whole: the agent's last answer as it was meant.
        waiting: the user has asked the agent to be silent until called.
        sounds: names of the sounds that sound now or sounded just before, the latest last.
        skill: of the last ask.
    """

    order: dict[str, str] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)
    result: int | None = None
    name: str = ""
    favourites: dict[str, str] = field(default_factory=dict)
    user_said: str = ""
    agent_said: str = ""
    rest: str = ""
    said_whole: str = ""
    waiting: bool = False
    sounds: tuple[str, ...] = ()
    skill: str = ""

    def said(self, heard: str, rest: str = "") -> None:
        """The agent has spoken: `heard` is what sounded, `rest` what was cut off; both as written, pauses and all."""
        self.agent_said, self.rest = heard.strip(), rest.strip()
        self.said_whole = f"{self.agent_said} {self.rest}".strip()


class Skill(Protocol):
    """What a module of a skill has. `SHARE` is how often it is asked, beside the shares of the others."""

    SHARE: float

    def ask(self, rng: random.Random, memory: Memory, held_out: bool = False) -> Ask | None:
        """Something that makes sense to say now; None if nothing of this skill does.

        Args:
            memory: only read.
            held_out: in a wording that no lesson has, or with values that no lesson has.
        """

    def take(self, ask: Ask, memory: Memory) -> None:
        """The user has said it: remember what it says."""

    def answer(self, ask: Ask, memory: Memory, rng: random.Random) -> Answer:
        """What is right to say to it, `take` having run; `memory` is only read."""

    def vocabulary(self) -> list[str]:
        """Texts that have every word an answer may be made of."""


@lru_cache(maxsize=None)
def kept(skill: str) -> dict[str, list]:
    """What is kept from the lessons of a skill: configs/data/skills/SKILL.yaml, lists by name, values and wordings."""
    return yaml.safe_load(data_path("configs", "data", "skills", f"{skill}.yaml").read_text(encoding="utf-8"))


def wording(rng: random.Random, own: list[str], skill: str, name: str, held_out: bool) -> str:
    """One of a skill's own wordings, or one of those that are kept from lessons under `name`."""
    return rng.choice(kept(skill)[name] if held_out else own)


def value(rng: random.Random, values: list[str], skill: str, name: str, held_out: bool) -> str:
    """One of some values, of which those kept under `name` are for evaluation and the others for lessons."""
    apart = kept(skill).get(name, ())
    return rng.choice([v for v in values if (v in apart) == held_out])
