"""What the ears are given to hear: recordings with their noise floor, words in a running room, noise as the benchmark
scales it, the agent's echo. Everything is drawn from a seed, and none of it was in a lesson unless a docstring says so.

All signals are float32 at 16 kHz; speech has its peak at a half.
"""

import random

import numpy as np
from scipy.signal import oaconvolve

from omni.audio.mixing import Echo, active_level, bed, gain
from omni.data.channel import simulated_room
from omni.data.recordings import Recording, read

RATE_HZ = 16_000
LEAD, TAIL = 6_400, 16_000      # samples before speech, and after it, in which late captions still come
_FLOOR = 1e-3                   # RMS: 54 dB below the peak of speech; nobody's microphone gives digital silence
_FRAME = 2_048                  # of the benchmark's ratio


def level(samples: np.ndarray) -> np.ndarray:
    """The same with its peak at a half."""
    return (samples / max(float(np.abs(samples).max(initial=0.0)), 1e-4) * 0.5).astype(np.float32)


def alone(samples: np.ndarray, seed: int = 0) -> np.ndarray:
    """Speech from `LEAD` on, at its level, with a faint noise floor around and under it."""
    x = np.pad(samples, (LEAD, TAIL)).astype(np.float32)
    return x + np.random.default_rng(seed).standard_normal(len(x), np.float32) * np.float32(_FLOOR)


def at_loudest(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Speech plus noise of the same length, the loudest `_FRAME` samples of both `snr_db` apart, the peak at a half.

    The definition of Picovoice/speech-to-intent-benchmark, src/mix.py.
    """
    ratio = _loudest(speech) / max(_loudest(noise), 1e-12)
    return level(speech + noise * np.sqrt(ratio / 10 ** (snr_db / 10)))


def _loudest(x: np.ndarray) -> float:
    """Energy of the loudest whole frame; of everything where there is none."""
    frames = x[:len(x) // _FRAME * _FRAME].astype(np.float64).reshape(-1, _FRAME)
    return float(np.square(frames).sum(1).max()) if len(frames) else float(np.square(x, dtype=np.float64).sum())


def stretch(noises: list[np.ndarray], count: int, rng: random.Random) -> np.ndarray:
    """`count` samples of one of these noises, from somewhere on, without a seam that can be heard."""
    noise = rng.choice(noises)
    first = rng.randrange(len(noise))
    return bed(noise, first + count)[first:]


def running(words: list[Recording], noises: list[np.ndarray] | None, rng: random.Random,
            ) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Single words one after the other, half a second to one and a half apart, each as it was recorded.

    Args:
        noises: what is heard under them, 5 to 25 dB below the words' active level; then they also stand in a room that
            is simulated for this stretch alone (`omni.data.channel.simulated_room`). None for neither.

    Returns:
        the stretch, and of each word the samples from its beginning to that of the next one.
    """
    parts, starts, at = [np.zeros(LEAD, np.float32)], [], LEAD
    for word in words:
        samples = level(read(word.path))
        starts.append(at)
        parts += [samples, np.zeros(rng.randrange(RATE_HZ // 2, RATE_HZ * 3 // 2), np.float32)]
        at += len(parts[-2]) + len(parts[-1])
    dry = np.concatenate([*parts, np.zeros(TAIL // 2, np.float32)])
    spans = list(zip(starts, [*starts[1:], len(dry)], strict=True))
    if noises is None:
        return dry + np.random.default_rng(rng.getrandbits(32)).standard_normal(len(dry), np.float32) * np.float32(
            _FLOOR), spans
    response, _ = simulated_room(rng)
    wet = oaconvolve(dry, response)[:len(dry)].astype(np.float32)
    noise, snr_db = stretch(noises, len(wet), rng), rng.uniform(5, 25)
    return level(wet + noise * np.float32(active_level(wet) / max(active_level(noise), 1e-6) / gain(snr_db))), spans


def over_echo(user: np.ndarray, own: np.ndarray, ratio_db: float, rng: random.Random) -> np.ndarray:
    """The user over the agent's echo: through a room of its own, 20 to 300 ms late.

    Args:
        user: the microphone without the agent; own: the agent's voice on the same clock, of the same length.
        ratio_db: active level of the user above the echo's.
    """
    response, _ = simulated_room(rng)
    echo = Echo(0.0, rng.randrange(RATE_HZ // 50, RATE_HZ * 3 // 10), response).process(own)
    return user + echo * np.float32(active_level(user) / max(active_level(echo), 1e-6) / gain(ratio_db))
