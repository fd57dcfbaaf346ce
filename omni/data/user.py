"""A user who reacts: what is said next and when, given what the agent has done so far.

Users follow the floor. While the agent listens they ask, are silent, talk to others, or something sounds; while it
speaks they mostly listen, and now and then interrupt, acknowledge, correct. Whoever asked waits for the answer, for a
few seconds; then it is asked again, or something else is.
"""

import math
import random
from collections.abc import Callable, Collection
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Protocol

from omni.data import skills
from omni.data.held_out import wordings
from omni.data.skills import floor
from omni.data.skills.talk import Ask, Memory

RATE_HZ = 16_000
BLOCK = 1280
HUSH = ("stop", "wait")
CORRECTIONS = {"orders": ("correct", "add", "remove"), "readback": ("correct", "item", "next"),
               "recall": ("name", "favourite"), "sums": ("chain",)}
"""Kinds by which people put an answer right, or go on from it, while it is still said."""
_NEVER = math.inf


class Line(Protocol):
    """Something a person says or a thing sounds; `num_samples` long.

    Attributes:
        text: the words, None if they are not known.
        words: (word, first sample, one past the last) of each, where they are known.
        ask: what it asks of the agent, if anything.
        sound: class of what sounds, "" if it is speech or not known.
    """

    text: str | None
    num_samples: int
    words: list[tuple[str, int, int]]
    ask: Ask | None
    sound: str


class Source(Protocol):
    """Where lines come from."""

    def ask(self, rng: random.Random, memory: Memory, skill: str | None = None, kinds: Collection[str] = (),
            over: bool = False, longest: int | None = None) -> Line | None:
        """Something that makes sense to ask now, with its `ask`; None if there is nothing such.

        Args:
            skill, kinds: of this skill, and one of these kinds.
            over: it is a reason for an agent that speaks to yield.
            longest: characters of its answer at most.
        """

    def draw(self, kind: str, rng: random.Random) -> Line | None:
        """A line that asks for nothing: "backchannel", "other", "word" or "sound"; None if the source has none."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A line in the room, from sample `at` on; `role` is "turn", "stop", or as in `Source.draw`."""

    line: Line
    at: int
    role: str

    @property
    def end(self) -> int:
        """One past its last sample."""
        return self.at + self.line.num_samples


@dataclass(frozen=True, slots=True)
class Manners:
    """How a user behaves; what happens while the agent listens and while it speaks, by how often.

    Attributes:
        between: "turn", "silence", "sound", "other", "backchannel", "word", "stop".
        during: "none", "stop", "turn" (a question), "correct", "rapid" (a question over the first second),
            "backchannel", "other", "sound".
        gaps_s: pauses between two things that happen, one range is drawn, then a pause from it.
        patience_s: how long an answer is waited for.
        longest: characters of an answer at most, None for any.
        minutes: share of silences that take up to a minute and a half.
        listens: share of questions that are requests for long speech.
        early: share of questions into which the agent of a lesson begins to answer.
        quiz: shares of questions that are of these skills, beside those that chance brings.
        resumes: share of what was stopped that is gone on with.
        wonders: share of what just sounded that is asked about.
        stays: share of questions that are of the skill of the one before, as people stay with a thing: else what only
            follows from an answer, such as another sum with its result, is hardly ever asked.
        haste: how many times faster than people the agent speaks.
    """

    between: dict[str, float] = field(default_factory=lambda: {
        "turn": 0.56, "sound": 0.08, "other": 0.22, "backchannel": 0.03, "word": 0.03, "stop": 0.02, "silence": 0.06})
    during: dict[str, float] = field(default_factory=lambda: {
        "none": 0.24, "stop": 0.17, "turn": 0.11, "correct": 0.08, "rapid": 0.05, "backchannel": 0.13, "other": 0.12,
        "sound": 0.10})
    gaps_s: tuple[tuple[float, float], ...] = ((0.25, 1.0), (1.0, 3.5))
    patience_s: tuple[float, float] = (3.0, 6.0)
    longest: int | None = None
    minutes: float = 0.04
    listens: float = 0.0
    early: float = 0.0
    quiz: dict[str, float] = field(default_factory=dict)
    resumes: float = 0.5
    wonders: float = 0.5
    stays: float = 0.0
    haste: float = 1.0


TALK = Manners()
LONG = Manners(minutes=0.3, listens=0.2)      # there a story has room to be told to its end
INTERRUPTS = Manners(
    {"turn": 0.78, "sound": 0.04, "other": 0.1, "backchannel": 0.02, "word": 0.02, "stop": 0.01, "silence": 0.03},
    {"none": 0.06, "stop": 0.21, "turn": 0.13, "correct": 0.08, "rapid": 0.03, "backchannel": 0.25, "other": 0.16,
     "sound": 0.08}, ((0.25, 1.5),), listens=0.5, early=0.2)
DRILL = Manners({"turn": 1.0}, {"none": 1.0}, ((0.05, 0.5),), longest=120, stays=0.5)
RECITAL = replace(DRILL, longest=None, listens=0.5, stays=0.0)
BROKEN = replace(RECITAL, during={"none": 0.2, "stop": 0.5, "turn": 0.1, "backchannel": 0.2}, listens=0.6,
                 resumes=0.85, haste=4.0)
QUIZ = replace(DRILL, quiz={"facts": 0.21, "sums": 0.19, "recall": 0.15, "readback": 0.05, "unknown": 0.1,
                           "smalltalk": 0.15})
COPY = replace(DRILL, quiz={"readback": 0.5, "orders": 0.35})
REMEMBER = replace(DRILL, gaps_s=((0.05, 0.5), (0.05, 0.5), (1.0, 4.0)), quiz={"recall": 0.4, "facts": 0.2}, stays=0.2)
LISTENING = replace(DRILL, between={"turn": 0.55, "sound": 0.45}, wonders=0.85)  # there is something to ask about
_WAITING = {"silence": 0.35, "other": 0.25, "sound": 0.1, "turn": 0.3}  # between, while the agent is to wait


@dataclass(frozen=True, slots=True)
class Situation:
    """What a user knows of a conversation in a block.

    Attributes:
        block: that is about to begin.
        speaking: the agent has the floor; since: the block in which it took it, or gave it back.
        length_s: how long its reply is thought to last.
        unanswered: what was asked last, if the answer has not begun.
        recall: gives what an attentive listener knows, with what was heard of the agent until now.
    """

    block: int
    speaking: bool
    since: int
    length_s: float
    unanswered: Heard | None
    recall: Callable[[], Memory]


class User:
    """Plans one thing ahead, and drops it when the floor changes hands. Draws from `rng` alone."""

    def __init__(self, rng: random.Random, source: Source, manners: Manners = TALK):
        self.rng, self.source, self.manners = rng, source, manners
        self._floor: tuple[bool, int] | None = None
        self._plan: tuple[float, str] | None = None
        self._quiet_at = rng.randrange(1600, RATE_HZ)   # from here on nothing of the user's sounds
        self._gives_up = 0.0                             # sample until which an answer is waited for
        self._times = 0                                  # that the same thing was asked
        self._sounded = False                            # the last thing that happened was a sound

    def act(self, now: Situation) -> list[Heard]:
        """What begins to sound in this block."""
        if self._floor != (now.speaking, now.since):
            self._floor, self._plan = (now.speaking, now.since), None
        stop = (now.block + 1) * BLOCK
        if now.unanswered is not None:
            return [] if stop <= self._gives_up else self._ask_again(now)
        if self._plan is None:
            self._plan = self._during(now) if now.speaking else self._between(now)
        at, kind = self._plan
        if at >= stop:
            return []
        self._plan = None
        return self._do(kind, max(int(at), now.block * BLOCK), now)

    # ---- plans -------------------------------------------------------------------------------------------------------

    def _between(self, now: Situation) -> tuple[float, str]:
        memory, kinds = now.recall(), dict(self.manners.between)
        if memory.waiting and len(kinds) > 1:
            kinds = _WAITING
        elif memory.skill in ("orders", "readback"):
            kinds.pop("backchannel", None)  # there "yes" is an answer
        low, high = self.rng.choice(self.manners.gaps_s)
        if self._sounded:
            low, high = min(low, 0.3), min(high, 2.0)
        return max(now.block * BLOCK, self._quiet_at) + self.rng.uniform(low, high) * RATE_HZ, _drawn(self.rng, kinds)

    def _during(self, now: Situation) -> tuple[float, str]:
        speech, haste = (now.since + 2) * BLOCK, self.manners.haste
        first = now.block - now.since <= 1  # nothing has happened yet in this reply
        low = speech if first else max(now.block * BLOCK, self._quiet_at) + self.rng.uniform(1, 6) / haste * RATE_HZ
        room = speech + (now.length_s - 0.5) / haste * RATE_HZ - low
        kind = _drawn(self.rng, self.manners.during)
        if kind == "rapid":
            return (speech + self.rng.uniform(0, 1) * RATE_HZ, "turn") if first else (_NEVER, "none")
        if kind == "none" or room < RATE_HZ / 2 / haste:
            return _NEVER, "none"
        if room > 8 / haste * RATE_HZ and self.rng.random() < 0.7:
            room = 8 / haste * RATE_HZ
        return low + self.rng.random() * room, kind

    # ---- deeds -------------------------------------------------------------------------------------------------------

    def _do(self, kind: str, at: int, now: Situation) -> list[Heard]:
        rng, memory = self.rng, now.recall()
        if kind == "silence":
            long = rng.random() < self.manners.minutes
            self._quiet_at = at + int(rng.uniform(20, 90) if long else rng.uniform(2, 9)) * RATE_HZ
            return []
        if kind in ("backchannel", "other", "word", "sound"):
            line = self.source.draw(kind, rng)
        elif kind == "stop" and not memory.waiting:
            line = self.source.ask(rng, memory, "floor", HUSH, over=True)
        elif kind == "correct" and memory.skill in CORRECTIONS:
            line = self.source.ask(rng, memory, memory.skill, CORRECTIONS[memory.skill], over=now.speaking)
        else:
            kind, line = "turn", self._question(now.speaking, memory)
        return [] if line is None else [self._says(line, at, "turn" if kind == "correct" else kind)]

    def _question(self, over: bool, memory: Memory) -> Line | None:
        """What is asked next: to go on with what was stopped, or what sounds, more often than by chance."""
        rng = self.rng
        if memory.waiting:
            return self.source.ask(rng, memory, "floor")
        stopped = memory.skill == "floor" and len(memory.rest.split()) > 2
        if not over and stopped and rng.random() < self.manners.resumes:
            return self.source.ask(rng, memory, "floor", ("go on",))
        if memory.sounds and rng.random() < (self.manners.wonders if self._sounded else 0.2):
            return self.source.ask(rng, memory, "sounds", over=over)
        if self.manners.listens and not over and rng.random() < self.manners.listens:
            return self.source.ask(rng, memory, "stories")
        if not over and memory.skill not in ("", "floor", "sounds") and rng.random() < self.manners.stays:
            line = self.source.ask(rng, memory, memory.skill, longest=self.manners.longest)
            if line is not None:
                return line
        if (quiz := self.manners.quiz) and not over:
            skill = _drawn(rng, {**quiz, "": 1 - sum(quiz.values())})
            if skill and (line := self.source.ask(rng, memory, skill, longest=self.manners.longest)) is not None:
                return line
        return self.source.ask(rng, memory, over=over, longest=self.manners.longest)

    def _ask_again(self, now: Situation) -> list[Heard]:
        """Nobody answered: the same once or twice more, or something else."""
        at, times = now.block * BLOCK, self._times
        if times < 3 and self.rng.random() < 0.6:
            heard = self._says(now.unanswered.line, at, now.unanswered.role)
            self._times = times + 1
            return [heard]
        line = self._question(now.speaking, now.recall())
        return [] if line is None else [self._says(line, at, "turn")]

    def _says(self, line: Line, at: int, role: str) -> Heard:
        heard = Heard(line, at, role)
        self._sounded = role == "sound"
        self._quiet_at = heard.end
        if role == "sound" and self.rng.random() < 0.5:  # it sounds on while people talk
            self._quiet_at = at + self.rng.randrange(line.num_samples + 1)
        if line.ask is not None:
            self._times = 1
            self._gives_up = heard.end + self.rng.uniform(*self.manners.patience_s) * RATE_HZ
        return heard


def _drawn(rng: random.Random, shares: dict[str, float]) -> str:
    return rng.choices(list(shares), list(shares.values()))[0]


def asked(rng: random.Random, memory: Memory, skill: str | None = None, kinds: Collection[str] = (),
          over: bool = False, longest: int | None = None, held_out: bool = False) -> Ask | None:
    """An ask of the skills, as `Source.ask` has it; None if a hundred draws bring none."""
    for _ in range(100):
        if skill == "floor" and kinds == HUSH:
            found = floor.hush(rng, held_out)
        else:
            found = skills.ask(rng, memory, skill, held_out)
        if found is None:
            return None
        if not held_out and found.user.lower() in wordings():
            continue  # what any generator may hit upon by chance, one time in many thousands
        if (not kinds or found.kind in kinds) and (found.over or not over) and fits(found, memory, longest):
            return found
    return None


def fits(ask: Ask, memory: Memory, longest: int | None) -> bool:
    """Whether the answer would have at most so many characters."""
    return longest is None or len(preview(ask, memory)) <= longest


def preview(ask: Ask, memory: Memory) -> str:
    """What would be right to say to it now; the memory stays as it is."""
    after = deepcopy(memory)
    skills.take(ask, after)
    return skills.answer(ask, after, random.Random(0)).text
