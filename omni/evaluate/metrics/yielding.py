"""Yielding: does the agent stop for what is for it, and for nothing else?

    agent   ======================|              its sound ends: silence at the speaker
    user             [  no, stop  ]
                     |------------>              from the first sound
                             |---->              from the end of the earliest decisive word
            speaking when it began

Windows are tau-voice's, measured to the sample. Only what began while the agent spoke is counted, and no reply that
came to its own end within the window: nobody can say whether it would have stopped.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from omni.evaluate.cases import DIRECTED, RATE_HZ, Case, Sound
from omni.evaluate.metrics.metric import Sample, divide, mean, metric, quantile
from omni.evaluate.verdicts import TurnSpan

UNDIRECTED = ("backchannel", "tic", "noise", "other")

_YIELD = 32_000         # 2.0 s
_WRONG_YIELD = 16_000   # 1.0 s
_RESUME = 48_000        # 3 s

_TAU = "after tau-voice (sierra-research/tau2-bench; arXiv 2603.13686), to the sample"


@dataclass(frozen=True, slots=True)
class Reaction:
    """What became of the agent's speech when `turn` began over it; `sound` is that speech as far as it went."""

    turn: TurnSpan
    sound: Sound
    yielded: bool


def reactions(case: Case, kinds: Collection[str]) -> Iterator[Reaction]:
    """Reactions to turns of some kinds that can be judged.

    Left out are turns whose window the recording cuts short, and those of UNDIRECTED kinds if a turn for the agent had
    come over the same sound before them, or came after them before it fell silent.
    """
    for turn in case.turns:
        sound = case.speaking(turn.speech_start)
        if turn.kind not in kinds or sound is None:
            continue
        directed = turn.kind in DIRECTED
        if not directed and any(other.kind in DIRECTED and sound.start <= other.speech_start <= turn.speech_start
                                for other in case.turns):
            continue
        limit = turn.speech_start + (_YIELD if directed else _WRONG_YIELD + case.late)
        if sound.end > limit:
            yield Reaction(turn, sound, False)
        elif sound.end < case.num_samples and not case.finished(sound) and (directed or sound.end <= case.until(turn)):
            yield Reaction(turn, sound, True)


def yielded_to(case: Case, turn: TurnSpan) -> bool:
    """Whether the agent spoke when the turn began, and yielded to it in time."""
    return any(reaction.turn is turn and reaction.yielded for reaction in reactions(case, (turn.kind,)))


@metric("share", "higher", _TAU)
def yield_rate(cases: Sequence[Case]) -> Sample:
    """Share of turns for the agent, parts of them and stops that begin while it speaks (sound with words) for which its
    sound ends within 2 s of their first sound and stays away for 0.5 s or until a new reply; replies that finish by
    themselves in that time are not counted."""
    return mean([[reaction.yielded for reaction in reactions(case, DIRECTED)] for case in cases])


def _yield_time(percent: int, since: str):
    what = {"onset": "the first sound", "decisive": "the end of the earliest decisive word"}[since]

    @metric("s", "lower", _TAU, name=f"yield_time_{since}_p{percent}", definition=(
        f"Percentile {percent} of the time from {what} of a turn or stop over the agent's speech to silence at the "
        "speaker; over those yielded to within 2 s of their first sound."))
    def yield_time(cases: Sequence[Case]) -> Sample:
        return quantile([yield_times_s(case, since) for case in cases], percent)

    return yield_time


yield_time_onset_p50, yield_time_onset_p90 = (_yield_time(percent, "onset") for percent in (50, 90))
yield_time_decisive_p50, yield_time_decisive_p90 = (_yield_time(percent, "decisive") for percent in (50, 90))


def yield_times_s(case: Case, since: str) -> list[float]:
    """The times behind yield_time_onset_p50 (since "onset") or yield_time_decisive_p50, in order of the turns."""
    found = [(r.sound.end, r.turn.speech_start if since == "onset" else r.turn.decisive)
             for r in reactions(case, DIRECTED) if r.yielded]
    return [(end - start) / RATE_HZ for end, start in found if start is not None]


def _wrong_yields(kind: str, what: str):
    @metric("share", "lower", _TAU, name=f"wrong_yields_{kind}", definition=(
        f"Share of {what} beginning while the agent speaks (sound with words) for which its sound ends within 1 s (and "
        "the delay that was added to all that it does) and stays away for 0.5 s or until a new reply. Only counted for "
        "an agent that yields to a turn or stop at least once in these conversations: whoever stops for nobody does "
        "not tell people from noise."))
    def wrong_yields(cases: Sequence[Case]) -> Sample:
        able = any(reaction.yielded for case in cases for reaction in reactions(case, DIRECTED))
        return mean([[reaction.yielded for reaction in reactions(case, (kind,))] if able else [] for case in cases])

    return wrong_yields


wrong_yields_backchannel = _wrong_yields("backchannel", "acknowledgements of the listening user")
wrong_yields_tic = _wrong_yields("tic", "coughs, sneezes and the like")
wrong_yields_noise = _wrong_yields("noise", "noises")
wrong_yields_other = _wrong_yields("other", "talk of others, or to others,")


@metric("difference", "higher")
def yield_selectivity(cases: Sequence[Case]) -> Sample:
    """yield_rate less the share of wrong yields to backchannels, tics, noises and other talk together (Youden's J): 1
    for an agent that stops for what is for it only, 0 for one that stops always or never. Counts the events of both."""
    right, wrong = (np.array([(sum(r.yielded for r in of_case), len(of_case)) for of_case in found]).reshape(-1, 2)
                    for found in ([list(reactions(case, kinds)) for case in cases] for kinds in (DIRECTED, UNDIRECTED)))
    counted = np.flatnonzero(right[:, 1] + wrong[:, 1])
    right, wrong = right[counted], wrong[counted]

    def statistic(weights: np.ndarray) -> np.ndarray:
        return (divide(weights @ right[:, 0], weights @ right[:, 1])
                - divide(weights @ wrong[:, 0], weights @ wrong[:, 1]))

    return Sample(len(counted), int(right[:, 1].sum() + wrong[:, 1].sum()), statistic)


@metric("share", "higher")
def resumes(cases: Sequence[Case]) -> Sample:
    """Share of wrong yields after which the agent speaks again (sound with words) within 3 s of falling silent; those
    that a turn for the agent follows before, or the end of the recording, are not counted."""
    return mean([[again for reaction in reactions(case, UNDIRECTED)
                  if reaction.yielded and (again := _resumed(case, reaction)) is not None] for case in cases])


def _resumed(case: Case, reaction: Reaction) -> bool | None:
    silent, directed = reaction.sound.end, case.until(reaction.turn)
    again = next((s.start for s in case.sounds if s.spoken and s.start >= silent), None)
    if again is not None and again <= min(silent + _RESUME, directed):
        return True
    return False if directed >= silent + _RESUME else None


@metric("share", "lower", _TAU)
def self_interruptions(cases: Sequence[Case]) -> Sample:
    """Share of the agent's sounds with words that end cut short although nothing on the user's side had sounded in the
    2 s before: it took its own echo, or nothing at all, for somebody. Only counted for an agent that yields to a turn
    or stop at least once in these conversations, as for wrong_yields."""
    able = any(reaction.yielded for case in cases for reaction in reactions(case, DIRECTED))
    return mean([[_alone_and_cut(case, sound) for sound in case.sounds if sound.spoken] if able else []
                 for case in cases])


def _alone_and_cut(case: Case, sound: Sound) -> bool:
    if sound.end >= case.num_samples or case.finished(sound):
        return False
    since = sound.end - _YIELD
    return not any(turn.speech_start < sound.end and turn.speech_end > since for turn in case.turns)
