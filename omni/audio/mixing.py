"""Rooms, echoes and noise: what stands between a mouth and a microphone, block by block and without a clock."""

import numpy as np

_FRAME = 320    # 20 ms at 16 kHz, over which levels are measured


def gain(db: float) -> float:
    """Factor of amplitude for a level in dB."""
    return float(10.0 ** (db / 20.0))


class Convolver:
    """Streaming convolution with a room response, by overlap-add.

    Output has the input's length and lies on its time (a response that starts with its direct path adds no delay).
    """

    def __init__(self, response: np.ndarray):
        """Args:
            response: float32 (taps,), at least one tap, at the rate of the signal.
        """
        self._response = np.asarray(response, np.float64)
        if self._response.ndim != 1 or not len(self._response):
            raise ValueError(f"a response has shape (taps,), not {self._response.shape}")
        self._tail = np.zeros(len(self._response) - 1)     # what earlier input still adds to what follows
        self._spectra: dict[int, np.ndarray] = {}

    def process(self, samples: np.ndarray) -> np.ndarray:
        """Feed float32 (n,), any n; return float32 (n,)."""
        count = len(samples)
        if not count:
            return np.zeros(0, np.float32)
        full = count + len(self._tail)
        size = 1 << (full - 1).bit_length()
        if size not in self._spectra:
            self._spectra[size] = np.fft.rfft(self._response, size)
        out = np.fft.irfft(np.fft.rfft(samples, size) * self._spectra[size], size)[:full]
        out[:len(self._tail)] += self._tail
        self._tail = out[count:].copy()
        return out[:count].astype(np.float32)


class Echo:
    """The way from the agent's loudspeaker back to its microphone: gain, delay, and the room between.

        speaker  |a|b|c|d|...
        microphone   |a|b|c|d|...      delay_samples later, gain_db lower, through `response`
    """

    def __init__(self, gain_db: float, delay_samples: int, response: np.ndarray | None = None):
        """Args:
            gain_db: level of the echo relative to the speaker.
            delay_samples: samples from speaker to microphone, 0 or more.
            response: float32 (taps,) of the room at the signal's rate, scaled here to unit energy so that `gain_db`
                means the same in every room; None for a plain delay.
        """
        if delay_samples < 0:
            raise ValueError(f"an echo cannot come before its sound: delay {delay_samples}")
        self._gain = np.float32(gain(gain_db))
        self._waiting = np.zeros(delay_samples, np.float32)
        self._convolver = None
        if response is not None:
            energy = float(np.sum(np.square(response, dtype=np.float64)))
            if energy <= 0.0:
                raise ValueError("a silent response gives no echo")
            self._convolver = Convolver(np.asarray(response, np.float64) / np.sqrt(energy))

    def process(self, speaker: np.ndarray) -> np.ndarray:
        """Feed what the speaker plays, float32 (n,); return what the microphone picks up meanwhile, float32 (n,)."""
        line = np.concatenate((self._waiting, np.asarray(speaker, np.float32) * self._gain))
        out, self._waiting = line[:len(speaker)], line[len(speaker):]
        return self._convolver.process(out) if self._convolver else out.copy()


def active_level(samples: np.ndarray) -> float:
    """Root mean square over the frames of 20 ms that are within 30 dB of the loudest; 0 for silence.

    Pauses do not count, so that a sentence with a long pause is not mixed louder than one without.
    """
    frames = _frames(samples)
    energies = np.mean(np.square(frames, dtype=np.float64), axis=1)
    if not len(energies) or energies.max() <= 0.0:
        return 0.0
    return float(np.sqrt(np.mean(energies[energies >= energies.max() * 1e-3])))


def mix_at_snr(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Speech plus noise, the noise scaled so that the ratio of active levels is `snr_db`.

    Args:
        speech, noise: float32 (n,) of equal length; speech keeps its level.
    """
    if speech.shape != noise.shape:
        raise ValueError(f"speech {speech.shape} and noise {noise.shape} differ in length")
    level, noise_level = active_level(speech), active_level(noise)
    if not level or not noise_level:
        return np.asarray(speech + noise, np.float32)
    return np.asarray(speech + noise * np.float32(level / noise_level / gain(snr_db)), np.float32)


def bed(noise: np.ndarray, count: int, fade: int = 800) -> np.ndarray:
    """`count` samples of an endless bed made from `noise` (float32 (n,), n > 2 * fade), its seams cross-faded."""
    noise = np.asarray(noise, np.float32)
    if len(noise) <= 2 * fade:
        raise ValueError(f"a bed of {len(noise)} samples is too short for seams of {fade}")
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    loop = noise[fade:].copy()
    loop[-fade:] = loop[-fade:] * np.sqrt(1 - ramp) + noise[:fade] * np.sqrt(ramp)
    # noise[:fade] flows into noise[fade:], so the loop's end flows into its start
    return np.tile(loop, -(-count // len(loop)))[:count]


def _frames(samples: np.ndarray) -> np.ndarray:
    if len(samples) < _FRAME:
        return np.asarray(samples, np.float32)[None] if len(samples) else np.zeros((0, 1), np.float32)
    return np.asarray(samples[:len(samples) // _FRAME * _FRAME]).reshape(-1, _FRAME)
