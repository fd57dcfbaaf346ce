"""The agent's own voice in what it hears: the own stream, and the same through a loudspeaker and a room.

    own stream  |..........o k a y ,  a  l a r g e  l a t t e ......|
    echo        |..............o k a y ,  a  l a r g e  l a t t e ..|   later, duller, distorted, by another clock
"""

import random
from pathlib import Path

import numpy as np

from omni.audio.mixing import active_level, gain
from omni.data import skills
from omni.data.augment import Augment
from omni.data.speaker import VoiceSpeaker
from omni.model.mouth import RAMP
from omni.model.weights import load_model

_LONGEST = 200  # characters of a reply
NOMINAL_LEVEL = 0.05  # active level that stands for the user's where nobody speaks


class OwnVoice:
    """Replies of the agent as its own synthesizer says them, by number.

    Args:
        weights: name or folder of the weights whose mouth speaks.
        count: how many replies there are; each is made when it is first asked for, and kept.
    """

    def __init__(self, weights: str | Path, count: int = 400):
        model = load_model(weights)
        self._pieces = model.pieces
        self._speaker, self.count = VoiceSpeaker(model.mouth, model.pieces, cached=count), count

    def reply(self, number: int) -> np.ndarray:
        """Reply `number` as float32 (n,) at 16 kHz: a function of the number and of the voice's pieces."""
        rng = random.Random(f"reply/{number}")
        while not (text := skills.exchange(rng).reply) or len(text) > _LONGEST or not self._pieces.knows(text):
            pass
        return self._speaker.render(text).audio

    def track(self, count: int, rng: random.Random) -> np.ndarray:
        """An own stream of `count` samples: part of a reply, somewhere, sometimes cut, sometimes with a second one."""
        own, at = np.zeros(count, np.float32), rng.randrange(-count // 2, count // 2)
        while at < count - 8000:
            speech = self.reply(rng.randrange(self.count))
            first = rng.randrange(max(len(speech) // 2, 1)) if at < 0 else 0
            speech, start = speech[first:], max(at, 0)
            part = speech[:count - start].copy()
            if len(part) > 8000 and rng.random() < 0.3:  # interrupted
                part = part[:rng.randrange(8000, len(part))]
                part[-RAMP:] *= np.linspace(1, 0, RAMP, dtype=np.float32)
            own[start:start + len(part)] = part
            at = start + len(part) + rng.randrange(16_000, 64_000)
        return own


def echo_at(own: np.ndarray, user: np.ndarray, ratio_db: float, augment: Augment, rng: random.Random) -> np.ndarray:
    """The echo of `own`, float32 (n,), so loud that the user's active level is `ratio_db` above its own.

    Where the user is silent, `NOMINAL_LEVEL` stands for their level.
    """
    echo = augment.echo(own, rng, 0.0, 0.0)
    level = active_level(echo)
    if not level:
        return echo
    return echo * np.float32((active_level(user) or NOMINAL_LEVEL) / level / gain(ratio_db))
