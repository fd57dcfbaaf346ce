"""What came of a scripted conversation, however it was held."""

from dataclasses import dataclass

import numpy as np

from omni.evaluate.record import Record
from omni.evaluate.scenario import Scenario
from omni.evaluate.user import User
from omni.evaluate.verdicts import TurnSpan, Verdict, judge


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished simulation.

    Attributes:
        user, agent: float32 (samples,), what both sides sounded; the noise bed is on the user's side, the echo is not.
        record: what the agent did.
        turns: where the user's turns came to lie, in order of time; those that never came are missing.
        verdicts: of the expectations, in the script's order.
        heard: what the server knows was heard of each reply, where there is a network between it and the user.
    """

    user: np.ndarray
    agent: np.ndarray
    record: Record
    turns: tuple[TurnSpan, ...]
    verdicts: tuple[Verdict, ...]
    heard: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """Whether every expectation was met."""
        return all(verdict.held for verdict in self.verdicts)


def conclude(scenario: Scenario, user: User, record: Record, agent: np.ndarray, heard: tuple[str, ...] = ()) -> Outcome:
    """Judge a conversation that is over; `agent` is what the user heard, at least as long as the user's side."""
    turns = tuple(sorted(user.placed.values(), key=lambda span: span.start))
    verdicts = judge(scenario.expect, record, user.placed, user.num_samples)
    return Outcome(user.track, agent[:user.num_samples], record, turns, tuple(verdicts), heard)


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
