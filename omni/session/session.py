"""The asyncio shell of a conversation: one `Machine`, one seat in the engine, one sink for events.

    transport ── receive_audio, mute, report_played, discard ──► Session ──► Machine
    transport ◄── sink(event), called on the event loop ──────── Session ◄── Machine
    engine    ◄── attach; then take/give/miss/skip in every tick ──► Session

It reads the clock, drains the machine after each call and keeps the machine's one timer armed. Nothing else: what
happens and when is the machine's business.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

import numpy as np

from omni.base.events import BlockInput, BlockResult, CloseReason, SessionClosed, SessionEvent
from omni.base.ports import EnginePort, Seat
from omni.session.machine import Machine, SessionOptions

logger = logging.getLogger(__name__)


class Session:
    """One conversation. Use `async with`, or `start` and `close`.

    Attributes:
        session_id: names the session on the wire and in logs.
        machine: the state; for reading.
    """

    def __init__(self, engine: EnginePort, sink: Callable[[SessionEvent], None], *, session_id: str | None = None,
                 instructions: str = "", stamped: bool = False, idle_s: int | None = 60, length_s: int = 3_600,
                 seed: int = 0, clock_ns: Callable[[], int] = time.monotonic_ns,
                 unix_s: Callable[[], float] = time.time):
        """Args:
            engine: where the conversation takes its seat.
            sink: takes each event, in order, on the event loop; must not block, and bounds its own queue. If it
                raises, the session ends.
            instructions: given to the engine, which may not follow them (`engine.follows_instructions`).
            stamped: `receive_audio` comes with timestamps.
            idle_s, length_s: see `SessionOptions`.
            seed: of the conversation's random generator.
            clock_ns: monotonic clock, the one the engine's worker uses.
            unix_s: wall clock, for `expires_at_s` only.
        """
        self.session_id = session_id or f"sess_{secrets.token_urlsafe(16)}"
        self.machine = Machine(engine.timebase, self.session_id,
                               SessionOptions(stamped=stamped, idle_s=idle_s, length_s=length_s))
        self._engine = engine
        self._sink = sink
        self._instructions = instructions
        self._seed = seed
        self._clock_ns = clock_ns
        self._unix_s = unix_s
        self._seat: Seat | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: int | None = None
        self._ended = asyncio.Event()
        self._draining = False

    async def __aenter__(self) -> "Session":
        await self.start()
        return self

    async def __aexit__(self, *_) -> None:
        await self.close()

    async def start(self) -> None:
        """Take a seat and go live; `SessionStarted` is the first event. Cancelling it takes no seat.

        Raises:
            CapacityError: no seat is free.
        """
        seat = await self._engine.attach(_Passenger(self), seed=self._seed, instructions=self._instructions)
        self._seat = seat
        self.machine.start(self._clock_ns(), int(self._unix_s()))
        self._drain()

    async def close(self, reason: CloseReason = "close_requested", detail: str = "") -> None:
        """End the conversation and give the seat back; `SessionClosed` is the last event. Idempotent, never waits."""
        self.machine.close(reason, detail)
        self._drain()

    async def wait_closed(self) -> SessionClosed:
        """Wait for the end, whoever brings it. Cancelling it loses nothing."""
        await self._ended.wait()
        return self.machine.closed

    # ---- for transports; all are to be called on the event loop and none blocks

    def receive_audio(self, samples: np.ndarray, at: int | None = None) -> None:
        """Audio of the room, float32 (n,) at the model's rate; `at` as in `Machine.receive_audio`."""
        self.machine.receive_audio(samples, at, self._clock_ns())
        self._rearm()

    def mute(self, client_event_id: str | None = None) -> None:
        """Hear zeros from now on."""
        self.machine.mute(self._clock_ns(), client_event_id)
        self._drain()

    def unmute(self, client_event_id: str | None = None) -> None:
        """Hear the room again."""
        self.machine.unmute(self._clock_ns(), client_event_id)
        self._drain()

    def report_played(self, at: int) -> None:
        """The client has played everything before sample `at` of the conversation's clock."""
        self.machine.report_played(at, self._clock_ns())
        self._drain()

    def set_round_trip(self, round_trip_ms: int) -> None:
        """What the transport measures; it serves the estimate of playback while the client sends no reports."""
        self.machine.playback.set_round_trip(round_trip_ms)

    def discard(self, start: int, end: int) -> None:
        """The samples [start, end) of the conversation's clock were thrown away before they left."""
        self.machine.discard(start, end)

    # ---- inside

    def _drain(self) -> None:
        """Give the events to the sink. A sink that calls back into the session finds its events sent after its own."""
        if self._draining:
            return
        self._draining = True
        try:
            while events := self.machine.events():
                for event in events:
                    self._give(event)
        finally:
            self._draining = False
        if self.machine.closed is not None:
            self._leave()
        self._rearm()

    def _give(self, event: SessionEvent) -> None:
        try:
            self._sink(event)
        except Exception:
            logger.exception("%s: the transport failed on %s", self.session_id, type(event).__name__)
            self.machine.close("connection_lost", "the transport failed")

    def _leave(self) -> None:
        seat, self._seat = self._seat, None
        if seat is not None:
            seat.leave()
        self._ended.set()

    def _rearm(self) -> None:
        """Keep one timer at the machine's instant. One that is early asks again instead of being moved: idle time is
        put off by every packet, and a packet should not cost a timer."""
        at = self.machine.get_timer()
        if at is not None and self._timer is not None and self._timer_at <= at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            loop = asyncio.get_running_loop()
            self._timer_at = at
            self._timer = loop.call_later(max(0, at - self._clock_ns()) / 1e9, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.machine.handle_timer(self._clock_ns())
        self._drain()


class _Passenger:
    """The session as the tick sees it."""

    def __init__(self, session: Session):
        self._session = session
        self._machine = session.machine

    def take_block(self, now_ns: int) -> BlockInput:
        block = self._machine.take_block(now_ns)
        self._session._drain()
        return block

    def give_block(self, result: BlockResult, compute_us: int, now_ns: int) -> None:
        self._machine.give_block(result, compute_us, now_ns)
        self._session._drain()

    def miss_block(self, now_ns: int) -> None:
        self._machine.miss_block(now_ns)
        self._session._drain()

    def skip_blocks(self, count: int, now_ns: int) -> None:
        self._machine.skip_blocks(count, now_ns)
        self._session._drain()

    def engine_lost(self, reason: str) -> None:
        self._machine.engine_lost(reason)
        self._session._drain()
