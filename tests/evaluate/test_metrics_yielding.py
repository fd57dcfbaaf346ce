"""When the agent yields, in conversations made of tone bursts whose numbers are known by hand."""

from dataclasses import replace

import numpy as np
import pytest
from bursts import ASK, STOP, cut, number, place, says, talk, turn

from omni.evaluate.cases import Case, Floor
from omni.evaluate.metrics import yielding


@pytest.mark.parametrize(("agent", "value", "count"), [
    ([cut(1, 3.5)], 1, 1), ([cut(1, 5)], 1, 1), ([cut(1, 5.01)], 0, 1), ([says(1, 9.9)], 0, 1),
    ([says(1, 3.5)], None, 0), ([says(1, 5.01)], 0, 1), ([], None, 0), ([says(1, 3.5, None)], None, 0),
    ([cut(1, 2.9)], None, 0), ([cut(1, 3.4), says(3.7, 5)], 1, 1)])
def test_yield_rate(agent, value, count):
    assert number(yielding.yield_rate, talk(10, [STOP], agent)) == (value, count)


def test_a_turn_over_the_agent_must_be_yielded_to_and_the_rest_need_not():
    for kind in ("turn", "pause", "stop", "backchannel", "tic", "noise", "other"):
        found = number(yielding.yield_rate, talk(10, [turn(kind, 3, 4)], [cut(1, 3.5)]))
        assert found == ((1, 1) if kind in ("turn", "pause", "stop") else (None, 0))


def test_a_breath_is_no_yield():
    case = talk(10, [STOP], [says(1, 3.5, reason=None), says(3.9, 9)])
    whole = Floor(place(1), place(9), place(9), "finished")
    bridged = Case("x", case.user, case.agent, case.turns, (whole,), case.words)
    assert number(yielding.yield_rate, case) == (1, 1) and number(yielding.yield_rate, bridged) == (0, 1)


def _held(case: Case, *replies: tuple) -> Case:
    """The same with other replies, in seconds: (start, end or None, reason)."""
    return replace(case, replies=tuple(
        Floor(place(start), None if end is None else place(end), None if end is None else place(end), reason)
        for start, end, reason in replies))


def test_a_pause_of_a_reply_is_no_yield():
    """A pause of more than 0.5 s was once taken for one, though the same reply went on after it."""
    pausing = talk(12, [STOP], [says(1, 3.5), says(4.2, 9)])
    for reason in ("finished", "interrupted", None):
        assert number(yielding.yield_rate, _held(pausing, (1, 9, reason))) == (0, 1)
    assert number(yielding.yield_rate, _held(pausing, (1, None, None))) == (0, 1)
    late = _held(talk(12, [STOP], [says(1, 3.5), says(4.2, 4.8)]), (1, 4.8, "interrupted"))
    assert number(yielding.yield_rate, late) == (1, 1)
    assert number(yielding.yield_time_onset_p50, late) == (pytest.approx(1.8), 1)


def test_a_yield_is_silence_within_the_window_that_a_cut_makes_last():
    silent = talk(12, [STOP], [says(1, 4)])
    assert number(yielding.yield_rate, _held(silent, (1, 4.9, "interrupted"))) == (1, 1)
    assert number(yielding.yield_time_onset_p50, _held(silent, (1, 4.9, "interrupted"))) == (1.0, 1)
    between_words = _held(talk(12, [STOP], [says(1, 4.9)]), (1, 5.1, "interrupted"))
    assert number(yielding.yield_rate, between_words) == (1, 1)
    assert number(yielding.yield_rate, _held(silent, (1, 5.6, "interrupted"))) == (0, 1)
    assert number(yielding.yield_rate, _held(silent, (1, None, None))) == (0, 1)        # it kept the floor
    noise = talk(12, [turn("noise", 3, 3.2), turn("stop", 3.5, 3.8)], [says(1, 3.3)])
    assert number(yielding.wrong_yields_noise, YIELDS, _held(noise, (1, 3.4, "interrupted"))) == (1, 1)
    assert number(yielding.wrong_yields_noise, YIELDS, _held(noise, (1, 3.7, "interrupted"))) == (None, 0)


def test_a_recording_that_ends_too_early_tells_nothing():
    assert number(yielding.yield_rate, talk(4.9, [STOP], [says(1, 4.9, reason=None)])) == (None, 0)
    assert number(yielding.yield_rate, talk(5.1, [STOP], [says(1, 5.1)])) == (0, 1)


def test_yield_times_from_the_first_sound_and_from_the_decisive_word():
    cases = [talk(10, [turn("stop", 3, 3.6, decisive)], [cut(1, end)])
             for end, decisive in ((3.4, 3.3), (3.6, 3.2), (4.4, None), (5.5, 3.2))]
    assert number(yielding.yield_time_onset_p50, *cases) == (0.6, 3)
    assert number(yielding.yield_time_onset_p90, *cases) == (np.percentile([0.4, 0.6, 1.4], 90), 3)
    assert number(yielding.yield_time_decisive_p50, *cases) == (0.25, 2)
    assert number(yielding.yield_time_decisive_p90, *cases) == (pytest.approx(0.37), 2)


YIELDS = talk(10, [STOP], [cut(1, 3.5)])
DEAF = talk(10, [STOP], [says(1, 9)])


@pytest.mark.parametrize("kind", ["backchannel", "tic", "noise", "other"])
def test_wrong_yields(kind):
    measured = getattr(yielding, f"wrong_yields_{kind}")
    event = turn(kind, 3, 3.4)
    stopped, held, own_end, late, silent = (talk(10, [event], agent) for agent in (
        [cut(1, 3.5)], [says(1, 6)], [says(1, 3.5)], [cut(1, 4.01)], []))
    assert number(measured, YIELDS, stopped) == (1, 1)
    assert number(measured, YIELDS, stopped, held, own_end, late, silent) == (pytest.approx(1 / 3), 3)
    assert number(measured, DEAF, held) == (None, 0) and number(measured, held) == (None, 0)
    for other in {"backchannel", "tic", "noise", "other"} - {kind}:
        assert number(getattr(yielding, f"wrong_yields_{other}"), YIELDS, stopped) == (None, 0)


def test_a_yield_to_a_turn_is_none_to_the_cough_beside_it():
    before, after = turn("stop", 2.8, 3.1), turn("stop", 3.2, 3.5)
    for stop in (before, after):
        case = talk(10, [stop, turn("tic", 3, 3.1)], [cut(1, 3.6)])
        assert number(yielding.wrong_yields_tic, case) == (None, 0)
    first = talk(10, [turn("tic", 3, 3.1), after], [cut(1, 3.15)])
    assert number(yielding.wrong_yields_tic, YIELDS, first) == (1, 1)


def test_yield_selectivity_is_zero_for_agents_that_do_not_discriminate():
    event = turn("backchannel", 3, 3.4)
    stopped, held = talk(10, [event], [cut(1, 3.5)]), talk(10, [event], [says(1, 6)])
    assert number(yielding.yield_selectivity, YIELDS, held) == (1, 2)
    assert number(yielding.yield_selectivity, YIELDS, stopped) == (0, 2)
    assert number(yielding.yield_selectivity, DEAF, held) == (0, 2)
    assert number(yielding.yield_selectivity, YIELDS, held, held, stopped) == (pytest.approx(2 / 3), 4)
    assert number(yielding.yield_selectivity, YIELDS)[0] is None and number(yielding.yield_selectivity, held)[0] is None


@pytest.mark.parametrize(("rest", "value", "count"), [
    ([says(5, 6)], 1, 1), ([says(6.5, 7)], 1, 1), ([says(6.51, 7)], 0, 1), ([], 0, 1), ([says(5, 6, None)], 0, 1)])
def test_resuming_after_a_false_stop(rest, value, count):
    case = talk(10, [turn("noise", 3, 3.4)], [cut(1, 3.5), *rest])
    assert number(yielding.resumes, case) == (value, count)


def test_a_false_stop_that_a_turn_follows_needs_no_resuming():
    noise, ask = turn("noise", 3, 3.4), turn("turn", 5, 5.5)
    assert number(yielding.resumes, talk(10, [noise, ask], [cut(1, 3.5), says(5.7, 7)])) == (None, 0)
    assert number(yielding.resumes, talk(10, [noise, ask], [cut(1, 3.5), says(4.5, 4.9)])) == (1, 1)
    assert number(yielding.resumes, talk(6, [noise], [cut(1, 3.5)])) == (None, 0)
    assert number(yielding.resumes, talk(10, [noise], [says(1, 8)])) == (None, 0)


# ---- stops for itself ------------------------------------------------------------------------------------------------


LISTENS = turn("backchannel", 4, 4.2)


def test_a_reply_that_is_still_spoken_is_not_cut_by_the_end_of_the_recording():
    """Each that the recording left in a pause once counted: 8 of 42 sounds, of a model that had cut none."""
    for end in (9.7, 9.99, 10):
        assert number(yielding.self_interruptions, YIELDS, _held(talk(10, [ASK], [says(2.5, end)]),
                                                                 (2.5, None, None))) == (0, 2)


def test_a_reply_that_finishes_within_what_is_added_is_not_cut():
    """The delay put its end behind the recording, and with it the reason once."""
    case = _held(talk(10, [ASK], [says(2.5, 9.6)]), (2.5, 9.95, "finished"))
    for by in (0, 2_000):
        assert number(yielding.self_interruptions, YIELDS, case.delayed(by)) == (0, 2)
    asked = _held(talk(10, [ASK, turn("tic", 8.7, 8.8)], [says(2.5, 9.6)]), (2.5, 9.95, "finished"))
    for by in (0, 2_000):
        assert number(yielding.wrong_yields_tic, YIELDS, asked.delayed(by)) == (None, 0)


def test_a_pause_within_a_reply_is_no_stop_for_itself():
    """One of more than 0.5 s once was, if the reply was cut, or not yet over, after it."""
    pausing = talk(14, [ASK, turn("stop", 9, 9.5)], [says(2.5, 5), says(5.8, 9.8)])
    for reply in ((2.5, 9.8, "interrupted"), (2.5, 10, "finished"), (2.5, None, None)):
        assert number(yielding.self_interruptions, YIELDS, _held(pausing, reply)) == (0, 3)
    alone = _held(talk(14, [ASK], [says(2.5, 5), says(5.8, 9.8)]), (2.5, 9.8, "interrupted"))
    assert number(yielding.self_interruptions, YIELDS, alone) == (pytest.approx(1 / 3), 3)     # once, not twice


def test_a_stop_that_comes_in_a_pause_is_what_cuts_it():
    """The sound was over when the stop began, the reply was not."""
    case = _held(talk(10, [ASK, turn("stop", 6.2, 6.5)], [says(2.5, 6)]), (2.5, 6.6, "interrupted"))
    assert number(yielding.self_interruptions, YIELDS, case) == (0, 2)


def test_a_delay_moves_no_stop_for_itself():
    """Who spoke up only after it, or sounded less than 2 s before it, is the same however late the agent is heard."""
    before = talk(10, [ASK, LISTENS], [cut(2.5, 6.15)])
    after = talk(10, [ASK, turn("stop", 7.05, 7.5)], [cut(2.5, 7)])
    for by in (0, 2_000):
        assert number(yielding.self_interruptions, YIELDS, before.delayed(by)) == (0, 2)
        assert number(yielding.self_interruptions, YIELDS, after.delayed(by)) == (0.5, 2)


def _faded(case: Case, end: float) -> Case:
    """Its last 0.3 s before `end` die away by 40 dB, as a voice does."""
    agent, size = case.agent.copy(), place(0.3)
    agent[place(end) - size:place(end)] *= 10 ** np.linspace(0, -2, size, dtype=np.float32)
    return replace(case, agent=agent)


def test_where_no_reason_is_told_what_breaks_off_was_cut():
    """Each end of such a server's replies once counted as one, its own ends too."""
    broken = talk(10, [ASK], [says(2.5, 6, reason=None)])
    quiet = replace(broken, agent=broken.agent / 8)
    assert number(yielding.self_interruptions, YIELDS, broken) == (0.5, 2)
    assert number(yielding.self_interruptions, YIELDS, quiet) == (0.5, 2)
    for case in (broken, quiet):
        assert number(yielding.self_interruptions, YIELDS, _faded(case, 6)) == (0, 2)
    assert number(yielding.self_interruptions, YIELDS, talk(10, [ASK], [says(2.5, 9.7, reason=None)])) == (0, 2)
    pausing = _held(talk(12, [ASK], [says(2.5, 5), says(5.7, 9)]), (2.5, 9, None))
    assert number(yielding.self_interruptions, YIELDS, _faded(pausing, 9)) == (0, 3)
    assert number(yielding.self_interruptions, YIELDS, talk(10, [ASK, LISTENS], [says(2.5, 6, reason=None)])) == (0, 2)


def test_only_where_an_echo_is_can_it_be_taken_for_somebody():
    echoed, alone, whole = (replace(talk(10, [ASK], [agent]), echo_db=echo_db) for agent, echo_db in (
        (cut(2.5, 6), -12.0), (cut(2.5, 6), None), (says(2.5, 6), 0.0)))
    assert number(yielding.echo_interruptions, YIELDS, echoed, alone, whole) == (0.5, 2)
    assert number(yielding.self_interruptions, YIELDS, echoed, alone, whole) == (0.5, 4)
    assert number(yielding.echo_interruptions, YIELDS, alone) == (None, 0)
    assert number(yielding.echo_interruptions, echoed, whole) == (None, 0)      # it yields to nobody
