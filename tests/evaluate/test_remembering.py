"""What the server knows was heard, and long conversations, with known answers; a delay put on all that an agent did."""

import numpy as np
import pytest

from omni.evaluate.cases import Case, Floor, Word
from omni.evaluate.growth import Growth
from omni.evaluate.metrics.hearing import caption_word_delay_p50
from omni.evaluate.metrics.remembering import answers_right_drift, heard_text_wer, latency_drift, response_drift
from omni.evaluate.metrics.taking import latency_p50, response_rate
from omni.evaluate.metrics.yielding import self_interruptions, wrong_yields_other, yield_time_onset_p50
from omni.evaluate.record import Caption
from omni.evaluate.verdicts import TurnSpan

RATE = 16_000


def _at(seconds: float) -> int:
    return round(seconds * RATE)


def _tone(sound: np.ndarray, start: float, end: float) -> None:
    sound[_at(start):_at(end)] = 0.2 * np.sin(np.arange(_at(start), _at(end)) * 0.12)


def _turn(start: float, end: float, kind: str = "turn", **more) -> TurnSpan:
    return TurnSpan(f"{kind} {start}", _at(start), _at(end), _at(start), _at(end), kind, **more)


def _case(length: float, turns, says, heard=(), captions=()) -> Case:
    """`says`: (start, end, words, reason)."""
    sound, replies, words = np.zeros(_at(length), np.float32), [], []
    for start, end, text, reason in says:
        _tone(sound, start, end)
        replies.append(Floor(_at(start), _at(end), _at(end), reason))
        parts = text.split()
        each = (end - start) / len(parts)
        words += [Word(w, _at(start + i * each), _at(start + (i + 1) * each)) for i, w in enumerate(parts)]
    return Case("x", np.zeros_like(sound), sound, tuple(turns), tuple(replies), tuple(words),
                tuple(Caption(text, _at(at)) for text, at in captions),
                tuple((_at(start), text) for start, text in heard))


def test_what_the_server_knows_of_interrupted_replies_is_compared_with_what_sounded():
    says = [(1, 2, "one two three four", "interrupted"), (4, 5, "five six", "finished")]
    right = _case(8, [], says, heard=[(1, "one two three four"), (4, "nothing like it")])
    late = _case(8, [], says, heard=[(1, "one two"), (4, "five six")])
    assert heard_text_wer([right]).value == 0 and heard_text_wer([right]).count == 4
    assert heard_text_wer([late]).value == 0.5
    assert heard_text_wer([_case(8, [], says)]).value is None       # in one room there is nothing to compare


def _long(first: float, last: float, right_at_the_end: bool) -> Case:
    """Ten minutes: a question in every minute, answered after `first` seconds, in the last minutes after `last`."""
    turns, says = [], []
    for minute in range(12):
        end = minute * 55 + 2.0
        turns.append(_turn(end - 1, end, answer=("yes",)))
        late = minute >= 6
        word = "yes" if right_at_the_end or not late else "no"
        says.append((end + (last if late else first), end + 3, word, "finished"))
    return _case(660, turns, says)


def test_drift_is_the_last_sixth_less_the_first():
    cases = [_long(0.4, 0.4, True), _long(0.4, 0.9, False)]
    assert latency_drift(cases[:1]).value == pytest.approx(0.0, abs=0.011)
    assert latency_drift(cases[1:]).value == pytest.approx(0.5, abs=0.011)
    assert answers_right_drift(cases[:1]).value == 0 and answers_right_drift(cases[1:]).value == -1
    short = _case(20, [_turn(1, 2)], [(2.5, 3, "yes", "finished")])
    assert latency_drift([short]).value is None and answers_right_drift([short]).value is None


def test_who_falls_silent_drifts_and_who_was_always_silent_wins_nothing():
    """An agent that had stopped answering after a minute once had no drift worth speaking of."""
    whole = _long(0.4, 0.4, True)
    tires = Case("x", whole.user, np.where(np.arange(whole.num_samples) < _at(110), whole.agent, 0).astype(np.float32),
                 whole.turns, whole.replies[:2], whole.words[:2])
    mute = Case("x", whole.user, np.zeros_like(whole.agent), whole.turns)
    assert response_drift([whole]).value == 0 and response_drift([tires]).value == -1
    for drift in (response_drift, answers_right_drift, latency_drift):
        assert drift([mute]).value is None


def test_a_reply_cut_by_nobody_is_a_self_interruption_if_the_agent_can_yield_at_all():
    yields = _case(12, [_turn(1, 2), _turn(5, 5.4, "stop")], [(2.5, 5.8, "a b c d", "interrupted")])
    alone = _case(12, [_turn(1, 2)], [(2.5, 6.0, "a b c d", "interrupted")])
    whole = _case(12, [_turn(1, 2)], [(2.5, 6.0, "a b c d", "finished")])
    assert self_interruptions([yields, alone, whole]).value == pytest.approx(1 / 3)
    assert self_interruptions([yields, whole]).value == 0
    assert self_interruptions([alone, whole]).value is None     # whoever stops for nobody wins nothing


def test_a_stated_delay_is_in_every_time():
    case = _case(12, [_turn(1, 2), _turn(5, 5.4, "stop")], [(2.5, 5.8, "a b c d", "interrupted")])
    later = case.delayed(_at(0.1))
    assert latency_p50([later]).value == pytest.approx(latency_p50([case]).value + 0.1)
    assert yield_time_onset_p50([later]).value == pytest.approx(yield_time_onset_p50([case]).value + 0.1)
    assert later.num_samples == case.num_samples and later.words[0].start == case.words[0].start + 1600
    assert response_rate([case.delayed(_at(2.0))]).value == 0       # too late is too late
    cut_off = _case(6, [_turn(1, 2)], [(2.5, 5.8, "a b c d", "interrupted")]).delayed(_at(0.5))
    assert cut_off.replies[0].end is None and cut_off.replies[0].reason is None and cut_off.words[-1].cut
    assert case.delayed(0) is case


def test_the_delay_of_each_word_is_measured_where_its_end_is_known():
    words = tuple((w, _at(1 + i * 0.4), _at(1.3 + i * 0.4)) for i, w in enumerate(["what", "is", "it"]))
    turn = _turn(1, 2.1, text="what is it", words=words)
    case = _case(8, [turn], [], captions=[("what", 1.5), (" was", 1.9), (" i", 2.2), ("t", 2.5)])
    found = caption_word_delay_p50([case])      # "is" was not understood
    assert found.count == 2 and found.value == pytest.approx((0.2 + 0.4) / 2)


def test_growth_compares_the_first_tenth_with_the_last():
    now = iter(np.cumsum([0] + [1_000_000] * 50 + [3_000_000] * 50).tolist())
    growth = Growth(100, clock_ns=lambda: next(now))
    for _ in range(100):
        growth.tick(1)
    numbers = growth.numbers()
    assert numbers["step_ms_p50"] == [1.0, 3.0]
    assert all(value is None or value > 1 for value in numbers["resident_mib"])


def test_a_delay_makes_nobody_steadfast():
    """Put 125 ms later, a stop 0.95 s after others began to talk still lies within the second that counts."""
    able = _case(12, [_turn(1, 2), _turn(5, 5.4, "stop")], [(2.5, 5.8, "a b c d", "interrupted")])
    stops = _case(12, [_turn(1, 2), _turn(5, 8, "other")], [(2.5, 5.95, "a b c d", "interrupted")])
    for by in (0, _at(0.125)):
        assert wrong_yields_other([able.delayed(by), stops.delayed(by)]).value == 1
