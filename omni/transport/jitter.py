"""A receive buffer for low latency, in place of aiortc's own.

aiortc 1.16 waits for four frames before it gives the first, and after one lost packet for sixteen: 280 ms of lag from
then on, for ever. A smaller one of the same kind (capacity 4, prefetch 1) still keeps 40 ms more after its first loss.
Here a packet is given on as soon as it comes: each RTP packet of Opus is one whole frame (RFC 7587 section 4.2), its
timestamp says where it belongs, and the session's input timeline puts zeros where one is missing. What comes after its
successor is late and is dropped, so lag never grows.
"""

import importlib.metadata
from dataclasses import dataclass

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket

_FIELD = "_RTCRtpReceiver__jitter_buffer"
_KNOWN = ("1", "16")
_RESTART = 100          # packets: further back than this is a sender that began anew (aiortc's MAX_MISORDER)
MAX_PACKETS_PER_S = 400  # Opus frames of 2.5 ms; more is a flood


@dataclass(slots=True)
class PacketCounters:
    """RTP packets: given on, missing in the sequence, dropped because late, dropped because too many."""

    received: int = 0
    lost: int = 0
    late: int = 0
    flooded: int = 0


class PromptBuffer(JitterBuffer):
    """Gives each packet on at once, in order, and drops late ones.

    Attributes:
        origin: RTP timestamp of the first packet that was given on, from which aiortc counts `pts`; None before.
    """

    def __init__(self) -> None:
        super().__init__(capacity=4, prefetch=1)
        self.counters = PacketCounters()
        self.origin: int | None = None
        self._newest: int | None = None
        self._second = -1
        self._in_second = 0

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Take a packet and return (False, its frame or None). Same contract as `JitterBuffer.add`."""
        if self._floods(packet):
            self.counters.flooded += 1
            return False, None
        if self._newest is not None:
            ahead = (packet.sequence_number - self._newest) & 0xFFFF
            behind = (self._newest - packet.sequence_number) & 0xFFFF
            if behind <= ahead and behind < _RESTART:
                self.counters.late += 1
                return False, None
            if ahead < behind:
                self.counters.lost += ahead - 1
        self._newest = packet.sequence_number
        if not packet._data:  # type: ignore[attr-defined]  # set by the receiver; padding only
            return False, None
        self.counters.received += 1
        if self.origin is None:
            self.origin = packet.timestamp
        return False, JitterFrame(data=packet._data, timestamp=packet.timestamp)  # type: ignore[attr-defined]

    def _floods(self, packet: RtpPacket) -> bool:
        """More packets than media time explains: a second of 48 kHz timestamps carries at most so many."""
        second = packet.timestamp // 48_000
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self._in_second > MAX_PACKETS_PER_S


def check_aiortc() -> None:
    """Fail early where the private field that is replaced is not the one this was written for.

    Raises:
        RuntimeError: if aiortc's version is not known here.
    """
    version = importlib.metadata.version("aiortc")
    if tuple(version.split(".")[:2]) != _KNOWN:
        raise RuntimeError(f"aiortc {version} is not known to omni.transport.jitter (it knows {'.'.join(_KNOWN)})")


def replace_jitter_buffer(receiver: RTCRtpReceiver) -> PromptBuffer:
    """Give an audio receiver a `PromptBuffer`; to be called after setRemoteDescription, before packets come.

    Raises:
        RuntimeError: if aiortc is not the version this was written for.
    """
    check_aiortc()
    if not isinstance(getattr(receiver, _FIELD, None), JitterBuffer):
        raise RuntimeError("aiortc's receiver has no jitter buffer where one was expected")
    buffer = PromptBuffer()
    setattr(receiver, _FIELD, buffer)
    return buffer
