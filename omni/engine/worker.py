"""The engine in real time: one thread that computes, one deadline every block, numpy and integers between them.

The event loop keeps the deadlines and talks to the conversations; the thread alone touches the engine. A tick that is
late is never waited for:

    deadline     0         1         2         3         4
                 |---------|---------|---------|---------|
    thread       [== 0 =======][= 1 =][= 2 =]  [= 3 ]    [= 4 ]
                           ^miss_block                              1 and 2 run back to back, then the clock is met

Up to four blocks are owed; beyond that the oldest are skipped, since a conversation that hears the past is worse than
one with a gap. New conversations are refused while the 95th percentile of recent ticks is over 60 ms of the 80.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from omni.base.errors import CapacityError
from omni.base.events import BlockInput, BlockResult
from omni.base.ports import Participant
from omni.base.timebase import Timebase

logger = logging.getLogger(__name__)

MAX_BLOCKS_BEHIND = 4
ADMISSION_P95_US = 60_000
ADMISSION_NS = 10_000_000_000       # ticks of the last 10 s decide about admission
ADMISSION_LEAST_TICKS = 12          # about 1 s; fewer say nothing about the 95th percentile
WINDOW_TICKS = 1_024                # about 80 s of ticks for the statistics


class SyncEngine(Protocol):
    """`omni.engine.engine.Engine`, or a stand-in."""

    timebase: Timebase
    capacity: int
    follows_instructions: bool

    def open(self, seed: int = 0, instructions: str = "") -> int: ...
    def close(self, slot: int) -> None: ...
    def step(self, inputs: dict[int, BlockInput]) -> dict[int, BlockResult]: ...


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """Numbers for people and for /metrics. Percentiles are over the last 1,024 ticks.

    Attributes:
        conversations, capacity: seats taken and seats.
        ready: the engine works and the next conversation would be taken, a seat provided.
        ticks: steps computed since the start.
        tick_p50_us, tick_p95_us, tick_max_us: from handing a step to the thread to its results on the event loop.
        loop_lag_p95_us, loop_lag_max_us: how late the event loop woke for its deadlines.
        late_ticks: deadlines that came while the engine was still computing.
        skipped_blocks: deadlines whose room was not heard, because the engine or the loop was too far behind.
    """

    conversations: int
    capacity: int
    ready: bool
    ticks: int
    tick_p50_us: int
    tick_p95_us: int
    tick_max_us: int
    loop_lag_p95_us: int
    loop_lag_max_us: int
    late_ticks: int
    skipped_blocks: int


class _Seat:
    """A place in the engine; `owed` counts deadlines whose room block has not been taken."""

    def __init__(self, worker: "EngineWorker", slot: int, participant: Participant):
        self.slot = slot
        self.participant = participant
        self.owed = 0
        self._worker = worker

    def leave(self) -> None:
        self._worker._leave(self)


class EngineWorker:
    """Implements `omni.base.ports.EnginePort`. Use `async with`; leaving it ends what still runs.

    Attributes:
        timebase, follows_instructions, capacity: the engine's.
        failure: why the engine was lost, or None.
    """

    def __init__(self, engine: SyncEngine, *, clock_ns: Callable[[], int] = time.monotonic_ns,
                 executor: Executor | None = None):
        """Args:
            engine: owned by the worker's thread from now on.
            clock_ns: must run at the pace of the event loop's clock.
            executor: runs one call at a time, in order; a single thread by default. For virtual time.
        """
        self.timebase = engine.timebase
        self.follows_instructions = engine.follows_instructions
        self.capacity = engine.capacity
        self.failure: str | None = None
        self._engine = engine
        self._clock_ns = clock_ns
        self._executor = executor
        self._period_ns = engine.timebase.block_ms * 1_000_000
        self._seats: dict[int, _Seat] = {}
        self._closing: set[asyncio.Future] = set()
        self._stepping: asyncio.Task | None = None
        self._ticker: asyncio.Task | None = None
        self._tick_us: deque[tuple[int, int]] = deque(maxlen=WINDOW_TICKS)      # (when ns, microseconds)
        self._lag_us: deque[int] = deque(maxlen=WINDOW_TICKS)
        self._num_ticks = 0
        self._num_late = 0
        self._num_skipped = 0

    async def __aenter__(self) -> "EngineWorker":
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="omni-engine")
        self._ticker = asyncio.create_task(self._keep_deadlines(), name="omni-ticks")
        return self

    async def __aexit__(self, *_) -> None:
        """End every conversation with `engine_lost`, let the step in flight finish, and end the thread."""
        self._lose("the engine is shutting down")
        self._ticker.cancel()
        await asyncio.gather(self._ticker, *([self._stepping] if self._stepping else []), return_exceptions=True)
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)
        self._executor.shutdown(wait=True)

    # ---- for sessions

    @property
    def ready(self) -> bool:
        """Whether a conversation would be taken, a seat provided."""
        return self.failure is None and self._admission_p95_us() <= ADMISSION_P95_US

    async def attach(self, participant: Participant, *, seed: int = 0, instructions: str = "") -> _Seat:
        """Take a place; the first deadline after it calls the participant. Cancelling it takes no place.

        Raises:
            CapacityError: every slot is in use, or the engine is behind its clock, or it is lost.
        """
        if self.failure is not None or self._ticker is None:
            raise CapacityError(f"the engine is not running: {self.failure}", code="engine_lost")
        if self._admission_p95_us() > ADMISSION_P95_US:
            raise CapacityError("the engine is behind its clock; try again later")
        opening = asyncio.ensure_future(self._call(self._engine.open, seed, instructions))
        try:
            slot = await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._keep(opening)
            opening.add_done_callback(self._give_back)
            raise
        if self.failure is not None:
            raise CapacityError(f"the engine is not running: {self.failure}", code="engine_lost")
        seat = self._seats[slot] = _Seat(self, slot, participant)
        return seat

    def stats(self) -> WorkerStats:
        """Numbers so far."""
        ticks = sorted(us for _, us in self._tick_us)
        lags = sorted(self._lag_us)
        return WorkerStats(
            conversations=len(self._seats), capacity=self.capacity, ready=self.ready, ticks=self._num_ticks,
            tick_p50_us=_quantile(ticks, 50), tick_p95_us=_quantile(ticks, 95), tick_max_us=ticks[-1] if ticks else 0,
            loop_lag_p95_us=_quantile(lags, 95), loop_lag_max_us=lags[-1] if lags else 0, late_ticks=self._num_late,
            skipped_blocks=self._num_skipped)

    def _leave(self, seat: _Seat) -> None:
        if self._seats.get(seat.slot) is seat:
            del self._seats[seat.slot]
            if self.failure is None:
                self._close_slot(seat.slot)

    def _give_back(self, opening: asyncio.Future) -> None:
        """An attach was cancelled while its slot was being opened."""
        if not opening.cancelled() and opening.exception() is None:
            self._close_slot(opening.result())

    def _close_slot(self, slot: int) -> None:
        """The thread closes it after the step in flight; the slot is free for the next `open` then."""
        self._keep(asyncio.ensure_future(self._call(self._engine.close, slot)))

    def _keep(self, future: asyncio.Future) -> None:
        self._closing.add(future)
        future.add_done_callback(self._closed)

    def _closed(self, future: asyncio.Future) -> None:
        self._closing.discard(future)
        if not future.cancelled() and (error := future.exception()) and not isinstance(error, CapacityError):
            self._lose_by(error)

    def _call(self, function: Callable, *args) -> asyncio.Future:
        return asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    # ---- time

    async def _keep_deadlines(self) -> None:
        deadline_ns = self._clock_ns() + self._period_ns
        while True:
            # Against the absolute deadline, so that errors do not add up; a timer may wake a nanosecond early.
            await asyncio.sleep(max(0, deadline_ns - self._clock_ns()) / 1e9)
            now_ns = max(self._clock_ns(), deadline_ns)
            self._lag_us.append((now_ns - deadline_ns) // 1_000)
            missed = (now_ns - deadline_ns) // self._period_ns
            if missed:
                # The loop itself slept through deadlines: the clients have had their gap already, so nothing is sent
                # for them, and the room of that time is not heard.
                self._skip(list(self._seats.values()), missed, now_ns)
                deadline_ns += missed * self._period_ns
            self._on_deadline(now_ns)
            deadline_ns += self._period_ns

    def _on_deadline(self, now_ns: int) -> None:
        if self.failure is not None or not self._seats:
            return
        seats = list(self._seats.values())
        if self._stepping is None:
            self._begin_step(seats, now_ns)
            return
        self._num_late += 1
        for seat in seats:
            seat.owed += 1
            self._tell(seat, seat.participant.miss_block, now_ns)
        self._skip([seat for seat in seats if seat.owed > MAX_BLOCKS_BEHIND], 1, now_ns)

    def _skip(self, seats: list[_Seat], count: int, now_ns: int) -> None:
        """Leave `count` blocks of the room unheard, the oldest first: owed ones, then such that had no deadline."""
        if seats:
            self._num_skipped += count
        for seat in seats:
            seat.owed -= min(count, seat.owed)
            self._tell(seat, seat.participant.skip_blocks, count, now_ns)

    def _begin_step(self, seats: list[_Seat], now_ns: int) -> None:
        inputs: dict[int, BlockInput] = {}
        stepping: list[_Seat] = []
        for seat in seats:
            block = self._tell(seat, seat.participant.take_block, now_ns)
            # A participant may leave within the call, for itself or for others.
            if block is not None and self._seats.get(seat.slot) is seat:
                inputs[seat.slot] = block
                stepping.append(seat)
        stepping = [seat for seat in stepping if self._seats.get(seat.slot) is seat]
        inputs = {seat.slot: inputs[seat.slot] for seat in stepping}
        if inputs:
            # Submitted here and not in the task: a seat that leaves before the task runs must be closed after the step.
            computing = self._call(self._engine.step, inputs)
            self._stepping = asyncio.create_task(self._step(stepping, computing, now_ns), name="omni-step")

    async def _step(self, seats: list[_Seat], computing: asyncio.Future, began_ns: int) -> None:
        try:
            results = await computing
        except Exception as error:
            self._stepping = None
            self._lose_by(error)
            return
        now_ns = self._clock_ns()
        compute_us = (now_ns - began_ns) // 1_000
        self._tick_us.append((now_ns, compute_us))
        self._num_ticks += 1
        for seat in seats:
            if self._seats.get(seat.slot) is seat:
                self._tell(seat, seat.participant.give_block, results[seat.slot], compute_us, now_ns)
        self._stepping = None
        owing = [seat for seat in self._seats.values() if seat.owed]
        if owing and self.failure is None:
            for seat in owing:
                seat.owed -= 1
            self._begin_step(owing, now_ns)

    def _tell(self, seat: _Seat, call: Callable, *args):
        """Call a participant; one that raises loses its own seat and nobody else's."""
        if self._seats.get(seat.slot) is not seat:
            return None
        try:
            return call(*args)
        except Exception:
            logger.exception("a conversation failed and loses its seat")
            seat.leave()
            self._tell_lost(seat, "an internal error")
            return None

    # ---- the end

    def _lose_by(self, error: BaseException) -> None:
        logger.error("the engine failed", exc_info=error)
        self._lose(f"the engine failed ({type(error).__name__})")

    def _lose(self, reason: str) -> None:
        """No step follows; every conversation is told."""
        if self.failure is not None:
            return
        self.failure = reason
        seats, self._seats = list(self._seats.values()), {}
        for seat in seats:
            self._tell_lost(seat, reason)

    def _tell_lost(self, seat: _Seat, reason: str) -> None:
        try:
            seat.participant.engine_lost(reason)
        except Exception:
            logger.exception("a conversation failed while it was ended")

    def _admission_p95_us(self) -> int:
        since_ns = self._clock_ns() - ADMISSION_NS
        recent = sorted(us for at_ns, us in self._tick_us if at_ns >= since_ns)
        return _quantile(recent, 95) if len(recent) >= ADMISSION_LEAST_TICKS else 0


def _quantile(ordered: list[int], percent: int) -> int:
    """Nearest-rank percentile of a sorted list; 0 of an empty one."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0
