"""Synthetic users: espeak-ng with many voices, accents, rates and pitches, the flite voices that are not the agent, and
those of pico, hibari and piper where they are asked for.

Held out from training, for development: the flite voice kal16 (another synthesis method), one accent, and every
fourth espeak variant. The bench has none of the latter two, which are the trained engine's: its unseen voices are two
diphone speakers, kal16 and festival's ked.
"""

import random
import re
import subprocess
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import soxr

from omni.base.errors import OmniError
from omni.data.espeak import Espeak
from omni.data.festival import Festival
from omni.data.flite import Flite
from omni.data.hibari import Hibari
from omni.data.pico import VOICES, Pico
from omni.data.piper import Piper

LETTER_NAMES = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", (
    "ay bee see dee ee eff gee aitch eye jay kay ell em en oh pee queue are ess tea you vee double-you ex why zee"
).split(), strict=False))
_ACCENTS = ["en-us", "en-us", "en-us", "en-gb-x-rp", "en-gb-x-rp", "en-gb-scotland", "en-029",
            "en-gb-x-gbclan", "en-us-nyc"]
_HELD_OUT_ACCENT = "en-gb-x-gbcwmd"
_KLATT = ["klatt", "klatt2", "klatt3", "klatt4", "klatt5", "klatt6"]  # with another glottal source
_FLITE = {"rms": True, "awb": True, "kal16": False}
_RATE_HZ = 16_000


@dataclass(frozen=True, slots=True)
class Voice:
    """One synthetic speaker.

    Attributes:
        engine: "espeak", "flite", "pico", "hibari", "piper" or "festival".
        name: espeak accent and variant ("en-us+f3"), or the voice of one of the others.
        rate: words a minute for espeak; speed in percent for pico, hibari and piper; duration stretch in percent for
            the others.
        pitch: 0 to 99 for espeak; percent of its own for pico; mean in Hz for flite and festival, 0 for their own.
    """

    engine: str
    name: str
    rate: int
    pitch: int


@lru_cache(maxsize=1)
def _variants() -> tuple[str, ...]:
    try:
        listing = subprocess.run(["espeak-ng", "--voices=variant"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise OmniError("espeak-ng is not installed (Debian: apt-get install espeak-ng)") from error
    names = sorted(re.findall(r"!v/(\S+)", listing))
    odd = r"whisper|croak|robot|alien|fast|UniRobot|robosoft|klatt|Demon"
    return tuple(n for n in names if not re.search(odd, n, re.I))


def draw_voice(rng: random.Random, held_out: bool = False, pico: float = 0.0, neural: float = 0.0) -> Voice:
    """A random speaker, of the training set or of the held-out one.

    Args:
        neural: share of the training set that hibari and piper say; pico: share that pico says of the rest.
    """
    if neural and not held_out and rng.random() < neural:
        engine, name = rng.choice([("hibari", "heart"), ("piper", "joe")])
        return Voice(engine, name, rng.randint(80, 125), 0)
    if pico and not held_out and rng.random() < pico:
        return Voice("pico", rng.choice(VOICES), rng.randint(80, 125), rng.randint(70, 130))
    if rng.random() < 0.3:
        name = rng.choice([n for n, training in _FLITE.items() if training != held_out])
        return Voice("flite", name, rng.randint(85, 120), 0)
    variants = [v for i, v in enumerate(_variants()) if (i % 4 == 3) == held_out]
    if not held_out and rng.random() < 0.1:
        variants = _KLATT
    accent = rng.choice([*_ACCENTS, _HELD_OUT_ACCENT] if held_out else _ACCENTS)
    return Voice("espeak", f"{accent}+{rng.choice(variants)}", rng.randint(125, 205), rng.randint(25, 80))


def draw_unseen(rng: random.Random, another: bool = False) -> Voice:
    """A random speaker for the bench: of a kind of synthesis that no lesson uses, with a rate and a pitch of its own.

    Args:
        another: not the one that the same generator would have given.
    """
    engine, name, pitch_hz = [("flite", "kal16", 110), ("festival", "ked", 105)][rng.randrange(2) ^ another]
    return Voice(engine, name, rng.randint(85, 120), round(pitch_hz * rng.uniform(0.85, 1.35)))


def spoken(text: str) -> str:
    """Letters by their names, so that every engine says "A" as a letter and "a" as an article."""
    return " ".join(LETTER_NAMES.get(word, word) for word in text.split())


@lru_cache(maxsize=8)
def _flite(name: str) -> Flite:
    return Flite(name)


@lru_cache(maxsize=1)
def _espeak() -> Espeak:
    return Espeak()


@lru_cache(maxsize=2)
def _pico(name: str) -> Pico:
    return Pico(name)


@lru_cache(maxsize=1)
def _hibari(name: str) -> Hibari:
    return Hibari(name)


@lru_cache(maxsize=1)
def _piper(name: str) -> Piper:
    return Piper(name)


@lru_cache(maxsize=2)
def _festival(name: str) -> Festival:
    return Festival(name)


@dataclass(frozen=True, slots=True)
class Spoken:
    """Speech as float32 at 16 kHz, and its phones as (name, first sample, one past the last), pauses left out.

    Names begin with the engine, since each has a phone set of its own: "f:ae" of flite, "v:ae" of festival, "e:aI" of
    espeak-ng. `words` are those of the text in the same form; empty where the engine counts words otherwise. Pico,
    hibari and piper tell neither.
    """

    samples: np.ndarray
    phones: tuple[tuple[str, int, int], ...]
    words: tuple[tuple[str, int, int], ...] = ()


def speak(text: str, voice: Voice) -> np.ndarray:
    """Speech as float32 at 16 kHz, with the engine's own silence at both ends trimmed to 10 ms."""
    return speak_aligned(text, voice).samples


def speak_aligned(text: str, voice: Voice) -> Spoken:
    """As `speak`, with the times of phones and words as the engine planned them."""
    parts = [spoken(word).replace("-", " ").split() for word in text.split()]
    words = " ".join(part for word in parts for part in word)
    if voice.engine == "flite":
        engine = _flite(voice.name)
        engine.configure(voice.rate / 100, voice.pitch or None)
        speech = engine.speak(words)
        named = [("f:" + name, a, b) for name, a, b in speech.phones if name != "pau"]
    elif voice.engine == "festival":
        speech = _festival(voice.name).speak(words, voice.rate / 100, voice.pitch or 105.0)
        named = [("v:" + name, a, b) for name, a, b in speech.phonemes if name != "pau"]
    elif voice.engine == "pico":
        speech, named = _pico(voice.name).speak(words, voice.rate, voice.pitch), []
    elif voice.engine in ("hibari", "piper"):
        speech, named = (_hibari if voice.engine == "hibari" else _piper)(voice.name).speak(words, voice.rate), []
    else:
        speech = _espeak().speak(words, voice.name, voice.rate, voice.pitch)
        named = [("e:" + name, a, b) for name, a, b in speech.phonemes if name and name[0] not in "_|;"]
    samples = speech.samples
    if speech.rate_hz != _RATE_HZ:
        samples = soxr.resample(samples, speech.rate_hz, _RATE_HZ)
    first, last = loud_span(samples)

    def placed(spans) -> tuple[tuple[str, int, int], ...]:
        moved = ((name, max(round(a * _RATE_HZ) - first, 0), min(round(b * _RATE_HZ), last) - first)
                 for name, a, b in spans)
        return tuple(span for span in moved if span[2] > span[1])

    whole, times = [], iter(_each(speech.words, [part for word in parts for part in word]))
    for word, group in zip(text.split(), parts, strict=True):
        spans = [span for span in (next(times, None) for _ in group) if span]
        if spans:
            whole.append((word, spans[0][0], spans[-1][1]))
    if len(whole) < len(parts):
        whole = []
    return Spoken(samples[first:last].astype(np.float32), placed(named), placed(whole))


def _each(events: tuple[tuple[str, float, float], ...], words: list[str]) -> list[tuple[float, float]]:
    """Begin and end of each word from an engine's events; empty if they tell of other words.

    flite takes "what's" for two words. espeak-ng says some pairs in one ("in the"), whose time they share by their
    letters, and tells of words that are none.
    """
    found: list[tuple[list[str], float, float]] = []
    left = list(words)
    for name, begin, end in events:
        if name.startswith("'") and found:
            found[-1] = (found[-1][0], found[-1][1], end)
            continue
        skipped = next((i for i, word in enumerate(left) if _same(name, word)), None) if name else None
        if skipped is not None:
            if skipped and not found:
                return []
            if skipped:
                found[-1][0].extend(left[:skipped])
            found.append(([left[skipped]], begin, end))
            left = left[skipped + 1:]
        elif name:
            return []
    if left and found:
        found[-1][0].extend(left)
    spans = []
    for group, begin, end in found:
        sizes = np.cumsum([0, *map(len, group)]) * ((end - begin) / sum(map(len, group)))
        spans += [(begin + float(a), begin + float(b)) for a, b in zip(sizes, sizes[1:], strict=False)]
    return spans


def _same(name: str, word: str) -> bool:
    """Whether an engine means a word by a name, which may lack what follows the word's apostrophe, or that alone."""
    name, word = name.lower().partition("'")[0], word.lower()
    return name in (word.partition("'")[0], word.replace("'", ""))


def loud_span(samples: np.ndarray, floor: float = 0.01, margin: int = 160) -> tuple[int, int]:
    """First and one past the last sample above `floor` of the peak, with `margin` samples on both sides."""
    loud = np.flatnonzero(np.abs(samples) > floor * max(float(np.abs(samples).max(initial=0.0)), 1e-4))
    return (max(int(loud[0]) - margin, 0), min(int(loud[-1]) + 1 + margin, len(samples))) if len(loud) else (0, 0)
