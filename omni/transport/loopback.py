"""A network in memory: one session, one client, and between them delay, jitter and loss from a seed.

    microphone ─► 20 ms frames ─► Link ─► Session (engine) ─► OutgoingAudio ─► Link ─► jitter buffer ─► speaker
                  client's clock                              20 ms, our clock         client's clock

Events and playback reports travel as over a data channel: delayed, in order, never lost. In virtual time it is
deterministic, so that a test can say what must come out after which fault.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omni.base.events import AudioReady, SessionEvent
from omni.base.ports import EnginePort
from omni.session.session import Session
from omni.transport.outgoing import FRAME_MS, OutgoingAudio

FRAME_NS = FRAME_MS * 1_000_000
MAX_SURPLUS_FRAMES = 3      # what a client's jitter buffer may hold beyond its target before it drops a frame
MAX_BUFFERED_FRAMES = 500   # 10 s: a client that does not play loses what is older


@dataclass(frozen=True, slots=True)
class LinkConditions:
    """One direction of the network.

    Attributes:
        delay_ms: of every packet.
        jitter_ms: more delay, uniform from 0 to this, so that packets overtake each other.
        loss: share of packets that never arrive, 0 to 1.
    """

    delay_ms: float = 20.0
    jitter_ms: float = 0.0
    loss: float = 0.0


class Link:
    """Carries items one way. A stall holds everything back until it ends, and then lets it arrive at once.

    Attributes:
        lost: packets that never arrived.
    """

    def __init__(self, conditions: LinkConditions, seed: int, clock_ns: Callable[[], int]):
        self.lost = 0
        self._conditions = conditions
        self._random = np.random.default_rng(seed)
        self._clock_ns = clock_ns
        self._stalled_until_ns = 0
        self._reliable_at_ns = 0

    def stall(self, duration_ms: int) -> None:
        """Nothing arrives for so long."""
        self._stalled_until_ns = self._clock_ns() + duration_ms * 1_000_000

    def send(self, deliver: Callable, *items) -> None:
        """Like a datagram: may be lost, may be overtaken."""
        lost, jitter = self._random.random(2)
        if lost < self._conditions.loss:
            self.lost += 1
            return
        self._at(self._clock_ns() + self._delay_ns(jitter), deliver, *items)

    def send_reliably(self, deliver: Callable, *items) -> None:
        """Like a stream: arrives, and in order."""
        at_ns = self._clock_ns() + self._delay_ns(self._random.random())
        self._reliable_at_ns = max(self._reliable_at_ns, at_ns)
        self._at(self._reliable_at_ns, deliver, *items)

    def _delay_ns(self, jitter: float) -> int:
        return round((self._conditions.delay_ms + jitter * self._conditions.jitter_ms) * 1e6)

    def _at(self, at_ns: int, deliver: Callable, *items) -> None:
        wait_ns = max(at_ns, self._stalled_until_ns) - self._clock_ns()
        asyncio.get_running_loop().call_later(wait_ns / 1e9, deliver, *items)


class LoopbackClient:
    """The other end: a microphone and a speaker on a clock of their own, and a list of the events that arrived.

    Attributes:
        events: what came over the reliable channel; audio is not among it.
        concealed: frames played as silence because they were lost or late.
    """

    def __init__(self, frame_samples: int, jitter_buffer_ms: int):
        self.events: list[SessionEvent] = []
        self.concealed = 0
        self._frame_samples = frame_samples
        self._target = jitter_buffer_ms // FRAME_MS
        self._to_say = np.zeros(0, np.float32)
        self._buffer: dict[int, tuple[np.ndarray, int]] = {}
        self._next: int | None = None
        self._played: list[np.ndarray] = []
        self._played_at = 0
        self._filling = True

    def say(self, samples: np.ndarray) -> None:
        """Speak into the microphone from now on, after what is still being said; float32 at the model's rate."""
        self._to_say = np.concatenate((self._to_say, np.asarray(samples, np.float32)))

    @property
    def played(self) -> np.ndarray:
        """All that left the speaker since the start, float32 at the model's rate."""
        return np.concatenate([np.zeros(0, np.float32), *self._played])

    @property
    def played_at(self) -> int:
        """Playback position on the conversation's clock, as far as the client can tell."""
        return self._played_at

    def record(self) -> np.ndarray:
        """The microphone's next 20 ms; silence when nothing is said."""
        frame = np.zeros(self._frame_samples, np.float32)
        taken, self._to_say = self._to_say[:self._frame_samples], self._to_say[self._frame_samples:]
        frame[:len(taken)] = taken
        return frame

    def receive(self, number: int, samples: np.ndarray, at: int) -> None:
        """A frame has arrived."""
        if self._next is None or number >= self._next:
            self._buffer[number] = samples, at
        if len(self._buffer) > MAX_BUFFERED_FRAMES:
            del self._buffer[min(self._buffer)]

    def play(self) -> None:
        """The speaker's next 20 ms."""
        if self._filling and len(self._buffer) <= self._target:
            self._played.append(np.zeros(self._frame_samples, np.float32))
            return
        if self._next is None:
            self._next = min(self._buffer)
        self._filling = False
        if len(self._buffer) > self._target + MAX_SURPLUS_FRAMES:
            self._next = max(self._next, max(self._buffer) - self._target)
            self._buffer = {number: frame for number, frame in self._buffer.items() if number >= self._next}
        samples, at = self._buffer.pop(self._next, (np.zeros(self._frame_samples, np.float32), self._played_at))
        if at == self._played_at:
            self.concealed += 1
        if not self._buffer:
            self._filling = True        # run dry: fill up again before going on
        self._next += 1
        self._played_at = max(self._played_at, at)
        self._played.append(samples)


class Loopback:
    """A session and its client. `async with` runs it; the rest is sleeping and looking.

    Attributes:
        session: our end.
        client: the other end.
        up, down: the links, for stalling them.
        sent_events: what the session said, at the moment it said it, audio included.
    """

    def __init__(self, engine: EnginePort, *, up: LinkConditions = LinkConditions(),
                 down: LinkConditions = LinkConditions(), seed: int = 0, drift_ppm: float = 0.0,
                 jitter_buffer_ms: int = 60, report_every_ms: int | None = 200,
                 clock_ns: Callable[[], int] = time.monotonic_ns, **session_options):
        """Args:
            drift_ppm: how much slower the client's sound card runs than our clock, in parts per million.
            jitter_buffer_ms: what the client holds back before it plays.
            report_every_ms: how often the client reports its playback, or None for a client that does not.
            session_options: passed to `Session`.
        """
        self._outgoing = OutgoingAudio(engine.timebase, self._discarded)
        self._clock_ns = clock_ns
        self._client_frame_ns = round(FRAME_NS * (1 + drift_ppm / 1e6))
        self._report_frames = report_every_ms // FRAME_MS if report_every_ms else None
        self.session = Session(engine, self._take, stamped=True, clock_ns=clock_ns, **session_options)
        self.client = LoopbackClient(self._outgoing.frame_samples, jitter_buffer_ms)
        self.up = Link(up, 2 * seed, clock_ns)
        self.down = Link(down, 2 * seed + 1, clock_ns)
        self.sent_events: deque[SessionEvent] = deque(maxlen=100_000)
        self._tasks: list[asyncio.Task] = []

    async def __aenter__(self) -> "Loopback":
        """Connect.

        Raises:
            CapacityError: the engine takes nobody.
        """
        await self.session.start()
        self._tasks = [asyncio.create_task(self._send_frames(), name="loopback-out"),
                       asyncio.create_task(self._be_client(), name="loopback-client")]
        return self

    async def __aexit__(self, *_) -> None:
        """Hang up; packets under way are lost."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.session.close()

    def _take(self, event: SessionEvent) -> None:
        self.sent_events.append(event)
        if isinstance(event, AudioReady):
            self._outgoing.push(event)
        else:
            self.down.send_reliably(self.client.events.append, event)

    def _discarded(self, start: int, end: int) -> None:
        self.session.discard(start, end)

    async def _send_frames(self) -> None:
        number = 0
        async for _ in _grid(FRAME_NS, self._clock_ns):
            frame = self._outgoing.pull()
            self.down.send(self.client.receive, number, frame.samples, frame.at)
            number += 1

    async def _be_client(self) -> None:
        frames = 0
        async for _ in _grid(self._client_frame_ns, self._clock_ns):
            recorded = self.client.record()
            self.up.send(self.session.receive_audio, recorded, frames * len(recorded))
            self.client.play()
            frames += 1
            if self._report_frames and frames % self._report_frames == 0:
                self.up.send_reliably(self.session.report_played, self.client.played_at)


async def _grid(period_ns: int, clock_ns: Callable[[], int]):
    """Yields at absolute multiples of the period; never a burst longer than what was slept through."""
    due_ns = clock_ns()
    while True:
        due_ns += period_ns
        await asyncio.sleep(max(0, due_ns - clock_ns()) / 1e9)
        yield
