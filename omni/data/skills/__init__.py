"""What is talked about: one small file a skill, each giving exchanges of a user's words and the agent's reply.

Texts are lower case and spelled out ("twenty one"); a single upper-case letter is the letter's name ("I V A"); the
agent's replies carry "," "." and "?" where the voice pauses.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from omni.data.skills import orders, readback, smalltalk, stories, sums, unknown


@dataclass(frozen=True, slots=True)
class Exchange:
    """One turn of the user and what the agent should say to it.

    Attributes:
        user: the user's words.
        reply: the agent's words; empty if silence is right.
        skill: name of the skill.
        facts: what the reply must contain to be right (slot name to words), for evaluation.
    """

    user: str
    reply: str
    skill: str
    facts: dict[str, str] = field(default_factory=dict)


_SKILLS: dict[str, tuple[float, Callable[[random.Random], tuple[str, str, dict[str, str]]]]] = {
    "orders": (0.45, orders.exchange),
    "readback": (0.17, readback.exchange),
    "sums": (0.12, sums.exchange),
    "stories": (0.08, stories.exchange),
    "smalltalk": (0.12, smalltalk.exchange),
    "unknown": (0.06, unknown.exchange),
}


def exchange(rng: random.Random, skill: str | None = None) -> Exchange:
    """Draw one exchange, of a random skill by the skills' shares unless one is named."""
    name = skill or rng.choices(list(_SKILLS), [share for share, _ in _SKILLS.values()])[0]
    user, reply, facts = _SKILLS[name][1](rng)
    return Exchange(user, reply, name, facts)


def names() -> list[str]:
    """The skills by name."""
    return list(_SKILLS)


def vocabulary() -> list[str]:
    """Every word the skills may put into a reply, sorted."""
    words = set()
    for module in (orders, readback, sums, stories, smalltalk, unknown):
        for text in module.vocabulary():
            words.update(text.replace(",", " ").replace(".", " ").replace("?", " ").split())
    return sorted(word for word in words if not (len(word) == 1 and word.isupper()))
