"""An engine that answers sound with a tone and words, so that a whole conversation can be tested without weights.

It listens to levels, which nothing on the serving path may do: it is a stand-in for a model that understands, and lives
in tests alone. After a second of sound and a pause it "tells a story" of one word in three blocks; sound over the
story for four blocks makes it yield.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from omni.base.errors import CapacityError
from omni.base.events import BlockInput, BlockResult, PieceBegun, PieceEnded
from omni.base.timebase import TINY

STORY = ("Once there was a lighthouse keeper who had forgotten the sea and every night she lit the lamp and every "
         "night the ships went by without a sound and nobody waved").split()
LOUD = 0.01
QUESTION_BLOCKS, PAUSE_BLOCKS, YIELD_BLOCKS, WORD_BLOCKS = 6, 4, 4, 3


@dataclass
class _Slot:
    block: int = 0
    epoch: int = 0
    loud: int = 0
    quiet: int = 0
    asked: bool = False
    said: int = 0
    since: int | None = None
    sounding: PieceBegun | None = None


class ReactingEngine:
    """The synchronous interface of `omni.engine.engine.Engine`."""

    timebase = TINY
    follows_instructions = False

    def __init__(self, capacity: int = 2):
        self.capacity = capacity
        self._slots: dict[int, _Slot] = {}
        self._pieces = itertools.count()

    def open(self, seed: int = 0, instructions: str = "") -> int:
        for slot in range(self.capacity):
            if slot not in self._slots:
                self._slots[slot] = _Slot()
                return slot
        raise CapacityError(f"all {self.capacity} conversations are taken")

    def close(self, slot: int) -> None:
        self._slots.pop(slot, None)

    def step(self, inputs: Mapping[int, BlockInput]) -> dict[int, BlockResult]:
        return {slot: self._step(self._slots[slot], given) for slot, given in inputs.items()}

    def _step(self, s: _Slot, given: BlockInput) -> BlockResult:
        size = TINY.block_samples
        loud = float(np.sqrt(np.mean(given.room**2))) > LOUD
        s.loud, s.quiet = (s.loud + 1, 0) if loud else (s.loud if s.quiet < 2 else 0, s.quiet + 1)
        if s.loud >= QUESTION_BLOCKS and s.since is None:
            s.asked = True
        at = TINY.block_at(s.block + 1)
        started = s.since is None and s.asked and s.quiet >= PAUSE_BLOCKS
        if started:
            s.since, s.said, s.asked, s.loud, s.epoch = s.block, 0, False, 0, s.epoch + 1
        cut = s.since is not None and s.loud >= YIELD_BLOCKS and loud
        over = s.since is not None and not cut and s.said == len(STORY) and (s.block - s.since) % WORD_BLOCKS == 0
        audio, tail, begun, ended = np.zeros(size, np.float32), 0, (), ()
        tone = 0.25 * np.sin(2 * np.pi * 330 * np.arange(at, at + size) / TINY.sample_rate_hz)
        if s.since is not None and not cut and not over:
            audio[:] = tone
            if (s.block - s.since) % WORD_BLOCKS == 0:
                ended = self._end(s, at)
                s.sounding = PieceBegun(next(self._pieces), f" {STORY[s.said]}", at)
                s.said += 1
                begun = (s.sounding,)
        stopped = "interrupted" if cut else "finished" if over else None
        if cut:
            tail = TINY.from_ms(10)
            audio[:tail] = tone[:tail] * np.linspace(1, 0, tail)
            s.epoch += 1
        if stopped:
            ended = self._end(s, at + tail, cut)
            s.since, s.loud, s.asked = None, 0, False
        result = BlockResult(
            block=s.block, token=0, symbol="<start_speak>" if started else "<end_speak>" if stopped else "<think>",
            speaking=s.since is not None, epoch=s.epoch, audio=audio, tail=tail, begun=begun, ended=ended,
            started=started, stopped=stopped, unheard=2 if cut else 0, caption=" hm" if loud else "")
        s.block += 1
        return result

    @staticmethod
    def _end(s: _Slot, at: int, cut: bool = False) -> tuple[PieceEnded, ...]:
        piece, s.sounding = s.sounding, None
        return (PieceEnded(piece.index, at, cut),) if piece else ()
