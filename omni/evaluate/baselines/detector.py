"""What a detector says, and the two timers that every one of them has."""

from typing import Literal, Protocol

import numpy as np

from omni.base.timebase import TINY

Event = Literal["user_started", "turn_ended"]


class Detector(Protocol):
    """Hears one conversation, block by block."""

    def hear(self, block: np.ndarray) -> Event | None:
        """What became certain in this block, None for nothing new.

        Args:
            block: float32 (1280,), the next 80 ms of the room.
        """


class SpeechTimer:
    """From frames with or without voice to events: speech that lasted begins a turn, quiet that lasted ends it.

        voice    . x x x x x . x x . . . . .
        event            ^started          ^ended       with 4 frames to start and 5 to end

    Attributes:
        speaking: a turn has begun and not ended.
    """

    def __init__(self, frame_samples: int, start_ms: int, silence_ms: int):
        """Args:
            frame_samples: length of a frame at 16 kHz.
            start_ms: voice without a gap that begins a turn; rounded up to frames, as is the next.
            silence_ms: quiet without a gap that ends it; at least a block, so that no block has both events of a turn.

        Raises:
            ValueError: a time is too short.
        """
        if start_ms <= 0 or silence_ms < TINY.block_ms:
            raise ValueError(f"speech needs a length and silence {TINY.block_ms} ms at least, "
                             f"not {start_ms} and {silence_ms} ms")
        self.speaking = False
        self._start, self._stop = (-(-TINY.from_ms(ms) // frame_samples) for ms in (start_ms, silence_ms))
        self._run = 0   # frames in a row that speak against the present state

    def pass_frame(self, voiced: bool) -> Event | None:
        """Count one frame."""
        self._run = 0 if voiced == self.speaking else self._run + 1
        if self._run < (self._stop if self.speaking else self._start):
            return None
        self._run, self.speaking = 0, not self.speaking
        return "user_started" if self.speaking else "turn_ended"
