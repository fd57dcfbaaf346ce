"""One block of output for each deadline, whatever the engine's lateness.

A deadline opens the slot of one output block. The first result fills it; a slot that is still open at the next
deadline is filled with silence, and what comes for it later is surplus.

    deadline     k         k+1       k+2       k+3       k+4
                 |---------|---------|---------|---------|
    result          a                  b  c       .         d         b is late; . is silence
    sent            a      silence     b       c            d         surplus is taken out of the silence

So speech is delayed by lateness but never dropped, reordered or sent in bursts, and only silence gives time back. An
interruption drops what waits of the reply that was cut: that is the floor's doing, not lateness.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from omni.base.events import BlockResult
from omni.base.timebase import Timebase

SILENT_PEAK = 1e-3      # -60 dBFS: below the noise of any room
RAMP_MS = 10


@dataclass(frozen=True, slots=True)
class OutputBlock:
    """What is sent for one slot.

    Attributes:
        block: index on the conversation's clock.
        samples: float32 (block_samples,).
        epoch, tail: as in `BlockResult`.
        result: what the model decided; None where silence stands in for a late block.
        compute_us: what the tick cost that computed it.
        dropped: results that an interruption in this block has thrown away unsent, oldest first.
    """

    block: int
    samples: np.ndarray
    epoch: int
    tail: int
    result: BlockResult | None
    compute_us: int
    dropped: tuple[BlockResult, ...] = ()


@dataclass(slots=True)
class _Waiting:
    result: BlockResult
    samples: np.ndarray
    tail: int
    compute_us: int
    dropped: tuple[BlockResult, ...] = ()


class Pacer:
    """The queue between results and slots. It holds at most what the engine may be behind, since each waiting block
    stands against one block of silence that was sent in its place.

    Attributes:
        block: index of the output block whose slot was opened last; 0 before the first deadline.
        late_blocks: slots filled with silence so far.
        surplus: blocks by which the output is behind the clock now.
    """

    def __init__(self, timebase: Timebase):
        self.block = 0
        self.late_blocks = 0
        self.surplus = 0
        self._size = timebase.block_samples
        self._ramp = timebase.from_ms(RAMP_MS)
        self._open = False
        self._epoch = 0
        self._sounding = 0      # pieces that have begun and not ended, in order of results
        self._waiting: deque[_Waiting] = deque()

    def deadline(self) -> list[OutputBlock]:
        """The clock has reached the next block: fill the slot that is due, open the next."""
        out = []
        if self._open:
            self.late_blocks += 1
            self.surplus += 1
            out.append(OutputBlock(self.block, np.zeros(self._size, np.float32), self._epoch, 0, None, 0))
        self.block += 1
        self._open = True
        return out + self._fill()

    def push(self, result: BlockResult, compute_us: int) -> list[OutputBlock]:
        """A result has come; gives what may be sent now."""
        waiting = _Waiting(result, result.audio, result.tail, compute_us)
        if result.stopped == "interrupted" and self._waiting:
            self._cut(waiting)
        removable = self._is_silence(result)
        self._sounding = 0 if result.stopped else self._sounding + len(result.begun) - len(result.ended)
        if removable and self.surplus:
            self.surplus -= 1
            return []
        self._waiting.append(waiting)
        return self._fill()

    def skip_results(self, count: int) -> None:
        """`count` blocks, for which silence was sent, are not going to have results."""
        self.surplus = max(0, self.surplus - count)

    def jump(self, count: int) -> None:
        """The clock has moved on by `count` blocks in which nothing was sent."""
        self.block += count

    def _fill(self) -> list[OutputBlock]:
        if not self._open or not self._waiting:
            return []
        self._open = False
        first = self._waiting.popleft()
        self._epoch = first.result.epoch
        return [OutputBlock(self.block, first.samples, first.result.epoch, first.tail, first.result, first.compute_us,
                            first.dropped)]

    def _cut(self, cutting: _Waiting) -> None:
        """Drop what waits, and ramp down from where the audio that was sent breaks off."""
        samples = np.array(cutting.samples)
        samples[:cutting.tail] = 0.0
        following = self._waiting[0].samples[:self._ramp]
        samples[:self._ramp] += following * np.linspace(1.0, 0.0, self._ramp, dtype=np.float32)
        cutting.samples, cutting.tail = samples, self._ramp
        cutting.dropped = tuple(result for waiting in self._waiting for result in (*waiting.dropped, waiting.result))
        self.surplus = max(0, self.surplus - len(self._waiting))
        self._waiting.clear()

    def _is_silence(self, result: BlockResult) -> bool:
        """Nothing sounds in it, nothing happens in it, and no word goes through it."""
        eventful = result.started or result.stopped or result.begun or result.ended
        return not eventful and not self._sounding and float(np.max(np.abs(result.audio), initial=0.0)) < SILENT_PEAK
