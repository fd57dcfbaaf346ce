"""Users of the examination: one synthetic voice a conversation, of a kind that no lesson has, and sounds kept apart."""

import random
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Literal

import numpy as np

from omni.audio.mixing import active_level
from omni.data import recordings, voices
from omni.data.bank import BACKCHANNELS
from omni.data.lines import SoundLine
from omni.data.live_room import LEVEL
from omni.data.skills.talk import Ask, Memory
from omni.data.user import RATE_HZ, asked
from omni.data.voices import Voice

Kind = Literal["unseen", "variants"]


def draw(rng: random.Random, kind: Kind) -> Voice:
    """A speaker: of another kind of synthesis than any lesson's, or of a kind that lessons know, but kept apart."""
    return voices.draw_unseen(rng) if kind == "unseen" else voices.draw_voice(rng, held_out=True)


class Voiced:
    """Asks of the skills in one voice, half of them in words or with values that no lesson has.

    Args:
        held_out: share of those.
        quiet: make no sound, for tests: lines are as long as their text suggests.
    """

    def __init__(self, voice: Voice, held_out: float = 0.5, quiet: bool = False):
        self.voice, self.held_out, self.quiet = voice, held_out, quiet
        self.apart: dict[int, bool] = {}   # of each ask by its identity, whether it was kept from lessons

    def ask(self, rng: random.Random, memory: Memory, skill: str | None = None, kinds: Collection[str] = (),
            over: bool = False, longest: int | None = None) -> SoundLine | None:
        """See `omni.data.user.Source`."""
        found = self.drawn(rng, memory, skill, kinds, over, longest)
        return None if found is None else self.say(found)

    def drawn(self, rng: random.Random, memory: Memory, skill: str | None = None, kinds: Collection[str] = (),
              over: bool = False, longest: int | None = None) -> Ask | None:
        """As `ask`, not yet said."""
        told, apart = (rng, memory, skill, kinds, over, longest), rng.random() < self.held_out
        found = asked(*told, apart) or asked(*told)
        if found is not None:
            self.apart[id(found)] = apart
        return found

    def draw(self, kind: str, rng: random.Random) -> SoundLine | None:
        """See `omni.data.user.Source`: sounds, and backchannels in this voice."""
        if kind == "backchannel":
            return self._spoken(rng.choice(BACKCHANNELS), kind)
        return sound(rng.choice(clips()), rng) if kind == "sound" else None

    def say(self, ask: Ask) -> SoundLine:
        """An ask in this voice."""
        return self._spoken(ask.user, ask.skill, ask)

    def _spoken(self, text: str, skill: str, ask: Ask | None = None) -> SoundLine:
        if self.quiet:
            ends = [int(end * 0.07 * RATE_HZ) for end in accumulate(len(word) + 1 for word in text.split())]
            words = list(zip(text.split(), [0, *ends], ends, strict=False))
            return SoundLine(np.zeros(ends[-1], np.int16), text, skill, ends[-1], words=words, ask=ask)
        speech = voices.speak_aligned(text, self.voice)
        samples = speech.samples / max(float(np.abs(speech.samples).max(initial=0.0)), 1e-3) * 0.5
        return SoundLine((samples * 32_767).astype(np.int16), text, skill, len(samples), self.voice.name,
                         list(speech.words), ask)


@lru_cache(maxsize=1)
def clips() -> Sequence[tuple[str, np.ndarray]]:
    """Class and float32 samples of every sound that training never hears."""
    return [(r.text, recordings.read(r.path)) for r in recordings.sounds(recordings.data_dir()) if r.dev]


def sound(clip: tuple[str, np.ndarray], rng: random.Random) -> SoundLine:
    """Two to five seconds of a clip with its loudest part, about as loud as speech is."""
    name, samples = clip
    count = min(rng.randrange(2 * RATE_HZ, 5 * RATE_HZ), len(samples))
    loudest = int(np.abs(samples).argmax())
    start = max(min(loudest - count // 4, len(samples) - count), 0)
    part = samples[start:start + count]
    part = part * min(LEVEL / max(active_level(part), 1e-5), 0.9 / max(float(np.abs(part).max()), 1e-5))
    return SoundLine((part * 32_767).astype(np.int16), "", "sound", len(part), sound=name)
