import asyncio

import numpy as np
import pytest
from fakes import FakeEngine
from virtual_time import VirtualLoop, VirtualThread, run_virtual

from omni.base.errors import CapacityError
from omni.base.events import BlockInput
from omni.base.timebase import TINY
from omni.engine.worker import EngineWorker

MS = 1_000_000
SIZE = TINY.block_samples


class Listener:
    """A participant that writes down what the worker does with it, in milliseconds."""

    def __init__(self, loop: VirtualLoop):
        self.log: list[tuple] = []
        self.taken = 0
        self.lost: str | None = None
        self._loop = loop

    def _note(self, what: str, *more) -> None:
        self.log.append((what, self._loop.now_ns // MS, *more))

    def take_block(self, now_ns: int) -> BlockInput:
        self._note("take")
        self.taken += 1
        return BlockInput(np.zeros(SIZE, np.float32))

    def give_block(self, result, compute_us: int, now_ns: int) -> None:
        self._note("give", result.block)

    def miss_block(self, now_ns: int) -> None:
        self._note("miss")

    def skip_blocks(self, count: int, now_ns: int) -> None:
        self._note("skip", count)

    def engine_lost(self, reason: str) -> None:
        self.lost = reason


def _run(main, *, engine=None, cost_ms=lambda number: 30):
    """Run main(worker, loop, engine) in virtual time."""
    engine = engine or FakeEngine()

    async def run(loop: VirtualLoop):
        thread = VirtualThread(loop, lambda number: cost_ms(number) * MS)
        async with EngineWorker(engine, clock_ns=loop.clock_ns, executor=thread) as worker:
            return await main(worker, loop, engine)
    return run_virtual(run)


def test_one_tick_every_block():
    async def main(worker, loop, engine):
        listener = Listener(loop)
        await worker.attach(listener)
        await asyncio.sleep(0.3)
        return listener.log
    assert _run(main) == [("take", 80), ("give", 110, 0), ("take", 160), ("give", 190, 1), ("take", 240),
                          ("give", 270, 2)]


def test_ticks_do_not_drift():
    """Five hundred deadlines lie where integers put them."""
    async def main(worker, loop, engine):
        listener = Listener(loop)
        await worker.attach(listener)
        await asyncio.sleep(40.01)
        return [at for what, at, *_ in listener.log if what == "take"], worker.stats()
    takes, stats = _run(main)
    assert takes == [80 * (i + 1) for i in range(500)]
    assert stats.loop_lag_max_us == 0 and stats.skipped_blocks == 0 and stats.late_ticks == 0


def test_late_tick_is_missed_then_caught_up_back_to_back():
    async def main(worker, loop, engine):
        listener = Listener(loop)
        await worker.attach(listener)
        await asyncio.sleep(0.5)
        return listener.log
    log = _run(main, cost_ms=lambda number: 200 if number == 0 else 25)
    assert log == [("take", 80), ("miss", 160), ("miss", 240), ("give", 280, 0), ("take", 280), ("give", 305, 1),
                   ("take", 305), ("miss", 320), ("give", 330, 2), ("take", 330), ("give", 355, 3), ("take", 400),
                   ("give", 425, 4), ("take", 480)]


def test_more_than_four_blocks_behind_skips_the_oldest():
    """After a second of standstill four blocks are heard late and the rest not at all."""
    async def main(worker, loop, engine):
        listener = Listener(loop)
        await worker.attach(listener)
        await asyncio.sleep(2)
        return listener.log, worker.stats()
    log, stats = _run(main, cost_ms=lambda number: 1_000 if number == 0 else 9)
    assert [entry[0] for entry in log].count("miss") == 12
    assert sum(entry[2] for entry in log if entry[0] == "skip") == 8 == stats.skipped_blocks
    takes = [at for what, at, *_ in log if what == "take"]
    assert takes[:6] == [80, 1080, 1089, 1098, 1107, 1120]
    assert stats.late_ticks == 12


def test_loop_that_slept_through_deadlines_sends_nothing_for_them():
    """A laptop that was suspended wakes to one tick, not to a thousand."""
    async def main(worker, loop, engine):
        listener = Listener(loop)
        await worker.attach(listener)
        await asyncio.sleep(0.2)
        loop.now_ns += 100_000 * MS
        await asyncio.sleep(0.2)
        return listener.log, worker.stats()
    log, stats = _run(main)
    assert [entry[0] for entry in log].count("miss") == 0
    assert [entry for entry in log if entry[0] == "skip"] == [("skip", 100_200, 1249)]
    assert stats.loop_lag_max_us == 99_960_000


def test_participants_join_and_leave_between_ticks():
    async def main(worker, loop, engine):
        first, second = Listener(loop), Listener(loop)
        seat = await worker.attach(first)
        await asyncio.sleep(0.2)
        await worker.attach(second)
        await asyncio.sleep(0.1)
        seat.leave()
        seat.leave()
        await asyncio.sleep(0.2)
        assert engine.num_open == 1 == worker.stats().conversations
        return first.taken, second.taken
    assert _run(main) == (3, 4)


def test_nothing_follows_leaving_during_a_step():
    async def main(worker, loop, engine):
        listener = Listener(loop)
        seat = await worker.attach(listener)
        await asyncio.sleep(0.09)
        seat.leave()
        await asyncio.sleep(0.3)
        return listener.log
    assert _run(main) == [("take", 80)]


def test_seats_are_bounded():
    async def main(worker, loop, engine):
        seats = [await worker.attach(Listener(loop)) for _ in range(4)]
        with pytest.raises(CapacityError):
            await worker.attach(Listener(loop))
        seats[1].leave()
        await worker.attach(Listener(loop))
    _run(main)


def test_slow_engine_takes_nobody_and_recovers():
    """Admission looks at the last 10 s only: an old peak must not keep people out for ever."""
    async def main(worker, loop, engine):
        seat = await worker.attach(Listener(loop))
        await asyncio.sleep(3)
        with pytest.raises(CapacityError, match="behind its clock"):
            await worker.attach(Listener(loop))
        assert not worker.ready and not worker.stats().ready
        seat.leave()
        await asyncio.sleep(11)
        assert worker.ready
        await worker.attach(Listener(loop))
    _run(main, cost_ms=lambda number: 70)


def test_engine_exception_ends_every_session():
    """The engine's state is unknown after an exception: nobody goes on with it, and nobody new comes."""
    class Broken(FakeEngine):
        def step(self, inputs):
            if self.opened == 2:
                raise RuntimeError("out of memory")
            return super().step(inputs)

    async def main(worker, loop, engine):
        first, second = Listener(loop), Listener(loop)
        await worker.attach(first)
        await asyncio.sleep(0.1)
        await worker.attach(second)
        await asyncio.sleep(0.1)
        assert "RuntimeError" in first.lost and "RuntimeError" in second.lost
        assert not worker.ready and worker.stats().conversations == 0
        with pytest.raises(CapacityError) as refused:
            await worker.attach(Listener(loop))
        assert refused.value.code == "engine_lost"
    _run(main, engine=Broken())


def test_failing_participant_loses_its_own_seat_only():
    class Failing(Listener):
        def take_block(self, now_ns):
            raise ZeroDivisionError

    async def main(worker, loop, engine):
        failing, other = Failing(loop), Listener(loop)
        await worker.attach(failing)
        await worker.attach(other)
        await asyncio.sleep(0.3)
        assert failing.lost and other.taken == 3 and other.lost is None and engine.num_open == 1
    _run(main)


def test_cancelled_attach_takes_no_place():
    async def main(worker, loop, engine):
        await worker.attach(Listener(loop))
        await asyncio.sleep(0.09)           # a step is running: the opening waits behind it
        attaching = asyncio.create_task(worker.attach(Listener(loop)))
        await asyncio.sleep(0.001)
        attaching.cancel()
        await asyncio.gather(attaching, return_exceptions=True)
        await asyncio.sleep(0.2)
        assert engine.opened == 2 and engine.num_open == 1
    _run(main)


def test_leaving_the_worker_ends_the_sessions():
    listeners = []

    async def main(worker, loop, engine):
        listeners.append(Listener(loop))
        await worker.attach(listeners[0])
        await asyncio.sleep(0.09)
    _run(main)
    assert "shutting down" in listeners[0].lost


def test_statistics():
    async def main(worker, loop, engine):
        await worker.attach(Listener(loop))
        await asyncio.sleep(8.04)
        return worker.stats()
    stats = _run(main, cost_ms=lambda number: 50 if number % 10 == 0 else 20)
    assert (stats.ticks, stats.tick_p50_us, stats.tick_p95_us, stats.tick_max_us) == (100, 20_000, 50_000, 50_000)


@pytest.mark.realtime
async def test_thread_and_clock():
    """With a real thread and clock: half a second of ticks, the engine never on the event loop's thread."""
    import threading

    class Watched(FakeEngine):
        threads: set[str] = set()

        def step(self, inputs):
            self.threads.add(threading.current_thread().name)
            return super().step(inputs)

    engine = Watched()
    async with EngineWorker(engine) as worker:
        class Counter(Listener):
            def _note(self, what, *more):
                self.log.append((what,))
        listener = Counter(None)
        await worker.attach(listener)
        await asyncio.sleep(0.5)
        stats = worker.stats()
    print(f"{stats.ticks} ticks, p95 {stats.tick_p95_us} us; loop lag p95 {stats.loop_lag_p95_us} us")
    assert listener.taken >= 4
    assert {name.split("_")[0] for name in engine.threads} == {"omni-engine"}
    assert not any(thread.name.startswith("omni-engine") for thread in threading.enumerate())
