"""A room that is heard while it happens: what begins to sound is laid into it, block by block, with the agent's echo.

    lines ──► colour, room, level ──┐
    noise bed ──────────────────────┼──► gain, clipping ──► + echo of the agent ──► microphone
    the agent's last block ─────────┴──► delay, room, level ─┘

The same acoustics as `omni.data.streams.mix`, as far as they can be had without knowing what comes.
"""

import random

import numpy as np

from omni.audio.mixing import Echo
from omni.data.augment import Augment
from omni.data.user import BLOCK, RATE_HZ, Heard

LEVEL = 0.08            # active level of speech in the bank, about
_TAIL = RATE_HZ // 2    # for which a room rings on


def placed(heard: Heard, gain: float, rng: random.Random) -> tuple[bool, float]:
    """Whether a line is said near by, and how loud it arrives; `gain` is of the user's mouth.

    Others are mostly across the room; near by, the words alone tell that they are for someone else.
    """
    if heard.role == "other":
        elsewhere = getattr(heard.line, "skill", "") == "elsewhere"
        near = rng.random() < 0.3 and not elsewhere
        low, high = (-8, 0) if near else (-26, -14) if elsewhere else (-24, -8)
    else:
        near, (low, high) = heard.role != "sound", (-14, 6) if heard.role == "sound" else (-3, 3)
    return near, 10 ** (rng.uniform(low, high) / 20) * (gain if near and heard.role != "other" else 1.0)


def faded(samples: np.ndarray) -> np.ndarray:
    """float32 (n,) of int16 samples, with soft edges of 10 ms."""
    x = np.asarray(samples, np.float32) / 32_768
    edge = min(160, len(x) // 2)
    x[:edge] *= np.linspace(0, 1, edge, dtype=np.float32)
    x[len(x) - edge:] *= np.linspace(1, 0, edge, dtype=np.float32)
    return x


class LiveRoom:
    """One conversation's microphone.

    Args:
        num_blocks: for which it is heard.
        rng: decides everything that is random.
        augment: rooms, noises and people in the background; without, lines come as they are over a faint hiss.
    """

    def __init__(self, num_blocks: int, rng: random.Random, augment: Augment | None = None):
        self._rng, self._augment = rng, augment
        count = num_blocks * BLOCK
        self._sound = np.zeros(count, np.float32)
        self._echo: Echo | None = None
        self._gain, self._factor = 1.0, 1.0
        if augment is None:
            self._sound += np.random.default_rng(rng.getrandbits(32)).standard_normal(count, np.float32) * 1e-3
            return
        self._gain = 10 ** (rng.uniform(-6, 0) / 20)
        self._factor = 10 ** (rng.uniform(-20, -1) / 20) / (0.5 * self._gain) * (2 if rng.random() < 0.05 else 1)
        snr_db = rng.uniform(5, 40) if rng.random() < 0.7 else rng.uniform(25, 55)
        self._sound += augment.bed(count, rng) * np.float32(LEVEL * self._gain * 10 ** (-snr_db / 20))
        if rng.random() < 0.6:
            self._echo = Echo(rng.uniform(-42, -3), rng.randrange(9_600), rng.choice(augment.rooms)[:6_000])

    def add(self, samples: np.ndarray, at: int) -> None:
        """Lay float32 (n,) into it from sample `at` on, as it is."""
        part = samples[:max(len(self._sound) - at, 0)]
        self._sound[at:at + len(part)] += part

    def put(self, heard: Heard) -> None:
        """Something begins to sound."""
        x = faded(heard.line.samples)
        if self._augment is None:
            self.add(x, heard.at)
            return
        near, level = placed(heard, self._gain, self._rng)
        x = self._augment.colour(x, self._rng) * np.float32(level)
        self.add(self._augment.room(np.pad(x, (0, _TAIL)), self._rng, 0.6 if near else 0.9), heard.at)

    def block(self, index: int, own: np.ndarray) -> np.ndarray:
        """What the microphone picks up in a block, float32 (1280,). Blocks come one after the other.

        Args:
            own: what the agent's voice sounds like meanwhile.
        """
        x = np.clip(self._sound[index * BLOCK:(index + 1) * BLOCK] * np.float32(self._factor), -1, 1)
        if self._echo is not None:
            x = np.clip(x + self._echo.process(own), -1, 1)
        return x.astype(np.float32, copy=False)
