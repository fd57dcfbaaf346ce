"""What a session needs from an engine, and an engine from a session. Neither imports the other."""

from typing import Protocol

from omni.base.events import BlockInput, BlockResult
from omni.base.timebase import Timebase


class Participant(Protocol):
    """A conversation as the tick sees it. Both calls happen on the event loop, in every tick, and never block."""

    def take_block(self, now_ns: int) -> BlockInput:
        """The next block of the room: exactly one block, zeros for what is missing."""

    def give_block(self, result: BlockResult, compute_us: int, now_ns: int) -> None:
        """What the model decided. Results come in order of block, one for each block taken."""

    def miss_block(self, now_ns: int) -> None:
        """The result of the block that is due is late: the pacer plays silence in its place."""

    def skip_blocks(self, count: int, now_ns: int) -> None:
        """The engine fell more than its bound behind; `count` blocks of input are not going to be heard."""

    def engine_lost(self, reason: str) -> None:
        """The engine cannot go on; the session ends itself."""


class Seat(Protocol):
    """A place in the engine, held by one conversation."""

    def leave(self) -> None:
        """Give the place back. Idempotent; no call to the participant follows."""


class EnginePort(Protocol):
    """The engine as a session sees it."""

    timebase: Timebase
    follows_instructions: bool

    async def attach(self, participant: Participant, *, seed: int = 0, instructions: str = "") -> Seat:
        """Take a place; the first tick after it calls `take_block`.

        Cancelling it takes no place.

        Raises:
            CapacityError: every slot is in use, or the 95th percentile of a tick is over its bound.
        """
