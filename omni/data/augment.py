"""What happens to speech between a mouth and a model: rooms, tilt, narrow bands, other sounds, level, clipping, and the
line: telephone, or Opus with lost packets.

    mouth ► colour ► room ► + noise ► gain (clipping) ► + echo of the agent ► line ► model

Speech moves by 1 ms at most, a room's own pre-delay aside. What is drawn can be kept beside an example: see `recorded`.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import soxr
from scipy.signal import lfilter, oaconvolve

from omni.data import channel

RATE_HZ = channel.RATE_HZ
SIMULATED = 1 / 3  # share of rooms that are computed, each heard once
TELEPHONE, OPUS = 0.05, 0.10  # shares of examples that come over such a line

_notes: ContextVar[list[dict] | None] = ContextVar("notes", default=None)


@contextmanager
def recorded() -> Iterator[list[dict]]:
    """Within, every draw of every `Augment` of this thread is noted in the list, in order, as {"what": ..., ...}."""
    notes: list[dict] = []
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)


def note(what: str, **values) -> None:
    """Note a draw, if anybody keeps them."""
    if (notes := _notes.get()) is not None:
        notes.append({"what": what, **values})


class Augment:
    """Random acoustics over a signal, drawn from one generator.

    Args:
        rooms: unit-energy responses (omni.data.recordings.rooms).
        noises: noise beds, each float32 and several seconds long.
        babble: other talkers' utterances as int16, for people in the background.
        simulated: share of rooms that are computed, each heard once.
        wet: those are heard as they are; otherwise all mouths may be nearer than the room has them.
    """

    def __init__(self, rooms: list[np.ndarray], noises: list[np.ndarray], babble: list[np.ndarray],
                 simulated: float = SIMULATED, wet: bool = False):
        self.rooms, self.noises, self.babble, self.simulated, self.wet = rooms, noises, babble, simulated, wet

    def room(self, x: np.ndarray, rng: random.Random, share: float = 0.6) -> np.ndarray:
        """Reverberation by a measured or a simulated response, of the same length as x."""
        if rng.random() >= share:
            return x
        response, computed = self._response(rng)
        if computed and self.wet:  # it has its distance
            return oaconvolve(x, response)[:len(x)].astype(np.float32, copy=False)
        dry = rng.random()  # a near mouth: more direct sound than the response has
        response *= 1 - 0.8 * dry
        response[channel.DIRECT if len(response) > channel.DIRECT else 0] += dry
        return oaconvolve(x, response)[:len(x)].astype(np.float32, copy=False)

    def _response(self, rng: random.Random, what: str = "room") -> tuple[np.ndarray, bool]:
        """A response, and whether it is computed."""
        if rng.random() < self.simulated:
            response, facts = channel.simulated_room(rng)
            note(what, kind="simulated", **facts)
            return response, True
        index = rng.randrange(len(self.rooms))
        note(what, kind="measured", index=index)
        return self.rooms[index].copy(), False

    def colour(self, x: np.ndarray, rng: random.Random) -> np.ndarray:
        """Spectral tilt, and sometimes a telephone's or a cheap microphone's band."""
        if rng.random() < 0.6:
            a = rng.uniform(-0.5, 0.5)
            x = lfilter([1.0, a], [1.0], x)
        if rng.random() < 0.15:
            cut = rng.choice([3400, 4000, 5500])
            spectrum = np.fft.rfft(x)
            freqs = np.fft.rfftfreq(len(x), 1 / RATE_HZ)
            spectrum[freqs > cut] = 0
            spectrum[freqs < rng.choice([0, 100, 300])] = 0
            x = np.fft.irfft(spectrum, len(x))
            note("band", to_hz=cut)
        return x.astype(np.float32)

    def bed(self, count: int, rng: random.Random) -> np.ndarray:
        """A noise bed of unit root mean square: a recording, hiss of some colour, or people talking."""
        kind = rng.random()
        if kind < 0.55:
            noise = rng.choice(self.noises)
            start = rng.randrange(len(noise))
            x = np.resize(np.roll(noise, -start), count).astype(np.float32)
        elif kind < 0.8:
            white = np.random.default_rng(rng.randrange(1 << 31)).standard_normal(count, np.float32)
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
        note("bed", kind="recording" if kind < 0.55 else "hiss" if kind < 0.8 else "babble")
        return x / max(float(np.sqrt(np.mean(x**2))), 1e-6)

    def noise(self, x: np.ndarray, rng: random.Random, low_db: float = 3.0, high_db: float = 40.0) -> np.ndarray:
        """Add a bed at a random ratio to the speech's own loudness; there is always some noise floor."""
        speech = np.abs(x) > 0.02 * max(float(np.abs(x).max(initial=0.0)), 1e-4)
        level = float(np.sqrt(np.mean(x[speech]**2))) if speech.any() else 0.05
        snr_db = rng.uniform(low_db, high_db) if rng.random() < 0.7 else rng.uniform(25, 55)
        note("noise", snr_db=round(snr_db, 1))
        return x + self.bed(len(x), rng) * np.float32(level * 10 ** (-snr_db / 20))

    def gain(self, x: np.ndarray, rng: random.Random, least_peak: float = 1e-4) -> np.ndarray:
        """Gain so that the peak, or `least_peak` if that is more, lies between -20 and -1 dB of full scale, sometimes
        clipped."""
        peak = max(float(np.abs(x).max(initial=0.0)), least_peak)
        peak_db, clips = rng.uniform(-20, -1), rng.random() < 0.05
        x = x * np.float32(10 ** (peak_db / 20) / peak)
        note("gain", peak_db=round(peak_db, 1), clipped=clips)
        return np.clip(x * 2, -1, 1).astype(np.float32) if clips else x.astype(np.float32)

    def line(self, x: np.ndarray, rng: random.Random) -> np.ndarray:
        """What a few microphones send through: the telephone network, or Opus whose packets get lost."""
        kind = rng.random()
        if kind < TELEPHONE:
            note("line", kind="telephone")
            return channel.telephone(x)
        if kind >= TELEPHONE + OPUS:
            return x
        bits_per_s, rate_hz = rng.choice([8_000, 12_000, 16_000, 24_000, 32_000]), rng.choice([16_000] * 3 + [48_000])
        share, burst, fades = rng.uniform(0.01, 0.15), rng.uniform(1, 4), rng.random() < 0.4
        lost = None
        if rng.random() < 0.6:
            lost = channel.lost_packets(len(x) // channel.PACKET + 3, share, burst, rng)
        note("line", kind="opus", bits_per_s=bits_per_s, rate_hz=rate_hz,
             lost=0.0 if lost is None else round(float(lost.mean()), 3))
        return channel.opus(x, bits_per_s, rate_hz, lost, fades)

    def level(self, x: np.ndarray, rng: random.Random, least_peak: float = 1e-4) -> np.ndarray:
        """`gain`, then `line`."""
        return self.line(self.gain(x, rng, least_peak), rng)

    def echo(self, own: np.ndarray, rng: random.Random, low_db: float = -42.0, high_db: float = -3.0) -> np.ndarray:
        """The agent's voice as its microphone hears it: 0 to 600 ms late, through a loudspeaker and a room, sometimes
        by another clock.

        Args:
            low_db, high_db: of the level against the voice itself.
        """
        distorts = rng.random() < 0.5
        y = channel.loudspeaker(own, rng) if distorts else own
        y = oaconvolve(y, self._response(rng, "echo room")[0][:6000])[:len(own)]
        if rng.random() < 0.3:
            y = channel.drift(y, rng.uniform(-100, 100))
        delay, level_db = rng.randrange(0, 9600), rng.uniform(low_db, high_db)
        note("echo", level_db=round(level_db, 1), delay_ms=delay // 16, distorted=distorts)
        late = np.zeros(len(own), np.float32)
        late[delay:] = y[:max(len(own) - delay, 0)] * 10 ** (level_db / 20)
        return late


def hesitate(x: np.ndarray, rng: random.Random, words: list[tuple[str, int, int]] | None = None,
             after: int | None = None, longest: int = 19_200) -> tuple[np.ndarray, list[tuple[str, int, int]]]:
    """Somebody who thinks while speaking: the end of a word is drawn out, and 0.2 s of pause or more follow. Its pitch
    stays that of the middle of a sentence, without the fall of an end.

    Args:
        x: (n,) of any type, speech.
        words: (word, first sample, one past the last) of each word, if known; then the pause follows one of them, and
            otherwise lies at the quietest place of the middle.
        after: index of the word that it follows, if not one that is drawn.
        longest: pause, in samples.

    Returns:
        longer speech of the same type, and where the words are now.
    """
    words = list(words or [])
    if len(words) > 1:
        _, first, at = rng.choice(words[:-1]) if after is None else words[after]
    else:
        low, count = int(len(x) * 0.25), max(int(len(x) * 0.45) // 480, 1)
        frames = np.abs(x[low:low + count * 480].astype(np.float32))
        frames = frames[:len(frames) // 480 * 480].reshape(-1, 480)
        at = low + int(frames.mean(1).argmin()) * 480 + 240 if len(frames) else len(x)
        first = 0
    start = max(first, at - rng.randrange(1600, 4800), 0)
    drawn = _stretched(x[start:at].astype(np.float32), rng.uniform(1.2, 2.0))
    level = np.sqrt((x[:len(x) // 320 * 320].astype(np.float32).reshape(-1, 320)**2).mean(1))
    # what is trimmed to the speech itself has no silence: its quietest frames would hiss in the pause
    quiet = min(float(np.quantile(level, 0.05)), 0.003 * float(level.max())) if len(level) else 0.0
    gap = np.random.default_rng(rng.getrandbits(64)).standard_normal(rng.randrange(3200, longest)) * quiet
    after = x[at:].astype(np.float32)
    for side, ramp in ((drawn[-80:], np.linspace(1, 0, 80)), (after[:80], np.linspace(0, 1, 80))):
        side *= ramp[:len(side)]
    y = np.concatenate([x[:start].astype(np.float32), drawn, gap, after])
    grown, factor = len(drawn) + len(gap) - (at - start), len(drawn) / max(at - start, 1)

    def moved(place: int) -> int:
        return place if place <= start else start + int((place - start) * factor) if place <= at else place + grown

    note("hesitation", pause_s=round(len(gap) / RATE_HZ, 2))
    # a word that begins where the pause does begins after it
    return y.astype(x.dtype), [(w, a + grown if a >= at else moved(a), moved(b)) for w, a, b in words]


def revoice(x: np.ndarray, rng: random.Random) -> np.ndarray:
    """The same words at the same times from another throat: pitch and formants a fifth lower to a quarter higher.

    Args:
        x: float32 (n,), speech.
    """
    factor = rng.uniform(0.8, 1.25)
    note("throat", higher=round(factor, 2))
    y = soxr.resample(_stretched(x, factor), RATE_HZ * factor, RATE_HZ, quality="MQ")
    return np.pad(y, (0, max(len(x) - len(y), 0)))[:len(x)].astype(np.float32, copy=False)


def _stretched(x: np.ndarray, factor: float) -> np.ndarray:
    """The same sound, longer, at the same pitch: windows of 30 ms laid where they fit the last one best (WSOLA:
    Verhelst and Roelands, ICASSP 1993)."""
    window, hop, reach = 480, 240, 160
    if len(x) < window + 2 * reach:
        return x.copy()
    count = int((len(x) * factor - window) // hop) + 1
    shape = np.hanning(window + 1)[:window].astype(np.float32)
    y, weight = np.zeros(count * hop + window, np.float32), np.zeros(count * hop + window, np.float32)
    best = 0
    for i in range(count):
        if i:
            follows = x[best + hop:best + hop + window]
            middle = min(int(i * hop / factor), len(x) - window - reach)
            low = max(middle - reach, 0)
            area = x[low:middle + reach + window]
            fits = np.correlate(area, follows, "valid") if len(follows) == window and len(area) > window else [0.0]
            best = low + int(np.argmax(fits))
        y[i * hop:i * hop + window] += x[best:best + window] * shape
        weight[i * hop:i * hop + window] += shape
    y[:hop], weight[:hop] = x[:hop], 1  # begins as it did
    return (y / np.maximum(weight, 0.3))[:int(len(x) * factor)]
