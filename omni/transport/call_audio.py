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

    def __init__(self, timebase: Timebase, outgoing: OutgoingAudio, counters: CallCounters):
        super().__init__()
        self._outgoing = outgoing
        self._counters = counters
        self._resampler = Resampler(timebase.sample_rate_hz, OPUS_HZ)
        self._ready = np.zeros(0, np.float32)   # resampled and not yet sent: less than one frame
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
            samples = np.concatenate((np.zeros(_FRAME_SAMPLES - len(samples), np.float32), samples))
        samples, self._ready = samples[:_FRAME_SAMPLES], samples[_FRAME_SAMPLES:]
        linear = np.clip(np.rint(samples * 32_767), -32_768, 32_767).astype(np.int16)
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(linear))
        frame.planes[0].update(linear.tobytes())
        frame.pts, frame.sample_rate, frame.time_base = self._pts, OPUS_HZ, fractions.Fraction(1, OPUS_HZ)
        self.frames += 1
        self.sent.append((self._pts, pulled.at))
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
