"""Changing the sample rate at the border: a stream with 2 ms of delay, and whole files.

The stream is a polyphase windowed sinc of our own. soxr's stream is better in the stop band, but gives its output in
bursts (measured with soxr 1.1 at 48 to 16 kHz, fed 20 ms at a time: HQ nothing, 490, nothing, 489, ... with 19 to
40 ms of delay; 8 to 16 kHz up to 100 ms), and a conversation would wait for that in both directions. Files wait for
nobody: `resample` is soxr's.
"""

import math
from functools import lru_cache

import numpy as np
import soxr
from numpy.lib.stride_tricks import sliding_window_view

_HALF_WIDTH = 32        # zero crossings on each side, in samples of the lower rate: 2 ms at 16 kHz
_ROLLOFF = 0.92         # -6 dB at 0.92 of the lower Nyquist rate, -80 dB from it on
_KAISER_BETA = 8.0      # 80 dB


class Resampler:
    """One direction of one conversation; its state is its history of input.

    Output sample n lies exactly at input time n * from_hz / to_hz, so nothing is shifted; it can be computed once
    the filter's right half has arrived. How the input is split does not change the output.
    """

    def __init__(self, from_hz: int, to_hz: int):
        """Args:
            from_hz, to_hz: integer rates, at least 1,000.
        """
        if min(from_hz, to_hz) < 1_000:
            raise ValueError(f"cannot resample {from_hz} Hz to {to_hz} Hz")
        common = math.gcd(from_hz, to_hz)
        self.from_hz, self.to_hz = from_hz, to_hz
        self._up, self._down = to_hz // common, from_hz // common
        self._phases, self._center = _design(self._up, self._down)
        self._num_taps = self._phases.shape[1]
        self._start()

    def process(self, samples: np.ndarray) -> np.ndarray:
        """Feed float32 (n,), any n; return what can be computed now, float32."""
        samples = np.asarray(samples, np.float32)
        if self._up == self._down:
            return samples.copy()
        self._fed += len(samples)
        self._history = np.concatenate((self._history, samples))
        return self._emit(self._fed)

    def flush(self) -> np.ndarray:
        """End the signal: return its remaining samples (ceil(fed * to / from) in all) and start afresh."""
        if self._up == self._down:
            return np.zeros(0, np.float32)
        total = -(-self._fed * self._up // self._down)
        pad = self._center // self._up + 1
        self._history = np.concatenate((self._history, np.zeros(pad, np.float32)))
        out = self._emit(self._fed + pad)[:total - self._done_before]
        self._start()
        return out

    def _start(self) -> None:
        # _history holds input samples [_fed - len, _fed); before the signal there is silence.
        self._history = np.zeros(self._num_taps - 1, np.float32)
        self._history_at = -(self._num_taps - 1)
        self._fed = 0
        self._done = 0              # output samples given
        self._done_before = 0

    def _emit(self, available: int) -> np.ndarray:
        # Output n needs input up to (n * down + center) // up.
        self._done_before = self._done
        end = max(self._done, ((available * self._up - 1 - self._center) // self._down) + 1)
        if end == self._done:
            return np.zeros(0, np.float32)
        at = np.arange(self._done, end, dtype=np.int64) * self._down + self._center
        last, phase = np.divmod(at, self._up)
        windows = sliding_window_view(self._history, self._num_taps)[last - self._num_taps + 1 - self._history_at]
        out = np.einsum("nt,nt->n", windows, self._phases[phase]).astype(np.float32)
        self._done = end
        keep_from = (end * self._down + self._center) // self._up - self._num_taps + 1
        cut = min(max(0, keep_from - self._history_at), len(self._history))
        self._history = self._history[cut:]
        self._history_at += cut
        return out


def resample(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """A whole signal, float32 (n,) or (channels, n), at another rate: ceil(n * to / from) samples exactly."""
    samples = np.asarray(samples, np.float32)
    if from_hz == to_hz:
        return samples.copy()
    length = -(-samples.shape[-1] * to_hz // from_hz)
    out = soxr.resample(samples.T, from_hz, to_hz, quality="HQ").T
    return np.ascontiguousarray(_exactly(out, length), np.float32)


def _exactly(samples: np.ndarray, length: int) -> np.ndarray:
    lacking = max(0, length - samples.shape[-1])
    return np.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(0, lacking)])[..., :length]


@lru_cache(maxsize=32)
def _design(up: int, down: int) -> tuple[np.ndarray, int]:
    """Filter of each phase, float32 (up, taps), taps reversed to meet the window in time's order; and its centre."""
    widest = max(up, down)
    center = _HALF_WIDTH * widest
    time = np.arange(-center, center + 1) / widest
    prototype = _ROLLOFF * np.sinc(_ROLLOFF * time) * np.kaiser(2 * center + 1, _KAISER_BETA) * (up / widest)
    taps = -(-len(prototype) // up)
    padded = np.pad(prototype, (0, taps * up - len(prototype)))
    phases = padded.reshape(taps, up).T
    phases = phases / phases.sum(axis=1, keepdims=True)    # unity at 0 Hz in every phase: no tone from the phase cycle
    return np.ascontiguousarray(phases[:, ::-1], np.float32), center
