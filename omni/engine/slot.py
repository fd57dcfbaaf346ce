"""A conversation's record: how far it is, which reply it is in, which pieces sound.

The model counts nothing that people see; it gives numbers for one row and one block. The slot puts them on the
conversation's own clock.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from omni.base.events import BlockResult, EndReason, PieceBegun, PieceEnded
from omni.base.timebase import Timebase

START_SPEAK = "<start_speak>"

_STOPPED: dict[int, EndReason | None] = {0: None, 1: "finished", 2: "interrupted"}


class Vocabulary(Protocol):
    """What the slot asks about tokens."""

    def text(self, token: int) -> str:
        """A piece with its leading space."""

    def symbol(self, token: int) -> str:
        """A piece, or the name of a special token."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a model step, on the host.

    Attributes:
        token: the token decided on.
        speaking: whether the floor is held after it.
        audio: float32 (block_samples,), owned by the row's conversation.
        tail: leading samples of `audio` that ramp down a cut reply.
        stopped: 0 no, 1 finished, 2 interrupted.
        unheard: pieces the cut dropped.
        begun: (token, offset in the output block) of each piece that begins in it, in order.
        ended: (offset one past its end, whether it was cut) of each piece that ends in it, in order of beginning.
        caption: text understood of the room in this block.
    """

    token: int
    speaking: bool
    audio: np.ndarray
    tail: int
    stopped: int
    unheard: int
    begun: tuple[tuple[int, int], ...]
    ended: tuple[tuple[int, bool], ...]
    caption: str


@dataclass(slots=True)
class Slot:
    """The record of one open conversation.

    Attributes:
        index: row in the batch, the same for the conversation's whole life.
        seed: seed of the conversation's own random generator.
        instructions: what the client asked the model to be.
        fresh: no block has been run yet, so the row must be reset first.
        block: blocks heard so far, which is the index of the next.
        epoch: see `BlockResult.epoch`.
        num_pieces: pieces that have begun to sound so far.
        sounding: running numbers of the pieces that have begun and not ended, oldest first.
    """

    index: int
    seed: int = 0
    instructions: str = ""
    fresh: bool = True
    block: int = 0
    epoch: int = 0
    num_pieces: int = 0
    sounding: deque[int] = field(default_factory=deque)

    def advance(self, row: Row, vocabulary: Vocabulary, timebase: Timebase) -> BlockResult:
        """Count one block and tell what happened in it."""
        symbol = vocabulary.symbol(row.token)
        started = symbol == START_SPEAK
        stopped = _STOPPED[row.stopped]
        if started or stopped == "interrupted":
            self.epoch += 1
        output_at = timebase.block_at(self.block + 1)
        begun = tuple(self._begin(vocabulary.text(token), output_at + offset) for token, offset in row.begun)
        ended = tuple(PieceEnded(self.sounding.popleft(), output_at + offset, cut) for offset, cut in row.ended)
        assert stopped is None or not self.sounding, "a piece outlived the reply it belongs to"
        block, self.block = self.block, self.block + 1
        return BlockResult(block=block, token=row.token, symbol=symbol, speaking=row.speaking, epoch=self.epoch,
                           audio=row.audio, tail=row.tail, begun=begun, ended=ended, started=started, stopped=stopped,
                           unheard=row.unheard, caption=row.caption)

    def _begin(self, text: str, at: int) -> PieceBegun:
        piece = PieceBegun(self.num_pieces, text, at)
        self.num_pieces += 1
        self.sounding.append(piece.index)
        return piece
