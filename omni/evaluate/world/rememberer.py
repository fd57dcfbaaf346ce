"""Who tells something, talks of other things for a while, and asks for it.

    my name is nora ── ack ── my favourite colour is green ── ack ── ... other skills ... ── what is my name?
                   └───────────────── 30 to 130 s, drawn for each of them ───────────────┘

What is talked of meanwhile never has what was told, in its words or in what is right to answer.
"""

import random
from copy import deepcopy
from dataclasses import dataclass

from omni.data import skills
from omni.data.skills.talk import Ask, Memory
from omni.data.user import BLOCK, RATE_HZ, Heard, Line, Situation
from omni.evaluate.scenario import normal
from omni.evaluate.verdicts import contains
from omni.evaluate.world.examiner import Examiner
from omni.evaluate.world.voice import Voiced

DISTANCE_S = (30.0, 130.0)
_SKILLS = ("orders", "readback", "sums", "facts", "smalltalk", "unknown")   # that are talked of meanwhile
_LONGEST = 100              # characters of an answer meanwhile, so that it is asked for in time
_FREE_S = 8.0               # before something is asked for, in which nothing else is begun
_ANSWERS = 16               # drawn to see what is in them
_TRIES = 100


@dataclass(slots=True)
class Thing:
    """Something to be remembered.

    Attributes:
        told: when it was said, and in which words.
        due_at: sample from which on it is asked for.
        asked: what it was asked for with, once it was.
    """

    told: Heard
    due_at: int
    asked: Line | None = None

    @property
    def value(self) -> str:
        """The name, or what is liked best."""
        values = self.told.line.ask.values
        return values.get("name") or values["is"]


class Rememberer(Examiner):
    """Tells a name and favourites, `count` things in any order, and asks for each. A `User` for
    `omni.data.partner.Partner`.

    Attributes:
        things: what was told so far.
    """

    def __init__(self, rng: random.Random, source: Voiced, skill: str, count: int):
        super().__init__(rng, source, skill, count)
        self.things: list[Thing] = []
        self._untold = ["name", *["favourite"] * (count - 1)]
        rng.shuffle(self._untold)

    def _line(self, now: Situation) -> tuple[Line | None, str]:
        at, memory = now.block * BLOCK, now.recall()
        if self._untold:
            return self._tell(at, memory), "turn"
        thing = min((thing for thing in self.things if thing.asked is None), key=lambda thing: thing.due_at)
        if at >= thing.due_at:
            self._left -= 1
            thing.asked = self._wanted(thing, memory)
            return thing.asked, "turn"
        return (None if at >= thing.due_at - _FREE_S * RATE_HZ else self._other(memory)), "turn"

    def _tell(self, at: int, memory: Memory) -> Line:
        kind = self._untold.pop()
        known = {thing.told.line.ask.values.get("of", "") for thing in self.things}
        line = self._found("recall", memory, lambda ask: ask.kind == "name" or ask.values["of"] not in known, kind)
        told = Heard(line, at, "turn")
        self.things.append(Thing(told, told.end + int(self.rng.uniform(*DISTANCE_S) * RATE_HZ)))
        return line

    def _wanted(self, thing: Thing, memory: Memory) -> Line:
        told = thing.told.line.ask
        return self._found("recall", memory, lambda ask: ask.values.get("of") == told.values.get("of"),
                           f"what {told.kind}")

    def _other(self, memory: Memory) -> Line | None:
        """Something that has nothing to do with it."""
        values = [thing.value for thing in self.things]
        return self._found(self.rng.choice(_SKILLS), memory, lambda ask: not _tells(ask, memory, values))

    def _found(self, skill: str, memory: Memory, fits, *kinds: str) -> Line | None:
        longest = None if kinds else _LONGEST
        for _ in range(_TRIES):
            ask = self.source.drawn(self.rng, memory, skill, kinds, longest=longest)
            if ask is not None and fits(ask):
                return self.source.say(ask)
        assert not kinds, (skill, kinds)
        return None


def _tells(ask: Ask, memory: Memory, values: list[str]) -> bool:
    """Whether one of these values is in its words, or in something that is right to answer."""
    memory, rng = deepcopy(memory), random.Random(0)
    skills.take(ask, memory)
    texts = [ask.user, *(skills.answer(ask, memory, rng).text for _ in range(_ANSWERS))]
    return any(contains(normal(text), value) for text in texts for value in values)
