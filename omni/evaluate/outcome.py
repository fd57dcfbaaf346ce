"""What came of a scripted conversation, however it was held.

Virtual time knows neither computing nor the way to the user. What they would put on everything that an agent does is
stated as a number and added where times are measured; recordings and traces are without it.
"""

from dataclasses import dataclass, replace

import numpy as np

from omni.base.errors import ConfigError, MediaError
from omni.evaluate.record import Record
from omni.evaluate.scenario import Scenario
from omni.evaluate.user import User
from omni.evaluate.verdicts import TurnSpan, Verdict, judge

ADD_MS = 125        # 25 of computing, 40 of slack for late packets, 60 of a client's buffer
COMPUTE_MS = 25     # of a block, p95 of one conversation on one core of the machine in the README
MOST_MS = 5_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished simulation.

    Attributes:
        user, agent: float32 (samples,), what both sides sounded; the noise bed is on the user's side, the echo is not.
        record: what the agent did.
        turns: where the user's turns came to lie, in order of time; those that never came are missing.
        verdicts: of the expectations, in the script's order.
        heard: what the server knows was heard of each reply, where there is a network between it and the user.
        added_ms: what the verdicts put on everything that the agent did; the rest of an outcome is without it.
    """

    user: np.ndarray
    agent: np.ndarray
    record: Record
    turns: tuple[TurnSpan, ...]
    verdicts: tuple[Verdict, ...]
    heard: tuple[str, ...] = ()
    added_ms: int = 0

    @property
    def held(self) -> bool:
        """Whether every expectation was met."""
        return all(verdict.held for verdict in self.verdicts)


def conclude(scenario: Scenario, user: User, record: Record, agent: np.ndarray, heard: tuple[str, ...] = ()) -> Outcome:
    """Judge a conversation that is over; `agent` is what the user heard, at least as long as the user's side."""
    turns = tuple(sorted(user.placed.values(), key=lambda span: span.start))
    verdicts = judge(scenario.expect, record, user.placed, user.num_samples)
    return Outcome(user.track, agent[:user.num_samples], record, turns, tuple(verdicts), heard)


def added_ms(scenario: Scenario, add_ms: int | None = None) -> int:
    """What is put on everything the agent does; where the script has a network, its delays are there already and only
    computing is missing.

    Args:
        add_ms: as asked for; ADD_MS if nothing was.

    Raises:
        ConfigError: not from 0 to MOST_MS.
    """
    add_ms = ADD_MS if add_ms is None else add_ms
    if not 0 <= add_ms <= MOST_MS:
        raise ConfigError(f"--add-ms goes from 0 to {MOST_MS}")
    return add_ms if scenario.network is None else min(add_ms, COMPUTE_MS)


def stated_ms(report: dict) -> int:
    """What the verdicts of a verdicts.json have added; 0 if it says nothing of that.

    Raises:
        MediaError: it says what cannot be.
    """
    added = report.get("added_ms", 0)
    if type(added) is not int or not 0 <= added <= MOST_MS:
        raise MediaError(f"verdicts.json: added_ms {added!r} is no whole number from 0 to {MOST_MS}")
    return added


def delayed(outcome: Outcome, scenario: Scenario, added_ms: int) -> Outcome:
    """The same conversation, judged as if everything that the agent did had come so much later; see `judge`."""
    turns = {span.name: span for span in outcome.turns}
    added = outcome.record.timebase.from_ms(added_ms)
    verdicts = judge(scenario.expect, outcome.record, turns, len(outcome.user), added)
    return replace(outcome, verdicts=tuple(verdicts), added_ms=added_ms)


def trace(outcome: Outcome) -> list[dict]:
    """Events of both sides in order of time, the verdicts, and the summary."""
    num_samples = len(outcome.user)
    seconds = outcome.record.timebase.to_seconds
    lines = outcome.record.events(num_samples)
    for span in outcome.turns:
        lines.append({"at": seconds(span.start), "type": "user_turn", "name": span.name, "from": seconds(span.start),
                      "to": seconds(span.end), "speech_from": seconds(span.speech_start),
                      "speech_to": seconds(span.speech_end), "kind": span.kind, "text": span.text,
                      "answer": list(span.answer),
                      "decisive": None if span.decisive is None else seconds(span.decisive),
                      "words": [[word, seconds(a), seconds(b)] for word, a, b in span.words]})
    for reply, text in zip(outcome.record.replies, outcome.heard, strict=False):
        if reply.end is not None and reply.end < num_samples:
            lines.append({"at": seconds(reply.end), "type": "server_heard", "since": seconds(reply.start),
                          "text": text})
    lines.sort(key=lambda line: line["at"])
    return [*lines, outcome.record.summary(num_samples)]
