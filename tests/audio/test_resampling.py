"""Resampler: any split gives the same signal, on the same time, with little delay."""

import numpy as np
import pytest

from omni.audio.resampling import Resampler, resample

PAIRS = [(48_000, 16_000), (16_000, 48_000), (24_000, 16_000), (16_000, 24_000), (8_000, 16_000), (16_000, 8_000),
         (44_100, 16_000), (16_000, 44_100)]


def _tone(hz: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate).astype(np.float32)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_any_split_gives_the_same_signal(from_hz, to_hz):
    rng = np.random.default_rng(3)
    signal = rng.standard_normal(from_hz // 4).astype(np.float32)
    whole = Resampler(from_hz, to_hz)
    expected = np.concatenate((whole.process(signal), whole.flush()))
    parts, split, at = Resampler(from_hz, to_hz), [], 0
    while at < len(signal):
        count = int(rng.integers(0, 900))
        split.append(parts.process(signal[at:at + count]))
        at += count
    split.append(parts.flush())
    np.testing.assert_allclose(np.concatenate(split), expected, atol=1e-5)
    assert len(expected) == -(-len(signal) * to_hz // from_hz)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_a_tone_keeps_its_height_and_place(from_hz, to_hz):
    resampler = Resampler(from_hz, to_hz)
    out = np.concatenate((resampler.process(_tone(1000, from_hz)), resampler.flush()))
    middle = slice(len(out) // 4, 3 * len(out) // 4)
    np.testing.assert_allclose(out[middle], _tone(1000, to_hz)[:len(out)][middle], atol=2e-3)


def test_what_does_not_fit_is_removed_not_folded():
    out = Resampler(48_000, 16_000).process(_tone(11_000, 48_000))
    assert np.abs(out[200:-200]).max() < 1e-3


def test_delay_is_two_milliseconds_and_every_frame_gives_one():
    resampler = Resampler(48_000, 16_000)
    counts = [len(resampler.process(np.zeros(960))) for _ in range(10)]
    assert counts == [288] + [320] * 9


def test_a_flushed_resampler_is_as_new():
    resampler = Resampler(48_000, 16_000)
    first = np.concatenate((resampler.process(_tone(440, 48_000)), resampler.flush()))
    again = np.concatenate((resampler.process(_tone(440, 48_000)), resampler.flush()))
    np.testing.assert_array_equal(first, again)


def test_whole_files_have_exact_lengths():
    for rate in (8_000, 11_025, 22_050, 44_100, 48_000):
        stereo = np.zeros((2, rate + 7), np.float32)
        assert resample(stereo, rate, 16_000).shape == (2, -(-(rate + 7) * 16_000 // rate))
