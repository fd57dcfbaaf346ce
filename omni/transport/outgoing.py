"""What is about to be sent: at most one block and one frame, of one epoch.

The tick pushes blocks of 80 ms, the pacer pulls frames of 20 ms; between them lies just enough to ride out the
jitter of computing.

    push     |--------80--------|--------80--------|
    pull     ░░░░|----|----|----|----|----|----|----|
             cushion of one frame: a block that comes up to 20 ms later than the first one did leaves no hole

A newer epoch ramps the older audio down within 10 ms from the next frame and drops the rest. A hole is silence. What
a hole has made surplus is taken out of silence again, never out of speech.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omni.base.events import AudioReady
from omni.base.timebase import Timebase

FRAME_MS = 20
RAMP_MS = 10
MAX_BLOCKS_BEHIND = 4  # an engine that falls behind delivers up to four blocks back to back (see the worker)


@dataclass(slots=True)
class OutgoingCounters:
    """Samples at the model's rate.

    Attributes:
        sent: pulled by the pacer, silence included.
        missing: silence put in because nothing was there.
        discarded: thrown away because a newer epoch came.
        trimmed: surplus taken out of silence.
        overflowed: lost because the queue was full of speech: the pacer has stopped.
    """

    sent: int = 0
    missing: int = 0
    discarded: int = 0
    trimmed: int = 0
    overflowed: int = 0


@dataclass(slots=True)
class _Piece:
    at: int
    epoch: int
    samples: np.ndarray


@dataclass(frozen=True, slots=True)
class Frame:
    """20 ms to be sent now.

    Attributes:
        samples: float32 (frame_samples,) at the model's rate.
        at: one past the last sample of the conversation's clock that is sent with it; unchanged for filler.
        run: (offset, position): from its sample `offset` on, the conversation from `position` on, without a jump. None
            if all of it is filler.
    """

    samples: np.ndarray
    at: int
    run: tuple[int, int] | None = None


class OutgoingAudio:
    """The queue between the tick and a pacer of 20 ms frames.

    Args:
        timebase: the model's grid.
        discarded: called with (first sample, one past the last) on the conversation's clock when unsent audio is thrown
            away, for a newer epoch or because the queue is full.
    """

    def __init__(self, timebase: Timebase, discarded: Callable[[int, int], None]):
        self.frame_samples = timebase.from_ms(FRAME_MS)
        self.counters = OutgoingCounters()
        self._limit = timebase.block_samples + self.frame_samples
        self._hard_limit = self._limit + MAX_BLOCKS_BEHIND * timebase.block_samples
        self._ramp = timebase.from_ms(RAMP_MS)
        self._discarded = discarded
        self._queue: deque[_Piece] = deque()
        self._held = 0
        self._epoch = 0
        self._at = 0
        self._dry = True

    @property
    def epoch(self) -> int:
        """The newest that was pushed."""
        return self._epoch

    @property
    def held(self) -> int:
        """Samples waiting to be sent."""
        return self._held

    def push(self, block: AudioReady) -> None:
        """Take one block; never blocks and never raises for lateness."""
        samples, at = block.samples, block.at
        if block.epoch > self._epoch:
            if self._cut_older():
                samples, at = samples[block.tail:], at + block.tail
            self._epoch = block.epoch
        if self._dry and not self._held and not samples[:self.frame_samples].any():
            cushion = np.zeros(self.frame_samples, np.float32)
            self._append(_Piece(at - len(cushion), block.epoch, cushion))
        self._dry = False
        self._append(_Piece(at, block.epoch, samples))
        if self._held > self._limit:
            self._trim_silence(self._held - self._limit)
        while self._held > self._hard_limit:
            lost = self._queue.popleft()
            self._held -= len(lost.samples)
            self.counters.overflowed += len(lost.samples)
            self._discarded(lost.at, lost.at + len(lost.samples))

    def pull(self) -> Frame:
        """The next 20 ms; silence where nothing is there."""
        out = np.zeros(self.frame_samples, np.float32)
        filled, run, following = 0, None, None
        while filled < len(out) and self._queue:
            piece = self._queue[0]
            count = min(len(out) - filled, len(piece.samples))
            out[filled:filled + count] = piece.samples[:count]
            if piece.at != following:
                run = filled, piece.at
            following = piece.at + count
            filled += count
            self._held -= count
            self._at = max(self._at, following)
            if count == len(piece.samples):
                self._queue.popleft()
            else:
                piece.samples, piece.at = piece.samples[count:], piece.at + count
        if filled < len(out):
            self._dry = True
            self.counters.missing += len(out) - filled
        self.counters.sent += len(out)
        return Frame(out, self._at, run)

    def _append(self, piece: _Piece) -> None:
        if len(piece.samples):
            self._queue.append(piece)
            self._held += len(piece.samples)

    def _cut_older(self) -> bool:
        """Ramp what waits down and drop the rest; False if there was only silence, which may simply be sent."""
        if not any(piece.samples.any() for piece in self._queue):
            return False
        older = np.concatenate([piece.samples for piece in self._queue])
        first, last = self._queue[0], self._queue[-1]
        kept = min(self._ramp, len(older))
        ramped = older[:kept] * np.linspace(1, 0, kept, dtype=np.float32)
        lost = len(older) - kept
        self._queue.clear()
        self._held = 0
        self._append(_Piece(first.at, first.epoch, ramped))
        self.counters.discarded += lost
        end = last.at + len(last.samples)
        self._discarded(end - lost, end)
        return True

    def _trim_silence(self, surplus: int) -> None:
        """Remove up to `surplus` samples of exact silence, oldest first."""
        for piece in self._queue:
            if surplus <= 0:
                break
            if piece.samples.any():
                continue
            count = min(surplus, len(piece.samples))
            piece.samples, piece.at = piece.samples[count:], piece.at + count
            surplus -= count
            self._held -= count
            self.counters.trimmed += count
        self._queue = deque(piece for piece in self._queue if len(piece.samples))
