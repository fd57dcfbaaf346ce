"""When the agent yields, in conversations made of tone bursts whose numbers are known by hand."""

import numpy as np
import pytest
from bursts import STOP, cut, number, place, says, talk, turn

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
