"""The user's side of a script: what is heard, how it sounds, and when it comes."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

from omni.audio.files import read_mono
from omni.audio.mixing import Echo, active_level, bed, gain
from omni.audio.resampling import resample
from omni.base.errors import ScriptError
from omni.base.timebase import Timebase
from omni.evaluate import sets
from omni.evaluate.record import Record
from omni.evaluate.scenario import Scenario, Turn
from omni.evaluate.scripts import resolve_recording
from omni.evaluate.sets import Item
from omni.evaluate.verdicts import TurnSpan

_FADE = 80      # 5 ms at 16 kHz, at both ends of a turn, so that a cut recording does not click
_FRAME = 320    # 20 ms
_SPOKEN = ("turn", "pause", "stop", "other")
_SPEECH_DB = 30     # a frame this far below a recording's loudest is no speech


class User:
    """The user's side of a script: knows its recordings, and decides in each block what begins.

    Attributes:
        placed: turns that have begun.
    """

    def __init__(self, scenario: Scenario, script: Path, timebase: Timebase):
        """Args:
            script: its folder is searched for the recordings first.

        Raises:
            ScriptError: a recording is not there, or the part asked for is not in it.
            MediaError: a recording cannot be used.
        """
        self.placed: dict[str, TurnSpan] = {}
        self._timebase = timebase
        self._waiting = list(scenario.user)
        rng = random.Random(scenario.seed)
        self._items = {turn.name: _item(turn, script, timebase, rng, scenario) for turn in scenario.user}
        size = round(scenario.length_s * timebase.sample_rate_hz)
        self.num_samples = size
        count = -(-size // timebase.block_samples) * timebase.block_samples
        speech = next((i.samples for i in self._items.values() if i.kind in _SPOKEN), None)
        self._track = _noise(scenario, script, timebase, speech, count)

    def block(self, at: int, record: Record) -> np.ndarray:
        """What the user's side sounds in the block that begins at sample `at`, given what happened before it."""
        for turn in list(self._waiting):
            moment = self._moment(turn, record, at)
            if moment is not None and moment < at + self._timebase.block_samples:
                self._waiting.remove(turn)
                self._place(turn, max(moment, at))
        return self._track[at:at + self._timebase.block_samples]

    @property
    def track(self) -> np.ndarray:
        """All that sounds on the user's side."""
        return self._track[:self.num_samples]

    def _moment(self, turn: Turn, record: Record, now: int) -> int | None:
        """Sample at which a turn begins, or None as long as that is unknown."""
        when, plus = turn.when, self._count(turn.when.plus_s)
        if when.at_s is not None:
            return self._count(when.at_s) + plus
        if when.after is not None:
            return self.placed[when.after].end + plus if when.after in self.placed else None
        if when.silent_s is not None:
            return self._silence_ends(self._count(when.silent_s), record, now, plus)
        if when.word is not None:
            words = [w for w in record.words(now + self._timebase.block_samples) if not w.cut]
            return words[when.word - 1].end + plus if len(words) >= when.word else None
        if when.start_speak is not None:
            starts = [r.start for r in record.replies]
            return starts[when.start_speak - 1] + plus if len(starts) >= when.start_speak else None
        ends = [r.silent_at for r in record.replies if r.end is not None]
        return ends[when.end_speak - 1] + plus if len(ends) >= when.end_speak else None

    def _silence_ends(self, patience: int, record: Record, now: int, plus: int) -> int | None:
        if record.holds_floor(now) or any(span.end > now for span in self.placed.values()) or not self.placed:
            return None
        since = max([span.end for span in self.placed.values()] + [r.silent_at for r in record.replies if r.silent_at])
        return since + patience + plus if now >= since + patience else None

    def _place(self, turn: Turn, start: int) -> None:
        item = self._items[turn.name]
        samples, (first, last) = item.samples, speech_span(item.samples)
        decisive = item.decisive_end() if turn.decisive_s is None else self._count(turn.decisive_s)
        if decisive is None and item.kind == "stop" and len((item.text or "").split()) == 1:
            decisive = last
        words = tuple((word, start + a, start + b) for word, a, b in item.words)
        self.placed[turn.name] = TurnSpan(
            turn.name, start, start + len(samples), start + first, start + last, item.kind, item.text, item.answer,
            None if decisive is None else start + decisive, words)
        room = self._track[start:start + len(samples)]
        room += samples[:len(room)]

    def _count(self, seconds: float) -> int:
        return round(seconds * self._timebase.sample_rate_hz)


def speech_span(samples: np.ndarray) -> tuple[int, int]:
    """First sample and one past the last of a recording's speech: frames of 20 ms within 30 dB of the loudest.

    A detector for judging recordings known in advance; nothing of the agent hears by it.
    """
    frames = np.pad(samples, (0, -len(samples) % _FRAME)).reshape(-1, _FRAME)
    energies = np.mean(np.square(frames, dtype=np.float64), axis=1)
    loud = np.flatnonzero(energies >= max(energies.max() * 10 ** (-_SPEECH_DB / 10), 1e-12))
    if not len(loud):
        return 0, len(samples)
    return int(loud[0]) * _FRAME, min(int(loud[-1] + 1) * _FRAME, len(samples))


def _item(turn: Turn, script: Path, timebase: Timebase, rng: random.Random, scenario: Scenario) -> Item:
    """What a turn sounds like and what is known of it."""
    rate = timebase.sample_rate_hz
    if turn.pick is not None:
        found = sets.load_set(turn.pick, script)
        voice = sets.choose_voice(turn.voice, scenario.seed) if found.texts or found.lines or found.skills else None
        item = sets.draw(found, voice, rng, script, scenario.variant if turn.each else None)
    elif turn.say is not None:
        voice = sets.choose_voice(turn.voice, scenario.seed)
        said, words = sets.speak(turn.say, voice)
        item = Item(turn.name, said, "turn", turn.say.lower(), words=words)
    else:
        found, found_rate = read_mono(resolve_recording(turn.play, script))
        item = Item(turn.name, resample(found, found_rate, rate), "turn")
    samples = item.samples
    start, end = round(turn.from_s * rate), len(samples) if turn.to_s is None else round(turn.to_s * rate)
    if not start < end <= len(samples):
        raise ScriptError(f"{script.name}: {turn.play or turn.name} has {len(samples) / rate:.2f} s, so there is no "
                          f"part from {turn.from_s:g} to {end / rate:g} s")
    samples = samples[start:end].astype(np.float32)
    words = tuple((word, a - start, b - start) for word, a, b in item.words if a >= start and b <= end)
    if turn.room is not None:
        response, response_rate = read_mono(resolve_recording(turn.room, script))
        response = resample(response, response_rate, rate)
        response = response / max(float(np.sqrt(np.sum(np.square(response, dtype=np.float64)))), 1e-9)
        samples = fftconvolve(samples, response).astype(np.float32)
    if turn.band_hz is not None:
        samples = _band(samples, *turn.band_hz, rate)
    if turn.level_db is not None:
        samples *= np.float32(gain(turn.level_db) / max(active_level(samples), 1e-9))
    samples *= np.float32(gain(turn.gain_db))
    fade = min(_FADE, len(samples) // 2)
    ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    samples[:fade] *= ramp
    samples[len(samples) - fade:] *= ramp[::-1]
    return replace(item, samples=samples, words=words, kind=turn.kind or item.kind, text=turn.text or item.text,
                   answer=turn.answer or item.answer)


def _band(samples: np.ndarray, low_hz: float, high_hz: float, rate: int) -> np.ndarray:
    """Only what lies between two frequencies (Butterworth of fourth order, causal, as a telephone is)."""
    for edge, kind in ((low_hz, "highpass"), (high_hz, "lowpass")):
        if 0 < edge < rate / 2:
            samples = sosfilt(butter(4, edge, kind, fs=rate, output="sos"), samples)
    return np.asarray(samples, np.float32)


def _noise(scenario: Scenario, script: Path, timebase: Timebase, speech: np.ndarray | None, count: int) -> np.ndarray:
    """The bed, at its level."""
    noise, rate = scenario.noise, timebase.sample_rate_hz
    if noise.file is None and noise.pick is None:
        samples = _pink(count, scenario.seed)
    else:
        if noise.pick is not None:
            found = sets.draw(sets.load_set(noise.pick, script), None, random.Random(scenario.seed), script).samples
        else:
            found, found_rate = read_mono(resolve_recording(noise.file, script))
            found = resample(found, found_rate, rate)
        try:
            samples = bed(np.roll(found, scenario.seed % len(found)), count)
        except ValueError as error:
            raise ScriptError(f"{script.name}: noise: {error}") from error
    level = _loudest if noise.loudest else _rms
    wanted = gain(noise.level_db)
    if noise.snr_db is not None and speech is not None:
        wanted = (_loudest if noise.loudest else active_level)(speech) / gain(noise.snr_db)
    return samples * np.float32(wanted / max(level(samples), 1e-9))


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def _loudest(samples: np.ndarray) -> float:
    """Root mean square of the loudest 2048 samples (128 ms), on a grid of as many."""
    frames = np.pad(samples, (0, -len(samples) % 2048)).reshape(-1, 2048)
    return float(np.sqrt(np.square(frames, dtype=np.float64).mean(axis=1).max()))


def _pink(count: int, seed: int) -> np.ndarray:
    """Noise whose power falls by 3 dB an octave from 20 Hz on, float32 (count,)."""
    size = 1 << max(count, 16).bit_length()
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(size))
    bins = np.arange(len(spectrum)) * 16_000 / size
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(bins, 20.0)), size)[:count].astype(np.float32)


def make_echo(scenario: Scenario, script: Path, timebase: Timebase) -> Echo | None:
    """The way back into the microphone; None for headphones."""
    if scenario.echo is None:
        return None
    response = None
    if scenario.echo.response is not None:
        samples, rate = read_mono(resolve_recording(scenario.echo.response, script))
        response = resample(samples, rate, timebase.sample_rate_hz)
    try:
        return Echo(scenario.echo.gain_db, round(scenario.echo.delay_ms * timebase.sample_rate_hz / 1000), response)
    except ValueError as error:
        raise ScriptError(f"{script.name}: echo: {error}") from error
