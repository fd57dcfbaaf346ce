"""Remembering: does the server know what was heard, and is the end of a long conversation like its beginning?

    agent on the user's side   one two thr|            cut here; "one two" was heard
    what the server knows      one two

    a long conversation        |-- first sixth --|  ...  |-- last sixth --|
"""

from collections.abc import Sequence

import numpy as np

from omni.base.words import word_errors
from omni.evaluate.cases import RATE_HZ, Case, Floor
from omni.evaluate.metrics.metric import Sample, divide, metric, ratio
from omni.evaluate.metrics.saying import is_right
from omni.evaluate.metrics.taking import answered, begins, ending_of
from omni.evaluate.scenario import normal

_LONG = 600 * RATE_HZ       # 10 minutes
_PART = 6


@metric("errors per word", "lower")
def heard_text_wer(cases: Sequence[Case]) -> Sample:
    """Word error rate of what the server knows was heard of interrupted replies against the words that sounded on the
    user's side (a word that was broken off within 80 ms did not). Needs a network between them: without one the two
    are the same by construction. Counts words that sounded."""
    parts = []
    for case in cases:
        errors = words = 0
        for start, text in case.heard:
            reply = next((r for r in case.replies if r.start == start), None)
            if reply is None or reply.reason != "interrupted":
                continue
            wrong, total = word_errors(" ".join(normal(_sounded(case, reply))), " ".join(normal(text)))
            errors, words = errors + wrong, words + total
        parts.append((errors, words))
    return ratio(parts)


def _sounded(case: Case, reply: Floor) -> str:
    until = reply.silent_at if reply.silent_at is not None else case.num_samples
    return " ".join(w.text for w in case.words if reply.start <= w.start < until)


@metric("s", "lower")
def latency_drift(cases: Sequence[Case]) -> Sample:
    """Mean latency of the answers in the last sixth of conversations of 10 minutes and more, less that in their first
    sixth. Counts the answers of both."""
    return _drift(cases, lambda case, turn: None if (at := begins(case, turn)) is None or at < ending_of(turn)
                  else (at - turn.speech_end) / RATE_HZ)


@metric("difference", "higher")
def answers_right_drift(cases: Sequence[Case]) -> Sample:
    """Share of right answers (as answers_right) in the last sixth of conversations of 10 minutes and more, less that in
    their first sixth. Counts the turns of both, and only for an agent that is right at one of the ends: whoever is
    always wrong does not get worse."""
    return _drift(cases, lambda case, turn: None if not turn.answer or answered(case, turn) is None
                  else float(is_right(case, turn)), able=True)


@metric("difference", "higher")
def response_drift(cases: Sequence[Case]) -> Sample:
    """Share of turns answered within 2 s (as response_rate) in the last sixth of conversations of 10 minutes and more,
    less that in their first sixth. Counts the turns of both, and only for an agent that answers at one of the ends."""
    return _drift(cases, lambda case, turn: None if (soon := answered(case, turn)) is None else float(soon), able=True)


def _drift(cases: Sequence[Case], value_of, able: bool = False) -> Sample:
    """Mean of a value at the end less that at the beginning; with `able`, only if it is not zero at both."""
    sums = []
    for case in cases:
        if case.num_samples < _LONG:
            continue
        first, last = case.num_samples // _PART, case.num_samples - case.num_samples // _PART
        row = [0.0, 0, 0.0, 0]
        for turn in case.turns:
            place = 0 if turn.speech_end < first else 2 if turn.speech_start >= last else None
            value = value_of(case, turn) if turn.kind == "turn" and place is not None else None
            if value is not None:
                row[place] += value
                row[place + 1] += 1
        if row[1] or row[3]:
            sums.append(row)
    kept = np.array(sums, np.float64).reshape(-1, 4)
    if able and not kept[:, [0, 2]].any():
        kept = kept[:0]

    def statistic(weights: np.ndarray) -> np.ndarray:
        early, num_early, late, num_late = (weights @ kept).T
        return divide(late, num_late) - divide(early, num_early)

    return Sample(len(kept), int(kept[:, 1].sum() + kept[:, 3].sum()), statistic)
