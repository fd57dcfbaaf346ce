"""Conversations made of tone bursts, whose numbers are known by hand; and agents that must not win by doing nothing."""

import numpy as np
import pytest

from omni.evaluate.cases import Case, Floor, Word
from omni.evaluate.metrics import REGISTRY, measure, saying, taking, tau, yielding
from omni.evaluate.metrics.hearing import caption_delay_p50, caption_wer
from omni.evaluate.metrics.metric import Sample, divide, estimate, mean, quantile, ratio
from omni.evaluate.record import Caption
from omni.evaluate.verdicts import TurnSpan

RATE = 16_000


def _at(seconds: float) -> int:
    return round(seconds * RATE)


def turn(kind: str, start: float, end: float, decisive: float | None = None, text: str | None = None,
         answer: tuple[str, ...] = ()) -> TurnSpan:
    return TurnSpan(f"{kind} {start}", _at(start), _at(end), _at(start), _at(end), kind, text, answer,
                    None if decisive is None else _at(decisive))


def says(start: float, end: float, words: str | None = "a b c d", reason: str | None = "finished") -> tuple:
    return _at(start), _at(end), words, reason


def cut(start: float, end: float) -> tuple:
    return says(start, end, reason="interrupted")


def tone(start: int, end: int) -> np.ndarray:
    """300 Hz at -17 dBFS with ramps of 5 ms."""
    samples = 0.2 * np.sin(2 * np.pi * 300 * np.arange(start, end) / RATE)
    ramp = np.linspace(0, 1, 80)
    samples[:80] *= ramp
    samples[-80:] *= ramp[::-1]
    return samples.astype(np.float32)


def talk(length: float, turns=(), agent=(), captions=()) -> Case:
    """A conversation: `says` bursts with evenly spread words (none: noise that is no reply), captions (text, at)."""
    sound, replies, words = np.zeros(_at(length), np.float32), [], []
    for start, end, text, reason in agent:
        sound[start:end] = tone(start, end)
        if text is not None:
            replies.append(Floor(start, end, end, reason))
            edges = np.linspace(start, end, len(text.split()) + 1).astype(int).tolist()
            words.extend(Word(word, *span) for word, *span in zip(text.split(), edges, edges[1:], strict=False))
    user = 0.01 * np.random.default_rng(0).standard_normal(len(sound)).astype(np.float32)
    turns = sorted(turns, key=lambda t: t.speech_start)
    return Case("talk", user, sound, tuple(turns), tuple(replies), tuple(words),
                tuple(Caption(text, _at(at)) for text, at in captions))


def number(measured, *cases: Case) -> tuple[float | None, int]:
    found = measured(cases)
    return _close(found.value), found.count


def _close(value: float | None):
    return None if value is None else pytest.approx(value, abs=1e-9)


ASK = turn("turn", 1, 2)


# ---- taking the turn ----------------------------------------------------------------------------------------------


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
    floor = (Floor(_at(2.1), _at(4), _at(4), "finished"),)
    assert number(taking.latency_p50, Case("x", case.user, case.agent, case.turns, floor, case.words)) == (0.5, 1)


def test_latency_percentiles():
    waits = [0.1, 0.2, 0.4, 0.8, 1.6]
    cases = [talk(8, [ASK], [says(2 + wait, 5)]) for wait in waits]
    for percent in (10, 50, 90, 95):
        assert number(getattr(taking, f"latency_p{percent}"), *cases) == (np.percentile(waits, percent), 5)


PART, REST = turn("pause", 1, 2), turn("turn", 3, 4)


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


def _paused(length: float, wait: float | None, answer: float = 0.2) -> Case:
    """A pause of some length, `wait` into which the agent begins; it answers the whole `answer` after it."""
    rest = turn("turn", 2 + length, 3 + length)
    into = [] if wait is None else [cut(2 + wait, 2.3 + length)]
    return talk(12, [PART, rest], [*into, says(3 + length + answer, 5 + length)])


def test_false_cutoffs_by_hand():
    """Delays below the agent's own wait change nothing, so 0.2 s into silences that it takes at once, and no more."""
    cases = [_paused(1.0, None), _paused(0.8, 0.0), _paused(0.5, 0.4), _paused(0.3, None)]
    assert number(taking.false_cutoffs_300ms, *cases) == (0.5, 4)
    assert number(taking.false_cutoffs_600ms, *cases) == (0.25, 4)      # a delay of 0.5 s waits the third pause out
    slow = [_paused(1.0, None, 0.7), _paused(1.0, 0.1, 0.1)]            # mean wait 0.45 s with a delay of 0.2
    assert number(taking.false_cutoffs_300ms, *slow) == (None, 2)
    assert number(taking.false_cutoffs_600ms, *slow) == (0.5, 2)


def test_false_cutoffs_of_long_pauses_come_from_the_timeout_too():
    """With one answer of three missing, a mean wait of 0.6 s leaves no timeout but 1 s, and that cuts 1.5 s off."""
    cases = [talk(12, [ASK]), _paused(1.5, None), _paused(0.9, None)]
    assert number(taking.false_cutoffs_600ms, *cases) == (0.5, 2)
    assert number(taking.false_cutoffs_600ms, *cases[1:]) == (0, 2)


def test_pauses_out_of_range_are_no_spans():
    for length in (0.15, 5.5):
        assert number(taking.false_cutoffs_600ms, _paused(length, None)) == (None, 0)


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


# ---- yielding -----------------------------------------------------------------------------------------------------

STOP = turn("stop", 3, 3.6, 3.3)


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
    bridged = Case("x", case.user, case.agent, case.turns, (Floor(_at(1), _at(9), _at(9), "finished"),), case.words)
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


# ---- saying -------------------------------------------------------------------------------------------------------

SUM = turn("turn", 1, 2, answer=("twenty two", "please"))


@pytest.mark.parametrize(("agent", "value"), [
    ([says(2.3, 4, "It's Twenty two, please!")], 1), ([says(2.3, 4, "please twenty two")], 1),
    ([says(2.3, 4, "twenty and two please")], 0), ([says(2.3, 4, "two twenty please")], 0),
    ([says(2.3, 4, "twenty two")], 0), ([says(0.2, 0.9, "twenty two please")], 0),
    ([says(0.2, 4, "no no no no no twenty two please")], 0), ([says(5.5, 7, "twenty two please")], 0),
    ([says(2.3, 4, "no " * 37 + "twenty two please")], 1), ([says(2.3, 4, "no " * 38 + "twenty two please")], 0),
    ([says(1.8, 4, "it is twenty two please")], 1), ([], 0), ([says(1.8, 4, "please" + " no" * 10 + " twenty two")], 0),
    ([says(4.2, 6, "no no no no no twenty two please")], 0)])
def test_answers_are_right_if_every_phrase_is_heard_after_the_turn_and_before_the_next(agent, value):
    case = talk(10, [SUM, turn("turn", 5, 5.3)], agent)
    assert number(saying.answers_right, case) == (value, 1)


def test_an_answer_that_was_broken_off_or_not_audible_is_not_right():
    case = talk(10, [SUM], [says(2.3, 4, "twenty two please")])
    broken = (*case.words[:2], Word("please", case.words[2].start, case.words[2].end, True))
    assert number(saying.answers_right, case) == (1, 1)
    assert number(saying.answers_right, Case("x", case.user, case.agent, case.turns, case.replies, broken)) == (0, 1)
    mute = Case("x", case.user, 0 * case.agent, case.turns, case.replies, case.words)
    assert number(saying.answers_right, mute) == (0, 1)
    assert number(saying.answers_right, talk(10, [ASK], [says(2.3, 4)])) == (None, 0)


def _voice(samples: np.ndarray, words=None) -> Case:
    samples = samples.astype(np.float32)
    return Case("voice", np.zeros_like(samples), samples,
                words=words or (Word("word", 0, len(samples)),))


def test_loudness_is_that_of_the_speech_and_not_of_the_pauses():
    half = np.where(np.arange(16_000) % 2, 0.5, -0.5)
    case = _voice(np.concatenate([half, np.zeros(160_000), half * 0.002]))
    assert number(saying.loudness, case) == (pytest.approx(20 * np.log10(0.5)), 100)
    quiet = _voice(half / 10)
    together = 10 * np.log10((0.25 + 0.0025) / 2)
    assert number(saying.loudness, case, quiet) == (pytest.approx(together, abs=1e-4), 200)
    assert number(saying.loudness, talk(3)) == number(saying.loudness, talk(3, (), [says(1, 2, None)])) == (None, 0)


def test_clipping_counts_samples_at_full_scale():
    samples = 0.5 * np.ones(16_000)
    samples[100:150], samples[200:210], samples[300] = 1, -1, 32_766 / 32_768
    samples[400:500] = 32_765 / 32_768
    assert number(saying.clipping, _voice(samples)) == (61 / 16_000, 16_000)
    assert number(saying.clipping, talk(3)) == (None, 0)


def test_a_lost_block_within_a_word_is_a_gap():
    def spoken(gap: int, at: int = 8_000) -> Case:
        samples = tone(0, 32_000)
        samples[at:at + gap] = 0
        return _voice(samples, (Word("one", 0, 16_000), Word("two", 16_000, 32_000)))

    assert number(saying.gaps_in_words, spoken(1_280)) == (0.5, 2)
    assert number(saying.gaps_in_words, spoken(1_120)) == (0, 2)        # 70 ms: a closure
    assert number(saying.gaps_in_words, spoken(1_280, 15_200)) == (0, 2)    # between two words
    assert number(saying.gaps_in_words, spoken(0), spoken(1_280)) == (0.25, 4)
    assert number(saying.gaps_in_words, talk(3)) == (None, 0)


def test_clicks_at_the_borders_of_blocks():
    rng = np.random.default_rng(1)
    clean = 0.1 * rng.standard_normal(64_000)
    assert saying.border_jumps([_voice(clean)]).value == pytest.approx(1, abs=0.25)
    grid = np.arange(64_000) // 1_280 % 2
    at_borders, elsewhere = _voice(clean + grid), _voice(clean + np.roll(grid, 600))
    assert saying.border_jumps([at_borders]).value > 4 and saying.border_jumps([at_borders]).count == 49
    assert saying.border_jumps([elsewhere]).value < 1.25
    assert number(saying.border_jumps, talk(3)) == (None, 0)


# ---- hearing ------------------------------------------------------------------------------------------------------


def _captioned(text: str, *captions, kind: str = "turn", more=()) -> Case:
    return talk(10, [turn(kind, 1, 2, text=text), *more], (), captions)


def test_caption_errors():
    right = _captioned("One two, three.", ("one t", 1.4), ("wo three", 2.2))
    wrong = _captioned("four five", ("four", 1.3), (" nine six", 2.4))
    late = _captioned("six", ("six", 3.6))
    early = _captioned("six", ("six", 0.9))
    assert number(caption_wer, right) == (0, 3) and number(caption_wer, wrong) == (1, 2)
    assert number(caption_wer, late) == (1, 1) and number(caption_wer, early) == (1, 1)
    assert number(caption_wer, right, wrong, late) == (0.5, 6)
    assert number(caption_wer, _captioned("one two three")) == (1, 3)
    assert number(caption_wer, talk(3.4, [turn("turn", 1, 2, text="one")])) == (None, 0)
    assert number(caption_wer, talk(10, [ASK], (), [("one", 1.5)])) == (None, 0)
    assert number(caption_wer, _captioned("mm hmm", ("mm", 1.5), kind="backchannel")) == (0.5, 2)


def test_captions_of_turns_close_to_each_other_are_taken_together():
    rest = turn("turn", 2.5, 3, text="two")
    assert number(caption_wer, _captioned("one", ("one", 2.7), (" two", 3.5), kind="pause", more=[rest])) == (0, 2)
    unknown = turn("turn", 3.4, 4)
    assert number(caption_wer, _captioned("one", ("one", 2.7), (" two", 3.45), more=[unknown])) == (None, 0)
    cough = turn("tic", 3.4, 4)
    assert number(caption_wer, _captioned("one", ("one", 2.7), (" two", 3.45), more=[cough])) == (1, 1)


def test_caption_delay_is_that_of_the_last_word():
    first = _captioned("order two", ("order t", 1.5), ("w", 2.3), ("o.", 2.4))
    second = _captioned("two", ("two", 1.9))
    assert number(caption_delay_p50, first) == (0.4, 1)
    assert number(caption_delay_p50, first, second) == (pytest.approx(0.15), 2)
    assert number(caption_delay_p50, _captioned("two", ("twofold", 2.1))) == (None, 0)
    near = _captioned("two", ("two", 2.1), more=[turn("turn", 3, 4, text="one")])
    assert number(caption_delay_p50, near) == (None, 0)


# ---- tau-voice's panel --------------------------------------------------------------------------------------------


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


# ---- what no agent may win by -------------------------------------------------------------------------------------


def _asked(rng: np.random.Generator) -> list[TurnSpan]:
    """Turns of all kinds at random times, on the grid of frames, the last early enough to be answered."""
    turns, at = [], 1.0
    while at < 24:
        kind = str(rng.choice(["turn", "stop", "backchannel", "tic", "noise", "other", "pause"]))
        length = round(float(rng.uniform(0.3, 1.5)), 2)
        known = {"text": "one two", "answer": ("two",)} if kind in ("turn", "pause") else {}
        turns.append(turn(kind, round(at, 2), round(at + length, 2), round(at + length / 2, 2), **known))
        if kind == "pause":
            at += length + 0.8
            turns.append(turn("turn", round(at, 2), round(at + 0.5, 2), text="one two", answer=("two",)))
            length = 0.5
        at += length + float(rng.uniform(0.5, 3))
    return turns


def _numbers(*cases: Case) -> dict[str, float | None]:
    return {found.name: found.value for found in measure(cases)}


CREDIT = ("response_rate", "eot_recall", "answers_right")
BLAME = ("takeovers_in_pauses", "unasked_starts", "agent_interruptions", "false_cutoffs_300ms", "false_cutoffs_600ms",
         "eot_fp_rate", "wrong_yields_backchannel", "wrong_yields_tic", "wrong_yields_noise", "wrong_yields_other")
VOICE = ("loudness", "clipping", "gaps_in_words", "border_jumps", "yield_selectivity")


def test_silence_wins_nothing():
    rng = np.random.default_rng(2)
    found = _numbers(*(talk(30, [turn("turn", 26, 26.5), *_asked(rng)]) for _ in range(6)))
    assert [found[name] for name in CREDIT] == [0, 0, 0]
    assert found["tau_R_R"] == 0 and found["caption_wer"] == 1
    for name in (*BLAME, *VOICE, "yield_rate", "resumes", "latency_p50", "tau_R_Y", "tau_S_BC", "caption_delay_p50"):
        assert found[name] is None, name


def test_silence_that_claims_words_wins_nothing():
    rng = np.random.default_rng(3)
    cases = []
    for _ in range(4):
        loud = talk(30, _asked(rng), [says(s, s + 0.5, "two two") for s in range(1, 28)])
        cases.append(Case("mute", loud.user, 0 * loud.agent, loud.turns, loud.replies, loud.words))
    found = _numbers(*cases)
    assert [found[name] for name in CREDIT] == [0, 0, 0] and all(found[name] is None for name in (*BLAME, *VOICE))


def test_noise_wins_nothing():
    rng = np.random.default_rng(4)
    found = _numbers(*(talk(30, _asked(rng), [says(s + 0.3, s + 0.9, None) for s in range(1, 28)]) for _ in range(6)))
    assert [found[name] for name in CREDIT] == [0, 0, 0] and found["yield_rate"] is None
    assert found["agent_interruptions"] > 0 and all(found[name] is None for name in VOICE)


def test_talking_without_end_wins_nothing():
    rng = np.random.default_rng(5)
    found = _numbers(*(talk(30, [STOP, *_asked(rng)], [says(0.2, 30, "one two " * 40)]) for _ in range(6)))
    assert [found[name] for name in CREDIT] == [0, 0, 0]
    assert found["yield_rate"] == found["tau_R_Y"] == found["yield_selectivity"] == 0
    assert found["tau_S_BC"] == 1       # as published
    for name in (*BLAME, "yield_time_onset_p50", "latency_p50", "resumes", "tau_R_R"):
        assert found[name] is None, name


def test_babbling_is_not_answering():
    """Bursts whatever the user does: one always begins within the turns, which are longer than the gaps."""
    rng = np.random.default_rng(6)
    babble = [says(s, s + 0.3, "two two") for s in np.arange(0.2, 29, 1.0)]
    found = _numbers(*(talk(30, [turn("turn", s, s + 1.5, answer=("two",)) for s in
                                 np.arange(1, 26, 4) + round(rng.uniform(0, 1), 2)], babble) for _ in range(6)))
    assert found["response_rate"] == 0 and found["agent_interruptions"] >= 1 and found["latency_p50"] is None


def _random_case(rng: np.random.Generator) -> Case:
    at, agent = 0.5, []
    while at < 27:
        length = round(float(rng.uniform(0.4, 3)), 2)
        reason = str(rng.choice(["finished", "interrupted"]))
        agent.append(says(round(at, 2), round(at + length, 2), "one two three", reason))
        at += length + round(float(rng.uniform(0.2, 2)), 2)
    captions = [(" two" if i % 2 else " one", round(t, 2)) for i, t in enumerate(np.arange(1.1, 28, 0.6))]
    return talk(32, _asked(rng), agent, captions)


def _later(case: Case, by: int) -> Case:
    """The same conversation `by` samples later."""
    pad = np.zeros(by, np.float32)
    turns = tuple(TurnSpan(t.name, t.start + by, t.end + by, t.speech_start + by, t.speech_end + by, t.kind, t.text,
                           t.answer, None if t.decisive is None else t.decisive + by) for t in case.turns)
    return Case(case.name, np.concatenate([pad, case.user]), np.concatenate([pad, case.agent]), turns,
                tuple(Floor(r.start + by, r.end + by, r.silent_at + by, r.reason) for r in case.replies),
                tuple(Word(w.text, w.start + by, w.end + by, w.cut) for w in case.words),
                tuple(Caption(c.text, c.at + by) for c in case.captions))


def test_a_shift_by_whole_ticks_and_blocks_changes_nothing():
    rng = np.random.default_rng(7)
    seen = set()
    for cases in ([_random_case(rng) for _ in range(8)], [_paused(1.0, None), _paused(0.8, 0.0), _paused(0.5, 0.4)]):
        found = measure(cases)
        shifted = measure([_later(case, 6_400 * int(rng.integers(1, 20))) for case in cases])
        moved = measure([_later(case, 160) for case in cases])      # by a frame: only tick and block grids may see it
        for before, after, near in zip(found, shifted, moved, strict=True):
            if before.value is not None:
                seen.add(before.name)
            assert after.count == before.count and after.value == _close(before.value), before.name
            if not before.name.startswith("tau_") and before.name != "border_jumps":
                assert near.value == _close(before.value), before.name
    # nothing is equal for being nothing; those that need a network, half an hour or word times have tests of their own
    others = {"heard_text_wer", "latency_drift", "answers_right_drift", "response_drift",
              "caption_word_delay_p50",
              "caption_word_delay_p90"}
    assert seen == set(REGISTRY) - others


# ---- what a metric is ---------------------------------------------------------------------------------------------


def test_intervals_hold_the_value_and_are_the_same_each_time():
    rng = np.random.default_rng(8)
    cases = [_random_case(rng) for _ in range(4)]
    found = measure(cases)
    assert found == measure(cases)
    held = [m for m in found if m.low is not None]
    assert len(held) > 25 and any(m.low < m.value < m.high for m in held)
    for m in held:
        assert m.low <= m.value <= m.high, m.name
    for alone in measure(cases[:1]):
        assert alone.low is None and alone.high is None


def test_nothing_to_count_is_none_and_every_metric_says_what_it_is():
    for nothing in (measure([]), measure([talk(5)])):
        assert [m.name for m in nothing] == list(REGISTRY)
        for m in nothing:
            assert (m.value, m.count, m.low, m.high) == (None, 0, None, None), m.name
            assert len(m.definition) > 40 and m.source and m.unit and m.better in ("higher", "lower", "neither")
            assert "\n" not in m.definition + m.source


def test_weights_count_conversations_as_often_as_they_are_drawn():
    rng = np.random.default_rng(9)
    values = [rng.standard_normal(int(n)).tolist() for n in (4, 0, 1, 7)]
    kept = [of_case for of_case in values if of_case]
    weights = rng.multinomial(3, [1 / 3] * 3, 50)
    for sample, plain in ((quantile(values, 90), lambda drawn: np.percentile(drawn, 90)), (mean(values), np.mean),
                          (quantile(values, 50), np.median)):
        assert sample.num_cases == 3 and sample.count == 12
        expected = [plain(np.concatenate([v for v, n in zip(kept, row, strict=True) for _ in range(n)]))
                    for row in weights]
        np.testing.assert_allclose(sample.statistic(weights), expected, atol=1e-12)


def test_the_interval_is_the_bootstraps():
    """Sixteen conversations, half of them answered: of sixteen drawn, four or fewer are with a probability of 0.038,
    three or fewer with 0.011, and so at the upper end."""
    found = taking.response_rate([talk(8, [ASK], [says(2.5, 4)] if i % 2 else []) for i in range(16)])
    assert (found.value, found.count, found.low, found.high) == (0.5, 16, 0.25, 0.75)
    clustered = taking.response_rate([talk(50, [turn("turn", 1 + 4 * i, 2 + 4 * i) for i in range(12)],
                                           [says(2.5 + 4 * i, 3 + 4 * i) for i in range(12 * even)])
                                      for even in (0, 1)])
    assert (clustered.value, clustered.count, clustered.low, clustered.high) == (0.5, 24, 0, 1)


def test_an_interval_is_widened_to_its_value():
    """Statistics that no resample reaches: how many conversations were drawn at all, and how many were not."""
    drawn = Sample(20, 20, lambda weights: np.sum(weights > 0, axis=1))
    value, low, high = estimate(drawn)
    assert value == high == 20 and low < 15
    value, low, high = estimate(Sample(20, 20, lambda weights: -np.sum(weights > 0, axis=1)))
    assert value == low == -20 and high > -15


def test_ratios_of_nothing():
    assert ratio([(0, 0), (0, 0)]).num_cases == 0 and ratio([(1, 0), (1, 2)]).num_cases == 2
    np.testing.assert_array_equal(divide(np.array([1.0, 1.0]), np.array([0.0, 2.0])), [np.nan, 0.5])


def test_events_of_the_panel_are_ticks():
    found = tau.events(talk(8, [ASK, turn("turn", 5, 6)], [says(2.6, 4)]))
    assert found.responses == [3] and found.yields == [] and found.agent_interruptions == 0
