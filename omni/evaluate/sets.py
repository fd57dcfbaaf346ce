"""Sets that a script draws from: recordings, sounds and texts with what is known of each.

    # sets/stops.yaml                        # sets/questions.yaml
    kind: stop                               kind: turn
    texts: [stop, "please stop", enough]     skills: [sums, readback]

A set is a YAML file in a folder `sets` beside the script, or among the project's own. Its items are all of its
`recordings` (a source below OMNI_DATA_DIR; only the development part, which training never hears), `sounds` (classes,
likewise), `texts`, `lines` (texts with their right answers) and `files`; a set with `skills` makes lines up. They are
spoken by synthetic voices of another kind of synthesis than any in training and kept in a cache. The sets named
unseen_... hold wordings that training never has: see `omni.data.held_out`.
"""

import hashlib
import json
import os
import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import yaml

from omni.audio.files import read_mono, replacing, write_wav
from omni.audio.resampling import resample
from omni.base import config
from omni.base.errors import ConfigError, ScriptError
from omni.data import recordings, skills, voices
from omni.evaluate.scenario import Kind
from omni.evaluate.scripts import resolve_recording

RATE_HZ = 16_000


@dataclass(frozen=True, slots=True)
class WrittenLine:
    """A text, and the phrases that a right answer to it holds."""

    text: str
    answer: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemSet:
    """What a set file says.

    Attributes:
        kind: what its items are to the agent, as in `omni.evaluate.scenario.Turn`.
        recordings: a source of real speech, e.g. "coffee_orders" or "read_sentences".
        sounds: classes of sound events.
        texts: what to speak; `lines`: the same with answers.
        skills: skills whose questions are asked, with their facts as answers.
        files: recordings beside the script or among the project's own.
        beds: names of long recordings of noise below OMNI_DATA_DIR/noise, without suffix.
        longest_s: longer sounds are cut.
        decisive: words of which the first in a text makes its meaning clear; without any, the second word of a text
            that is for the agent does ("what is", "can i": nobody who only listens says so).
    """

    kind: Kind
    recordings: str | None = None
    sounds: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    lines: tuple[WrittenLine, ...] = ()
    skills: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    beds: tuple[str, ...] = ()
    longest_s: float = 60.0
    decisive: tuple[str, ...] = ()

    def __post_init__(self):
        if not (self.recordings or self.sounds or self.texts or self.lines or self.skills or self.files or self.beds):
            raise ValueError("the set is empty: give recordings, sounds, texts, lines, skills, files or beds")
        for name in self.skills:
            if name not in skills.names():
                raise ValueError(f"no skill {name!r}; {config.nearest(name, skills.names())}")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to hear.

    Attributes:
        name: where it comes from, for the trace.
        samples: float32 (N,) at 16 kHz.
        text: what is said, None where that is unknown.
        answer: phrases that a right answer holds.
        words: each of its words with its first sample and one past its last, where they are known.
        decisive: words as in `ItemSet`.
    """

    name: str
    samples: np.ndarray
    kind: Kind
    text: str | None = None
    answer: tuple[str, ...] = ()
    words: tuple[tuple[str, int, int], ...] = ()
    decisive: tuple[str, ...] = ()

    def decisive_end(self) -> int | None:
        """One past the last sample of the earliest decisive word; None if that is not known."""
        if self.kind not in ("turn", "pause", "stop") or not self.words:
            return None
        if self.decisive:
            return next((end for word, _, end in self.words if word.lower() in self.decisive), None)
        return self.words[min(1, len(self.words) - 1)][2] if self.kind != "stop" else None


def load_set(name: str, script: Path) -> ItemSet:
    """The set with that name.

    Raises:
        ScriptError: there is none, or it is wrong.
    """
    own = config.data_path("configs", "evaluate", "sets")
    for path in (script.parent / "sets" / f"{name}.yaml", own / f"{name}.yaml"):
        if path.is_file():
            try:
                return config.build(ItemSet, yaml.safe_load(path.read_text(encoding="utf-8")), path.name)
            except (ConfigError, yaml.YAMLError) as error:
                raise ScriptError(f"{path.name}: {error}") from error
    raise ScriptError(f"{script.name}: no set {name!r}; {config.nearest(name, [p.stem for p in own.glob('*.yaml')])}")


def draw(found: ItemSet, voice: voices.Voice | None, rng: random.Random, script: Path, at: int | None = None) -> Item:
    """One item of a set: a random one, or number `at` (counted round and round).

    Args:
        voice: says its texts, and is only needed where there are some.

    Raises:
        ScriptError: nothing of it is here; OmniError: OMNI_DATA_DIR is needed and not set, or no synthesizer is.
    """
    if found.skills:
        exchange = skills.exchange(rng, rng.choice(found.skills))
        return _spoken_item(exchange.user, voice, found, tuple(exchange.facts.values()), exchange.skill)
    choices = [*(("recording", r) for r in _recordings(found)), *(("sound", r) for r in _sounds(found)),
               *(("text", WrittenLine(t)) for t in found.texts), *(("text", line) for line in found.lines),
               *(("file", f) for f in found.files),
               *(("bed", b) for b in found.beds)]
    if not choices:
        raise ScriptError(f"{script.name}: nothing of the set is below OMNI_DATA_DIR")
    what, item = rng.choice(choices) if at is None else choices[at % len(choices)]
    if what == "bed":
        return Item(item, recordings.read(recordings.data_dir() / "noise" / f"{item}.flac"), found.kind, "")
    if what == "text":
        return _spoken_item(item.text, voice, found, item.answer)
    if what == "file":
        samples, rate = read_mono(resolve_recording(item, script))
        return Item(item, resample(samples, rate, RATE_HZ), found.kind)
    samples = recordings.read(item.path)
    if what == "sound":
        return Item(item.path.name, samples[:int(found.longest_s * RATE_HZ)], found.kind, "")
    text = item.text.lower() if item.text else None
    return Item(item.path.name, samples, found.kind, text, tuple(item.slots.values()), decisive=found.decisive)


def _spoken_item(text: str, voice: voices.Voice, found: ItemSet, answer: tuple[str, ...], name: str = "") -> Item:
    samples, words = speak(text, voice)
    return Item(name or text, samples, found.kind, text.lower(), answer, words, found.decisive)


def choose_voice(name: str, seed: int) -> voices.Voice:
    """A voice by name.

    Args:
        name: "unseen" for the conversation's own person, "another" for somebody else (both drawn by the seed from
            voices that training never heard: see `omni.data.voices.draw_unseen`), or "flite:kal16", "festival:ked",
            "espeak:en-us+f3", with ":RATE" (words a minute for espeak, percent of the usual duration for the others)
            and ":PITCH" (0 to 99 for espeak, Hz for the others) behind it if they should differ from the usual.

    Raises:
        ScriptError: no such voice.
    """
    if name in ("unseen", "another"):
        return voices.draw_unseen(random.Random(seed), another=name == "another")
    engine, _, rest = name.partition(":")
    parts = rest.split(":")
    try:
        rate = int(parts[1]) if len(parts) > 1 else {"espeak": 165, "flite": 100, "festival": 100}[engine]
        usual = 50 if engine == "espeak" else 0
        return voices.Voice(engine, parts[0], rate, int(parts[2]) if len(parts) > 2 else usual)
    except (KeyError, ValueError) as error:
        raise ScriptError(f"no voice {name!r}: unseen, another, ENGINE:NAME[:RATE[:PITCH]] with engine flite, "
                          "festival or espeak") from error


def speak(text: str, voice: voices.Voice) -> tuple[np.ndarray, tuple[tuple[str, int, int], ...]]:
    """A text spoken, made once and kept.

    Returns:
        float32 (N,) at 16 kHz with its peak at a half, and its words as in `omni.data.voices.Spoken`.
    """
    key = hashlib.sha256(f"2|{voice}|{text}".encode()).hexdigest()[:24]
    sound, times = (cache_dir() / f"{key}.{suffix}" for suffix in ("wav", "json"))
    if not (sound.is_file() and times.is_file()):
        spoken = voices.speak_aligned(text, voice)
        samples = spoken.samples / max(float(np.abs(spoken.samples).max(initial=0)), 1e-4) * 0.5
        sound.parent.mkdir(parents=True, exist_ok=True)
        with replacing(sound) as partial:
            write_wav(partial, samples.astype(np.float32), RATE_HZ)
        with replacing(times) as partial:
            partial.write_text(json.dumps(spoken.words))
    return read_mono(sound)[0], tuple(map(tuple, json.loads(times.read_text())))


def cache_dir() -> Path:
    """Where spoken texts are kept: OMNI_CACHE_DIR, or omni/speech in the user's cache."""
    base = os.environ.get("OMNI_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "omni"
    return Path(base) / "speech"


@lru_cache(maxsize=8)
def _recordings(found: ItemSet) -> list[recordings.Recording]:
    if not found.recordings:
        return []
    return [r for r in recordings.speech(recordings.data_dir()) if r.dev and r.source == found.recordings]


@lru_cache(maxsize=8)
def _sounds(found: ItemSet) -> list[recordings.Recording]:
    if not found.sounds:
        return []
    here = [r for r in recordings.sounds(recordings.data_dir()) if r.dev]
    known = {r.text for r in here}
    for name in found.sounds:
        if name not in known:
            raise ScriptError(f"no sounds of class {name!r}; {config.nearest(name, known)}")
    return [r for r in here if r.text in found.sounds]
