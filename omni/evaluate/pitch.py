"""The pitch of a voice, by autocorrelation: each frame's, divided by its window's own (Boersma 1993)."""

import numpy as np

RATE_HZ = 16_000
_FRAME, _HOP = 640, 160             # 40 ms, three periods of the lowest pitch; 10 ms
_LOWEST_HZ, _HIGHEST_HZ = 75, 400
_VOICED = 0.5                       # of a period's likeness to the next, from 0 to 1
_LOUD = 0.03                        # of the loudest frame's level; below is silence, 30 dB down
_SHORTER = 0.02                     # likeness that an octave up is worth: what has a period has its double, too


def pitch_hz(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of float32 samples (N,) at 16 kHz, each frame's pitch in Hz, 0 where unvoiced, and its level (root of the mean
    square), (frames,) each."""
    if len(samples) < _FRAME:
        return np.zeros(0), np.zeros(0)
    x = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), _FRAME)[::_HOP]
    level = np.sqrt((x**2).mean(1))
    window = np.hanning(_FRAME)
    x = (x - x.mean(1, keepdims=True)) * window
    lags = np.arange(RATE_HZ // _HIGHEST_HZ - 1, RATE_HZ // _LOWEST_HZ + 2)
    like = _correlation(x)[:, lags] / (_correlation(window[None])[:, lags] + 1e-12)
    like = like - _SHORTER * np.log2(lags / lags[0])
    peak = 1 + like[:, 1:-1].argmax(1)
    rows = np.arange(len(x))
    before, top, after = (like[rows, peak + i] for i in (-1, 0, 1))
    bend = before - 2 * top + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1), 0).clip(-0.5, 0.5)
    voiced = (top > _VOICED) & (level > _LOUD * level.max())
    return np.where(voiced, RATE_HZ / (lags[peak] + shift), 0), level


def _correlation(x_TN: np.ndarray) -> np.ndarray:
    """Autocorrelation (T, lags), 1 at lag 0; 0 of silence."""
    power = np.abs(np.fft.rfft(x_TN, 2 * x_TN.shape[1])) ** 2
    found = np.fft.irfft(power)[:, :x_TN.shape[1]]
    return found / np.maximum(found[:, :1], 1e-12)
