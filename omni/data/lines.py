"""Lines that users say in lessons, and their sources: the skills' texts alone, or a bank of speech and recordings of
sounds. `omni.data.user` says what a line and a source are.
"""

import random
import warnings
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr

from omni.audio.mixing import active_level
from omni.base.errors import MediaError
from omni.data import bank, held_out, recordings
from omni.data.asks import Asks
from omni.data.augment import hesitate, revoice
from omni.data.conversations import BLOCK, RATE_HZ
from omni.data.live_room import LEVEL
from omni.data.partner import OPEN_AFTER
from omni.data.pauses import thinking
from omni.data.recordings import active_span
from omni.data.skills import chatter, readback
from omni.data.skills.sounds import SOUNDS
from omni.data.skills.talk import Ask, Memory
from omni.data.user import asked, fits

PAUSES = 0.25  # share of asks with a pause in which people think, unless told
THINKING = 0.8  # share of those in which it comes where what is asked is not told yet, if there is such a place
OPEN_S = OPEN_AFTER * BLOCK / RATE_HZ  # longest elsewhere, where it may be all: whoever answers then waits as long
ELSEWHERE = 0.15  # share of others' talk that would be for the agent, were it near
PEOPLE = 0.4  # share of real recordings in lines that are no turns
_SOUND_S = (0.6, 5.0)  # how long a sound is read of
TICS = ("person_sneeze",)  # sounds of people that mean nothing


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line without sound, as long as its spelling suggests; see `omni.data.user.Line`."""

    text: str
    num_samples: int
    words: list[tuple[str, int, int]] = field(default_factory=list)
    ask: Ask | None = None
    sound: str = ""


class TextSource:
    """Lines from the skills' texts alone.

    Args:
        pace: how many times faster than people they are said, but at most a word a block; people pause, whoever is
            faster does not.
        sounds: sounds have a class, and whoever reads can be asked for them.
        pauses: share of asks with a pause in which people think, whatever the pace; None is the usual share, and none
            for whoever is faster.
    """

    def __init__(self, pace: float = 1.0, sounds: bool = False, pauses: float | None = None):
        self.pace, self.sounds = pace, sounds
        self.pauses = pauses if pauses is not None else PAUSES if pace == 1 else 0.0

    def ask(self, rng: random.Random, memory: Memory, skill: str | None = None, kinds: Collection[str] = (),
            over: bool = False, longest: int | None = None) -> TextLine | None:
        """See `omni.data.user.Source`; without `sounds`, they are asked for only if somebody wants just that."""
        found = asked(rng, memory, skill, kinds, over, longest)
        while found and skill is None and found.skill == "sounds" and not self.sounds:
            found = asked(rng, memory, skill, kinds, over, longest)
        return found and self._line(found.user, rng, found, self.pauses)

    def draw(self, kind: str, rng: random.Random) -> TextLine:
        """See `omni.data.user.Source`; without `sounds`, nobody can read what sounds, and it has no class."""
        if kind == "sound" and self.sounds:
            length = rng.uniform(*_SOUND_S) * RATE_HZ / self.pace
            return TextLine("", int(length), sound=rng.choice(SOUNDS))
        if kind == "backchannel":
            text = rng.choice(bank.BACKCHANNELS)
        elif kind == "other":
            text = chatter.text(rng)
        elif kind == "word":
            text = rng.choice(["bed", "cat", "down", "happy", "off", "on", "up", "left", "go", "house", "wow"])
        else:
            text = ""
        return self._line(text, rng)

    def _line(self, text: str, rng: random.Random, ask: Ask | None = None, pauses: float = 0.0) -> TextLine:
        held_out.check(text)
        pace, at, words = rng.uniform(0.052, 0.085) / self.pace, 0, []
        spoken = text.split()
        pause, longest = 0, 0.0
        if len(spoken) > 3 and pauses and rng.random() < pauses:
            known = thinking(ask) if ask is not None and rng.random() < THINKING else []
            pause, longest = (rng.choice(known), 1.5) if known else (rng.randrange(len(spoken)), OPEN_S)
        for i, word in enumerate(spoken):
            if pause and i == pause:
                at += int(rng.uniform(0.2, longest) * RATE_HZ)
            # two words of one block could not be told apart: what is read there is a sum
            long = int(max((len(word) + 1) * pace, 0.15 / self.pace, BLOCK / RATE_HZ) * RATE_HZ)
            words.append((word, at, at + long))
            at += long
        return TextLine(text, max(at, int(0.3 * RATE_HZ / self.pace)), words, ask)


@dataclass(frozen=True, slots=True)
class SoundLine:
    """A line with its sound, trimmed to the speech itself; see `omni.data.user.Line`.

    Attributes:
        samples: int16.
        skill: of an utterance of the bank; "elsewhere" for what would be for the agent, were it near.
        voice: engine and voice of a synthesizer, or source and file of a recording.
    """

    samples: np.ndarray
    text: str | None
    skill: str
    num_samples: int
    voice: str = ""
    words: list[tuple[str, int, int]] = field(default_factory=list)
    ask: Ask | None = None
    sound: str = ""


class SoundSource:
    """Lines from a bank of utterances and recordings of sounds.

    An ask is what the skills would ask now, in the words and with the values of an utterance of the same kind.

    Args:
        dev: take the development set instead of the training set.
        real: share of real recordings among asks of kinds that have them.
        pauses: share of asks with a pause in which people think.
        revoice: share of what is said that another throat says (`omni.data.augment.revoice`).

    Raises:
        OmniError: no utterance says what it asks.
    """

    def __init__(self, folder: Path, dev: bool = False, real: float = 0.6, pauses: float = PAUSES,
                 revoice: float = 0.0):
        root = recordings.data_dir()
        lines = [u for u in bank.load(folder) if u.dev == dev]
        self.real, self.pauses, self.revoice, self.asks = real, pauses, revoice, Asks(lines)
        self.pools: dict[str, list] = {k: [] for k in ("backchannel", "other", "word")}
        for u in lines:
            if u.kind:
                continue
            if u.skill == "words":
                self.pools["backchannel" if u.text in bank.BACKCHANNELS else "word"].append(u)
            elif u.skill in self.pools:
                self.pools[u.skill].append(u)
        self.digits = [u for u in lines if u.source == "speech_commands" and u.kind == "whole"]
        self.sounds = _clips(root, dev)
        self.tics = [clip for clip in self.sounds if clip[0] in TICS]
        self.people = {k: [u for u in pool if ":" not in u.source] for k, pool in self.pools.items()}

    def ask(self, rng: random.Random, memory: Memory, skill: str | None = None, kinds: Collection[str] = (),
            over: bool = False, longest: int | None = None) -> SoundLine | None:
        """See `omni.data.user.Source`."""
        for _ in range(20):
            drawn = asked(rng, memory, skill, kinds, over, longest)
            if drawn is None:
                return None
            if drawn.kind == "whole" and self.digits and rng.random() < 0.1:
                return self._strung(rng)
            real = rng.random() < (PEOPLE if drawn.skill == "floor" else self.real)
            found = self.asks.like(drawn, memory, real, rng)
            if found is not None and fits(found[1], memory, longest):
                return self._line(found[0], rng, found[1])
        return None

    def draw(self, kind: str, rng: random.Random) -> SoundLine | None:
        """See `omni.data.user.Source`."""
        if kind == "sound":
            return self._sound(rng)
        if kind == "other" and rng.random() < ELSEWHERE:  # only the distance tells that this is for somebody else
            line = self._line(self.asks.any(rng), rng)
            return SoundLine(line.samples, None, "elsewhere", line.num_samples, line.voice)
        pool = self.people[kind] if self.people[kind] and rng.random() < PEOPLE else self.pools[kind]
        line = self._line(rng.choice(pool), rng) if pool else None
        return _excerpt(line, rng) if line is not None and kind == "other" and rng.random() < 0.5 else line

    def _sound(self, rng: random.Random) -> SoundLine | None:
        """The loudest part of a clip, as loud as speech is."""
        clips = self.tics if self.tics and rng.random() < 0.2 else self.sounds
        if not clips:
            return None
        name, clip = rng.choice(clips)
        count = rng.randrange(8_000, 80_000)
        loudest = int(np.abs(clip).argmax())
        start = max(min(loudest - rng.randrange(8_000), len(clip) - RATE_HZ), 0)
        part = clip[start:start + count].astype(np.float32)
        part *= min(LEVEL / max(active_level(part / 32_768), 1e-5), 32_767 / max(float(np.abs(part).max()), 1.0))
        return SoundLine(part.astype(np.int16), "", "sound", len(part), sound=name)

    def _strung(self, rng: random.Random) -> SoundLine:
        """Single digits of people, one after the other; between groups they may think."""
        parts, texts = [], []
        for _ in range(rng.randint(2, 6)):
            u = rng.choice(self.digits)
            a, b = active_span(u.samples)
            pause = rng.randrange(4_000, 9_600) if rng.random() < 0.2 else rng.randrange(800, 4_000)
            parts += [u.samples[a:b], np.zeros(pause, np.int16)]
            texts.append(u.text)
        samples, text = np.concatenate(parts[:-1]), " ".join(texts)
        ask = Ask(text, "readback", "whole", {"string": readback.grouped(text)}, open=True)
        return SoundLine(samples, text, "readback", len(samples), "speech_commands", ask=ask)

    def _line(self, u: bank.Utterance, rng: random.Random, ask: Ask | None = None) -> SoundLine:
        # a bank trims what machines say, and has no silence in it by which loud could be told from quiet
        a, b = (0, len(u.samples)) if ":" in u.source else active_span(u.samples)
        samples, words = u.samples[a:b], [(w, max(first - a, 0), last - a) for w, first, last in u.words]
        if ":" not in u.source and rng.random() < 0.35:  # real people are few: some speak at another speed
            speed = rng.uniform(0.9, 1.12)
            samples = soxr.resample(samples, RATE_HZ, RATE_HZ / speed).astype(np.int16)
        if self.revoice and rng.random() < self.revoice:
            samples = revoice(samples.astype(np.float32), rng).clip(-32_768, 32_767).astype(np.int16)
        if ask is not None and len(samples) > 12_800 and rng.random() < self.pauses:
            known = thinking(ask) if len(words) == len(ask.user.split()) and rng.random() < THINKING else []
            samples, words = hesitate(samples, rng, words, rng.choice(known) - 1 if known else None,
                                      24_000 if known else int(OPEN_S * RATE_HZ))
        voice = u.source if ":" in u.source else f"{u.source}/{u.name}"
        return SoundLine(samples, u.text, u.skill, len(samples), voice, words, ask)


def _clips(root: Path, dev: bool) -> list[tuple[str, np.ndarray]]:
    """Class and int16 samples of sound events; one that the decoder refuses is left out and said so."""
    clips = []
    for r in recordings.sounds(root):
        if r.dev == dev:
            try:
                clips.append((r.text, (recordings.read(r.path) * 32767).astype(np.int16)))
            except MediaError as error:
                warnings.warn(f"left out: {error}", stacklevel=2)
    return clips


def _excerpt(line: SoundLine, rng: random.Random) -> SoundLine:
    """At least a second of a line, from anywhere; its words are not known then."""
    count = rng.randrange(RATE_HZ, max(line.num_samples, RATE_HZ + 1))
    start = rng.randrange(max(line.num_samples - count, 1))
    samples = line.samples[start:start + count]
    return SoundLine(samples, None, line.skill, len(samples), line.voice)
