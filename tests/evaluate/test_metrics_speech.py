"""What the agent says and hears, in conversations made of tone bursts whose numbers are known by hand."""

import numpy as np
import pytest
from bursts import ASK, number, says, talk, tone, turn

from omni.evaluate.cases import Case, Word
from omni.evaluate.metrics import saying
from omni.evaluate.metrics.hearing import caption_delay_p50, caption_wer

# ---- saying ----------------------------------------------------------------------------------------------------------

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


# ---- hearing ---------------------------------------------------------------------------------------------------------


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
