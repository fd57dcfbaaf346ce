"""tau-voice's published panel, on conversations made of tone bursts."""

import pytest
from bursts import ASK, cut, number, says, talk, turn

from omni.evaluate.cases import Case
from omni.evaluate.metrics import REGISTRY


def _panel(*cases: Case) -> dict[str, tuple]:
    return {name[4:]: number(measured, *cases) for name, measured in REGISTRY.items() if name.startswith("tau_")}


def test_the_published_panel_by_hand():
    """Ticks: turn in 5 to 9, answer from 13; stop from 20, silence in 23; the stop and the next turn get no response,
    the last one does 2 ticks after its end; backchannel held through, somebody else's talk not."""
    case = talk(16, [turn("turn", 1, 2), turn("stop", 4, 4.5), turn("turn", 6, 7), turn("turn", 8, 9),
                     turn("backchannel", 10.4, 10.8), turn("other", 12.4, 13)],
                [cut(2.6, 4.5), says(9.4, 13.2)])
    assert _panel(case) == {
        "R_R": (pytest.approx(1 / 2), 4), "L_R": (pytest.approx((0.6 + 0.4) / 2), 2), "R_Y": (1, 1),
        "L_Y": (pytest.approx(0.6), 1), "I_A": (0, 4), "S_BC": (1, 1), "S_VT": (None, 0), "S_ND": (0, 1)}


def test_ticks_begin_every_200_ms_whatever_begins_within():
    """Turn in 5 to 10. Whoever speaks in 11 already, the published way is not to count the turn."""
    ask = turn("turn", 1.19, 2.01)
    assert _panel(talk(8, [ask], [says(2.41, 4)]))["L_R"] == (pytest.approx(0.2), 1)
    assert _panel(talk(8, [ask], [says(2.39, 4)]))["R_R"] == (None, 0)


@pytest.mark.parametrize(("end", "value"), [(4.79, 1), (4.99, 0)])
def test_the_published_window_of_a_yield_holds_ten_ticks(end, value):
    """Silent in tick 24 of 15 to 24, or first in tick 25."""
    assert _panel(talk(10, [turn("stop", 3, 3.6)], [cut(1, end)]))["R_Y"] == (value, 1)
    held = _panel(talk(10, [turn("backchannel", 3, 3.6)], [cut(1, end - 1)]))["S_BC"]
    assert held == (1 - value, 1)


def test_the_published_yield_asks_for_no_reason():
    assert _panel(talk(10, [turn("stop", 3, 3.6)], [says(1, 3.5)]))["R_Y"] == (1, 1)


def test_published_turns_are_those_that_end_in_the_agents_silence():
    over = talk(10, [turn("turn", 1, 2), turn("turn", 7, 8)], [says(0.4, 4), says(8.5, 9)])
    assert _panel(over)["R_R"] == (1, 1) and _panel(over)["I_A"] == (0, 1)
    assert _panel(talk(10, [ASK]))["R_R"] == (None, 0)      # a last turn with neither response nor turn
    assert _panel(talk(10, [ASK, turn("turn", 5, 6)]))["R_R"] == (0, 1)
    again = talk(10, [ASK, turn("turn", 5, 6)], [says(5, 5.5)])     # in the very tick of the next turn: a response
    assert _panel(again)["R_R"] == (1, 1)
    noise = talk(10, [ASK, turn("turn", 5, 6)], [says(2.5, 4, None)])
    assert _panel(noise)["R_R"] == (0, 1)
    cough = talk(10, [ASK, turn("tic", 4, 4.4), turn("turn", 7, 8)], [says(2.5, 3), says(4.2, 4.3), says(8.5, 9)])
    assert _panel(cough)["R_R"] == (1, 2) and _panel(cough)["I_A"] == (0, 2)


def test_published_interruptions_can_exceed_one():
    case = talk(10, [turn("turn", 1, 4), turn("turn", 8, 9)], [cut(1.4, 1.8), cut(2.4, 3)])
    assert _panel(case)["I_A"] == (2, 1) and _panel(case)["R_R"] == (0, 1)


def test_published_tics_and_other_talk_in_silence():
    """Ticks 15 and 16: the agent speaks over it, begins within it, 10 ticks after it, and 11 after it."""
    for kind, name in (("tic", "S_VT"), ("other", "S_ND")):
        for start, value in ((2.9, 1), (3.3, 0), (5.4, 0), (5.61, 1)):
            assert _panel(talk(10, [turn(kind, 3, 3.4)], [says(start, 6.2)]))[name] == (value, 1)
        assert _panel(talk(10, [turn(kind, 3, 3.4)]))[name] == (1, 1)
    assert _panel(talk(10, [turn("noise", 3, 3.4)], [cut(2, 3.2)])) == dict.fromkeys(_panel(talk(10)), (None, 0))


def test_published_classes_by_priority():
    turns = [turn("backchannel", 3, 3.4), turn("turn", 3.5, 4), turn("tic", 3.6, 3.7)]
    assert _panel(talk(10, turns, [cut(1, 3.3)]))["S_BC"] == (0, 1)
    assert _panel(talk(10, turns[1:], [cut(1, 3.8)]))["S_VT"] == (0, 1)
    assert _panel(talk(10, turns[1:2], [cut(1, 3.8)]))["R_Y"] == (1, 1)
    both = _panel(talk(10, [turn("other", 3, 3.6), turn("tic", 3.2, 3.3)], [cut(1, 3.8)]))
    assert (both["S_VT"], both["S_ND"]) == ((0, 1), (None, 0))


def test_a_last_tick_of_user_speech_is_dropped_as_published():
    assert _panel(talk(10, [ASK, turn("turn", 9.8, 10)]))["R_R"] == (None, 0)
    assert _panel(talk(10, [ASK, turn("turn", 9.6, 10)]))["R_R"] == (0, 1)
