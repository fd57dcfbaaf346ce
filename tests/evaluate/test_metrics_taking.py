"""When the agent takes the turn, in conversations made of tone bursts whose numbers are known by hand."""

import numpy as np
import pytest
from bursts import ASK, PART, REST, cut, number, paused, place, says, talk, turn

from omni.evaluate.cases import Case, Floor
from omni.evaluate.metrics import taking


@pytest.mark.parametrize(("agent", "rate", "latency"), [
    ([says(2.5, 4)], 1, 0.5), ([says(1.8, 4)], 1, -0.2), ([says(1.75, 4)], 1, -0.25), ([says(4, 5)], 1, 2.0),
    ([says(1.74, 4)], 0, None), ([says(4.01, 5)], 0, 2.01), ([says(1.2, 1.5), says(2.7, 4)], 0, None),
    ([says(0.2, 3.5)], 0, None), ([cut(0.2, 1.4), says(2.5, 4)], 1, 0.5), ([says(2.5, 4, None)], 0, None),
    ([], 0, None)])
def test_a_response_begins_from_a_quarter_second_before_the_end_to_two_after(agent, rate, latency):
    case = talk(8, [ASK], agent)
    assert number(taking.response_rate, case) == (rate, 1)
    assert number(taking.latency_p50, case) == (latency, int(latency is not None))


def test_a_response_belongs_to_the_turn_before_the_next():
    turns = [ASK, turn("stop", 3, 3.3)]
    assert number(taking.response_rate, talk(8, turns, [says(3.2, 4)])) == (0, 1)
    assert number(taking.response_rate, talk(8, [ASK, turn("tic", 3, 3.3)], [says(3.2, 4)])) == (1, 1)


def test_turns_that_the_recording_cuts_short_are_not_counted():
    assert number(taking.response_rate, talk(3.9, [ASK])) == (None, 0)
    assert number(taking.response_rate, talk(3.9, [ASK], [says(3, 3.5)])) == (1, 1)
    assert number(taking.response_rate, talk(4, [ASK])) == (0, 1)


def test_latency_is_read_off_the_sound_and_not_off_the_floor():
    case = talk(8, [ASK], [says(2.5, 4)])
    floor = (Floor(place(2.1), place(4), place(4), "finished"),)
    assert number(taking.latency_p50, Case("x", case.user, case.agent, case.turns, floor, case.words)) == (0.5, 1)


def test_latency_percentiles():
    waits = [0.1, 0.2, 0.4, 0.8, 1.6]
    cases = [talk(8, [ASK], [says(2 + wait, 5)]) for wait in waits]
    for percent in (10, 50, 90, 95):
        assert number(getattr(taking, f"latency_p{percent}"), *cases) == (np.percentile(waits, percent), 5)


@pytest.mark.parametrize(("agent", "value", "count"), [
    ([says(4.5, 6)], 0, 1), ([cut(2.4, 3.2), says(4.5, 6)], 1, 1), ([cut(1.8, 3.2)], 1, 1),
    ([says(2.4, 2.8, None)], 1, 1), ([says(1.5, 2.5), says(4.5, 6)], 0, 1), ([], None, 0), ([says(0.5, 7.9)], None, 0)])
def test_takeovers_in_pauses(agent, value, count):
    assert number(taking.takeovers_in_pauses, talk(8, [PART, REST], agent)) == (value, count)


def test_a_part_that_nothing_follows_was_no_pause():
    assert number(taking.takeovers_in_pauses, talk(8, [PART], [says(2.4, 3)])) == (None, 0)
    assert number(taking.takeovers_in_pauses, talk(8, [PART, turn("stop", 3, 4)], [says(2.4, 3)])) == (None, 0)


@pytest.mark.parametrize(("turns", "agent", "value", "count"), [
    ([PART, REST], [says(4.5, 6)], 0, 2), ([PART, REST], [cut(1.2, 1.6), says(4.5, 6)], 0.5, 2),
    ([PART, REST], [cut(3.2, 3.3), cut(3.5, 3.6)], 2, 1), ([ASK], [says(1.8, 3)], 0, 1), ([ASK], [], None, 0),
    ([ASK], [says(0.5, 7.9)], None, 0), ([ASK], [says(1.3, 1.4, None), says(2.3, 3)], 1, 1),
    ([turn("stop", 3, 4)], [cut(2, 3.4)], 0, 1), ([turn("stop", 3, 4)], [cut(2, 3.2), says(3.5, 5)], 1, 1),
    ([turn("stop", 3, 4)], [says(2, 7.9)], None, 0), ([turn("other", 1, 2)], [says(1.5, 2)], None, 0)])
def test_agent_interruptions(turns, agent, value, count):
    assert number(taking.agent_interruptions, talk(8, turns, agent)) == (value, count)


def test_false_cutoffs_by_hand():
    """Delays below the agent's own wait change nothing, so 0.2 s into silences that it takes at once, and no more."""
    cases = [paused(1.0, None), paused(0.8, 0.0), paused(0.5, 0.4), paused(0.3, None)]
    assert number(taking.false_cutoffs_300ms, *cases) == (0.5, 4)
    assert number(taking.false_cutoffs_600ms, *cases) == (0.25, 4)      # a delay of 0.5 s waits the third pause out
    slow = [paused(1.0, None, 0.7), paused(1.0, 0.1, 0.1)]            # mean wait 0.45 s with a delay of 0.2
    assert number(taking.false_cutoffs_300ms, *slow) == (None, 2)
    assert number(taking.false_cutoffs_600ms, *slow) == (0.5, 2)


def test_false_cutoffs_of_long_pauses_come_from_the_timeout_too():
    """With one answer of three missing, a mean wait of 0.6 s leaves no timeout but 1 s, and that cuts 1.5 s off."""
    cases = [talk(12, [ASK]), paused(1.5, None), paused(0.9, None)]
    assert number(taking.false_cutoffs_600ms, *cases) == (0.5, 2)
    assert number(taking.false_cutoffs_600ms, *cases[1:]) == (0, 2)


def test_pauses_out_of_range_are_no_spans():
    for length in (0.15, 5.5):
        assert number(taking.false_cutoffs_600ms, paused(length, None)) == (None, 0)


@pytest.mark.parametrize(("turns", "agent", "recall", "alarms"), [
    ([PART, REST], [says(4.5, 6)], (1, 1), (0, 1)), ([PART, REST], [cut(2.5, 3.2), says(6.9, 7.5)], (1, 1), (1, 1)),
    ([PART, REST], [says(7.1, 8)], (0, 1), (0, 1)), ([PART, REST], [says(3.76, 5)], (1, 1), (0, 1)),
    ([PART, REST], [cut(1.8, 3.2), cut(5, 5.2)], (1, 1), (1, 1)), ([PART, REST], [], (0, 1), (None, 0)),
    ([PART, REST], [says(0.5, 9.9)], (0, 1), (None, 0)),
    ([ASK, turn("turn", 2.5, 3)], [says(2.9, 5)], (0.5, 2), (None, 0)),
    ([ASK, turn("turn", 2.5, 3)], [says(2.3, 2.4), says(3.1, 5)], (1, 2), (None, 0)),
    ([ASK, turn("turn", 2.5, 3)], [says(3.1, 3.2), says(3.3, 5)], (0.5, 2), (None, 0)),
    ([turn("turn", 6.5, 7.1)], [], (None, 0), (None, 0)), ([turn("turn", 6.5, 7.1)], [says(8, 9)], (1, 1), (None, 0))])
def test_turn_ends_as_turnbench_claims_them(turns, agent, recall, alarms):
    case = talk(10, turns, agent)
    assert number(taking.eot_recall, case) == recall
    assert number(taking.eot_fp_rate, case) == alarms


def test_a_beginning_in_a_turn_ends_window_is_no_false_alarm():
    """The pause after the second part lies within 3 s of the first turn's end, whose window exempts it."""
    turns = [ASK, turn("pause", 2.2, 2.6), turn("turn", 3.4, 4)]
    case = talk(10, turns, [cut(2.1, 2.3), says(2.9, 3.3), says(4.2, 5)])
    assert number(taking.eot_fp_rate, case) == (0, 1) and number(taking.eot_recall, case) == (1, 2)


NOISE = turn("noise", 6, 7)


@pytest.mark.parametrize(("turns", "agent", "value", "count"), [
    ([ASK, NOISE], [says(2.5, 4)], 0, 1), ([ASK, NOISE], [says(2.5, 4), says(6.5, 8, None)], 1, 1),
    ([ASK, NOISE], [says(2.5, 4), says(8.99, 9.5)], 1, 1), ([ASK, NOISE], [says(2.5, 4), says(9.01, 9.5)], 0, 1),
    ([ASK, NOISE], [says(2.5, 6.5)], None, 0),                           # over the agent's speech: a matter of yielding
    ([NOISE], [], None, 0), ([ASK, NOISE], [], None, 0),                 # who never speaks is not counted
    ([ASK, turn("noise", 3, 4)], [says(2.2, 2.9)], None, 0),             # too soon after the turn
    ([ASK, turn("other", 6, 7), turn("turn", 8, 9)], [says(2.5, 4), says(9.2, 10)], None, 0)])  # and before the next
def test_a_start_that_nobody_asked_for(turns, agent, value, count):
    assert number(taking.unasked_starts, talk(12, turns, agent)) == (value, count)


def test_a_recording_that_ends_too_early_tells_of_no_start():
    assert number(taking.unasked_starts, talk(8.9, [ASK, NOISE], [says(2.5, 4)])) == (None, 0)
