"""What lies between a scripted user and a live server: one line for each transport, and what a poor network does to it.

    SocketLine   audio and events are one stream: what the network delays stays in order, what it loses is a frame of
                 silence, as behind a gateway between a datagram network and a WebSocket
    CallLine     WebRTC: datagrams are lost, delayed and overtaken, and both ends make of it what they can
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from omni.base.events import (
    AgentText,
    AudioReady,
    BlockPlayed,
    SessionClosed,
    SessionEvent,
    SpeechEnded,
    SpeechStarted,
    UserText,
)
from omni.base.timebase import Timebase
from omni.evaluate.playout import Told
from omni.evaluate.record import ServerHeard
from omni.transport.loopback import Link, LinkConditions
from omni.transport.remote import RemoteConversation, ServerError
from omni.transport.remote_session import RemoteSession
from omni.transport.remote_webrtc import RemoteCall

FRAMES = Timebase(block_ms=20)
CLEAN = LinkConditions(delay_ms=0)
MAX_TOLD = 64               # events that come with one block
MAX_UNDER_WAY = 2_000       # 10 s of delay with room to spare; a server that sends faster than real time fills it


class Way:
    """One direction between the user and the WebSocket.

    Attributes:
        lost: frames of 20 ms that were replaced by silence.
    """

    def __init__(self, conditions: LinkConditions, seed: int, clock_ns: Callable[[], int]):
        self.lost = 0
        self._loss = conditions.loss
        self._random = np.random.default_rng((seed, 1))     # not the link's: what is lost does not depend on events
        self._link = Link(conditions, seed, clock_ns)
        self._under_way: deque[tuple[Callable, tuple]] = deque()

    def lose(self, samples: np.ndarray) -> np.ndarray:
        """A copy in which lost frames are silence."""
        samples, size = samples.copy(), FRAMES.block_samples
        for at in range(0, len(samples), size):
            if self._random.random() < self._loss:
                samples[at:at + size] = 0
                self.lost += 1
        return samples

    def carry(self, deliver: Callable, *items) -> None:
        """Call `deliver(*items)` at the other end, after everything that was carried before.

        Raises:
            ServerError: too much is under way.
        """
        if len(self._under_way) >= MAX_UNDER_WAY:
            raise ServerError("the server sends faster than real time")
        self._under_way.append((deliver, items))
        self._link.send_reliably(self._arrive)

    def _arrive(self) -> None:
        # The oldest, whichever timer woke: two timers of one instant come in any order.
        deliver, items = self._under_way.popleft()
        deliver(*items)


class Line(ABC):
    """A connection to a server. A subclass makes `remote`, and says how what the server gives comes to the user.

    Attributes:
        remote: the session on the server.
        heard: what the server knows the user has heard.
        late_blocks: blocks of 80 ms that the server replaced by silence so far.
    """

    remote: RemoteSession

    def __init__(self, hear: Callable[[list[Told], AudioReady], None]):
        """Args:
            hear: takes, at the user's end, audio and the words and floor that come with it.
        """
        self.heard = ServerHeard()
        self.late_blocks = 0
        self._closing = False
        self._hear = hear
        self._told: list[Told] = []
        self._sent = self._received = 0

    def say(self, samples: np.ndarray) -> None:
        """20 ms of the user's microphone, complete now: float32 (320,)."""
        self._sent += 1

    @abstractmethod
    def report(self, at: int) -> None:
        """The user has heard everything before sample `at` of the clock of `AudioReady`."""

    @abstractmethod
    def numbers(self) -> dict[str, int]:
        """What the network did."""

    async def start(self) -> None:
        """See `RemoteSession`s."""
        await self.remote.start()

    async def wait_closed(self) -> SessionClosed:
        """See `RemoteSession.wait_closed`."""
        return await self.remote.wait_closed()

    async def close(self) -> None:
        """See `RemoteSession`s; what comes meanwhile is heard no more."""
        self._closing = True
        await self.remote.close()

    def _take(self, event: SessionEvent) -> None:
        """What the server told; words and floor travel on with the audio that they precede."""
        self.heard.note(event)      # the last of it comes while the session closes
        if self._closing:
            return
        match event:
            case AudioReady():
                told, self._told = self._told, []
                self._bring(told, event)
            case AgentText() | UserText() | SpeechStarted() | SpeechEnded():
                if len(self._told) >= MAX_TOLD:
                    raise ServerError("the server sends words without sound")
                self._told.append(event)
            case BlockPlayed():
                self.late_blocks = event.late_blocks

    @abstractmethod
    def _bring(self, told: list[Told], audio: AudioReady) -> None:
        """Let them come to the user's end."""


class SocketLine(Line):
    """Over a WebSocket."""

    def __init__(self, url: str, hear: Callable[[list[Told], AudioReady], None], *, conditions: LinkConditions,
                 seed: int, clock_ns: Callable[[], int], **options):
        """Args:
            conditions: of each of the two directions.
            seed: of loss and jitter.
            url, options: see `RemoteSession`.

        Raises:
            ServerError: `url` is no address.
        """
        super().__init__(hear)
        self._up = Way(conditions, 2 * seed, clock_ns)
        self._down = Way(conditions, 2 * seed + 1, clock_ns)
        self.remote = RemoteConversation(url, self._take, **options)

    def say(self, samples: np.ndarray) -> None:
        super().say(samples)
        self._up.carry(self.remote.receive_audio, self._up.lose(samples))

    def report(self, at: int) -> None:
        self._up.carry(self.remote.report_played, at)

    def numbers(self) -> dict[str, int]:
        """In frames of 20 ms."""
        return {"frames_sent": self._sent, "frames_lost_up": self._up.lost, "frames_received": self._received,
                "frames_lost_down": self._down.lost, "frames_unsent": self.remote.lost}

    def _bring(self, told: list[Told], audio: AudioReady) -> None:
        self._received += len(audio.samples) // FRAMES.block_samples
        self._down.carry(self._hear, told, replace(audio, samples=self._down.lose(audio.samples)))


class CallLine(Line):
    """Over WebRTC."""

    def __init__(self, url: str, hear: Callable[[list[Told], AudioReady], None], *, conditions: LinkConditions,
                 seed: int, clock_ns: Callable[[], int], **options):
        """As `SocketLine`. Without conditions nothing stands in the way of the datagrams; `clock_ns` has no effect, a
        call's clocks are its own."""
        super().__init__(hear)
        self.remote = RemoteCall(url, self._take, conditions=None if conditions == CLEAN else conditions, seed=seed,
                                 **options)

    def say(self, samples: np.ndarray) -> None:
        super().say(samples)
        self.remote.receive_audio(samples)

    def report(self, at: int) -> None:
        self.remote.report_played(at)

    def numbers(self) -> dict[str, int]:
        """In frames of 20 ms, and see `RemoteCall.counts`."""
        return {"frames_sent": self._sent, "frames_received": self._received, "frames_unsent": self.remote.lost,
                **self.remote.counts()}

    def _bring(self, told: list[Told], audio: AudioReady) -> None:
        self._received += 1
        self._hear(told, audio)
