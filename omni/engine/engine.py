"""One model for many conversations, one tick at a time. Synchronous, no clock: time passes when `step` is called."""

from collections.abc import Mapping

from omni.base.events import BlockInput, BlockResult
from omni.base.timebase import Timebase
from omni.engine.runner import Runner
from omni.engine.scheduler import Batch, Scheduler
from omni.engine.slot import Row


class Engine:
    """Conversations in slots, all of them stepped by one forward of the model.

    All calls come from one thread, except that `open` and `close` may come from another one between two steps.

    Attributes:
        timebase: the model's grid of time.
        capacity: most conversations at once.
        follows_instructions: whether the model does what instructions say.
    """

    def __init__(self, model, *, capacity: int, device: str = "cpu", threads: int | None = None):
        """Args:
            model: a `DuplexModel`, or anything with its interface.
            capacity: most conversations at once; the batch has this many rows always.
            device: "cpu", "cuda", "cuda:1".
            threads: torch's threads within an operation, for the whole process; None leaves them as they are.
        """
        self.timebase: Timebase = model.timebase
        self.capacity = capacity
        self.follows_instructions = bool(getattr(model, "follows_instructions", False))
        self._pieces = model.pieces
        self._scheduler = Scheduler(capacity)
        self._runner = Runner(model, capacity, device, threads)

    @property
    def num_open(self) -> int:
        """Conversations open now."""
        return len(self._scheduler)

    def open(self, seed: int = 0, instructions: str = "") -> int:
        """Begin a conversation and return its slot. Its first `step` hears block 0 with nothing before it.

        Raises:
            CapacityError: every slot is taken.
        """
        return self._scheduler.open(seed, instructions).index

    def close(self, slot: int) -> None:
        """End a conversation; idempotent. Nothing of it reaches the next one in the same slot."""
        self._scheduler.close(slot)

    def step(self, inputs: Mapping[int, BlockInput]) -> dict[int, BlockResult]:
        """One block for the conversations in `inputs`; the others stand still.

        Raises:
            ValueError: a slot is not open, or a block has the wrong shape; nothing has moved then.
        """
        batch = self._scheduler.schedule(inputs)
        rows = self._runner.run(batch)
        results = self._postprocess(batch, rows)
        return self._scheduler.collect(batch, results)

    def _postprocess(self, batch: Batch, rows: list[Row]) -> list[BlockResult]:
        return [slot.advance(row, self._pieces, self.timebase) for slot, row in zip(batch.slots, rows, strict=True)]
