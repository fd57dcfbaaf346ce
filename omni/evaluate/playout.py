"""What the user hears of a live conversation: the agent's audio on the client's clock, and the record of it. Pure.

    server's clock    |--a0--|--a1--|--a2--|              where the server places its audio
    arrival              ^a0      ^a1 ^a2                 after the delay and jitter of the way
    client's clock       |60 ms|--a0--|--a1--|--a2--|     a buffer of 60 ms, then as the server spaced it

One difference between the two clocks holds for audio, words and floor alike. It grows when a block comes after it
should have sounded (the hole before it is silence), and goes back to the buffer's depth in the agent's silence.
Instants are samples at 16 kHz.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np

from omni.base.events import AgentText, AudioReady, SpeechEnded, SpeechStarted, UserText
from omni.base.timebase import TINY
from omni.evaluate.cases import FRAME, audible
from omni.evaluate.record import Caption, Piece, Record, Reply

BUFFER_MS = 60
RAMP_MS = 10
PAUSE_MS = 800          # of a server that tells no floor: a longer silence ends a reply
MAX_WAITING = 256       # words that came long before their sound: the oldest are lost

Told = AgentText | UserText | SpeechStarted | SpeechEnded


class Playout:
    """A client with a small jitter buffer.

    A newer epoch ramps what is sounding of an older one down within 10 ms at its arrival and drops the rest, as the
    protocol asks of clients that buffer; the reply ends there. The wire tells where a word begins, and where it ends
    if that is within the block that brought it: other words last until the next one, or to the end of their reply.

    A server that is not `extended` tells no floor. There a reply begins with the first 10 ms that are louder than -50
    dB of full scale and ends where 0.8 s of less begin, which is known 0.8 s later; its reason is None, since to yield
    and to finish look alike, what was planned and not said is unknown, and its audio is played to the end.

    Attributes:
        track: float32 (num_samples,), what has sounded and what is about to.
        record: floor, words and captions; what lies ahead of the clock is in the buffer and may still be cut.
        late: samples by which audio came after it should have sounded, in all.
    """

    def __init__(self, num_samples: int, *, extended: bool = True):
        self.track = np.zeros(num_samples, np.float32)
        self.record = Record(TINY)
        self.late = 0
        self._extended = extended
        self._buffer, self._ramp = TINY.from_ms(BUFFER_MS), TINY.from_ms(RAMP_MS)
        self._shift: int | None = None      # client's clock less server's
        self._filled = 0                    # one past the last sample placed
        self._newest = 0                    # the same on the server's clock
        self._epoch = 0
        self._loud_until = 0
        self._waiting: deque[tuple[AgentText, int]] = deque(maxlen=MAX_WAITING)

    def position(self, now: int) -> int:
        """What has been played, on the server's clock."""
        return 0 if self._shift is None else max(0, min(now - self._shift, self._newest))

    def take(self, told: Sequence[Told], audio: AudioReady, now: int) -> None:
        """A block has arrived at `now`, with the events that came before it."""
        cut = None
        if audio.epoch > self._epoch:
            self._epoch, cut = audio.epoch, self._cut(now)
        samples = np.array(audio.samples, np.float32)
        if audio.epoch < self._epoch:
            samples[:] = 0
        elif cut is not None:
            samples[:audio.tail] = 0        # the server's own ramp, for a client that had nothing to ramp
        start = self._place(samples, audio.at, now)
        self.record.num_blocks += 1
        for event in told:
            match event:
                case SpeechStarted():
                    self._begin(event.at + self._shift)
                case AgentText():
                    self._word(event, audio.at + len(samples))
                case SpeechEnded():
                    at = event.at + self._shift
                    interrupted = event.reason == "interrupted"
                    end, silent_at = (cut or (at, at + audio.tail)) if interrupted else (at, at)
                    self._end(end, silent_at, event.reason, event.unheard)
                case UserText():
                    self.record.captions.append(Caption(event.text, now))
        if not self._extended:
            self._sense(samples, start)

    def _place(self, samples: np.ndarray, at: int, now: int) -> int:
        """Put a block where it is going to sound; returns its first sample."""
        if self._shift is None:
            self._shift = now + self._buffer - at
        spare = at + self._shift - now
        if spare < 0:
            self.late -= spare
            self._shift -= spare
        elif spare > self._buffer and not audible(samples).any():
            self._shift -= spare - self._buffer
        start = at + self._shift
        first = max(start, self._filled)
        last = min(start + len(samples), len(self.track))
        if first < last:
            self.track[first:last] = samples[first - start:last - start]
        self._filled = max(self._filled, last)
        self._newest = max(self._newest, at + len(samples))
        return start

    def _cut(self, now: int) -> tuple[int, int] | None:
        """Ramp down and drop what sounds and what waits; returns where the ramp lies, None if all of it was silent."""
        waiting = self.track[now:max(now, self._filled)]
        if not waiting.any():
            return None
        ramp = waiting[:self._ramp]
        ramp *= np.linspace(1, 0, len(ramp), dtype=np.float32)
        waiting[self._ramp:] = 0
        self._filled = min(self._filled, now + self._ramp)
        return now, now + self._ramp

    # ---- the record

    def _begin(self, start: int) -> None:
        if self._open() is not None:
            self._end(start, start, None, 0)
        self.record.replies.append(Reply(start))

    def _open(self) -> Reply | None:
        """The reply that goes on."""
        replies = self.record.replies
        return replies[-1] if replies and replies[-1].end is None else None

    def _end(self, end: int, silent_at: int, reason: str | None, unheard: int) -> None:
        reply = self._open()
        if reply is None:
            return
        reply.end = max(end, reply.start)
        reply.silent_at, reply.reason = max(silent_at, reply.end), reason
        begun = [piece for piece in reply.pieces if piece.start < reply.silent_at]
        reply.unheard = unheard + len(reply.pieces) - len(begun)
        reply.pieces[:] = begun
        for piece in begun:
            if piece.end is None or piece.end > reply.silent_at:
                piece.end, piece.cut = reply.silent_at, reason == "interrupted"

    def _word(self, event: AgentText, block_end: int) -> None:
        if not self._extended:
            self._waiting.append((event, self._shift))
        elif (reply := self._open()) is not None:
            start = event.start + self._shift
            if reply.pieces and reply.pieces[-1].end is None:
                reply.pieces[-1].end = start
            end = None if event.end >= block_end else event.end + self._shift
            reply.pieces.append(Piece(event.text, start, end))

    def _sense(self, samples: np.ndarray, start: int) -> None:
        """Floor and words of a server that tells no floor."""
        loud = np.flatnonzero(audible(samples))
        if len(loud):
            if self._open() is None:
                self._begin(start + int(loud[0]) * FRAME)
            self._loud_until = start + int(loud[-1] + 1) * FRAME
        elif start + len(samples) - self._loud_until >= TINY.from_ms(PAUSE_MS):
            self._end(self._loud_until, self._loud_until, None, 0)
        while self._waiting and self.record.replies:
            event, shift = self._waiting[0]
            reply = self.record.replies[-1]
            if reply.end is not None and event.start + shift >= reply.end:
                return      # of a reply that is not heard yet
            self._waiting.popleft()
            reply.pieces.append(Piece(event.text, event.start + shift, event.end + shift))
