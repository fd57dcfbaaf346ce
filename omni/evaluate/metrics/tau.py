"""tau-voice's interaction panel on its own grid: ticks of 200 ms, windows in whole ticks, rates over all conversations.

    tick     0 1 2 3 4 5 6 7 8 9
    user     . # # . . . . . # #       # the tick holds speech
    agent    . . . . . # # # # .
                   |---|     |-|       L_R = 2 ticks to the response, L_Y = 1 tick to the silence

Source: tau2-bench at a2c0247, `voice_interaction_metrics.py` and `docs/interaction-metrics.md`; arXiv 2603.13686. Ticks
and events follow it. What its simulator knew and recordings do not is put so: the user's ticks hold speech where a turn
sounds, the agent's where it makes a sound with words (see `Case.sounds`: pauses of up to 500 ms are bridged). A tic or
other talk that stands alone is a user segment of its class, though neither a turn nor something to interrupt; there it
was an effect outside segments, of which over the agent's speech only errors were counted. Noises are not scored.

As published, a turn that the agent answers within the tick after it is not counted (it did not end in the agent's
silence), so R_R and L_R leave the fastest answers out; S_VT and S_ND count silence in silence as right, and all three
S count a deaf talker as right: they mean something beside R_R and R_Y only. Boards hide rates of fewer than 10 events
and average domains; here all is pooled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from omni.evaluate.cases import DIRECTED, Case
from omni.evaluate.metrics.metric import Better, Sample, mean, metric, ratio

TICK = 3_200        # 200 ms
_TICK_S = 0.2
_YIELD_TICKS = 10           # 2.0 s, interruptions
_WRONG_YIELD_TICKS = 5      # 1.0 s, the rest
_RESPONSE_TICKS = 10        # 2.0 s, to a tic or other talk in silence

_SOURCE = "tau-voice (sierra-research/tau2-bench @a2c0247; arXiv 2603.13686), ticks of 200 ms"
_OWN_SPEECH = (*DIRECTED, "backchannel")
_CLASSES = {"backchannel": "S_BC", "tic": "S_VT", "other": "S_ND"}


@dataclass(slots=True)
class Events:
    """Of one conversation.

    Attributes:
        responses: of every turn the ticks to the response, None for none.
        yields: of every interruption the ticks to silence, None for none.
        selective: of every backchannel, tic and other talk whether it was rightly ignored, by metric.
        agent_interruptions: agent segments that began while the user spoke.
    """

    responses: list[int | None] = field(default_factory=list)
    yields: list[int | None] = field(default_factory=list)
    selective: dict[str, list[bool]] = field(default_factory=lambda: {name: [] for name in _CLASSES.values()})
    agent_interruptions: int = 0


def events(case: Case) -> Events:
    """What happened, on ticks."""
    num_ticks = -(-case.num_samples // TICK)
    tracks = {kind: _ticks(num_ticks, ((t.speech_start, t.speech_end) for t in case.turns if t.kind == kind))
              for kind in (*_OWN_SPEECH, "tic", "other")}
    agent = _ticks(num_ticks, ((s.start, s.end) for s in case.sounds if s.spoken))
    user = np.any(list(tracks.values()), axis=0)
    if num_ticks > 1 and user[-1] and not user[-2]:     # as published: the end mark of a conversation looks like that
        user, agent, num_ticks = user[:-1], agent[:-1], num_ticks - 1
    own = np.any([tracks[kind] for kind in _OWN_SPEECH], axis=0)
    begins = [start for start, _ in _runs(agent)]
    found, turns = Events(agent_interruptions=sum(bool(own[at]) for at in begins)), []
    for start, end in _runs(user):
        kind = _class(tracks, start, end)
        if kind != "backchannel" and own[start:end].any() and not (end < num_ticks and agent[end]):
            turns.append((start, end))
        silent = next((i for i in range(start, num_ticks) if not agent[i]), None)
        if agent[start]:
            window = _YIELD_TICKS if kind == "interruption" else _WRONG_YIELD_TICKS
            wait = silent - start if silent is not None and silent < start + window else None
            if kind == "interruption":
                found.yields.append(wait)
            else:
                found.selective[_CLASSES[kind]].append(wait is None)
        elif kind in ("tic", "other"):
            found.selective[_CLASSES[kind]].append(not any(start <= at <= end + _RESPONSE_TICKS for at in begins))
    for i, (_, end) in enumerate(turns):
        response = next((at for at in begins if at >= end), None)
        again = next((start for start, _ in turns[i + 1:]), None)
        if response is not None and (again is None or response <= again):
            found.responses.append(response - end)
        elif again is not None:
            found.responses.append(None)
    return found


def _class(tracks: dict[str, np.ndarray], start: int, end: int) -> str:
    """Of a user segment, by the published priority; a backchannel is told by its first tick."""
    if tracks["backchannel"][start]:
        return "backchannel"
    return next((kind for kind in ("tic", "other") if tracks[kind][start:end].any()), "interruption")


def _ticks(count: int, spans) -> np.ndarray:
    """Which ticks hold a part of the spans (start, end) in samples: bool (count,)."""
    track = np.zeros(count, bool)
    for start, end in spans:
        track[start // TICK:-(-end // TICK)] = True
    return track


def _runs(track: np.ndarray) -> list[tuple[int, int]]:
    """Segments [start, end) of ticks that are set."""
    edges = np.flatnonzero(np.diff(track.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _panel(name: str, unit: str, better: Better, definition: str):
    def define(sampled: Callable[[list[Events]], Sample]):
        @metric(unit, better, _SOURCE, name=f"tau_{name}", definition=definition)
        def panel(cases: Sequence[Case]) -> Sample:
            return sampled([events(case) for case in cases])

        return panel

    return define


tau_R_R = _panel("R_R", "share", "higher", (
    "Share of user turns after which a tick was silent of the agent that got a response before the user's next turn; a "
    "last turn with neither is not counted."))(
    lambda found: mean([[wait is not None for wait in e.responses] for e in found]))

tau_L_R = _panel("L_R", "s", "lower", "Mean time from the end of a turn to the agent's response.")(
    lambda found: mean([[wait * _TICK_S for wait in e.responses if wait is not None] for e in found]))

tau_R_Y = _panel("R_Y", "share", "higher", (
    "Share of interruptions of the agent for which it is silent in a tick within 2 s of their beginning, for whatever "
    "reason."))(lambda found: mean([[wait is not None for wait in e.yields] for e in found]))

tau_L_Y = _panel("L_Y", "s", "lower", "Mean time from an interruption's beginning to the agent's first silent tick.")(
    lambda found: mean([[wait * _TICK_S for wait in e.yields if wait is not None] for e in found]))

tau_I_A = _panel("I_A", "per turn", "lower", (
    "Agent segments that begin while the user speaks, by the turns of R_R; can exceed 1. A silent agent scores 0 where "
    "turns are counted."))(
    lambda found: ratio([(e.agent_interruptions, len(e.responses)) for e in found]))

tau_S_BC = _panel("S_BC", "share", "higher", (
    "Share of backchannels over the agent's speech after which it is not silent in any tick within 1 s."))(
    lambda found: mean([e.selective["S_BC"] for e in found]))

tau_S_VT = _panel("S_VT", "share", "higher", (
    "Share of vocal tics ignored: over the agent's speech as S_BC, in its silence if it does not begin to speak until "
    "2 s after them."))(lambda found: mean([e.selective["S_VT"] for e in found]))

tau_S_ND = _panel("S_ND", "share", "higher", (
    "Share of speech not directed at the agent that is ignored, as S_VT."))(
    lambda found: mean([e.selective["S_ND"] for e in found]))
