"""Utterances of a bank by what they ask, and which of them may stand for an ask that somebody has in mind."""

import random
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace

from omni.base.errors import OmniError
from omni.data import skills
from omni.data.bank import Utterance
from omni.data.skills import orders, readback, sums
from omni.data.skills.talk import Ask, Memory

_TRIES = 32
# kinds whose values are about what was said before: utterances with the same are looked for, or at least with the same
# names of values
_ABOUT = {("orders", "add"), ("orders", "correct"), ("orders", "remove"), ("recall", "what favourite"),
          ("recall", "favourite"), ("sounds", "whether"), ("readback", "correct"), ("readback", "item")}


class Asks:
    """Args:
        lines: utterances; those that ask for nothing are left out.

    Raises:
        OmniError: all of them do.
    """

    def __init__(self, lines: Iterable[Utterance]):
        self._pools: dict[tuple[str, str], dict[bool, dict[str, list[Utterance]]]] = {}
        self._all = [u for u in lines if u.kind]
        if not self._all:
            raise OmniError("the bank does not say what its utterances ask: make it anew with `omni train tiny/bank`")
        for u in self._all:
            real = ":" not in u.source
            sources = self._pools.setdefault((u.skill, u.kind), {True: {}, False: {}})[real]
            sources.setdefault(u.source if real else "", []).append(u)

    def any(self, rng: random.Random) -> Utterance:
        """Any of them."""
        return rng.choice(self._all)

    def like(self, drawn: Ask, memory: Memory, real: bool, rng: random.Random) -> tuple[Utterance, Ask] | None:
        """An utterance of the same skill and kind, and what is asked with it now; None if there is none.

        Args:
            real: a recording of people, if there is any; sources with many recordings count less than their number.
        """
        pools = self._pools.get((drawn.skill, drawn.kind))
        if pools is None:
            return None
        near = (drawn.skill, drawn.kind) in _ABOUT or _drink_alone(drawn)
        sources = pools[real and not near] or pools[False] or pools[True]
        pool = rng.choices(list(sources.values()), [len(us)**0.5 for us in sources.values()])[0]
        best, nearest = None, -1.0
        for _ in range(_TRIES):
            u = rng.choice(pool)
            ask = placed(u, drawn, memory)
            if ask is None:
                continue
            nearness = _nearness(ask, drawn) if near else 9.0
            if nearness > nearest:
                best, nearest = (u, ask), nearness
            if nearest >= 9:
                break
        return best


def placed(u: Utterance, drawn: Ask, memory: Memory) -> Ask | None:
    """What an utterance asks if it is said now: its own words and values, and what they refer to; None if it cannot be
    said now."""
    values = dict(u.values)
    if drawn.skill == "orders" and drawn.kind == "done":
        values = dict(drawn.values)
    elif drawn.skill == "sums" and drawn.kind == "chain":
        values["a"] = drawn.values["a"]
    elif drawn.skill == "recall" and drawn.kind in ("name", "favourite"):
        values.pop("was", None)
        was = memory.name if drawn.kind == "name" else memory.favourites.get(values["of"], "")
        if was and was not in values.values():
            values["was"] = was
    # banks made before half orders were waited for say nothing of it
    waits = u.open or u.kind == "partial" and orders.goes_on(u.text or "")
    # real orders may have values without words
    ask = replace(u.ask() or Ask(u.text or "", u.skill, u.kind, decisive=u.decisive), values=values, over=drawn.over,
                  open=waits)
    return ask if drawn.kind != "chain" or _has_result(ask, memory) else None


def _has_result(ask: Ask, memory: Memory) -> bool:
    if ask.values["a"].startswith("minus") and ask.values["sign"] == "divided by":
        return False
    after = deepcopy(memory)
    skills.take(ask, after)
    return after.result is None or abs(after.result) <= sums.LIMIT


def _drink_alone(ask: Ask) -> bool:
    return ask.kind == "order" and ask.values.keys() == {"coffeeDrink"}


def _nearness(ask: Ask, drawn: Ask) -> float:
    """9 for the same values, or for strings of the same kind and length; less the less there is in common."""
    if ask.skill == "readback":
        a, b = ask.values["string"], drawn.values["string"]
        return 9.0 if readback.kind_of(a) == readback.kind_of(b) and len(a.split()) == len(b.split()) else 0.0
    if _drink_alone(drawn):
        return 9.0 if _drink_alone(ask) else 0.0
    same = sum(ask.values.get(name) == value for name, value in drawn.values.items()) / max(len(drawn.values), 1)
    if drawn.kind in ("what favourite", "remove", "whether"):
        return 9 * same
    return 9.0 if ask.values.keys() == drawn.values.keys() else same
