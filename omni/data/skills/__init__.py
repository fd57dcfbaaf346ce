"""What is talked about: one small file a skill, each an oracle that reacts (see `omni.data.skills.talk`).

A new skill is one new module here, with its name in `_NAMES`: lessons, the voice's words, banks of utterances and
evaluation take it from there.
"""

import importlib
import random
from dataclasses import dataclass, field

from omni.data.skills.talk import Answer, Ask, Memory, Skill

_NAMES = ("orders", "readback", "sums", "facts", "recall", "stories", "floor", "smalltalk", "sounds", "unknown")
_SKILLS: dict[str, Skill] = {name: importlib.import_module(f"{__name__}.{name}") for name in _NAMES}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One turn of the user and what the agent should say to it.

    Attributes:
        user: the user's words.
        reply: the agent's words; empty if silence is right.
        skill: name of the skill.
        facts: what the reply must contain to be right (name to words), for evaluation.
    """

    user: str
    reply: str
    skill: str
    facts: dict[str, str] = field(default_factory=dict)


def names() -> list[str]:
    """The skills by name."""
    return list(_SKILLS)


def shares() -> dict[str, float]:
    """The share of each skill of what is asked; all of them are one."""
    total = sum(skill.SHARE for skill in _SKILLS.values())
    return {name: skill.SHARE / total for name, skill in _SKILLS.items()}


def ask(rng: random.Random, memory: Memory, skill: str | None = None, held_out: bool = False) -> Ask | None:
    """Something that a user may say now, of a random skill by the skills' shares unless one is named.

    Returns:
        None if nothing of the named skill makes sense now.
    """
    if skill is not None:
        return _SKILLS[skill].ask(rng, memory, held_out)
    while True:
        name = rng.choices(_NAMES, [s.SHARE for s in _SKILLS.values()])[0]
        if (found := _SKILLS[name].ask(rng, memory, held_out)) is not None:
            return found


def take(said: Ask, memory: Memory) -> None:
    """The user has said it: the memory changes."""
    skill = _SKILLS[said.skill]
    skill.take(said, memory)
    if said.kind not in getattr(skill, "PASSING", ()):
        memory.user_said = said.user
    memory.skill = said.skill


def answer(said: Ask, memory: Memory, rng: random.Random) -> Answer:
    """What is right to say to it, `take` having run. The memory is not changed: what is said changes it (`said`)."""
    return _SKILLS[said.skill].answer(said, memory, rng)


def alone(said: Ask, rng: random.Random) -> str:
    """What is right to say to it where nothing was said before."""
    memory = Memory()
    take(said, memory)
    return answer(said, memory, rng).text


def exchange(rng: random.Random, skill: str | None = None) -> Exchange:
    """Draw one exchange that stands alone, of a random skill by the skills' shares unless one is named."""
    while True:
        memory = Memory()
        if (said := ask(rng, memory, skill)) is None:
            continue
        take(said, memory)
        right = answer(said, memory, rng)
        return Exchange(said.user, right.text, said.skill, right.facts)


def texts(skill: str) -> list[str]:
    """Texts that have every word of the skill's replies."""
    return _SKILLS[skill].vocabulary()


def vocabulary() -> list[str]:
    """Every word the skills may put into a reply, sorted."""
    words = set()
    for name in _SKILLS:
        for text in texts(name):
            words.update(text.replace(",", " ").replace(".", " ").replace("?", " ").split())
    return sorted(word for word in words if not (len(word) == 1 and word.isupper()))
