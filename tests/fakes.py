"""An engine without a model: a scripted floor, for tests of everything above the engine.

What it says depends on the number of the block alone, so that a test knows every sample in advance: from block
`speak_from` to `speak_until` of each conversation it holds the floor and sounds a tone, with one text piece in every
second block. `repeat` starts the script over, so that a long conversation has many replies.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from omni.base.errors import CapacityError
from omni.base.events import BlockInput, BlockResult, PieceBegun, PieceEnded
from omni.base.timebase import TINY, Timebase


@dataclasses.dataclass
class _Conversation:
    block: int = 0
    epoch: int = 0
    pieces: int = 0
    sounding: PieceBegun | None = None
    heard: list[np.ndarray] = dataclasses.field(default_factory=list)
    unplayed: int = 0


class FakeEngine:
    """Implements the synchronous interface of `omni.engine.engine.Engine`.

    Attributes:
        heard: room blocks of each slot ever opened, by slot and opening number, if `keep` is set.
        interrupt_at: block of a reply (counted from its start) at which it breaks off as interrupted, or None.
    """

    follows_instructions = False

    def __init__(self, *, capacity: int = 4, speak_from: int = 10, speak_until: int = 30, repeat: int | None = None,
                 interrupt_at: int | None = None, tone_hz: float = 440.0, timebase: Timebase = TINY,
                 keep: bool = False):
        self.timebase = timebase
        self.capacity = capacity
        self.speak_from, self.speak_until, self.repeat = speak_from, speak_until, repeat
        self.interrupt_at = interrupt_at
        self.tone_hz = tone_hz
        self.keep = keep
        self.opened = 0
        self.seeds: list[int] = []
        self.instructions: list[str] = []
        self._slots: dict[int, _Conversation] = {}
        self.heard: list[list[np.ndarray]] = []

    @property
    def num_open(self) -> int:
        return len(self._slots)

    def open(self, seed: int = 0, instructions: str = "") -> int:
        free = next((slot for slot in range(self.capacity) if slot not in self._slots), None)
        if free is None:
            raise CapacityError(f"all {self.capacity} conversations are taken")
        conversation = _Conversation()
        self._slots[free] = conversation
        self.heard.append(conversation.heard)
        self.opened += 1
        self.seeds.append(seed)
        self.instructions.append(instructions)
        return free

    def close(self, slot: int) -> None:
        self._slots.pop(slot, None)

    def step(self, inputs: Mapping[int, BlockInput]) -> dict[int, BlockResult]:
        return {slot: self._step(self._slots[slot], block_input) for slot, block_input in inputs.items()}

    def _step(self, c: _Conversation, given: BlockInput) -> BlockResult:
        size = self.timebase.block_samples
        assert given.room.shape == (size,) and given.room.dtype == np.float32
        c.unplayed += given.unplayed
        if self.keep:
            c.heard.append(given.room.copy())
        block, c.block = c.block, c.block + 1
        phase = block % self.repeat if self.repeat else block
        stop = self.speak_until if self.interrupt_at is None else self.speak_from + self.interrupt_at
        started, stopped = phase == self.speak_from, phase == stop
        interrupted = stopped and self.interrupt_at is not None
        speaking = self.speak_from <= phase < stop
        if started or interrupted:
            c.epoch += 1
        output_at = self.timebase.block_at(block + 1)
        audio, tail = np.zeros(size, np.float32), 0
        begun: tuple[PieceBegun, ...] = ()
        ended: tuple[PieceEnded, ...] = ()
        wave = 0.3 * np.sin(2 * np.pi * self.tone_hz * np.arange(output_at, output_at + size)
                            / self.timebase.sample_rate_hz)
        if speaking:
            audio[:] = wave
            if (phase - self.speak_from) % 2 == 0:
                if c.sounding:
                    ended = (PieceEnded(c.sounding.index, output_at),)
                c.sounding = PieceBegun(c.pieces, f" word{c.pieces}", output_at)
                begun = (c.sounding,)
                c.pieces += 1
        elif stopped and c.sounding:
            if interrupted:
                tail = self.timebase.from_ms(10)
                audio[:tail] = wave[:tail] * np.linspace(1, 0, tail)
            ended = (PieceEnded(c.sounding.index, output_at + tail, cut=interrupted),)
            c.sounding = None
        symbol = "<start_speak>" if started else "<end_speak>" if stopped else begun[0].text if begun else "<think>"
        return BlockResult(
            block=block, token=0, symbol=symbol, speaking=speaking, epoch=c.epoch, audio=audio, tail=tail, begun=begun,
            ended=ended, started=started, stopped=("interrupted" if interrupted else "finished") if stopped else None,
            unheard=0, caption="a" if given.room.any() and block % 5 == 0 else "")
