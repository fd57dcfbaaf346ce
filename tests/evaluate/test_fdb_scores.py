"""Scores of Full-Duplex-Bench are those computed by hand; each known defect is there as published, gone as mended."""

import json
import math

import numpy as np
import pytest
from bench_samples import Bench, detect, even, words_at

from omni.base.errors import MediaError
from omni.evaluate.fdb import formulas
from omni.evaluate.fdb.layout import read_reference, read_words
from omni.evaluate.fdb.score import score, table


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def _pair(metric) -> tuple:
    return metric.published, metric.mended


# ---- scores: words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "takeover"), [
    ([], 0), (even(1.0, 3), 0), (even(1.0, 4, 0.1), 1), (even(1.0, 2, 0.5), 1), (even(1.0, 2, 0.499), 0),
    (words_at((1.0, 1.2), (1.9, None)), 0),       # an open end counts as its start: 0.9 s
    (words_at((1.0, 1.2), (2.0, None)), 1)])
def test_a_turn_is_taken_by_a_second_or_four_words(words, takeover):
    assert formulas.takes_turn(words) == takeover


def test_pause_counts_all_speech_as_published_and_speech_in_the_pause_as_mended(bench):
    """The pause is 1.0 to 2.0 s."""
    bench.answer("synthetic_pause_handling", "1", [])                               # silent          0, 0
    bench.answer("synthetic_pause_handling", "2", even(0.0, 4, 0.2))               # greets          1, 0
    bench.answer("synthetic_pause_handling", "3", even(2.5, 6))                    # answers after   1, 0
    bench.answer("synthetic_pause_handling", "4", even(1.5, 6))                    # falls into it   1, 1
    bench.answer("synthetic_pause_handling", "5", even(0.5, 10))                   # never stops     1, 1
    bench.answer("synthetic_pause_handling", "6", words_at((1.2, 1.5)))               # "mm"            0, 0
    bench.answer("synthetic_pause_handling", "7", words_at((0.1, 0.3), (1.2, 1.4)))   # 1.3 s in all    1, 0
    bench.add("synthetic_pause_handling", "8")                                      # no output: left out of both
    found = bench.score()
    tor = found["synthetic_pause_handling", "TOR"]
    assert _pair(tor) == (round(5 / 7, 4), round(2 / 7, 4)) and tor.num_published == tor.num_mended == 7
    assert found["synthetic_pause_handling"] == ("8",)


def test_a_smooth_turn_is_answered_after_its_end(bench):
    """The turn ends at 2.0 s. As published, a greeting or an agent that never stops answers at once."""
    bench.answer("candor_turn_taking", "1", even(2.5, 4))                          # 0.5        0.5
    bench.answer("candor_turn_taking", "2", even(0.0, 4) + even(3.0, 4))          # clipped 0  1.0
    bench.answer("candor_turn_taking", "3", even(0.0, 14))                         # clipped 0  no turn
    bench.answer("candor_turn_taking", "4", even(1.8, 4))                          # clipped 0  -0.2
    bench.answer("candor_turn_taking", "5", even(2.1, 2))                          # no turn    no turn
    found = bench.score()
    assert _pair(found["candor_turn_taking", "TOR"]) == (0.8, 0.6)
    latency = found["candor_turn_taking", "latency, s"]
    assert _pair(latency) == (0.125, round(1.3 / 3, 4)) and (latency.num_published, latency.num_mended) == (4, 3)
    assert _pair(found["candor_turn_taking", "latency p50, s"]) == (None, 0.5)
    assert _pair(found["candor_turn_taking", "latency p90, s"]) == (None, 0.9)      # 0.5 + 0.8 * (1.0 - 0.5)


def test_an_answer_may_begin_a_quarter_of_a_second_early():
    assert formulas.answering(even(1.75, 4), 2.0) == even(1.75, 4)
    assert formulas.answering(even(1.74, 4), 2.0) == []
    late = words_at((1.0, 1.6), (2.1, 2.4))       # a silence of 0.5 s is none
    assert formulas.answering(late, 2.0) == []
    later = words_at((1.0, 1.6), (2.11, 2.4))
    assert formulas.answering(later, 2.0) == later[1:]


def test_an_interruption_is_answered_by_what_is_heard_after_its_end(bench):
    """The interruption ends at 2.0 s, from where on the public recogniser listens."""
    bench.answer("synthetic_user_interruption", "1", even(0.0, 5) + even(2.4, 4))         # 0.4          0.4
    running = bench.answer("synthetic_user_interruption", "2", even(0.1, 12))              # a 0: lost    no turn
    bench.answer("synthetic_user_interruption", "3", even(0.0, 7))                         # no turn      no turn
    bench.answer("synthetic_user_interruption", "4", even(1.0, 3) + even(2.1, 8))         # 0.1          no turn
    data = json.loads((running / "output.json").read_text())
    assert data["chunks"][0] == {"text": "w7", "timestamp": [2.0, pytest.approx(2.1)]}      # 1.85 to 2.1, cropped
    assert data["text"] == "w7 w8 w9 w10 w11" and len(data["all_chunks"]) == 12
    assert read_words(running / "output.json", whole=True) == even(0.1, 12)
    found = bench.score()
    assert _pair(found["synthetic_user_interruption", "TOR"]) == (0.75, 0.25)
    assert _pair(found["synthetic_user_interruption", "latency, s"]) == (0.25, 0.4)
    assert found["synthetic_user_interruption", "latency, s"].num_published == 2
    chunks = data["chunks"]     # a recogniser's file has no words from before
    (running / "output.json").write_text(json.dumps({"text": data["text"], "chunks": chunks}))
    assert bench.score()["synthetic_user_interruption", "TOR"].mended == 0.5


# ---- scores: backchannels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("segments", "words", "published", "mended"), [
    ([], even(0.0, 9), (0, 0), (0, 0)),
    ([(1.0, 1.9)], even(1.0, 2), (0, 1), (0, 1)),
    ([(1.0, 1.9)], even(1.0, 3), (1, 1), (1, 0)),                         # three words
    ([(1.0, 2.0)], even(1.0, 1), (1, 1), (1, 0)),                         # a second
    ([(1.0, 4.0)], [], (1, 1), (1, 0)),
    ([(1.0, 4.01)], [], (1, 0), (1, 0)),                                   # more than 3 s is no backchannel
    ([(0.0, 2.0), (3.0, 3.5)], even(0.0, 6), (0, 2), (1, 1)),             # the last segment hides the first
    ([(0.0, 0.5), (1.0, 5.0), (6.0, 6.5)], [], (1, 1), (1, 2)),            # nothing after 3 s of speech is looked at
    ([(1.0, 1.5)], words_at((0.5, 1.0), (0.8, 1.1), (1.5, 1.9)), (0, 1), (0, 1)),    # the first only touches
    ([(1.0, 1.5)], words_at((1.0, 1.0), (0.8, 1.1), (1.5, 1.9)), (1, 1), (1, 0)),    # all three overlap
    ([(1.0, 1.5)], words_at((1.0, None), (1.1, None), (1.2, 1.3)), (0, 1), (0, 1))])  # open ends are skipped
def test_backchannels_and_takeovers(segments, words, published, mended):
    for found, (takeover, count) in ((formulas.published_backchannels(segments, words), published),
                                     (formulas.mended_backchannels(segments, words), mended)):
        assert (found[0], len(found[1])) == (takeover, count)


@pytest.mark.parametrize(("backchannels", "human", "distance"), [
    # 0.79 s are int(0.79 / 0.2) + 1 = 4 bins.
    ([(0.0, 0.1)], [1, 0, 0, 0], 0.0),
    ([(0.0, 0.1)], [0, 0, 0, 1], 0.832555),         # sqrt(ln 2)
    # agent 1, 0; human 1/2, 1/2; middle 3/4, 1/4: sqrt(ln(4/3) / 2 + (ln(2/3) / 2 + ln(2) / 2) / 2) = sqrt(0.215762)
    ([(0.0, 0.1)], [1, 1, 0, 0], 0.464502),
    # two bins become 1, 2/3, 1/3, 0, which is 1/2, 1/3, 1/6, 0; the sum is the same
    ([(0.0, 0.1)], [1, 0], 0.464502),
    ([(0.1, 0.5)], [1, 1, 1, 0], 0.0),              # bins 0 to 2
    ([(0.6, 0.7)], [0, 0, 1, 1], 0.0),              # 0.6 / 0.2 is 2.9999999999999996
    ([(0.0, 0.1), (0.1, 0.3)], [2, 1, 0, 0], 0.0),
    ([(0.7, 9.0)], [0, 0, 0, 1], 0.0)])             # nothing beyond the last bin
def test_divergence_from_people(backchannels, human, distance):
    assert formulas.divergence(backchannels, 0.79, np.array(human, float)) == pytest.approx(distance, abs=2e-4)


def test_segments_are_rounded_as_the_detectors_package_rounds_them():
    assert formulas.tenths([(0.04, 0.36), (1.0, 1.98)], 1.97) == [(0.0, 0.4), (1.0, 1.97)]


def test_backchannels_of_a_folder(bench):
    """4 s a sample. Sample 1: bursts of 1.5 s with 6 words and 0.3 s with one; 2: silent; 3: no output.json, which as
    published repeats 2's takeover; 4: nothing at all."""
    words = even(0.5, 6) + words_at((3.0, 3.3))
    bench.answer("icc_backchannel", "1", words, ((0.5, 2.0), (3.0, 3.3)))
    bench.answer("icc_backchannel", "2", [])
    (bench.answer("icc_backchannel", "3", [], ((1.0, 3.9),)) / "output.json").unlink()
    bench.add("icc_backchannel", "4")
    flat = np.ones(21)
    found = bench.score({"1": flat, "2": flat, "3": flat})
    assert found["icc_backchannel"] == ("3", "4")
    tor = found["icc_backchannel", "TOR"]
    assert _pair(tor) == (0.0, 0.5) and (tor.num_published, tor.num_mended) == (3, 2)
    assert _pair(found["icc_backchannel", "frequency, 1/s"]) == (round(2 / 4 / 3, 4), round(1 / 4 / 2, 4))
    # 21 bins. As published 2..10 and 15..16 (3.0 / 0.2 = 15): 11 of them; as mended 15..16: 2 of them.
    # k of n equal bins against flat: m = (1/k + 1/n) / 2 inside, 1 / (2 n) outside.
    def against_flat(k: int, n: int) -> float:
        m = (1 / k + 1 / n) / 2
        return math.sqrt((math.log(1 / k / m) + k / n * math.log(1 / n / m) + (n - k) / n * math.log(2)) / 2)
    expected = (against_flat(11, 21) + 1 + 1) / 3, (against_flat(2, 21) + 0.832555) / 2
    assert _pair(found["icc_backchannel", "JSD"]) == pytest.approx(expected, abs=2e-4)
    assert found["icc_backchannel", "JSD"].mended < 0.8326


def test_a_silent_agent_is_worse_than_any_as_published_and_at_the_bound_as_mended(bench):
    bench.answer("icc_backchannel", "1", [])
    found = bench.score({"1": np.ones(9)})
    assert _pair(found["icc_backchannel", "JSD"]) == (1.0, 0.8326)      # sqrt(ln 2)
    assert _pair(found["icc_backchannel", "TOR"]) == (0.0, 0.0)


def test_the_takeover_of_the_sample_before_is_repeated_where_there_is_no_transcript(bench):
    (bench.answer("icc_backchannel", "1", [], ((0.0, 3.5),)) / "output.json").unlink()     # there is none before
    bench.answer("icc_backchannel", "2", even(0.5, 6), ((0.5, 2.0),))
    (bench.answer("icc_backchannel", "10", []) / "output.json").unlink()
    tor = bench.score()["icc_backchannel", "TOR"]
    assert _pair(tor) == (1.0, 1.0) and (tor.num_published, tor.num_mended) == (2, 1)


def test_an_output_of_another_rate_is_misread_as_published(bench):
    """1.6 s at 8 kHz look like 0.8 s at 16 kHz."""
    bench.answer("icc_backchannel", "1", words_at((1.0, 2.6)), ((1.0, 2.6),), out_rate=8_000)
    found = bench.score({"1": np.ones(9)})
    assert _pair(found["icc_backchannel", "TOR"]) == (0.0, 1.0)
    assert _pair(found["icc_backchannel", "frequency, 1/s"]) == (0.25, 0.0)


def test_without_peoples_distribution_there_is_no_divergence(bench):
    folder = bench.answer("icc_backchannel", "1", [])
    assert read_reference(bench.samples(), bench.root) is None
    scores = score(bench.samples(), detect, None)
    assert scores[0].metrics[2].published is None and "icc_gt_distribution.json" in table(scores)
    for home in (folder.parent, folder.parents[1], bench.root):
        path = home / "icc_gt_distribution.json"
        path.write_text(json.dumps({"1": [1, len(home.parts)]}))
        human = read_reference(bench.samples(), bench.root)
        assert human["1"].tolist() == [1, len(home.parts)]
        path.unlink()
    with pytest.raises(MediaError, match="icc_gt_distribution.json: nothing for 1"):
        bench.score({"2": human["1"]})
    for text in ('{"1": []}', '{"1": [[1]]}', '{"1": [0]}', '{"1": [-1, 2]}', '{"1": "x"}', "[]"):
        (bench.root / "icc_gt_distribution.json").write_text(text)
        with pytest.raises(MediaError, match="icc_gt_distribution.json: wants"):
            read_reference(bench.samples(), bench.root)


# ---- scores: overlaps --------------------------------------------------------------------------------------------


def test_speech_is_joined_over_short_silences():
    segments = [(3.0, 4.0), (0.0, 1.0), (1.5, 2.0)]
    assert formulas.merge(segments, 0.5) == [(0.0, 2.0), (3.0, 4.0)]
    assert formulas.merge(segments, 0.49) == [(0.0, 1.0), (1.5, 2.0), (3.0, 4.0)]
    assert formulas.merge(segments, 1.0) == [(0.0, 4.0)]
    assert formulas.merge([(0.0, 3.0), (1.0, 2.0)], 0.1) == [(0.0, 3.0)]


def test_intervals_as_published():
    user, agent = [(0.0, 2.0), (5.0, 6.0), (6.5, 7.0)], [(1.5, 1.75), (2.5, 5.33333), (8.0, 9.0)]
    assert formulas.stop_intervals(user, agent) == [(1.5, 1.75), (5.0, 5.333)]
    assert formulas.stop_intervals([(0.0, 1.0), (0.5, 1.0002)], [(0.0, 3.0)]) == [(0.5, 1.0)]     # same millisecond
    assert formulas.stop_intervals([(0.0, 1.0)], [(1.0, 2.0)]) == []
    # ends 2, 6, 7; the agent's next starts 2.5, 8, 8, and of the last two the later end stays
    assert formulas.response_intervals(user, agent) == [(2.0, 2.5), (7.0, 8.0)]
    assert formulas.response_intervals([(0.0, 8.0)], agent) == []


def test_overlaps_of_a_folder(bench):
    """The overlap is 1.0 to 1.5 s. 1: the agent stops at 1.2 and answers at 2.2; 2: it never stops, which as published
    looks like stopping when the user does; 3: it is silent throughout."""
    user = ((0.0, 0.2), (1.0, 1.5))
    folder = bench.answer("user_interruption", "1", [], ((0.4, 1.2), (2.2, 3.0)), bursts=user)
    bench.answer("user_interruption", "2", [], ((0.4, 4.0),), bursts=user)
    bench.answer("user_interruption", "3", [], (), bursts=user)
    # The user's silence of 0.55 s is none, and neither is the agent's of 0.4 s; the agent's of 0.55 s is one.
    bench.answer("background_speech", "1", [], ((0.4, 1.3), (1.7, 3.0)), bursts=((0.0, 0.45), (1.0, 1.5)))
    bench.answer("background_speech", "2", [], ((0.4, 1.2), (1.75, 3.0)), bursts=user)
    bench.add("user_interruption", "4")
    found = bench.score()
    intervals = json.loads((folder / "latency_intervals.json").read_text())
    # 0.2 to 0.4 s is a response too
    assert intervals == {"latency_stop_list": [[1.0, 1.2]], "latency_resp_list": [[0.2, 0.4], [1.5, 2.2]]}
    stop, response = found["user_interruption", "stop, s"], found["user_interruption", "response, s"]
    assert _pair(stop) == (0.35, 1.6) and (stop.num_published, stop.num_mended) == (2, 2)     # .2, .5; .2, 3.0
    assert _pair(response) == (round(1.1 / 3, 4), 0.7) and response.num_mended == 1           # .2, .7, .2; .7
    assert _pair(found["background_speech", "stop, s"]) == (0.65, 1.1)              # .4 to 1.5, .2; 2.0, .2
    assert _pair(found["background_speech", "response, s"]) == (0.225, 0.25)        # .2, .25; .25
    assert (stop.wanted, found["background_speech", "stop, s"].wanted) == ("lower", "higher")
    assert found["user_interruption"] == ("4",)
    assert not list(bench.root.rglob("4/latency_intervals.json"))


def test_overlaps_are_heard_at_their_own_rate(bench):
    """As the public script does here: 8 and 44.1 kHz are resampled before speech is looked for."""
    bench.answer("talking_to_other", "1", [], ((0.4, 1.2),), 8_000, rate=44_100, channels=2, bursts=((1.0, 1.5),))
    assert _pair(bench.score()["talking_to_other", "stop, s"]) == pytest.approx((0.2, 0.2), abs=0.011)
