"""Conversations with a detector, a fixed reply and no model, behind the interface of `omni.engine.engine.Engine`."""

from collections.abc import Callable, Mapping

import numpy as np

from omni.base.events import BlockInput, BlockResult
from omni.base.timebase import TINY, Timebase
from omni.engine.scheduler import Scheduler
from omni.engine.slot import START_SPEAK, Row
from omni.evaluate.baselines.detector import Detector
from omni.evaluate.baselines.reply import FixedReply, speak_reply

_BLOCK = TINY.block_samples
_RAMP = TINY.from_ms(10)            # a cut ramps down within 10 ms, as the agent's does
_SYMBOLS = ("<think>", START_SPEAK, "<end_speak>")
_THINK, _START, _END, _FIRST_WORD = range(4)    # token ids; the k-th word of the reply is _FIRST_WORD + k


class BaselineEngine:
    """As `Engine`: a slot for each conversation, all of them stepped together, no clock.

    What is decided from room block i sounds in output block i + 1. The reply's first sample is the first of the block
    that follows the decision; a word is not decided on, so the token of a block in which the floor stays where it is
    is always `<think>`. After a cut all words that have not begun count as unheard: the whole reply was there.

    Attributes:
        timebase: 80 ms at 16 kHz.
        capacity: most conversations at once.
    """

    def __init__(self, make_detector: Callable[[], Detector], capacity: int, reply: FixedReply | None = None):
        """Args:
            make_detector: makes the ears of one conversation, e.g. `EnergyGate`.
            capacity: most conversations at once.
            reply: what is said each time; None for the usual one, which needs flite.

        Raises:
            OmniError: flite is needed and not installed.
        """
        self.timebase: Timebase = TINY
        self.capacity = capacity
        self._make_detector = make_detector
        self._reply = speak_reply() if reply is None else reply
        self._vocabulary = _Vocabulary(self._reply)
        self._scheduler = Scheduler(capacity)
        self._talks: dict[int, _Talk] = {}

    @property
    def num_open(self) -> int:
        """Conversations open now."""
        return len(self._scheduler)

    def open(self, seed: int = 0, instructions: str = "") -> int:
        """Begin a conversation and return its slot. There is no chance in it, and instructions reach nobody.

        Raises:
            CapacityError: every slot is taken.
            OmniError: what the detector needs is not installed.
        """
        talk = _Talk(self._make_detector(), self._reply)
        slot = self._scheduler.open(seed, instructions).index
        self._talks[slot] = talk
        return slot

    def close(self, slot: int) -> None:
        """End a conversation; idempotent."""
        self._scheduler.close(slot)
        self._talks.pop(slot, None)

    def step(self, inputs: Mapping[int, BlockInput]) -> dict[int, BlockResult]:
        """One block for the conversations in `inputs`; the others stand still.

        Raises:
            ValueError: a slot is not open, or a block has the wrong shape; nothing has moved then.
        """
        batch = self._scheduler.schedule(inputs)
        for block in batch.inputs:
            if block.room.shape != (_BLOCK,):
                raise ValueError(f"a block has shape {(_BLOCK,)}, not {block.room.shape}")
        rows = [self._talks[slot.index].step(block.room)
                for slot, block in zip(batch.slots, batch.inputs, strict=True)]
        results = [slot.advance(row, self._vocabulary, self.timebase)
                   for slot, row in zip(batch.slots, rows, strict=True)]
        return self._scheduler.collect(batch, results)


class _Vocabulary:
    """Tokens as text, as `Slot` asks for it."""

    def __init__(self, reply: FixedReply):
        self._words = reply.words

    def text(self, token: int) -> str:
        return f" {self._words[token - _FIRST_WORD].text}"

    def symbol(self, token: int) -> str:
        return _SYMBOLS[token]


class _Talk:
    """One conversation: who has the floor, and how far the reply is."""

    def __init__(self, detector: Detector, reply: FixedReply):
        self._detector, self._reply = detector, reply
        self._at: int | None = None     # samples of the reply that have sounded; None while the user has the floor

    def step(self, room: np.ndarray) -> Row:
        """Hear one block, float32 (1280,), and give the next."""
        event = self._detector.hear(room)
        if self._at is None:
            if event != "turn_ended":
                return _row(_THINK, speaking=False)
            self._at = 0
            return self._speak(_START)
        if self._at == len(self._reply.samples):
            self._at = None
            return _row(_END, speaking=False, stopped=1)
        return self._cut() if event == "user_started" else self._speak(_THINK)

    def _speak(self, token: int) -> Row:
        start = self._at
        part = self._reply.samples[start:start + _BLOCK]
        self._at = end = start + len(part)
        words = self._reply.words
        begun = tuple((_FIRST_WORD + k, w.start - start) for k, w in enumerate(words) if start <= w.start < end)
        ended = tuple((w.end - start, False) for w in words if start < w.end <= end)
        return _row(token, speaking=True, part=part, begun=begun, ended=ended)

    def _cut(self) -> Row:
        at, words = self._at, self._reply.words
        part = self._reply.samples[at:at + _RAMP]
        part = part * np.linspace(1, 0, _RAMP + 1, dtype=np.float32)[1:len(part) + 1]
        sounding = any(w.start < at < w.end for w in words)
        self._at = None
        return _row(_END, speaking=False, part=part, stopped=2, tail=_RAMP, unheard=sum(w.start >= at for w in words),
                    ended=((_RAMP, True),) if sounding else ())


def _row(token: int, *, speaking: bool, part: np.ndarray | None = None, stopped: int = 0, tail: int = 0,
         unheard: int = 0, begun: tuple[tuple[int, int], ...] = (), ended: tuple[tuple[int, bool], ...] = ()) -> Row:
    """A row whose block begins with `part` and goes on in silence."""
    audio = np.zeros(_BLOCK, np.float32)
    if part is not None:
        audio[:len(part)] = part
    return Row(token=token, speaking=speaking, audio=audio, tail=tail, stopped=stopped, unheard=unheard, begun=begun,
               ended=ended, caption="")
