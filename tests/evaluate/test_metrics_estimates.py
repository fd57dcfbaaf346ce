"""Agents that must not win by doing nothing; and what a metric, its interval and its definition are."""

import numpy as np
from bursts import ASK, STOP, close, paused, says, talk, turn

from omni.evaluate.cases import Case, Floor, Word
from omni.evaluate.metrics import REGISTRY, measure, taking, tau
from omni.evaluate.metrics.metric import Sample, divide, estimate, mean, quantile, ratio
from omni.evaluate.record import Caption
from omni.evaluate.verdicts import TurnSpan

# ---- what no agent may win by ----------------------------------------------------------------------------------------


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
    for cases in ([_random_case(rng) for _ in range(8)], [paused(1.0, None), paused(0.8, 0.0), paused(0.5, 0.4)]):
        found = measure(cases)
        shifted = measure([_later(case, 6_400 * int(rng.integers(1, 20))) for case in cases])
        moved = measure([_later(case, 160) for case in cases])      # by a frame: only tick and block grids may see it
        for before, after, near in zip(found, shifted, moved, strict=True):
            if before.value is not None:
                seen.add(before.name)
            assert after.count == before.count and after.value == close(before.value), before.name
            if not before.name.startswith("tau_") and before.name != "border_jumps":
                assert near.value == close(before.value), before.name
    # nothing is equal for being nothing; what needs a network, half an hour, word times or an echo has tests of its own
    others = {"heard_text_wer", "latency_drift", "answers_right_drift", "response_drift",
              "caption_word_delay_p50",
              "caption_word_delay_p90", "echo_interruptions"}
    assert seen == set(REGISTRY) - others


# ---- what a metric is ------------------------------------------------------------------------------------------------


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
