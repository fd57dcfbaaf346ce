"""Between the 48 kHz of Opus and the model's 16 kHz, sample for sample.

WebRTC audio is always 48 kHz, three times the model's rate. A windowed-sinc filter of 97 taps at 48 kHz does both
ways: a block of n samples gives exactly n/3 or 3n at once, delayed by 1 ms. (soxr in its high quality holds back about
26 ms and gives bursts of 490 samples, which a 20 ms frame cannot wait for.) Stop band under -70 dB from 8.8 kHz on,
pass band flat to 7.2 kHz.

    in   |--960--|--960--|        48 kHz, 20 ms
    out  |--320--|--320--|        16 kHz, the same instants 1 ms later
"""

import numpy as np
from scipy.signal import firwin

FACTOR = 3
TAPS = 97
DELAY_48K = (TAPS - 1) // 2  # 48 samples = 1 ms

# Half the model's band is the corner; the transition of a 97-tap Kaiser window is about 1.6 kHz wide.
_FILTER = firwin(TAPS, 8_000, window=("kaiser", 7.0), fs=48_000).astype(np.float32)


class Decimator:
    """48 kHz to 16 kHz; one per direction and conversation."""

    def __init__(self) -> None:
        self._past = np.zeros(TAPS - 1, np.float32)

    def process(self, samples: np.ndarray) -> np.ndarray:
        """Take float32 (n,) with n a multiple of 3 and return float32 (n / 3,).

        Raises:
            ValueError: if n is no multiple of 3.
        """
        if len(samples) % FACTOR:
            raise ValueError(f"{len(samples)} samples are not a multiple of {FACTOR}")
        joined = np.concatenate([self._past, samples.astype(np.float32, copy=False)])
        self._past = joined[-(TAPS - 1):].copy()
        return np.convolve(joined, _FILTER, "valid")[::FACTOR].astype(np.float32, copy=False)

    def reset(self) -> None:
        """Forget what came before: after a gap, zeros were heard."""
        self._past[:] = 0


class Interpolator:
    """16 kHz to 48 kHz; one per direction and conversation."""

    # Sub-filter p gives the samples 3k + p of the output; padded to equal length.
    _PHASES = [np.ascontiguousarray(FACTOR * np.pad(_FILTER, (0, -TAPS % FACTOR))[p::FACTOR]) for p in range(FACTOR)]

    def __init__(self) -> None:
        self._past = np.zeros(len(self._PHASES[0]) - 1, np.float32)

    def process(self, samples: np.ndarray) -> np.ndarray:
        """Take float32 (n,) and return float32 (3n,)."""
        joined = np.concatenate([self._past, samples.astype(np.float32, copy=False)])
        self._past = joined[len(samples):].copy()
        out = np.empty(FACTOR * len(samples), np.float32)
        for phase, taps in enumerate(self._PHASES):
            out[phase::FACTOR] = np.convolve(joined, taps, "valid")
        return out
