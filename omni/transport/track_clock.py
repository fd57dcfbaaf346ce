"""Two clocks of one call: the session's, on which words and floor are told, and the received track's, on which they
sound. Pure.

    session   |-------- words -------|xx|---- silence ----        xx was cut, or left out, or never sent
    track     |-------- words -------|---- silence ----           what `pts` of the received packets count

The server tells by RTP timestamp where the one lies on the other, and again whenever that has moved (`omni.audio`).
Both count samples at the model's rate.
"""

from collections import deque

from omni.base.timebase import Timebase
from omni.transport.call_audio import OPUS_HZ

OPUS_DELAY = 312        # samples at 48 kHz: the look-ahead of libopus (2.5 ms, and 4 ms for "voip"), in no timestamp
MAX_PLACES = 64         # moves in some seconds; what is told lies no further back


class TrackClock:
    """Where on the track a sample of the session sounds."""

    def __init__(self, timebase: Timebase):
        self._per_sample = OPUS_HZ // timebase.sample_rate_hz
        self._told: deque[tuple[int, int]] = deque(maxlen=MAX_PLACES)       # before the origin is known
        self._places: deque[tuple[int, int]] = deque(maxlen=MAX_PLACES)     # (session, track), as they came
        self._origin: int | None = None

    @property
    def known(self) -> bool:
        """Whether `locate` may be asked."""
        return bool(self._places)

    def start(self, origin: int) -> None:
        """The track begins with this RTP timestamp. Calls after the first have no effect."""
        if self._origin is None:
            self._origin = origin
            for at, rtp_timestamp in self._told:
                self.place(at, rtp_timestamp)

    def place(self, at: int, rtp_timestamp: int) -> None:
        """From this RTP timestamp on the track has the session from `at` on; within 12 h of the origin."""
        if self._origin is None:
            self._told.append((at, rtp_timestamp))
            return
        since = (rtp_timestamp - self._origin + (1 << 31)) % (1 << 32) - (1 << 31)
        self._places.append((at, (since + OPUS_DELAY) // self._per_sample))

    def locate(self, at: int) -> int:
        """Sample of the track at which sample `at` of the session sounds, or the next one that sounds if it never
        does; never before the track's beginning."""
        following = None
        for session, track in reversed(self._places):
            if session <= at:
                found = track + at - session
                return max(0, found if following is None else min(found, following))
            following = track
        session, track = self._places[0]
        return max(0, track + at - session)

    def rtp_timestamp(self, at: int) -> int | None:
        """Of the last packet that was played when everything before sample `at` of the track was; None before one."""
        played = at * self._per_sample - OPUS_HZ // 50
        return (self._origin + played) % (1 << 32) if self._origin is not None and played >= 0 else None
