"""Who asks in an examination: one thing after the other, each answer heard out before the next one, with patience.

    skills   ask ─► answer ─► ask ─► answer ...             one skill a conversation, so that context builds up
    floor    ask for something long ─► stop or wait over it ─► go on, be back, say it again, never mind
    sounds   something sounds ─► ask what it was             and now and then nothing does
    pauses   as skills, of several of them                   with a pause in each ask

`omni.evaluate.world.interrupter` and `omni.evaluate.world.rememberer` have longer scenes.
"""

import random

from omni.data.user import BLOCK, RATE_HZ, Heard, Line, Situation, Source

PATIENCE_S = 4.0        # from the end of a question, if the answer does not begin
_LONGEST_S = 75.0       # after which the next thing is asked whatever the agent does
LONG = ("story", "named", "count", "alphabet", "months")


class Examiner:
    """Asks `count` things of a skill. A `User` for `omni.data.partner.Partner`.

    Attributes:
        over: everything has been asked and answered, or not answered in time.
    """

    def __init__(self, rng: random.Random, source: Source, skill: str, count: int):
        self.rng, self.source, self.skill = rng, source, skill
        self.over = False
        self._left, self._next_at = count, rng.randrange(RATE_HZ // 2, RATE_HZ)
        self._last: Heard | None = None
        self._steps: list[str] = []     # what is still to come of a little scene
        self._floor = (False, 0)

    def act(self, now: Situation) -> list[Heard]:
        """As `omni.data.user.User.act`."""
        at = now.block * BLOCK
        if self._floor != (now.speaking, now.since):
            self._floor = (now.speaking, now.since)
            if not now.speaking:    # an answer is over
                self._next_at = max(self._next_at, at + self._gap())
        if at < self._next_at or self._hears_out(now, at):
            return []
        if not self._left and not self._steps:
            self.over = True
            return []
        line, role = self._line(now)
        if line is None:
            self._next_at = at + self._gap()
            return []
        self._last = Heard(line, at, role)
        self._next_at = self._last.end + (int(0.3 * RATE_HZ) if role == "sound" else self._gap())
        if role == "stop":
            self._next_at += 2 * RATE_HZ    # is it silent?
        return [self._last]

    def _gap(self) -> int:
        return int(self.rng.uniform(0.8, 2.0) * RATE_HZ)

    def _hears_out(self, now: Situation, at: int) -> bool:
        """Whether the answer is waited for, or listened to."""
        if self._last is None or self._last.line.ask is None:
            return False
        since = (at - self._last.end) / RATE_HZ
        if since > _LONGEST_S:
            return False
        if now.speaking:
            cuts = self._steps[:1] in (["stop"], ["wait"], ["over"])
            return not (cuts and at > (now.since + 2) * BLOCK + 3 * RATE_HZ)
        return now.unanswered is not None and since < PATIENCE_S

    def _line(self, now: Situation) -> tuple[Line | None, str]:
        memory, ask = now.recall(), self.source.ask
        if not self._steps:
            self._left -= 1
            self._steps = self._scene()
        step = self._steps.pop(0)
        if step == "sound":
            return self.source.draw("sound", self.rng), "sound"
        if step == "long":
            return ask(self.rng, memory, "stories", LONG), "turn"
        if step in ("stop", "wait", "back", "go on", "again", "never mind"):
            return ask(self.rng, memory, "floor", (step,)), "stop" if step in ("stop", "wait") else "turn"
        if step == "over":
            return ask(self.rng, memory, self.rng.choice(["sums", "facts"]), over=True), "turn"
        if step in ("orders", "facts"):
            return ask(self.rng, memory, step, ("order",) if step == "orders" else ()), "turn"
        return ask(self.rng, memory, self.skill), "turn"

    def _scene(self) -> list[str]:
        if self.skill == "floor":
            return self.rng.choice([["long", "stop", "go on"], ["long", "stop", "go on"], ["long", "wait", "back"],
                                    ["long", "over"], ["facts", "again"], ["orders", "never mind"]])
        if self.skill == "sounds":
            return ["sound", "ask"] if self.rng.random() < 0.85 else ["ask"]
        return ["ask"]


class Reciter:
    """Says one line and hears the answer out."""

    def __init__(self, line: Line, at: int):
        self.over = False
        self._line, self._at = line, at

    def act(self, now: Situation) -> list[Heard]:
        """As `omni.data.user.User.act`."""
        at = now.block * BLOCK
        if at <= self._at < at + BLOCK:
            return [Heard(self._line, self._at, "turn")]
        since = (at - self._at - self._line.num_samples) / RATE_HZ
        waits = now.unanswered is not None and since < PATIENCE_S
        self.over = since > 0.5 and not waits and (not now.speaking or since > 20)
        return []
