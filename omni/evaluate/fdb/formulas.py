"""The benchmark's formulas, as its scripts of 2026-04 compute them, and each mended one beside. Times in seconds.

Speech is given as spans in order of time, so that nothing here knows a detector.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import jensenshannon

from omni.evaluate.fdb.layout import Span, Word

USER_GAP_S = 0.6        # v1.5: silence that does not end the user's speech
AGENT_GAP_S = 0.5       # v1.5: silence that does not end the agent's speech
EARLY_S = 0.25          # an answer may begin this long before the turn ends: TurnBench's tolerance, arXiv 2608.25218
JSD_BOUND = math.sqrt(math.log(2))      # of two distributions that share nothing

_SHORT_S, _FEW_WORDS = 1.0, 3
_LONG_S = 3.0
_BIN_S = 0.2


# ---- v1.0: words -------------------------------------------------------------------------------------------------


def takes_turn(words: Sequence[Word]) -> int:
    """Takeover (TOR of one sample): 0 for no words, or at most 3 within less than 1 s; else 1."""
    if not words:
        return 0
    return int(_end(words[-1]) - words[0].start_s >= _SHORT_S or len(words) > _FEW_WORDS)


def within_pauses(words: Sequence[Word], pauses: Sequence[Span]) -> list[Word]:
    """Words of the stretches of speech that sound within a pause."""
    return [word for stretch in _stretches(words) for word in stretch
            if any(stretch[0].start_s < end and max(map(_end, stretch)) > start for start, end in pauses)]


def answering(words: Sequence[Word], since_s: float) -> list[Word]:
    """Words of the stretches of speech that begin at `since_s` or later, or at most 0.25 s before."""
    return [word for stretch in _stretches(words) if stretch[0].start_s >= since_s - EARLY_S for word in stretch]


def latency(words: Sequence[Word], since_s: float) -> float | None:
    """From `since_s` to the first word, negative if that came before; None for words that take no turn."""
    return words[0].start_s - since_s if takes_turn(words) else None


# ---- v1.0: backchannels ------------------------------------------------------------------------------------------


def tenths(segments: Sequence[Span], length_s: float) -> list[Span]:
    """Segments as the detector's package gives them in seconds: rounded to 0.1 s, and no longer than the recording."""
    return [(round(start, 1), min(round(end, 1), length_s)) for start, end in segments]


def published_backchannels(segments: Sequence[Span], words: Sequence[Word]) -> tuple[int, list[Span]]:
    """Takeover of the last segment looked at (0 for none), and the segments that count as backchannels.

    Segments are looked at up to the first of more than 3 s, which is a takeover and no backchannel; the others all
    count.
    """
    takeover, counted = 0, []
    for segment in segments:
        takeover = _is_takeover(segment, words)
        if segment[1] - segment[0] > _LONG_S:
            break
        counted.append(segment)
    return takeover, counted


def mended_backchannels(segments: Sequence[Span], words: Sequence[Word]) -> tuple[int, list[Span]]:
    """Whether any segment is a takeover, and the segments that are not."""
    counted = [segment for segment in segments if not _is_takeover(segment, words)]
    return int(len(counted) < len(segments)), counted


def divergence(backchannels: Sequence[Span], length_s: float, human: np.ndarray) -> float | None:
    """Jensen-Shannon distance (root, natural logarithm) between backchannels in bins of 0.2 s and people's.

    Args:
        backchannels: every bin that one touches counts it.
        human: shares (bins,), any number of bins over the same length; interpolated linearly.

    Returns:
        0 to sqrt(ln 2); None without backchannels, for which the distance is not defined.
    """
    if not backchannels:
        return None
    counts = np.zeros(int(length_s / _BIN_S) + 1)
    for start, end in backchannels:
        counts[int(start / _BIN_S):int(end / _BIN_S) + 1] += 1
    agent = counts + 1e-10
    at = np.linspace(0, 1, len(counts))
    return float(jensenshannon(agent / agent.sum(), np.interp(at, np.linspace(0, 1, len(human)), human)))


# ---- v1.5: timing ------------------------------------------------------------------------------------------------


def merge(segments: Sequence[Span], gap_s: float) -> list[Span]:
    """Segments joined over silences of at most `gap_s`."""
    joined: list[Span] = []
    for start, end in sorted(segments):
        if joined and start - joined[-1][1] <= gap_s:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def stop_intervals(user: Sequence[Span], agent: Sequence[Span]) -> list[Span]:
    """`latency_stop_list`: every overlap, rounded to 1 ms; of those that end in the same one, the shortest."""
    shortest: dict[int, Span] = {}
    for start, end in ((max(u[0], a[0]), min(u[1], a[1])) for u in user for a in agent):
        ms = round(end * 1000)
        if start < end and (ms not in shortest or end - start < shortest[ms][1] - shortest[ms][0]):
            shortest[ms] = (start, end)
    return [(round(start, 3), round(end, 3)) for _, (start, end) in sorted(shortest.items())]


def response_intervals(user: Sequence[Span], agent: Sequence[Span]) -> list[Span]:
    """`latency_resp_list`: from each end of the user to the agent's next start, rounded to 1 ms; of those with the
    same start of the agent, the one with the latest end of the user."""
    last: dict[float, float] = {}
    for _, ended in sorted(user):
        start = next((start for start, _ in agent if start > ended), None)
        if start is not None:
            last[round(start, 3)] = round(ended, 3)
    return [(ended, start) for start, ended in sorted(last.items())]


def time_to_stop(overlap: Span, agent: Sequence[Span]) -> float | None:
    """From the overlap's start until the agent, who spoke then, falls silent; None if it did not speak then."""
    return next((end - overlap[0] for start, end in agent if start <= overlap[0] < end), None)


def time_to_respond(overlap: Span, agent: Sequence[Span]) -> float | None:
    """From the overlap's end until the agent begins to speak; None if it does not."""
    return next((start - overlap[1] for start, _ in agent if start > overlap[1]), None)


def _stretches(words: Sequence[Word]) -> list[list[Word]]:
    """Words in runs without a silence of more than 0.5 s."""
    runs: list[list[Word]] = []
    for word in words:
        if runs and word.start_s - _end(runs[-1][-1]) <= AGENT_GAP_S:
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs


def _is_takeover(segment: Span, words: Sequence[Word]) -> int:
    start, end = segment
    count = sum(w.end_s is not None and w.start_s <= end and (w.end_s > start or w.start_s >= start) for w in words)
    return int(end - start >= _SHORT_S or count >= _FEW_WORDS)


def _end(word: Word) -> float:
    return word.start_s if word.end_s is None else word.end_s
