"""Yielding: does the agent stop for what is for it, and for nothing else?

    agent   ======================|              its sound ends: silence at the speaker
    user             [  no, stop  ]
                     |------------>              from the first sound
                             |---->              from the end of the earliest decisive word
            speaking when it began

Windows are tau-voice's, measured to the sample. Only what began while the agent spoke is counted, and no reply that
came to its own end within the window: nobody can say whether it would have stopped.

An agent has stopped where its reply was cut (see `Case.ending`): not in a pause of a reply that goes on, nor where the
recording ends. Of an agent that does not tell why its replies end, each end counts as a stop, as in tau-voice; but as
one that nobody asked for only if its sound breaks off.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from omni.evaluate.cases import BRIDGE, DIRECTED, FRAME, RATE_HZ, Case, Sound
from omni.evaluate.metrics.metric import Sample, divide, mean, metric, quantile
from omni.evaluate.verdicts import TurnSpan

UNDIRECTED = ("backchannel", "tic", "noise", "other")

_YIELD = 32_000         # 2.0 s
_WRONG_YIELD = 16_000   # 1.0 s
_RESUME = 48_000        # 3 s
_TAIL = 1_600           # 0.1 s
_FADED_DB, _LOUD_DB = -30.0, -12.0      # against a sound's own level

_TAU = "after tau-voice (sierra-research/tau2-bench; arXiv 2603.13686), to the sample"


@dataclass(frozen=True, slots=True)
class Reaction:
    """What became of the agent's speech when `turn` began over it; its last sound ends at `silent_at`."""

    turn: TurnSpan
    silent_at: int
    yielded: bool


def reactions(case: Case, kinds: Collection[str]) -> Iterator[Reaction]:
    """Reactions to turns of some kinds that can be judged.

    Left out are turns whose window the recording cuts short, and those of UNDIRECTED kinds if a turn for the agent had
    come over the same sound before them, or came after them before the reply was cut. Silence counts, as it is heard; a
    cut between two words may follow it by 0.5 s.
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
        ending = case.ending(sound)
        if ending.silent_at > limit or ending.over_at > limit + BRIDGE:
            yield Reaction(turn, ending.silent_at, False)
        elif ending.cut is not False and (directed or ending.over_at <= case.until(turn)):
            yield Reaction(turn, ending.silent_at, True)


def yielded_to(case: Case, turn: TurnSpan) -> bool:
    """Whether the agent spoke when the turn began, and yielded to it in time."""
    return any(reaction.turn is turn and reaction.yielded for reaction in reactions(case, (turn.kind,)))


@metric("share", "higher", _TAU)
def yield_rate(cases: Sequence[Case]) -> Sample:
    """Share of turns for the agent, parts of them and stops that begin while it speaks (sound with words) for which its
    reply is cut, and silent, within 2 s of their first sound; replies that finish by themselves in that time are not
    counted. Where it is not told why replies end, each end in that time is a cut."""
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
    found = [(r.silent_at, r.turn.speech_start if since == "onset" else r.turn.decisive)
             for r in reactions(case, DIRECTED) if r.yielded]
    return [(end - start) / RATE_HZ for end, start in found if start is not None]


def _wrong_yields(kind: str, what: str):
    @metric("share", "lower", _TAU, name=f"wrong_yields_{kind}", definition=(
        f"Share of {what} beginning while the agent speaks (sound with words) for which its reply is cut, and silent, "
        "within 1 s (and the delay that was added to all that it does), as in yield_rate. Only counted for an agent "
        "that yields to a turn or stop at least once in these conversations: whoever stops for nobody does not tell "
        "people from noise."))
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
    silent, directed = reaction.silent_at, case.until(reaction.turn)
    again = next((s.start for s in case.sounds if s.spoken and s.start >= silent), None)
    if again is not None and again <= min(silent + _RESUME, directed):
        return True
    return False if directed >= silent + _RESUME else None


@metric("share", "lower", _TAU)
def self_interruptions(cases: Sequence[Case]) -> Sample:
    """Share of the agent's sounds with words with which its reply is cut although nothing on the user's side had
    sounded in the 2 s before: it took its own echo, or nothing at all, for somebody. Where it is not told why replies
    end, those are cut that break off as loud as speech. Only counted for an agent that yields to a turn or stop at
    least once in these conversations, as for wrong_yields."""
    return _cut_alone(cases, cases)


@metric("share", "lower", _TAU)
def echo_interruptions(cases: Sequence[Case]) -> Sample:
    """As self_interruptions, of the sounds in conversations in which the agent's own voice comes back into its
    microphone: with headphones there is no echo to be taken for somebody."""
    return _cut_alone([case for case in cases if case.echo_db is not None], cases)


def _cut_alone(counted: Sequence[Case], cases: Sequence[Case]) -> Sample:
    """Of the sounds of `counted`; whether the agent can yield is seen in all `cases`."""
    able = any(reaction.yielded for case in cases for reaction in reactions(case, DIRECTED))
    return mean([[_alone_and_cut(case, sound) for sound in case.sounds if sound.spoken] if able else []
                 for case in counted])


def _alone_and_cut(case: Case, sound: Sound) -> bool:
    """Whether a sound is the last of a reply that was cut with nothing from the user in the 2 s before the agent, not
    those who hear it later, did so."""
    ending = case.ending(sound)
    if ending.silent_at > sound.end or not (_breaks_off(case, sound) if ending.cut is None else ending.cut):
        return False
    at = ending.over_at - case.late
    return not any(turn.speech_start < at and turn.speech_end > at - _YIELD for turn in case.turns)


def _breaks_off(case: Case, sound: Sound) -> bool:
    """Whether a sound is still as loud as speech just before it is gone: in its last 10 ms until it has faded.

    Where reasons are told, it does so at six in ten of 1,017 cuts and at none of 1,093 ends of the agent's own; of
    sentences of other synthesizers at one in eight at most, where they end in a plosive.
    """
    following = min((s.start for s in case.sounds if s.start >= sound.end), default=case.num_samples)
    power = np.square(case.agent[sound.start:min(sound.end + _TAIL, following)], dtype=np.float64)
    level = np.mean(power[:sound.end - sound.start])
    end = np.flatnonzero(power >= level * 10 ** (_FADED_DB / 10))[-1] + 1
    return bool(np.mean(power[max(0, end - FRAME):end]) >= level * 10 ** (_LOUD_DB / 10))
