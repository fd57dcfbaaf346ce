"""A script in virtual time with a network between the user and the agent: frames that are lost or late.

    user ─► 20 ms frames ─► Way ─► Machine's input timeline ─► engine ─► Way ─► Playout ─► what the user hears
              ▲                                                                                │
              └──────────────── turns that wait for the floor, a word, a silence ◄─────────────┘

The server's side is the very one that serves (`omni.session.machine`: stamped audio, 40 ms of slack, zeros for what is
missing), the client's the small jitter buffer of live scripts (`omni.evaluate.playout`); only time is not real, so that
equal seeds give equal conversations. Frames queue on the way, as in the routers that jitter mostly comes from: what is
delayed delays what follows, and nothing is overtaken. The agent's words and floor travel with the block they belong to,
which is never lost; of its audio, frames are.
"""

from collections import deque
from pathlib import Path

import numpy as np

from omni.base.events import (
    AgentText,
    AudioReady,
    BlockInput,
    BlockResult,
    SpeechEnded,
    SpeechStarted,
    UserText,
)
from omni.base.timebase import Timebase
from omni.engine.engine import Engine
from omni.evaluate.outcome import Outcome, conclude
from omni.evaluate.playout import Playout, Told
from omni.evaluate.record import ServerHeard
from omni.evaluate.scenario import NetworkPath, Scenario
from omni.evaluate.user import User, make_echo
from omni.session.machine import Machine, SessionOptions

FRAMES = Timebase(block_ms=20)
REPORT_SAMPLES = 3_200      # a client's report of what it has played, every 200 ms; these are never lost


class Way:
    """One direction of the network; instants are samples at 16 kHz.

    Attributes:
        lost: frames of 20 ms that never arrived.
    """

    def __init__(self, path: NetworkPath, seed: int):
        self.lost = 0
        self._path = path
        self._random = np.random.default_rng(seed)
        self._under_way: deque[tuple[int, object]] = deque()    # arrival, what

    def loses(self) -> bool:
        """Whether the next frame is lost."""
        lost = bool(self._random.random() < self._path.loss)
        self.lost += lost
        return lost

    def send(self, item: object, now: int) -> None:
        """Put something on the way."""
        arrival = now + FRAMES.from_ms(round(self._path.delay_ms + self._random.random() * self._path.jitter_ms))
        if self._under_way:
            arrival = max(arrival, self._under_way[-1][0])
        self._under_way.append((arrival, item))

    def arrivals(self, until: int) -> list:
        """All that has arrived by `until`."""
        found = []
        while self._under_way and self._under_way[0][0] <= until:
            found.append(self._under_way.popleft()[1])
        return found


class RemoteRun:
    """A script under way; the same to the engine's loop as `omni.evaluate.simulate.Run`."""

    def __init__(self, engine: Engine, scenario: Scenario, script: Path, seed: int):
        self._scenario = scenario
        self.slot = engine.open(seed, scenario.instructions)
        self._engine = engine
        self._block = engine.timebase.block_samples
        self._user = User(scenario, script, FRAMES)
        self._echo = make_echo(scenario, script, FRAMES)
        self._machine = Machine(engine.timebase, "virtual", SessionOptions(stamped=True, idle_s=None))
        self._up = Way(scenario.network, 2 * scenario.seed)
        self._down = Way(scenario.network, 2 * scenario.seed + 1)
        self._length = -(-self._user.num_samples // self._block) * self._block
        self._playout = Playout(self._length)
        self._told: list[Told] = []
        self._heard = ServerHeard()
        self._now = 0

    @property
    def _now_ns(self) -> int:
        return self._now * 1_000_000 // FRAMES.samples_per_ms

    @property
    def over(self) -> bool:
        """Whether its time has passed."""
        return self._now >= self._user.num_samples

    def hear(self) -> BlockInput:
        """What the server makes of the next block of its clock."""
        for _ in range(self._block // FRAMES.block_samples):
            self._frame()
        for samples, at in self._up.arrivals(self._now):
            if samples is None:
                self._machine.report_played(at, self._now_ns)
            else:
                self._machine.receive_audio(samples, at, self._now_ns)
        return self._machine.take_block(self._now_ns)

    def take(self, result: BlockResult) -> None:
        """Send what the agent did on its way."""
        self._machine.give_block(result, 0, self._now_ns)
        for event in self._machine.events():
            self._heard.note(event)
            match event:
                case AgentText() | UserText() | SpeechStarted() | SpeechEnded():
                    self._told.append(event)
                case AudioReady():
                    samples = event.samples.copy()
                    for at in range(0, len(samples), FRAMES.block_samples):
                        if self._down.loses():
                            samples[at:at + FRAMES.block_samples] = 0
                    sent = AudioReady(event.at, samples, event.epoch, event.tail)
                    self._down.send((self._told, sent), self._now)
                    self._told = []

    def close(self) -> None:
        """Give the slot back."""
        self._engine.close(self.slot)

    def outcome(self) -> Outcome:
        """What came of it, once it is over; the agent's side is what the user heard."""
        self._machine.close("close_requested")
        for event in self._machine.events():
            self._heard.note(event)
        return conclude(self._scenario, self._user, self._playout.record, self._playout.track, self._heard.texts())

    def _frame(self) -> None:
        """20 ms on the user's side."""
        at, size = self._now, FRAMES.block_samples
        for told, audio in self._down.arrivals(at):
            self._playout.take(told, audio, at)
        microphone = self._user.block(at, self._playout.record).copy()
        microphone = np.pad(microphone, (0, size - len(microphone)))
        if self._echo is not None:
            microphone += self._echo.process(self._playout.track[at:at + size])
        self._now += size
        if not self._up.loses():
            self._up.send((microphone, at), self._now)
        if self._now % REPORT_SAMPLES == 0:
            self._up.send((None, self._playout.position(self._now)), self._now)
