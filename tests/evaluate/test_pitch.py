"""The pitch of tones whose pitch is known."""

import numpy as np
import pytest

from omni.evaluate.pitch import RATE_HZ, pitch_hz


def _tone(hz: float, seconds: float = 0.5, noise: float = 0.0) -> np.ndarray:
    """Twelve harmonics that fall by 6 dB an octave."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    sound = sum(np.sin(2 * np.pi * hz * n * t + n) / n for n in range(1, 13))
    return (0.1 * sound + noise * np.random.default_rng(0).standard_normal(len(t))).astype(np.float32)


@pytest.mark.parametrize("hz", [85.0, 120.0, 172.4, 233.3, 310.0])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_tone_has_its_pitch_and_neither_octave(hz, noise):
    found, level = pitch_hz(_tone(hz, noise=noise))
    assert (found > 0).mean() > 0.95 and np.abs(found[found > 0] / hz - 1).max() < 0.03
    assert abs(np.median(found[found > 0]) / hz - 1) < 0.003
    assert level == pytest.approx(np.full(len(level), 0.1 * np.sqrt(0.5 * sum(n**-2 for n in range(1, 13)))), rel=0.1)


def test_noise_and_silence_have_none():
    noise = 0.1 * np.random.default_rng(1).standard_normal(RATE_HZ).astype(np.float32)
    assert (pitch_hz(noise)[0] > 0).mean() < 0.02
    found, level = pitch_hz(np.concatenate([_tone(170), np.zeros(RATE_HZ // 2, np.float32)]))
    assert (found[:44] > 0).all() and not found[52:].any() and not level[52:].any()
    assert all(len(x) == 0 for x in pitch_hz(np.zeros(100, np.float32)))
