"""Input timelines: from what the network delivers to exactly one block of the room in every tick.

`Timeline` is for sources that stamp their samples (RTP), `Counted` for sources that only send them (WebSocket). Both
are pure: no clock is read; a tick is a call of `read_block`. What does not arrive is zeros, as in training.

Times at join, for `Timeline`:

    client's clock   ...-----|--------------------|----------|
                             read_at      + block    + 40 ms = newest sample

so a packet may be up to 40 ms later than its fellows before it is missed. Where they keep coming later than that, the
delay grows by as much, once, to 240 ms at most: with 100 to 200 ms of jitter (uniform, packets queue) a fixed 40 ms
lost 8 to 20 % of the audio, and what is not heard cannot be answered, however soon.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from omni.audio.ring import Ring
from omni.base.timebase import Timebase

DELAY_MS = 40           # how far the end of a block lies behind the newest sample at join
DRIFT_MS = 40           # deviation from that which is left alone
DRIFT_PATIENCE_MS = 5_000
JUMP_MS = 200           # a deviation of this size is no drift: the source's clock jumped
JUMP_PATIENCE_BLOCKS = 4
MAX_DELAY_MS = 240      # the delay does not grow beyond this, however late packets come
LATE_READS = 3          # so many reads of the last 5 s had late packets: the delay is too small
HORIZON_MS = 2_000      # samples farther ahead than this are on another clock
BURST_MS = 30_000       # how much of a first burst is kept
UNDERFLOW_MS = 200      # a longer silence of the source ends its burst: what comes next is new
PACE_MS = 1_000         # how long a surplus must wait, and the source keep real time, before it is dropped


@dataclass(slots=True)
class TimelineCounters:
    """What went wrong so far, in samples unless said otherwise.

    Attributes:
        missing: read as zero because they had not arrived.
        late: arrived after their block was read; dropped.
        dropped: thrown away to catch up, or because there was no room.
        drift_corrections: times the reading position was corrected.
        delays: times the delay grew because packets kept coming late.
        anchors: times the reading position was set, the join included.
    """

    missing: int = 0
    late: int = 0
    dropped: int = 0
    drift_corrections: int = 0
    delays: int = 0
    anchors: int = 0


class Timeline:
    """Places samples by their timestamps and reads one block a tick, some delay behind the newest."""

    def __init__(self, timebase: Timebase, delay_ms: int = DELAY_MS):
        """Args:
            timebase: the model's grid; timestamps count its samples.
            delay_ms: how far the end of a block lies behind the newest sample at join.
        """
        self.counters = TimelineCounters()
        self._block = timebase.block_samples
        self._delay = self._least_delay = timebase.from_ms(delay_ms)
        self._most_delay = timebase.from_ms(MAX_DELAY_MS)
        self._drift = timebase.from_ms(DRIFT_MS)
        self._jump = timebase.from_ms(JUMP_MS)
        self._drift_patience = -(-DRIFT_PATIENCE_MS // timebase.block_ms)
        size = timebase.from_ms(HORIZON_MS) + self._block
        # Slot t % size holds the sample stamped t, for t in [oldest, oldest + size); `_present` says whether it came.
        self._samples = np.zeros(size, np.float32)
        self._present = np.zeros(size, bool)
        self._first: int | None = None      # stamp of the first sample since the anchor
        self._newest = 0                    # one past the newest stamp
        self._read_at: int | None = None    # stamp of the next sample to read; None before the first read
        self._recent: int | None = None     # one past the newest stamp that came since the last read
        self._off_for = 0                   # reads in a row that deviated by more than the drift bound
        self._far_for = 0                   # reads in a row that deviated by more than the jump bound
        self._lateness = 0                  # samples by which the latest packet since the last read came too late
        self._late: deque[int] = deque(maxlen=self._drift_patience)     # the same of the reads before
        self._ahead: deque[int] = deque(maxlen=self._drift_patience)    # how far ahead of its place the newest was

    def place(self, samples: np.ndarray, at: int) -> None:
        """Put float32 `samples` at timestamp `at` (samples on the source's clock, unwrapped, any origin).

        What lies before the reading position is late and dropped. A stamp beyond the horizon means that the source's
        clock has jumped: the timeline anchors anew.
        """
        samples = np.asarray(samples, np.float32)
        end = at + len(samples)
        if not len(samples):
            return
        size = len(self._samples)
        if self._read_at is not None and end > self._read_at + size:
            self._forget()
        if self._first is None:
            self._first, self._newest = at, end
        self._first = min(self._first, at) if self._read_at is None else self._first
        self._newest = max(self._newest, end)
        self._recent = end if self._recent is None else max(self._recent, end)
        oldest = self._newest - size if self._read_at is None else self._read_at
        if at < oldest:
            cut = min(oldest - at, len(samples))
            if self._read_at is None:
                self.counters.dropped += cut
            else:
                self.counters.late += cut
                self._lateness = max(self._lateness, oldest - at)
            samples, at = samples[cut:], at + cut
        if len(samples):
            slots = np.arange(at, end) % size
            self._samples[slots] = samples
            self._present[slots] = True

    def read_block(self) -> np.ndarray:
        """The next block, float32 (block_samples,), zeros where nothing has come; the caller owns it."""
        if self._first is None:
            return np.zeros(self._block, np.float32)
        if self._read_at is None:
            self._anchor(self._newest)
        else:
            self._follow()
            self._wait_longer()
        stamps = np.arange(self._read_at, self._read_at + self._block)
        slots = stamps % len(self._samples)
        present = self._present[slots]
        block = np.where(present, self._samples[slots], np.float32(0.0))
        self._present[slots] = False
        self.counters.missing += int(np.count_nonzero(~present & (stamps >= self._first)))
        self._read_at += self._block
        self._recent = None
        return block

    def _anchor(self, newest: int) -> None:
        """Set the reading position from the newest stamp, and forget what lies before it or is of another clock."""
        self._newest = newest
        self._read_at = newest - self._delay - self._block
        self._off_for = self._far_for = 0
        self._late.clear()
        self._ahead.clear()
        self.counters.anchors += 1
        size = len(self._samples)
        others = np.arange(newest, self._read_at + size) % size
        self.counters.dropped += int(np.count_nonzero(self._present[others]))
        self._present[others] = False

    def _follow(self) -> None:
        """Compare the reading position with where it should be; correct it after enough of the same evidence.

        Reads without arrivals are no evidence: a muted or stalled source says nothing about clocks.
        """
        if self._recent is None:
            return
        deviation = self._recent - self._delay - self._block - self._read_at
        self._ahead.append(deviation)
        self._off_for = self._off_for + 1 if abs(deviation) > self._drift else 0
        self._far_for = self._far_for + 1 if abs(deviation) > self._jump else 0
        if self._off_for < self._drift_patience and self._far_for < JUMP_PATIENCE_BLOCKS:
            return
        self.counters.drift_corrections += 1
        # Going back reads stamps that were read before: their slots are empty now and give zeros, never an echo.
        back_from = self._read_at
        self._anchor(self._recent)
        self._first = max(self._read_at, min(back_from, self._recent))

    def _wait_longer(self) -> None:
        """Grow the delay by what keeps coming late. The reading position goes back: once, zeros stand for that time.

        Where even the promptest packets come late it is the source's clock that runs behind: that is drift.
        """
        self._late.append(self._lateness)
        self._lateness = 0
        if sum(late > 0 for late in self._late) < LATE_READS or max(self._ahead, default=0) < -self._drift // 2:
            return
        more = min(max(self._late), self._most_delay - self._delay)
        self._late.clear()
        if more <= 0:
            return
        self.counters.delays += 1
        self._delay += more
        self._first = max(self._first, self._read_at)   # what is read again is not missing
        self._read_at -= more

    def _forget(self) -> None:
        self.counters.dropped += int(np.count_nonzero(self._present))
        self._present[:] = False
        self._first = self._read_at = self._recent = None
        self._off_for = self._far_for = 0
        self._delay, self._lateness = self._least_delay, 0
        self._late.clear()
        self._ahead.clear()


class Counted:
    """Counts samples of a source without timestamps and reads one block a tick.

    A burst (a client that sends a recording at once, or what its microphone gathered while it connected) is kept up to
    30 s and heard in real time. When the source falls behind, zeros stand in; what then arrives late would delay all
    that follows, so a surplus that waits for a whole second behind a source that keeps real time is dropped, oldest
    first. An underflow over 200 ms anchors anew: the next samples are a new beginning and nothing of it is missing.
    """

    def __init__(self, timebase: Timebase, delay_ms: int = DELAY_MS):
        """Args:
            timebase: the model's grid.
            delay_ms: how much is kept waiting against jitter; reading starts once a block and this much have come.
        """
        self.counters = TimelineCounters()
        self._block = timebase.block_samples
        self._delay = timebase.from_ms(delay_ms)
        self._underflow = timebase.from_ms(UNDERFLOW_MS)
        self._window = -(-PACE_MS // timebase.block_ms)
        self._ring = Ring(timebase.from_ms(BURST_MS))
        self._joined = False
        self._held = 0              # reads since samples wait to join: a short clip must not wait for ever
        self._deficit = 0           # samples missed since the source fell behind
        self._fell_behind = False   # an underflow has happened: surplus is latency now
        self._arrived = 0           # samples since the last read
        self._paces: list[int] = []     # arrivals of the last reads
        self._waits: list[int] = []     # what was left waiting after the last reads

    def append(self, samples: np.ndarray) -> None:
        """Append float32 samples, any count; beyond 30 s waiting the oldest are dropped."""
        self.counters.dropped += self._ring.write(samples)
        self._arrived += len(samples)

    def read_block(self) -> np.ndarray:
        """The next block, float32 (block_samples,), zeros where nothing has come; the caller owns it."""
        if not self._joined and not self._join():
            return np.zeros(self._block, np.float32)
        taken = self._ring.read(min(self._block, len(self._ring)))
        missing = self._block - len(taken)
        if missing:
            self._fell_behind = True
            self._deficit += missing
            self.counters.missing += missing
            taken = np.concatenate((taken, np.zeros(missing, np.float32)))
        else:
            self._deficit = 0
        self._watch_pace()
        if self._deficit > self._underflow:
            self._joined = False
            self._held = self._deficit = 0
        return taken

    def _join(self) -> bool:
        """Start reading once a block and the delay are there, or a second read finds something waiting."""
        if not len(self._ring):
            return False
        self._held += 1
        if len(self._ring) < self._block + self._delay and self._held < 2:
            return False
        self._joined = True
        self.counters.anchors += 1
        self._paces.clear()
        self._waits.clear()
        self._arrived = 0   # what came before the join is the burst, not the pace
        return True

    def _watch_pace(self) -> None:
        """Drop what has waited through a whole window, if the source kept real time meanwhile after it fell behind.

        The least that was waiting within the window tells the surplus whatever the size of the source's chunks.
        """
        self._paces = [*self._paces, self._arrived][-self._window:]
        self._waits = [*self._waits, len(self._ring)][-self._window:]
        self._arrived = 0
        if not self._fell_behind or len(self._waits) < self._window:
            return
        expected = self._window * self._block
        surplus = min(self._waits) - self._delay
        if surplus > 0 and 0.8 * expected <= sum(self._paces) <= 1.2 * expected and surplus >= self._block // 4:
            self.counters.dropped += self._ring.drop(surplus)
            self.counters.drift_corrections += 1
            self._waits.clear()
            self._paces.clear()
