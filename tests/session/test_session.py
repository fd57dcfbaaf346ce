import asyncio

import pytest
from fakes import FakeEngine
from virtual_time import VirtualThread, run_virtual

from omni.base.errors import CapacityError
from omni.base.events import AudioReady, MuteChanged, SessionClosed, SessionStarted
from omni.engine.worker import EngineWorker
from omni.session.session import Session


def _run(scene, *, engine=None):
    """`scene(worker, make)` in virtual time; `make(**options)` gives a session and the list its events go to."""
    engine = engine or FakeEngine()

    async def main(loop):
        async with EngineWorker(engine, clock_ns=loop.clock_ns, executor=VirtualThread(loop)) as worker:
            def make(sink=None, **options):
                events: list = []
                return Session(worker, sink or events.append, clock_ns=loop.clock_ns, unix_s=lambda: 100.0,
                               **options), events
            return await scene(worker, make)
    return run_virtual(main)


def test_life_of_a_session():
    """Started first, closed last, the seat given back; closing twice is closing once."""
    engine = FakeEngine()

    async def scene(worker, make):
        session, events = make(session_id="s", length_s=60)
        async with session:
            assert engine.num_open == 1
            await asyncio.sleep(1)
        await session.close("expired")
        await asyncio.sleep(0.01)
        assert engine.num_open == 0
        assert await session.wait_closed() == events[-1] == SessionClosed("close_requested", "")
        assert events[0] == SessionStarted("s", 160, {})
        assert sum(isinstance(event, AudioReady) for event in events) == 12
    _run(scene, engine=engine)


def test_seed_and_instructions_reach_the_engine():
    engine = FakeEngine()

    async def scene(worker, make):
        async with make(seed=5, instructions="be brief")[0]:
            pass
    _run(scene, engine=engine)
    assert engine.seeds == [5] and engine.instructions == ["be brief"]


def test_full_engine_refuses():
    async def scene(worker, make):
        async with make()[0]:
            with pytest.raises(CapacityError):
                await make()[0].start()
    _run(scene, engine=FakeEngine(capacity=1))


def test_expires_by_itself():
    """The timer belongs to the session: nobody has to poll."""
    async def scene(worker, make):
        session, events = make(length_s=3, idle_s=None)
        await session.start()
        closed = await session.wait_closed()
        assert closed.reason == "expired" and worker.stats().conversations == 0
        assert asyncio.get_running_loop().time() == pytest.approx(3.0)
    _run(scene)


def test_idle_timer_is_put_off_by_activity():
    async def scene(worker, make):
        session, events = make(idle_s=2)
        await session.start()
        for _ in range(5):
            await asyncio.sleep(1)
            session.mute("m")
        assert session.machine.closed is None
        await session.wait_closed()
        assert asyncio.get_running_loop().time() == pytest.approx(7.0)
        assert MuteChanged(True, "m") in events
    _run(scene)


def test_sink_that_raises_ends_its_session_only(caplog):
    def broken(event):
        if isinstance(event, AudioReady):
            raise ConnectionError

    async def scene(worker, make):
        session, _ = make(broken)
        other, events = make()
        async with other:
            await session.start()
            closed = await session.wait_closed()
            assert closed.reason == "connection_lost"
            await asyncio.sleep(0.5)
            assert other.machine.closed is None and worker.stats().conversations == 1
    _run(scene)
    assert "transport failed" in caplog.text


def test_sink_may_call_back():
    """A transport that throws audio away says so from within the event that made it do so; order is kept."""
    async def scene(worker, make):
        order = []

        def sink(event):
            order.append(type(event).__name__)
            if isinstance(event, SessionStarted):
                session.mute("x")
                order.append("after mute")
        session, _ = make(sink)
        async with session:
            pass
        assert order[:3] == ["SessionStarted", "after mute", "MuteChanged"]
    _run(scene)
