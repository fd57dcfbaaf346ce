"""Does it go on where it was cut? Judged by what was really heard of it, right or wrong, not by what was planned.

    heard   "... seven, eight,"     cut: "nine"     right: "nine, ten, eleven ..."
"""

from collections.abc import Sequence
from functools import lru_cache

from omni.data import skills
from omni.data.closed_loop import Course
from omni.data.partner import Partner, Reply, Turn
from omni.data.skills import numbers
from omni.data.skills.talk import Ask
from omni.data.user import BLOCK
from omni.evaluate.scenario import normal
from omni.evaluate.world.interrupter import Cut
from omni.evaluate.world.judge import EARLY, LEFT, RESUMED, Judged, answers, latency_s

LEAST = 3               # words by which one knows where somebody was, and that it goes on
_STEPS = (1, 2, 3, 4, 5, 10)


def resumed(partner: Partner, course: Course, apart: dict[int, bool] | None = None) -> list[Judged]:
    """Each "go on" to an `Interrupter` after speech that was cut; `kind` tells what cut it, `asked` also what was heard
    last. `kind` is "silence" where the agent was asked for long speech twice in a row and said nothing, which is not
    right.

    Left out are those where less than `LEAST` words had been heard, and where all was said already. Where nobody knows
    how it would have gone on, nothing is right.
    """
    partner.close()
    found = []
    for cut in partner.user.cuts:
        if cut.ask is None:
            asked = cut.long.line.ask
            found.append(Judged("floor", "silence", asked.user, "", "", False, None, False, _of(apart, asked)))
        elif (one := _judged(partner, course, cut, apart)) is not None:
            found.append(one)
    return found


def _judged(partner: Partner, course: Course, cut: Cut, apart: dict[int, bool] | None) -> Judged | None:
    by, ask = cut.by.at // BLOCK, cut.ask.line.ask
    reply = next((r for r in partner.replies if r.started < by < r.ended), None)
    long = next(turn for turn in partner.turns if turn.heard.line is cut.long.line)
    here = next(i for i, turn in enumerate(partner.turns) if turn.heard.line is cut.ask.line)
    ended = cut.ask.end // BLOCK
    until = partner.turns[here + 1].heard.at // BLOCK if here + 1 < len(partner.turns) else len(course.token)
    replies = [r for r in partner.replies if ended - EARLY <= r.started < until]
    if reply is None or not replies and (partner.speaking or ended > len(course.token) - LEFT):
        return None
    heard = normal(" ".join(r.said for r in partner.replies if cut.long.at // BLOCK < r.started <= reply.started))
    wanted = following(heard, reply, long)
    if len(heard) < LEAST or wanted == [[]]:
        return None
    said = " ".join(r.said for r in replies)
    latency = latency_s(course, replies[0].started, cut.ask.end) if replies else None
    kind = "after " + (cut.by.line.ask.kind if cut.by.line.ask else cut.by.role)
    right, expected = any(goes_on(normal(said), rest) for rest in wanted), " ".join(wanted[0] if wanted else ())
    asked = f"{' '.join(heard[-RESUMED:])} | {ask.user}"
    return Judged("floor", kind, asked, expected, said, right, latency, False, _of(apart, ask))


def _of(apart: dict[int, bool] | None, ask: Ask) -> bool:
    return (apart or {}).get(id(ask), False)


def goes_on(said: Sequence[str], rest: Sequence[str]) -> bool:
    """Whether it begins with the word that was cut and goes on as it should: at least `LEAST` words, or all there are,
    and no other among the first `RESUMED`."""
    count = min(len(said), len(rest), RESUMED)
    return count >= min(LEAST, len(rest)) and said[:count] == rest[:count]


def following(heard: Sequence[str], cut: Reply, long: Turn) -> list[list[str]]:
    """What may come after these words of a reply that was cut, each in words: as it was planned where it was right so
    far, which is nothing if that was all. Where it was not, as the texts go on that have the longest end of what was
    heard, and at least `LEAST` words of it; if none has, as it was planned, if there is more.

    Args:
        long: what it was asked for with.
    """
    turn, rest = cut.turn, normal(cut.turn.rest if cut.turn else "")
    if turn is not None and [*normal(cut.said), *rest] == normal(turn.answer.text):
        return [rest]
    best, found = LEAST, []
    for text in [*(normal(answer.text) for answer in answers(long)), *_texts()]:
        for at in range(1, len(text)):
            size = 0
            while size < min(at, len(heard)) and text[at - 1 - size] == heard[-1 - size]:
                size += 1
            if size > best:
                best, found = size, []
            if size == best and text[at:] not in found:
                found.append(text[at:])
    return found or [rest] * bool(rest)


@lru_cache(maxsize=1)
def _texts() -> list[list[str]]:
    """What the agent may speak long of, in words: stories and lists, and counting up and down."""
    counts = [[numbers.words(n) for n in range(0, 101, step)] for step in _STEPS]
    spoken = [*skills.texts("stories"), *(" ".join(words) for up in counts for words in (up, up[::-1]))]
    return [words for text in spoken if len(words := normal(text)) > LEAST]
