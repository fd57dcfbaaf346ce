"""Who cuts long speech and has it go on.

    ask for something long ─► listen ─► (uh huh) ─► stop or wait over it ─► go on ─► listen ─► cut again ...

An agent that falls silent at "uh huh" was cut by it, and is told to go on too.
"""

import random
from dataclasses import dataclass, replace

from omni.data.user import BLOCK, RATE_HZ, Heard, Line, Situation, Source
from omni.evaluate.world.examiner import LONG, PATIENCE_S, Examiner

LISTENS_S = (2.0, 7.0)      # to long speech before it is cut
YIELDS_S = 3.0              # from the end of a cut: what ends until then may have been cut by it
_CUTS = ("uh huh", "stop", "wait", "end")
_LONGEST_S = 75.0
_REQUESTS = 4               # for something long, a "go on"


@dataclass(frozen=True, slots=True)
class Cut:
    """Long speech that was to go on.

    Attributes:
        long: what it was asked for with.
        by: what it was cut by, None if the agent said nothing, asked twice; ask: "go on", None then too.
    """

    long: Heard
    by: Heard | None = None
    ask: Heard | None = None


class Interrupter(Examiner):
    """Says "go on" `count` times, or asks for long speech in vain so often. A `User` for `omni.data.partner.Partner`.

    Attributes:
        cuts: all that was to go on, so far.
    """

    def __init__(self, rng: random.Random, source: Source, skill: str, count: int):
        super().__init__(rng, source, skill, count)
        self.cuts: list[Cut] = []
        self._requests = _REQUESTS * count
        self._silent = 0                    # of these, that nothing came of since it last spoke
        self._long: Heard | None = None     # what it was asked for with
        self._listens = 0                   # samples for which what is said is listened to

    def _hears_out(self, now: Situation, at: int) -> bool:
        if self._last is None:
            return False
        since = (at - self._last.end) / RATE_HZ
        if since > _LONGEST_S:
            return False
        if now.speaking:
            return not (self._steps and self._steps[0] in _CUTS and at >= (now.since + 2) * BLOCK + self._listens)
        return now.unanswered is not None and since < PATIENCE_S

    def _line(self, now: Situation) -> tuple[Line | None, str]:
        if not self._steps:
            return self._request(now)
        if now.speaking:
            self._silent = 0
        memory = now.recall()
        step, ready = self._steps.pop(0), replace(memory, waiting=False, rest=memory.rest or "it")
        if step == "go on":
            late = now.since * BLOCK > self._last.end + YIELDS_S * RATE_HZ
            if not now.speaking and (memory.rest or not late):
                self._left, self._listens = max(self._left - 1, 0), self._span()
                # whoever said something else since ("okay") is to go on with what was cut all the same
                line = self.source.ask(self.rng, ready, "floor", ("go on",))
                self.cuts.append(Cut(self._long, self._last, Heard(line, now.block * BLOCK, "turn")))
                return line, "turn"
        elif now.speaking and step == "uh huh":
            self._listens += self._span()
            return self.source.draw("backchannel", self.rng), "backchannel"
        elif now.speaking:
            return self.source.ask(self.rng, ready, "floor", ("stop",) if step == "end" else (step,)), "stop"
        elif self._last.role == "backchannel" and memory.rest:
            return None, ""                 # "uh huh" cut it, and "go on" is next
        elif self._last.line is self._long.line and now.since * BLOCK < self._long.at:
            self._silent += 1
            if self._silent % 2 == 0:
                self.cuts.append(Cut(self._long))
                self._left = max(self._left - 1, 0)
        self._steps = []
        return None, ""

    def _request(self, now: Situation) -> tuple[Line | None, str]:
        if not self._requests:
            self._left = 0
            return None, ""
        self._requests -= 1
        self._listens = self._span()
        for _ in range(1 + (self.rng.random() < 0.5)):
            heeds = ["uh huh"] if self.rng.random() < 0.25 else []
            self._steps += [*heeds, self.rng.choice(["stop", "stop", "wait"]), "go on"]
        self._steps.append("end")
        line = self.source.ask(self.rng, now.recall(), "stories", LONG)
        self._long = Heard(line, now.block * BLOCK, "turn")
        return line, "turn"

    def _span(self) -> int:
        return int(self.rng.uniform(*LISTENS_S) * RATE_HZ)
