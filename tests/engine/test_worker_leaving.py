"""A seat that is left between a tick's beginning and its computing."""

import asyncio

import numpy as np
from fakes import FakeEngine

from omni.base.events import BlockInput
from omni.engine.worker import EngineWorker


class Leaver:
    """Leaves as soon as the loop runs again after its block was taken."""

    def __init__(self):
        self.lost: list[str] = []
        self.seat = None
        self.left = asyncio.Event()

    def take_block(self, now_ns):
        asyncio.get_running_loop().call_soon(self._leave)
        return BlockInput(np.zeros(1280, np.float32))

    def _leave(self):
        self.seat.leave()
        self.left.set()

    def give_block(self, result, compute_us, now_ns): ...

    def miss_block(self, now_ns): ...

    def skip_blocks(self, count, now_ns): ...

    def engine_lost(self, reason):
        self.lost.append(reason)


async def test_leaving_in_the_middle_of_a_tick_does_not_lose_the_engine():
    """The step was once handed to the thread by a task of its own, after the close of the slot it was for: the engine
    met a slot it did not know, and one client's hanging up ended every conversation."""
    engine = FakeEngine(capacity=1)
    async with EngineWorker(engine) as worker:
        for _ in range(3):
            leaver = Leaver()
            leaver.seat = await worker.attach(leaver)
            await asyncio.wait_for(leaver.left.wait(), 2)
        await asyncio.sleep(0.05)
        assert worker.failure is None and not leaver.lost and engine.num_open == 0
