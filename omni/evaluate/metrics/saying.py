"""Saying: is it right, and does the voice sound whole?

The voice is judged in the audible 10 ms frames of sounds with words, so that silence and noise have no quality. How
natural it is cannot be read off samples; these are the faults that a streaming synthesizer brings.
"""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import uniform_filter1d

from omni.evaluate.cases import FRAME, Case, audible
from omni.evaluate.metrics.metric import Sample, divide, mean, metric, ratio
from omni.evaluate.metrics.taking import answered, ending_of
from omni.evaluate.scenario import normal
from omni.evaluate.verdicts import TurnSpan, contains

_MOST_WORDS = 40
_FULL_SCALE = 32_766 / 32_768   # the last but one of the 16-bit values, for files that round
_GAP_FRAMES = 8     # 80 ms, one lost block
_BORDER = 1_280     # 80 ms
_AROUND = 2 * FRAME + 1     # 10 ms to both sides


@metric("share", "higher")
def answers_right(cases: Sequence[Case]) -> Sample:
    """Share of turns with a known answer after which every phrase of it is heard word for word, lower case and without
    punctuation: in whole words that sound in speech begun at or after the turn's end (0.25 s early at most), end after
    it, begin before the next turn for the agent, and are among the first 40 of these."""
    return mean([[is_right(case, turn) for turn in case.turns if turn.kind == "turn" and turn.answer
                  and answered(case, turn) is not None] for case in cases])


def is_right(case: Case, turn: TurnSpan) -> bool:
    """Whether what was heard after a turn holds every phrase of its answer."""
    until = case.until(turn)
    begun = [s for s in case.sounds if s.spoken and ending_of(turn) <= s.start < until]
    words = [w for w in case.words if not w.cut and w.end > turn.speech_end and w.start < until
             and any(s.start < w.end and w.start < s.end for s in begun)]
    said = normal(" ".join(w.text for w in words))[:_MOST_WORDS]
    return all(contains(said, phrase) for phrase in turn.answer)


@metric("dBFS", "neither")
def loudness(cases: Sequence[Case]) -> Sample:
    """Root mean square of the agent's voice (10 ms frames of -50 dBFS and above, in sounds with words) against full
    scale: 0 dBFS is a square wave, a full sine is -3. Counts frames."""
    voices = [_voice(case) for case in cases]
    return ratio([(float(np.sum(np.square(v, dtype=np.float64))), len(v)) for v in voices],
                 sum(map(len, voices)) // FRAME, lambda power: 10 * np.log10(power))


@metric("share", "lower")
def clipping(cases: Sequence[Case]) -> Sample:
    """Share of the samples of the agent's voice (frames as for loudness) that are at full scale of 16 bits, within one
    step. Counts samples."""
    voices = [_voice(case) for case in cases]
    return ratio([(int(np.sum(np.abs(v) >= _FULL_SCALE)), len(v)) for v in voices])


def _voice(case: Case) -> np.ndarray:
    """The agent's samples where it is heard to speak, float32 (samples,)."""
    return case.agent[_heard(case)]


def _heard(case: Case) -> np.ndarray:
    """Which samples lie in audible frames of spoken sounds: bool (samples,)."""
    heard = np.repeat(audible(case.agent), FRAME)[:case.num_samples]
    spoken = np.zeros(case.num_samples, bool)
    for sound in case.sounds:
        spoken[sound.start:sound.end] = sound.spoken
    return heard & spoken


@metric("share", "lower")
def gaps_in_words(cases: Sequence[Case]) -> Sample:
    """Share of the agent's audible words with a gap: 80 ms or more below -50 dBFS between frames above it, as a lost
    block leaves. The closure of a slow plosive can be as long, so the same text by another voice is what to compare
    with."""
    return mean([_gaps(case) for case in cases])


def _gaps(case: Case) -> list[bool]:
    heard, found = audible(case.agent), []
    for word in case.words:
        inside = np.flatnonzero(heard[-(-word.start // FRAME):word.end // FRAME])
        if len(inside) and any(c.isalnum() for c in word.text):
            found.append(bool(np.max(np.diff(inside), initial=0) > _GAP_FRAMES))
    return found


@metric("ratio", "lower")
def border_jumps(cases: Sequence[Case]) -> Sample:
    """Mean step between neighbouring samples across the borders of 80 ms blocks by the mean step elsewhere, each by the
    root mean square of the steps 10 ms around it; in or next to frames as for loudness. 1 without clicks. Counts
    borders."""
    sums = np.array([_jumps(case) for case in cases], np.float64).reshape(-1, 4)
    sums = sums[(sums[:, 1] > 0) & (sums[:, 3] > 0)]

    def statistic(weights: np.ndarray) -> np.ndarray:
        border, num_borders, other, num_others = (weights @ sums).T
        return divide(divide(border, num_borders), divide(other, num_others))

    return Sample(len(sums), int(sums[:, 1].sum()), statistic)


def _jumps(case: Case) -> tuple[float, int, float, int]:
    """Sum and number of relative steps at borders, and elsewhere."""
    heard = _heard(case)
    steps = np.abs(np.diff(case.agent.astype(np.float64)))      # steps[i] leads to sample i + 1
    near = heard[1:] | heard[:-1]
    around = np.sqrt(np.maximum(uniform_filter1d(np.square(steps), _AROUND, mode="nearest"), 0))
    relative = divide(steps, np.where(near, around, 0))
    border = np.arange(1, case.num_samples) % _BORDER == 0
    counted = near & ~np.isnan(relative)
    at, off = relative[counted & border], relative[counted & ~border]
    return float(at.sum()), len(at), float(off.sum()), len(off)
