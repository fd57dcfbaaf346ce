"""People who stop in the middle of what they say: where they do, and what it sounds like.

    pauses       "a large latte with | almond milk"    nobody who understands takes the floor in it
    ambiguous    "a large latte | with almond milk"    it may be all: whoever waits is late where it is
"""

import random
from collections.abc import Collection
from dataclasses import dataclass

from omni.data.augment import hesitate
from omni.data.lines import SoundLine
from omni.data.pauses import finished, unfinished
from omni.data.skills.talk import Ask, Memory
from omni.data.user import RATE_HZ
from omni.evaluate.world.voice import Voiced

PAUSES = ("pauses", "ambiguous")
SHORTEST, LONGEST = RATE_HZ // 5, RATE_HZ * 6 // 5      # of a pause, in samples
_TRIES = 200
# told here, not taken from the registry: another skill would change what a seed draws, and `unfinished` must know it
_SKILLS = {"pauses": ("orders", "readback", "sums", "facts", "recall", "stories"), "ambiguous": ("orders", "readback")}


@dataclass(frozen=True, slots=True)
class PausedLine(SoundLine):
    """A line with a pause in it.

    Attributes:
        after: words before the pause.
        pause: first sample of the pause, and first of the word after it.
    """

    after: int = 0
    pause: tuple[int, int] = (0, 0)


class Pausing:
    """Asks of the skills with a pause in what is asked. A `Source`.

    Args:
        source: whose voice it is, and who makes the sounds.
        task: of `PAUSES`, what kind of pauses.
    """

    def __init__(self, source: Voiced, task: str):
        self.source, self.task = source, task

    @property
    def apart(self) -> dict[int, bool]:
        """As of `Voiced`."""
        return self.source.apart

    def ask(self, rng: random.Random, memory: Memory, skill: str | None = None, kinds: Collection[str] = (),
            over: bool = False, longest: int | None = None) -> PausedLine | None:
        """See `omni.data.user.Source`; the skill is drawn anew, whatever `skill` says."""
        for _ in range(_TRIES):
            found = self.source.drawn(rng, memory, rng.choice(_SKILLS[self.task]), kinds, over, longest)
            if found is not None and (places := placed(self.task, found)):
                if line := paused(self.source.say(found), rng.choice(places), rng):
                    return line
        return None

    def draw(self, kind: str, rng: random.Random) -> SoundLine | None:
        """See `omni.data.user.Source`."""
        return self.source.draw(kind, rng)


def placed(task: str, ask: Ask) -> list[int]:
    """After how many words a pause of this kind may come."""
    return unfinished(ask) if task == "pauses" else finished(ask)


def paused(line: SoundLine, after: int, rng: random.Random) -> PausedLine | None:
    """A line with the end of a word drawn out and a pause of 0.2 to 1.2 s behind it, drawn by `rng`.

    Returns:
        None if the times of its words are not known, or do not fit: words overlap, or have a pause of their own there.
    """
    if len(line.words) != len((line.text or "").split()):
        return None
    samples, words = hesitate(line.samples, rng, line.words, after - 1)
    pause = words[after - 1][2], words[after][1]
    if not SHORTEST <= pause[1] - pause[0] <= LONGEST:
        return None
    return PausedLine(samples, line.text, line.skill, len(samples), line.voice, words, line.ask, after=after,
                      pause=pause)
