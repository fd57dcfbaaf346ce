"""What happens to speech between a mouth and a model: rooms, tilt, narrow bands, other sounds, level, clipping."""

import random

import numpy as np
from scipy.signal import fftconvolve, lfilter


class Augment:
    """Random acoustics over a signal, drawn from one generator.

    Args:
        rooms: unit-energy responses (omni.data.recordings.rooms).
        noises: noise beds, each float32 and several seconds long.
        babble: other talkers' utterances as int16, for people in the background.
    """

    def __init__(self, rooms: list[np.ndarray], noises: list[np.ndarray], babble: list[np.ndarray]):
        self.rooms, self.noises, self.babble = rooms, noises, babble

    def room(self, x: np.ndarray, rng: random.Random, share: float = 0.6) -> np.ndarray:
        """Reverberation by a measured response, of the same length as x."""
        if rng.random() >= share:
            return x
        response = rng.choice(self.rooms).copy()
        dry = rng.random()  # a near mouth: more direct sound than the response has
        response *= 1 - 0.8 * dry
        response[16 if len(response) > 16 else 0] += dry
        return fftconvolve(x, response)[:len(x)].astype(np.float32)

    def colour(self, x: np.ndarray, rng: random.Random) -> np.ndarray:
        """Spectral tilt, and sometimes a telephone's or a cheap microphone's band."""
        if rng.random() < 0.6:
            a = rng.uniform(-0.5, 0.5)
            x = lfilter([1.0, a], [1.0], x)
        if rng.random() < 0.15:
            cut = rng.choice([3400, 4000, 5500])
            spectrum = np.fft.rfft(x)
            freqs = np.fft.rfftfreq(len(x), 1 / 16_000)
            spectrum[freqs > cut] = 0
            spectrum[freqs < rng.choice([0, 100, 300])] = 0
            x = np.fft.irfft(spectrum, len(x))
        return x.astype(np.float32)

    def bed(self, count: int, rng: random.Random) -> np.ndarray:
        """A noise bed of unit root mean square: a recording, hiss of some colour, or people talking."""
        kind = rng.random()
        if kind < 0.55:
            noise = rng.choice(self.noises)
            start = rng.randrange(len(noise))
            x = np.resize(np.roll(noise, -start), count).astype(np.float32)
        elif kind < 0.8:
            white = np.random.default_rng(rng.randrange(1 << 31)).standard_normal(count).astype(np.float32)
            x = lfilter([1.0], [1.0, -rng.uniform(0.0, 0.98)], white).astype(np.float32)
        else:
            x = np.zeros(count, np.float32)
            for _ in range(rng.randint(2, 5)):
                at = 0
                while at < count:
                    talk = rng.choice(self.babble)
                    piece = talk[:count - at].astype(np.float32)
                    x[at:at + len(piece)] += piece
                    at += len(piece) + rng.randrange(1, 16_000)
        return x / max(float(np.sqrt(np.mean(x**2))), 1e-6)

    def noise(self, x: np.ndarray, rng: random.Random, low_db: float = 3.0, high_db: float = 40.0) -> np.ndarray:
        """Add a bed at a random ratio to the speech's own loudness; there is always some noise floor."""
        speech = np.abs(x) > 0.02 * max(float(np.abs(x).max(initial=0.0)), 1e-4)
        level = float(np.sqrt(np.mean(x[speech]**2))) if speech.any() else 0.05
        snr_db = rng.uniform(low_db, high_db) if rng.random() < 0.7 else rng.uniform(25, 55)
        return x + self.bed(len(x), rng) * level * 10 ** (-snr_db / 20)

    def level(self, x: np.ndarray, rng: random.Random, least_peak: float = 1e-4) -> np.ndarray:
        """Gain so that the peak, or `least_peak` if that is more, lies between -20 and -1 dB of full scale, sometimes
        clipped."""
        peak = max(float(np.abs(x).max(initial=0.0)), least_peak)
        x = x * (10 ** (rng.uniform(-20, -1) / 20) / peak)
        if rng.random() < 0.05:
            x = np.clip(x * 2, -1, 1)
        return x.astype(np.float32)
