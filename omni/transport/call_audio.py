"""The audio of one WebRTC call: frames paced out at 48 kHz, decoded frames placed in time at the model's rate."""

import asyncio
import fractions
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from omni.audio.resampling import Resampler
from omni.base.timebase import Timebase
from omni.transport.outgoing import FRAME_MS, Frame, OutgoingAudio

OPUS_HZ = 48_000
_FRAME_SAMPLES = OPUS_HZ * FRAME_MS // 1000
_FRAME_NS = FRAME_MS * 1_000_000
_RESYNC_NS = 100_000_000
_MAX_RECEIVED = 25          # 0.5 s of received frames; more means the event loop stood still
MAX_FRAMES_WAITING = 250    # of a source, 5 s: a call that stands still longer loses the oldest speech


@dataclass(slots=True)
class CallCounters:
    """What one call met.

    Attributes:
        resyncs: times the pacer was more than 100 ms late.
        skipped_frames: received frames dropped because the event loop stood still.
        gaps: jumps in the received timestamps.
        events_dropped: events not sent because the channel was busy.
    """

    resyncs: int = 0
    skipped_frames: int = 0
    gaps: int = 0
    events_dropped: int = 0


class PacedTrack(MediaStreamTrack):
    """Pulls 20 ms frames on an absolute grid and keeps which part of the conversation went out with which timestamp."""

    kind = "audio"

    def __init__(self, timebase: Timebase, outgoing: OutgoingAudio, counters: CallCounters,
                 placed: Callable[[int, int], bool] = lambda pts, at: True):
        """Args:
            placed: called with (pts, at) when the audio's place on the track is new or has moved: sample `at` of the
                conversation leaves with `pts`, and what follows it behind. False if that could not be told: it is
                called again with the next frame.
        """
        super().__init__()
        self._outgoing = outgoing
        self._counters = counters
        self._placed = placed
        self._resampler = Resampler(timebase.sample_rate_hz, OPUS_HZ)
        self._ready = np.zeros(0, np.float32)   # resampled and not yet sent: less than one frame
        self._lag = 0                           # of the filter, at 48 kHz
        self._place: int | None = None          # pts of the conversation's beginning, as it was told last
        self._due_ns: int | None = None
        self._pts = -_FRAME_SAMPLES
        self.frames = 0
        self.sent: deque[tuple[int, int]] = deque(maxlen=1000)  # (pts at 48 kHz, one past the last sample), 20 s

    async def recv(self) -> av.AudioFrame:
        """The next frame, when it is due. Cancelling it loses nothing."""
        if self.readyState != "live":
            raise MediaStreamError
        now = time.monotonic_ns()
        due = now if self._due_ns is None else self._due_ns + _FRAME_NS
        if now < due:
            await asyncio.sleep((due - now) / 1e9)
        self._pts += _FRAME_SAMPLES
        if now - due > _RESYNC_NS:
            # Media time moves on with the wall clock, so that the receiver conceals the hole instead of lagging.
            lost_frames = (now - due) // _FRAME_NS
            due += lost_frames * _FRAME_NS
            self._pts += lost_frames * _FRAME_SAMPLES
            self._counters.resyncs += 1
        self._due_ns = due
        return self._frame(self._outgoing.pull())

    def position(self, pts: int) -> int | None:
        """Where in the conversation the frame ends that contains `pts`, among those of the last 20 s."""
        return next((at for sent_pts, at in reversed(self.sent) if sent_pts <= pts), None)

    def _frame(self, pulled: Frame) -> av.AudioFrame:
        samples = np.concatenate((self._ready, self._resampler.process(pulled.samples)))
        if len(samples) < _FRAME_SAMPLES:   # the first frame waits for the filter's right half: 2 ms of silence once
            self._lag = _FRAME_SAMPLES - len(samples)
            samples = np.concatenate((np.zeros(self._lag, np.float32), samples))
        samples, self._ready = samples[:_FRAME_SAMPLES], samples[_FRAME_SAMPLES:]
        if pulled.run is not None:
            self._tell(*pulled.run)
        self.frames += 1
        self.sent.append((self._pts, pulled.at))
        return as_frame(samples, self._pts)

    def _tell(self, offset: int, at: int) -> None:
        per_sample = self._resampler.to_hz // self._resampler.from_hz
        pts = self._pts + offset * per_sample + self._lag
        place = pts - at * per_sample
        if place != self._place and self._placed(pts, at):
            self._place = place


class SourceTrack(MediaStreamTrack):
    """Sends what it is given, as it is given: pace and timestamps are those of the source, a microphone or a script.

    Attributes:
        lost: frames dropped, the oldest first, because the call stood still; the timestamps go on over them.
    """

    kind = "audio"

    def __init__(self, timebase: Timebase):
        super().__init__()
        self.lost = 0
        self._resampler = Resampler(timebase.sample_rate_hz, OPUS_HZ)
        self._ready = np.zeros(0, np.float32)
        self._frames: deque[av.AudioFrame] = deque()
        self._pts = 0
        self._wake = asyncio.Event()

    def push(self, samples: np.ndarray) -> None:
        """The next samples, float32 (n,) at the model's rate, n as it comes; 20 ms make a frame."""
        self._ready = np.concatenate((self._ready, self._resampler.process(samples)))
        while len(self._ready) >= _FRAME_SAMPLES:
            self._frames.append(as_frame(self._ready[:_FRAME_SAMPLES], self._pts))
            self._ready = self._ready[_FRAME_SAMPLES:]
            self._pts += _FRAME_SAMPLES
        while len(self._frames) > MAX_FRAMES_WAITING:
            self._frames.popleft()
            self.lost += 1
        self._wake.set()

    async def recv(self) -> av.AudioFrame:
        """The next frame, when it has come. Cancelling it loses nothing."""
        while not self._frames:
            self._wake.clear()
            await self._wake.wait()
        if self.readyState != "live":
            raise MediaStreamError
        return self._frames.popleft()


def as_frame(samples: np.ndarray, pts: int) -> av.AudioFrame:
    """float32 (n,) at 48 kHz, -1 to 1, as aiortc's encoder wants it: s16, both channels alike.

    Its encoder is stereo, and what is mono it makes so at 3 dB less.
    """
    linear = np.clip(np.rint(samples * 32_767), -32_768, 32_767).astype(np.int16)
    frame = av.AudioFrame(format="s16", layout="stereo", samples=len(linear))
    frame.planes[0].update(np.repeat(linear, 2).tobytes())
    frame.pts, frame.sample_rate, frame.time_base = pts, OPUS_HZ, fractions.Fraction(1, OPUS_HZ)
    return frame


class IncomingAudio:
    """Decoded frames to mono samples at the model's rate, each stretch between two gaps with its place in time."""

    def __init__(self, timebase: Timebase, heard: Callable[[np.ndarray, int], None], counters: CallCounters):
        self._rate_hz = timebase.sample_rate_hz
        self._heard = heard
        self._counters = counters
        self._resampler = Resampler(OPUS_HZ, self._rate_hz)
        self._expected: int | None = None   # pts of the next frame
        self._at = 0                        # of the next sample given on, at the model's rate

    async def follow(self, track: MediaStreamTrack) -> None:
        """Push what a received track gives until it is cancelled; frames are skipped where the event loop has fallen
        behind.

        Raises:
            MediaStreamError: the track has ended.
        """
        while True:
            frame = await track.recv()
            if track._queue.qsize() > _MAX_RECEIVED:
                self._counters.skipped_frames += 1
            else:
                self.push(frame)

    def push(self, frame: av.AudioFrame) -> None:
        """s16 packed, any number of channels, 48 kHz."""
        if frame.pts != self._expected:
            if self._expected is not None:
                self._counters.gaps += 1
                self._give(self._resampler.flush())
            self._at = frame.pts * self._rate_hz // OPUS_HZ
        self._expected = frame.pts + frame.samples
        linear = frame.to_ndarray().reshape(frame.samples, -1)
        self._give(self._resampler.process(linear.mean(axis=1, dtype=np.float32) / np.float32(32_768)))

    def _give(self, samples: np.ndarray) -> None:
        if len(samples):
            self._heard(samples, self._at)
            self._at += len(samples)
