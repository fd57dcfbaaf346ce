"""Who has which row, and who takes part in this tick. Plain Python: it sees no tensor and no clock."""

from collections.abc import Mapping
from dataclasses import dataclass

from omni.base.errors import CapacityError
from omni.base.events import BlockInput, BlockResult
from omni.engine.slot import Slot


@dataclass(frozen=True, slots=True)
class Batch:
    """One tick's work.

    Attributes:
        slots: conversations that hear a block in this tick, by row; the others keep their state.
        inputs: what each of them hears, in the same order.
        fresh: those among them that have heard nothing before and begin from a reset row.
    """

    slots: tuple[Slot, ...]
    inputs: tuple[BlockInput, ...]
    fresh: tuple[Slot, ...]


class Scheduler:
    """Gives rows to conversations. A row once taken is kept until the conversation closes."""

    def __init__(self, capacity: int):
        """Args:
            capacity: rows of the batch, which never changes its shape.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self.capacity = capacity
        self._slots: dict[int, Slot] = {}

    def __len__(self) -> int:
        """Open conversations."""
        return len(self._slots)

    def open(self, seed: int, instructions: str) -> Slot:
        """Take the lowest free row.

        Raises:
            CapacityError: there is none.
        """
        for index in range(self.capacity):
            if index not in self._slots:
                self._slots[index] = Slot(index, seed, instructions)
                return self._slots[index]
        raise CapacityError(f"all {self.capacity} conversations are taken; try again later")

    def close(self, index: int) -> None:
        """Give a row back. Closing what is not open changes nothing."""
        self._slots.pop(index, None)

    def schedule(self, inputs: Mapping[int, BlockInput]) -> Batch:
        """The tick for exactly the conversations in `inputs`.

        Raises:
            ValueError: one of them is not open.
        """
        for index in inputs:
            if index not in self._slots:
                raise ValueError(f"slot {index} is not open")
        slots = tuple(self._slots[index] for index in sorted(inputs))
        return Batch(slots, tuple(inputs[slot.index] for slot in slots), tuple(slot for slot in slots if slot.fresh))

    def collect(self, batch: Batch, results: list[BlockResult]) -> dict[int, BlockResult]:
        """Note that the batch has run; results by slot."""
        for slot in batch.fresh:
            slot.fresh = False
        return {slot.index: result for slot, result in zip(batch.slots, results, strict=True)}
