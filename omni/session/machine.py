"""A conversation without I/O: feed it what happened and when, then drain its events.

It knows neither asyncio nor torch and reads no clock; every `now_ns` is the caller's monotonic clock. Three things
meet here on one clock of blocks: the room (input timelines), the engine's results (paced, see `pacer`) and what the
client has heard (see `playback`).

    deadline k          room block k is complete; the slot of output block k + 1 opens
    take_block          room block k goes to the engine
    give_block          its result fills the slot: AudioReady for output block k + 1
    miss_block          deadline k + 1 has come without it: silence is sent instead, the result is played later

Each deadline is exactly one call, of `take_block` or of `miss_block`; a `take_block` that follows missed deadlines
catches up on the oldest of them and is no deadline itself.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from omni.audio.timeline import Counted, Timeline, TimelineCounters
from omni.base.events import (
    AgentText,
    AudioReady,
    BlockInput,
    BlockPlayed,
    BlockResult,
    CloseReason,
    MuteChanged,
    SessionClosed,
    SessionEvent,
    SessionStarted,
    SpeechEnded,
    SpeechStarted,
    UserText,
)
from omni.base.timebase import Timebase
from omni.session.pacer import OutputBlock, Pacer
from omni.session.playback import Playback

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Limits and habits of one session.

    Attributes:
        stamped: input audio comes with timestamps (`Timeline`); otherwise its samples are counted (`Counted`).
        idle_s: the session expires when the client has sent nothing for so long; None for never.
        length_s: the session expires after so long.
        round_trip_ms, jitter_buffer_ms: for the estimate of playback while the client sends no reports.
    """

    stamped: bool = False
    idle_s: int | None = 60
    length_s: int = 3_600
    round_trip_ms: int = 40
    jitter_buffer_ms: int = 60


class Machine:
    """One conversation from start to close. Not thread-safe.

    Attributes:
        playback: the record of what was heard; a transport may tell it the round trip.
        closed: the last event, once there is one; every call after it is ignored.
    """

    def __init__(self, timebase: Timebase, session_id: str, options: SessionOptions | None = None):
        self.timebase = timebase
        self.session_id = session_id
        self.options = options = options or SessionOptions()
        self.playback = Playback(timebase, round_trip_ms=options.round_trip_ms,
                                 jitter_buffer_ms=options.jitter_buffer_ms)
        self.closed: SessionClosed | None = None
        self._size = timebase.block_samples
        self._input: Timeline | Counted = (Timeline if options.stamped else Counted)(timebase)
        self._pacer = Pacer(timebase)
        self._events: list[SessionEvent] = []
        self._muted = False
        self._room_block = 0                    # room blocks taken or skipped so far
        self._owed = 0                          # deadlines whose room block has not been taken
        self._thinking: deque[int] = deque()    # room blocks taken whose results are awaited
        self._sent: dict[int, tuple[bool, float, int]] = {}     # output block -> (speaking, level, compute_us)
        self._speaking = False
        self._epoch = 0
        self._output_at = 0                     # first sample of the output block that was sent last
        self._unplayed = 0
        self._expires_ns: int | None = None
        self._idle_ns: int | None = None

    # ---- life

    def start(self, now_ns: int, unix_s: int, details: dict | None = None) -> None:
        """The session is live from now on; `unix_s` is for people to read."""
        self._expires_ns = now_ns + self.options.length_s * NS_PER_S
        self._active(now_ns)
        self._events.append(SessionStarted(self.session_id, unix_s + self.options.length_s, details or {}))

    def close(self, reason: CloseReason, detail: str = "") -> None:
        """End the session; idempotent. What was heard until now is final."""
        if self.closed is None:
            self._events += self.playback.close()
            self.closed = SessionClosed(reason, detail)
            self._events.append(self.closed)

    def engine_lost(self, reason: str) -> None:
        """The engine cannot go on."""
        self.close("connection_lost", f"engine_lost: {reason}")

    def events(self) -> list[SessionEvent]:
        """What has happened since the last call, in order; the caller owns the list."""
        events, self._events = self._events, []
        return events

    def get_timer(self) -> int | None:
        """When `handle_timer` wants to be called (ns), or None."""
        if self.closed is not None:
            return None
        return min((at for at in (self._expires_ns, self._idle_ns) if at is not None), default=None)

    def handle_timer(self, now_ns: int) -> None:
        """Expire, if it is time; calling early does nothing."""
        if self._expires_ns is not None and now_ns >= self._expires_ns:
            self.close("expired", f"the session lasted {self.options.length_s} s, which is the limit")
        elif self._idle_ns is not None and now_ns >= self._idle_ns:
            self.close("expired", f"nothing came from the client for {self.options.idle_s} s")

    def _active(self, now_ns: int) -> None:
        if self.options.idle_s is not None:
            self._idle_ns = now_ns + self.options.idle_s * NS_PER_S

    # ---- the client

    def receive_audio(self, samples: np.ndarray, at: int | None, now_ns: int) -> None:
        """Audio of the room, float32 (n,) at the model's rate.

        Args:
            at: timestamp of its first sample on the client's own clock (samples at the model's rate, unwrapped) for a
                stamped session, None for a counted one.

        Raises:
            ValueError: a timestamp too many or too few.
        """
        if (at is not None) != self.options.stamped:
            raise ValueError("a stamped session takes timestamps with its audio, a counted one takes none")
        if self.closed is not None:
            return
        self._active(now_ns)
        if self._muted:
            samples = np.zeros(len(samples), np.float32)
        if isinstance(self._input, Timeline):
            self._input.place(samples, at)
        else:
            self._input.append(samples)

    def mute(self, now_ns: int, client_event_id: str | None = None) -> None:
        """Hear zeros from the next block on; time goes on, and what comes meanwhile is never heard."""
        self._mute(True, now_ns, client_event_id)

    def unmute(self, now_ns: int, client_event_id: str | None = None) -> None:
        """Hear again what comes from now on."""
        self._mute(False, now_ns, client_event_id)

    def _mute(self, muted: bool, now_ns: int, client_event_id: str | None) -> None:
        if self.closed is None:
            self._active(now_ns)
            self._muted = muted
            self._events.append(MuteChanged(muted, client_event_id))

    def report_played(self, at: int, now_ns: int) -> None:
        """The client has played everything before sample `at` of the conversation's clock."""
        if self.closed is None:
            self._active(now_ns)
            self.playback.report(at)
            self._events += self.playback.heard()

    def discard(self, start: int, end: int) -> None:
        """The transport has thrown away the samples [start, end) of the conversation's clock before they left."""
        self.playback.discard(max(start, 0), end)
        if start < self._output_at + self._size <= end:
            self._unplayed = self._output_at + self._size - max(start, self._output_at)

    @property
    def input_counters(self) -> TimelineCounters:
        """What went wrong on the way in."""
        return self._input.counters

    # ---- the engine (`omni.base.ports.Participant`)

    def take_block(self, now_ns: int) -> BlockInput:
        """The next block of the room for the engine; zeros for what is missing or muted."""
        if self._owed:
            self._owed -= 1
        else:
            self._deadline(now_ns)
        room = self._read_room()
        self._thinking.append(self._room_block - 1)
        unplayed, self._unplayed = self._unplayed, 0
        return BlockInput(room, unplayed)

    def miss_block(self, now_ns: int) -> None:
        """A deadline has come while the engine is busy: its room block is owed; silence stands in for a late result."""
        self._owed += 1
        self._deadline(now_ns)

    def skip_blocks(self, count: int, now_ns: int) -> None:
        """`count` blocks of the room are not going to be heard, the oldest first: those that are owed, and beyond them
        blocks for which not even a deadline was kept, so that the clock jumps over them."""
        owed = min(count, self._owed)
        self._owed -= owed
        self._pacer.skip_results(owed)
        self._pacer.jump(count - owed)
        for _ in range(count):
            self._read_room()

    def give_block(self, result: BlockResult, compute_us: int, now_ns: int) -> None:
        """What the engine decided from the oldest block it was given and has not answered."""
        heard = self._thinking.popleft()
        if self.closed is not None:
            return
        if result.caption:
            start = self.timebase.block_at(heard)
            self._events.append(UserText(result.caption, start, start + self._size))
        for block in self._pacer.push(result, compute_us):
            self._send(block, now_ns)

    def _deadline(self, now_ns: int) -> None:
        for block in self._pacer.deadline():
            self._send(block, now_ns)
        self.playback.estimate(now_ns)
        if self.closed is None:
            self._events += self.playback.heard()

    def _read_room(self) -> np.ndarray:
        """The next room block. With it the record of the clock's block is complete."""
        room = self._input.read_block()
        if self._muted:
            room[:] = 0.0
        block, self._room_block = self._room_block, self._room_block + 1
        speaking, level, compute_us = self._sent.pop(block, (self._speaking, 0.0, 0))
        if self.closed is None:
            self._events.append(BlockPlayed(block, speaking, level, _level(room), self._pacer.late_blocks, compute_us))
        return room

    # ---- output

    def _send(self, block: OutputBlock, now_ns: int) -> None:
        """Floor first, then the words, then the audio that carries them."""
        if self.closed is not None:
            return
        at = self.timebase.block_at(block.block)
        dropped_pieces = 0
        for result in block.dropped:
            if result.started:
                self._begin_reply(result.epoch, at)
            dropped_pieces += len(result.begun)
        if block.result is not None:
            self._tell(block, block.result, at, dropped_pieces)
        if block.epoch > self._epoch:
            self._epoch = block.epoch
        self._output_at = at
        self._sent[block.block] = (self._speaking, _level(block.samples), block.compute_us)
        self.playback.sent(at, self._size, now_ns)
        self._events.append(AudioReady(at, block.samples, block.epoch, block.tail))

    def _tell(self, block: OutputBlock, result: BlockResult, at: int, dropped_pieces: int) -> None:
        """The events of one result, moved from the model's clock to where its audio is really sent."""
        offset = at - self.timebase.block_at(result.block + 1)
        self._speaking = result.speaking
        if result.started:
            self._begin_reply(result.epoch, at)
        ends = {piece.index: piece.at + offset for piece in result.ended}
        for piece in result.begun:
            start = piece.at + offset
            self.playback.begin_word(piece.index, piece.text, start)
            end = ends.get(piece.index, max(at + self._size, start + 1))  # it may begin where the next block does
            self._events.append(AgentText(piece.text, start, end, result.epoch))
        for piece in result.ended:
            self.playback.end_word(piece.index, piece.at + offset, piece.cut)
        if result.stopped:
            interrupted = result.stopped == "interrupted"
            end = at + (block.tail if interrupted else self._size)
            self.playback.end_reply(end, interrupted)
            self._events.append(SpeechEnded(result.epoch, at, result.stopped, result.unheard + dropped_pieces))

    def _begin_reply(self, epoch: int, at: int) -> None:
        self.playback.begin_reply(epoch)
        self._events.append(SpeechStarted(epoch, at))


def _level(samples: np.ndarray) -> float:
    """Root mean square, 0 to 1."""
    return min(1.0, float(np.sqrt(np.mean(np.square(samples)))))
