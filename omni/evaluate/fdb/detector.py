"""Silero VAD, by which the benchmark finds speech in recordings. Nothing that serves hears by it."""

from collections.abc import Callable

import numpy as np

from omni.base.errors import ConfigError
from omni.evaluate.fdb.layout import RATE_HZ, Span

Detector = Callable[[np.ndarray], list[Span]]
"""Float32 (samples,), taken for 16 kHz, to the speech in it."""


def load_detector() -> Detector:
    """Silero VAD with its own defaults, as the benchmark uses it.

    Importing the package sets torch's threads within an operation to one.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        from silero_vad import get_speech_timestamps, load_silero_vad
    except ImportError as error:
        raise ConfigError("backchannels and the timing of v1.5 are scored by Silero VAD, which is not installed: "
                          "pip install 'omni-duplex[bench]'") from error
    import torch

    model = load_silero_vad()

    def speech(samples: np.ndarray) -> list[Span]:
        found = get_speech_timestamps(torch.from_numpy(samples), model, sampling_rate=RATE_HZ)
        return [(segment["start"] / RATE_HZ, segment["end"] / RATE_HZ) for segment in found]

    return speech
