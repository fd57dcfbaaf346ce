"""Taking the turn: does the agent answer, how soon, and does it let people finish?

    user    [ a part ]      [ the rest ]
            |------|--|     |--------|--|----------|
            interrupts|     interrupts| answers     2 s after the end of the speech
                   takes over         0.25 s before it

Where the agent begins is read off its sound, never off a decision. Credit needs words in that sound; blame does not.
A part is only counted to the agent's credit if it answered the turn that the part belongs to, so that nobody scores by
silence, nor by talking from one end to the other.
"""

from collections.abc import Sequence

import numpy as np

from omni.evaluate.cases import DIRECTED, RATE_HZ, Case
from omni.evaluate.metrics.metric import OWN, Sample, divide, mean, metric, quantile
from omni.evaluate.metrics.yielding import yielded_to
from omni.evaluate.verdicts import TurnSpan

EARLY = 4_000       # 0.25 s before the end counts as after it: TurnBench's tolerance
_SOON = 32_000      # 2 s
_LATEST = 48_000    # 3 s: TurnBench's deadline

_EOT_BENCH = "eot-bench (livekit/eot-bench): span policy with action delay and timeout"
_TURN_BENCH = "TurnBench (SesameAILabs/turnbench; arXiv 2608.25218), task EOT"
_TAU_LIKE = "after tau-voice I_A (arXiv 2603.13686), to the sample"

# eot-bench's grid, in seconds, without its thresholds
_DELAYS_S = np.arange(2, 11) / 10
_TIMEOUTS_S = np.arange(2, 8) / 2
_HOLD_S = (0.2, 5.0)


def ending_of(turn: TurnSpan) -> int:
    """From where on the agent's beginning is taken for an answer to what was said, not for an interruption."""
    return max(turn.speech_start, turn.speech_end - EARLY)


def begins(case: Case, turn: TurnSpan) -> int | None:
    """Where the agent first begins to speak once the turn has, and before the next turn for it; None if it does not."""
    until = case.until(turn)
    return next((s.start for s in case.sounds if s.spoken and turn.speech_start <= s.start < until), None)


def answered(case: Case, turn: TurnSpan) -> bool | None:
    """Whether the agent's first beginning lies at the end of the turn, or at most 2 s after it; None if the recording
    ended too early to tell."""
    at = begins(case, turn)
    if at is None and case.following(turn) is None and case.num_samples < turn.speech_end + _SOON:
        return None
    return at is not None and ending_of(turn) <= at <= turn.speech_end + _SOON


@metric("share", "higher")
def response_rate(cases: Sequence[Case]) -> Sample:
    """Share of turns after whose beginning the agent first begins to speak (sound with words) between 0.25 s before and
    2 s after the end of the user's speech, and before the next turn for it; an earlier beginning is none."""
    return mean([[found for turn in case.turns if turn.kind == "turn"
                  if (found := answered(case, turn)) is not None] for case in cases])


def _latency(percent: int):
    @metric("s", "lower", OWN, name=f"latency_p{percent}", definition=(
        f"Percentile {percent} of the time from the end of a turn's speech to the first 10 ms frame of the agent's "
        "speech above -50 dBFS, below zero if that came first (by 0.25 s at most, else it is an interruption); over "
        "the turns that were answered, however late, before the next turn for the agent."))
    def latency(cases: Sequence[Case]) -> Sample:
        return quantile([latencies_s(case) for case in cases], percent)

    return latency


latency_p10, latency_p50, latency_p90, latency_p95 = map(_latency, (10, 50, 90, 95))


def latencies_s(case: Case) -> list[float]:
    """The times behind latency_p50, in order of the turns."""
    found = [(begins(case, turn), turn) for turn in case.turns if turn.kind == "turn"]
    return [(at - turn.speech_end) / RATE_HZ for at, turn in found if at is not None and at >= ending_of(turn)]


@metric("share", "lower")
def takeovers_in_pauses(cases: Sequence[Case]) -> Sample:
    """Share of pauses inside an utterance in which the agent becomes audible, from 0.25 s before the pause to its end;
    counted are pauses that it took, or after which it answered the whole."""
    found = []
    for case in cases:
        taken = [(_taken(case, part), part) for part in _parts(case)]
        found.append([at is not None for at, part in taken if at is not None or _answered_whole(case, part)])
    return mean(found)


@metric("per turn", "lower", _TAU_LIKE)
def agent_interruptions(cases: Sequence[Case]) -> Sample:
    """How often the agent becomes audible while a turn for it sounds (from its beginning to 0.25 s before its end), by
    the number of such turns and parts; counted are those that it interrupted, answered, or (a stop) yielded to."""
    return mean([[count for turn in case.turns if turn.kind in DIRECTED
                  if (count := _interruptions(case, turn)) or _minded(case, turn)] for case in cases])


def _interruptions(case: Case, turn: TurnSpan) -> int:
    return sum(turn.speech_start <= sound.start < ending_of(turn) for sound in case.sounds)


def _minded(case: Case, turn: TurnSpan) -> bool:
    return yielded_to(case, turn) if turn.kind == "stop" else _answered_whole(case, turn)


def _answered_whole(case: Case, turn: TurnSpan) -> bool:
    """Whether the turn that ends what `turn` is a part of was answered."""
    while turn is not None and turn.kind == "pause":
        turn = case.following(turn)
    return turn is not None and turn.kind == "turn" and bool(answered(case, turn))


def _parts(case: Case) -> list[TurnSpan]:
    """Turns that went on after a pause."""
    return [turn for turn in case.turns if turn.kind == "pause"
            and (rest := case.following(turn)) is not None and rest.kind in ("pause", "turn")]


def _taken(case: Case, part: TurnSpan) -> int | None:
    """Where the agent becomes audible in the pause after a part."""
    return next((s.start for s in case.sounds if ending_of(part) <= s.start < case.until(part)), None)


@metric("share", "lower")
def unasked_starts(cases: Sequence[Case]) -> Sample:
    """Share of noises, tics, backchannels and other people's talk in the agent's silence, more than 2 s from any turn
    for it, over which or within 2 s after which it becomes audible. Only counted for an agent that answers a turn at
    least once in these conversations: whoever never speaks does not tell people from noise."""
    if not any(answered(case, turn) for case in cases for turn in case.turns if turn.kind == "turn"):
        return mean([])
    return mean([[any(turn.speech_start <= s.start < turn.speech_end + _SOON for s in case.sounds)
                  for turn in case.turns if _unasked(case, turn)] for case in cases])


def _unasked(case: Case, turn: TurnSpan) -> bool:
    """Whether a turn that is not for the agent comes when it is silent and nobody wants anything from it."""
    if turn.kind in DIRECTED or case.num_samples < turn.speech_end + _SOON:
        return False
    silent = not any(s.start <= turn.speech_start < s.end for s in case.sounds)
    return silent and not any(other.kind in DIRECTED and other.speech_start < turn.speech_end + _SOON
                              and other.speech_end > turn.speech_start - _SOON for other in case.turns)


def _cutoffs(budget_ms: int):
    @metric("share", "lower", _EOT_BENCH, name=f"false_cutoffs_{budget_ms}ms", definition=(
        f"Least share of pauses of 0.2 to 5 s cut off by a policy whose mean wait after turns is at most {budget_ms} "
        "ms. The policy acts max(delay, the agent's wait) into a silence, and at the timeout at the latest; delays of "
        "0.2 to 1 s and timeouts of 1 to 3.5 s are tried as published. There are no scores: the agent's audible "
        "beginning is one that crosses every threshold, so thresholds are not swept, and only scripted pauses are "
        "spans. None if no policy is that fast. Counts pauses."))
    def false_cutoffs(cases: Sequence[Case]) -> Sample:
        return _policy_sample(cases, budget_ms / 1000)

    return false_cutoffs


def _policy_sample(cases: Sequence[Case], budget_s: float) -> Sample:
    holds, ends = [_holds_s(case) for case in cases], [_waits_s(case) for case in cases]
    kept = [i for i in range(len(cases)) if holds[i] or ends[i]]
    num_holds, num_ends = (np.array([len(of[i]) for i in kept], np.float64) for of in (holds, ends))
    delays_s, timeouts_s = (grid.ravel() for grid in np.meshgrid(_DELAYS_S, _TIMEOUTS_S))

    def acts_s(wait_s: float) -> np.ndarray:
        return np.minimum(np.maximum(wait_s, delays_s), timeouts_s)     # of every policy

    none = np.zeros(len(delays_s))
    cut = np.array([sum((acts_s(wait_s) < length_s for wait_s, length_s in holds[i]), none) for i in kept])
    waited_s = np.array([sum((acts_s(wait_s) for wait_s in ends[i]), none) for i in kept])

    def statistic(weights: np.ndarray) -> np.ndarray:
        share = divide(weights @ cut, np.broadcast_to((weights @ num_holds)[:, None], (len(weights), len(none))))
        wait_s = divide(weights @ waited_s, np.broadcast_to((weights @ num_ends)[:, None], (len(weights), len(none))))
        least = np.min(np.where(wait_s <= budget_s + 1e-9, share, np.inf), axis=1)
        return np.where(np.isfinite(least), least, np.nan)

    return Sample(len(kept), int(num_holds.sum()), statistic)


def _holds_s(case: Case) -> list[tuple[float, float]]:
    """(how far into it the agent becomes audible, length) of the pauses that count; infinite if it does not."""
    found = []
    for part in _parts(case):
        length_s = (case.until(part) - part.speech_end) / RATE_HZ
        if _HOLD_S[0] <= length_s <= _HOLD_S[1]:
            at = _taken(case, part)
            found.append((np.inf if at is None else max(at - part.speech_end, 0) / RATE_HZ, length_s))
    return found


def _waits_s(case: Case) -> list[float]:
    """How far after the end of each turn the agent begins to speak; infinite if it does not before the next."""
    found = []
    for turn in case.turns:
        if turn.kind == "turn" and answered(case, turn) is not None:
            span = range(ending_of(turn), case.until(turn))
            at = next((s.start for s in case.sounds if s.spoken and s.start in span), None)
            found.append(np.inf if at is None else max(at - turn.speech_end, 0) / RATE_HZ)
    return found


false_cutoffs_300ms, false_cutoffs_600ms = map(_cutoffs, (300, 600))


@metric("share", "higher", _TURN_BENCH)
def eot_recall(cases: Sequence[Case]) -> Sample:
    """Share of turn ends hit at the agent's own operating point: by its earliest unclaimed spoken beginning from 0.25
    s before the end to 3 s after it, or to the next turn's end. There are no scores to move that point to a false
    positive rate of 0.10 with: compare recalls only where eot_fp_rate is at most 0.10. Beginnings are audible ones,
    later than decisions."""
    return mean([_turn_ends(case)[0] for case in cases])


@metric("share", "lower", _TURN_BENCH)
def eot_fp_rate(cases: Sequence[Case]) -> Sample:
    """Share of pauses, from 0.25 s before them to their end, in which the agent begins, unclaimed by and outside the
    windows of all turn ends. Not counted, unlike as published, are pauses that the agent was speaking into, and
    conversations in which it never speaks."""
    return mean([_turn_ends(case)[1] for case in cases])


def _turn_ends(case: Case) -> tuple[list[bool], list[bool]]:
    """Of every turn's end, whether it was hit; of every pause, whether it was taken for one."""
    ends = sorted(turn.speech_end for turn in case.turns if turn.kind == "turn")
    windows = [(end - EARLY, min([end + _LATEST, *ends[i + 1:i + 2]])) for i, end in enumerate(ends)]
    free = list(case.sounds)
    hits = []
    for low, high in windows:
        claimed = next((s for s in free if s.spoken and low <= s.start <= high), None)
        if claimed is not None:
            free.remove(claimed)
        if claimed is not None or high <= case.num_samples:
            hits.append(claimed is not None)
    stray = [s.start for s in free if not any(low <= s.start <= high for low, high in windows)]
    alarms = []
    for part in _parts(case):
        low, high = part.speech_end - EARLY, case.until(part)
        if any(s.spoken for s in case.sounds) and not any(s.start < low < s.end for s in case.sounds):
            alarms.append(any(low <= at <= high for at in stray))
    return hits, alarms
