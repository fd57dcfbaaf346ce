"""Was it right? What was heard of the agent between a question and the next one, beside what it should hold."""

import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

import numpy as np

from omni.data import skills
from omni.data.closed_loop import Course
from omni.data.partner import Partner, Turn
from omni.data.skills import numbers, orders, unknown
from omni.data.skills.talk import Answer
from omni.data.user import BLOCK, RATE_HZ
from omni.evaluate.scenario import normal
from omni.evaluate.verdicts import contains
from omni.model.tokens import END_SPEAK, START_SPEAK

EARLY = 3               # blocks before a question's end in which an answer may begin
SILENT_S = 2.0          # from the end of a command to silence
LEFT = 40               # blocks before a conversation's end in which nothing new can be answered
DRAWS = 40
NEARLY = 0.9            # of a story's words
RESUMED = 5             # words by which one hears that something goes on
_AUDIBLE = 1e-3
_NUMBERS = {*numbers.vocabulary()}
_VALUES = sorted({f"{amount} {thing}".strip() for amount in orders.AMOUNTS for thing in (*orders.MILKS, *orders.SUGARS)}
                 | {*orders.DRINKS, *orders.SIZES, *orders.ROASTS, *orders.SHOTS}, key=len, reverse=True)


@dataclass(frozen=True, slots=True)
class Judged:
    """One thing that was asked.

    Attributes:
        skill, kind: of the ask; asked: its words; expected: a right answer; said: what was heard of the agent.
        right: see `is_right`.
        latency_s: from the end of the question to the first sound of the answer, None if none came or none was due.
        over: it was said while the agent spoke; apart: its wording or values are kept from lessons.
        after_s: how long ago what it asks for had been told, where that is examined.
    """

    skill: str
    kind: str
    asked: str
    expected: str
    said: str
    right: bool
    latency_s: float | None
    over: bool = False
    apart: bool = False
    after_s: float | None = None


def judged(partner: Partner, course: Course, apart: dict[int, bool] | None = None) -> list[Judged]:
    """All that was asked in a conversation that is over, but for what was interrupted on purpose."""
    return [found for _, found in _verdicts(partner, course, apart)]


def remembered(partner: Partner, course: Course, apart: dict[int, bool] | None = None) -> list[Judged]:
    """What a `Rememberer` told and asked for; the rest of what was talked of is left out."""
    told = {id(thing.asked): thing.told for thing in partner.user.things}
    return [replace(found, after_s=(turn.heard.at - told[id(turn.heard.line)].end) / RATE_HZ)
            for turn, found in _verdicts(partner, course, apart) if id(turn.heard.line) in told]


def _verdicts(partner: Partner, course: Course, apart: dict[int, bool] | None) -> Iterator[tuple[Turn, Judged]]:
    partner.close()
    late = len(course.token) - LEFT
    for turn, after in zip(partner.turns, [*partner.turns[1:], None], strict=True):
        until = after.heard.at // BLOCK if after else len(course.token)
        begun, ended, ask = turn.heard.at // BLOCK, turn.heard.end // BLOCK, turn.heard.line.ask
        replies = [r for r in partner.replies if ended - EARLY <= r.started < until]
        unfinished = after is None and not replies and (turn.due > late or partner.answering is turn)
        if turn.answer is None or unfinished or after and any(r.turn is turn and r.ended > until for r in replies):
            continue
        over = any(r.started < begun < r.ended for r in partner.replies)
        said, answer = " ".join(r.said for r in replies), turn.answer
        if answer.text:
            right = any(is_right(ask.skill, ask.kind, other, said) for other in answers(turn))
        else:   # whoever had not spoken is not silent because of what was said
            right = over and not replies and silent_after(course, turn.heard.end, until)
        latency = latency_s(course, replies[0].started, turn.heard.end) if replies and answer.text else None
        yield turn, Judged(ask.skill, ask.kind, ask.user, answer.text, said, right, latency, over,
                           (apart or {}).get(id(ask), False))


def paused(partner: Partner, course: Course, apart: dict[int, bool] | None = None) -> list[Judged]:
    """All pauses in what was asked, whatever came of the question: right is whoever does not take the floor in one.

    Taken is the floor by `<start_speak>` in a block that holds some of the pause. `over` are those in which the agent
    spoke already; these tell nothing.
    """
    found = []
    for turn in partner.turns:
        line, at = turn.heard.line, turn.heard.at
        first, last = (at + line.pause[0]) // BLOCK, (at + line.pause[1] - 1) // BLOCK
        if last >= len(course.token):
            continue
        changes = [token for token in course.token[:first] if token in (START_SPEAK, END_SPEAK)]
        taken = START_SPEAK in course.token[first:last + 1]
        words = line.text.split()
        asked = " ".join([*words[:line.after], "|", *words[line.after:]])
        said = " ".join(r.said for r in partner.replies if first <= r.started <= last)
        found.append(Judged(line.ask.skill, line.ask.kind, asked, "", said, not taken, None,
                            changes[-1:] == [START_SPEAK], (apart or {}).get(id(line.ask), False)))
    return found


def answers(turn: Turn) -> list[Answer]:
    """Everything that would have been right to say, as far as some draws bring it up."""
    ask, rng, found = turn.heard.line.ask, random.Random(0), [turn.answer]
    memory = deepcopy(turn.before)
    skills.take(ask, memory)
    for _ in range(DRAWS):
        if (other := skills.answer(ask, memory, rng)) not in found:
            found.append(other)
    return found


def is_right(skill: str, kind: str, answer: Answer, said: str) -> bool:
    """Whether all facts of the answer are heard, as phrases and in its order, and nothing of what it must not have.

    An order holds its values and no others; a story is told nearly word by word; outside its world an agent says that
    it does not know or can't, and nothing else; what goes on does so with the words at which it was cut; what has no
    facts is said as it is.
    """
    words = normal(said)
    if skill == "unknown":
        return unknown.admits(said)
    if skill == "floor" and kind in ("go on", "back"):
        first = normal(answer.text)[:RESUMED]
        return words[:len(first)] == first
    if not words or any(contains(words, phrase) for phrase in answer.never):
        return False
    if skill == "stories" and kind in ("story", "another", "named"):
        return SequenceMatcher(None, words, normal(answer.text), False).ratio() > NEARLY
    if not answer.facts:
        return words == normal(answer.text)
    if skill == "orders" and kind not in ("menu", "done") and "coffeeDrink" in answer.facts:
        return ordered(said) == ordered(answer.text)
    return in_order(words, ordered_facts(answer))


def ordered(text: str) -> set[str]:
    """The values of an order that a text names, the longest ones that fit ("iced coffee", not "coffee")."""
    plain, found = f" {' '.join(normal(text))} ", set()
    for value in _VALUES:
        if f" {value} " in plain:
            found.add(value)
            plain = plain.replace(f" {value} ", " | ")
    return found


def ordered_facts(answer: Answer) -> list[list[str]]:
    """Words of each fact, in the order in which the answer's text has them."""
    text = " ".join(normal(answer.text))
    facts = [normal(fact) for fact in answer.facts.values()]
    return sorted(facts, key=lambda words: max(f" {text} ".find(f" {' '.join(words)} "), 0))


def in_order(words: Sequence[str], phrases: Sequence[Sequence[str]]) -> bool:
    """Whether these phrases stand in the words one after the other; a number is none that is part of a longer one."""
    at = 0
    for phrase in phrases:
        size = len(phrase)
        found = next((i for i in range(at, len(words) - size + 1) if list(words[i:i + size]) == list(phrase)
                      and not (phrase[0] in _NUMBERS and i > 0 and words[i - 1] in _NUMBERS)
                      and not (phrase[-1] in _NUMBERS and i + size < len(words) and words[i + size] in _NUMBERS)), None)
        if found is None:
            return False
        at = found + size
    return True


def silent_after(course: Course, ended: int, until: int) -> bool:
    """Whether nothing is heard of the agent from `SILENT_S` after a sample on, until a block."""
    first = int((ended + SILENT_S * RATE_HZ) // BLOCK) + 1
    return not any(np.abs(sound).max() > _AUDIBLE for sound in course.own[first:until])


def latency_s(course: Course, started: int, ended: int) -> float | None:
    """From a sample to the first sound of a reply that started in a block; None if nothing sounded of it."""
    for block in range(started, len(course.audio)):
        loud = np.flatnonzero(np.abs(course.audio[block]) > _AUDIBLE)
        if len(loud):
            return ((block + 1) * BLOCK + int(loud[0]) - ended) / RATE_HZ
    return None
