"""One WebRTC call on aiortc: Opus in and out, events on the `oai-events` data channel.

aiortc is a fine stack with defaults made for video conferences; what is done about each of them here:

    jitter buffer      replaced (see `jitter`); gaps reach the session as gaps in the timestamps
    pacing             the sender calls `recv` as fast as it returns: frames are due on an absolute monotonic grid of
                       20 ms, and a grid that is more than 100 ms late is moved, so nothing is sent in bursts
    default STUN       none: `ice_servers` is empty unless the configuration names some
    mDNS candidates    dropped from the offer: their lookup takes up to a second, and the peer is found without them
    silent peers       the watchdog ends a call from which no packet has come for 30 s
    unbounded queues   received frames are read at once, and skipped where the event loop has fallen behind
"""

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcconfiguration import RTCBundlePolicy

from omni.base.errors import WireError
from omni.base.events import AudioReady
from omni.base.timebase import Timebase
from omni.transport.call_audio import OPUS_HZ, CallCounters, IncomingAudio, PacedTrack
from omni.transport.jitter import PromptBuffer, check_aiortc, replace_jitter_buffer
from omni.transport.outgoing import OutgoingAudio
from omni.transport.sdp import check_offer

logger = logging.getLogger(__name__)

CHANNEL = "oai-events"
_PENDING_EVENTS = 256           # before the channel opens
_CHANNEL_BUSY_BYTES = 64 * 1024     # above it, events that may be lost are not sent
_CHANNEL_STALLED_BYTES = 512 * 1024  # above it, the reader is gone


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server, opt-in.

    Attributes:
        url: such as "stun:stun.example.org:3478" or "turn:turn.example.org:3478?transport=udp".
    """

    url: str
    username: str | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class WebRtcSettings:
    """Limits of one call.

    Attributes:
        ice_servers: STUN and TURN servers of this end; none by default.
        max_candidates: remote candidates in one offer.
        connect_s: seconds from the answer until media must flow.
        silence_s: seconds without any packet from the peer, after which it is taken for gone.
    """

    ice_servers: tuple[IceServer, ...] = ()
    max_candidates: int = 64
    connect_s: float = 15.0
    silence_s: float = 30.0


def prefer_opus(transceiver: RTCRtpTransceiver) -> None:
    """Negotiate Opus and nothing else."""
    transceiver.setCodecPreferences([codec for codec in RTCRtpSender.getCapabilities("audio").codecs
                                     if codec.mimeType == "audio/opus"])


class CallPeer(Protocol):
    """Who is told what the other end sends. Called on the event loop; must not block."""

    def opened(self) -> None:
        """The data channel can carry events now. Called once."""

    def received(self, message: str | bytes) -> None:
        """One event from the data channel."""

    def heard(self, samples: np.ndarray, at: int) -> None:
        """float32 (n,) at the model's rate; `at` is its first sample on the remote clock, which starts at 0."""

    def discarded(self, start: int, end: int) -> None:
        """Unsent audio, samples [start, end) of the conversation, was thrown away."""

    def placed(self, epoch: int, at: int, rtp_timestamp: int) -> None:
        """Sample `at` of the conversation leaves with this RTP timestamp; what follows it does so without a gap, until
        the next call."""

    def measured(self, round_trip_ms: int) -> None:
        """The round trip that the peer's reports give (RFC 3550 section 6.4.1), every few seconds."""


@dataclass(eq=False)
class Call:
    """One peer connection that answers an offer.

    `accept` negotiates, `run` lives until the call is over, `close` frees everything; all three belong to one task.
    """

    peer: CallPeer
    timebase: Timebase
    settings: WebRtcSettings = field(default_factory=WebRtcSettings)

    def __post_init__(self) -> None:
        check_aiortc()
        self.counters = CallCounters()
        self.outgoing = OutgoingAudio(self.timebase, self.peer.discarded)
        self.incoming: PromptBuffer | None = None
        self._track = PacedTrack(self.timebase, self.outgoing, self.counters, self._placed)
        self._remote: MediaStreamTrack | None = None
        self._channel: RTCDataChannel | None = None
        self._pending: deque[tuple[str, bool]] = deque()
        self._connected = asyncio.Event()
        self._ended = asyncio.Event()
        self._reason = ""
        self.hung_up_by_peer = False
        servers = [RTCIceServer(s.url, s.username, s.credential) for s in self.settings.ice_servers]
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=servers, bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._pc.on("connectionstatechange", self._on_state)
        self._pc.on("datachannel", self._on_channel)
        self._pc.on("track", self._on_track)

    # ---- signalling

    async def accept(self, offer_sdp: str) -> str:
        """Answer an offer; the answer holds all candidates. If it raises or is cancelled, `close` frees the rest.

        Raises:
            WireError: code "invalid_sdp".
        """
        offer = check_offer(offer_sdp, self.settings.max_candidates)
        self._pc.addTrack(self._track)
        transceiver = self._pc.getTransceivers()[0]
        prefer_opus(transceiver)
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
            await self._pc.setLocalDescription(await self._pc.createAnswer())
        except Exception as error:
            # aiortc's parser answers bad input with whatever Python raised; asyncio.CancelledError is no Exception.
            logger.debug("offer refused: %r", error)
            raise WireError("the offer cannot be answered: not a usable session description with Opus audio",
                            code="invalid_sdp", param="transport.sdp") from error
        self.incoming = replace_jitter_buffer(transceiver.receiver)
        return self._pc.localDescription.sdp

    # ---- life

    async def run(self) -> str:
        """Carry audio and events until the call ends, and return why in a few words.

        Cancelling it leaves the call to `close`.
        """
        try:
            async with asyncio.timeout(self.settings.connect_s):
                await self._first(self._connected, self._ended)
        except TimeoutError:
            return "no connection within the time limit"
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._watch(), name="call-watchdog")]
            if self._remote is not None:
                running.append(tasks.create_task(self._listen(self._remote), name="call-listen"))
            await self._ended.wait()
            for task in running:
                task.cancel()
        return self._reason

    def hang_up(self, reason: str) -> None:
        """Make `run` return `reason`. Idempotent: the first reason stays."""
        if not self._ended.is_set():
            self._reason = reason
            self._ended.set()

    async def close(self, flush_s: float = 0.5) -> None:
        """Let the last events leave, then free sockets, threads and tasks. Idempotent."""
        self.hang_up("closed")
        channel = self._channel
        if channel is not None and channel.readyState == "open":
            deadline = time.monotonic() + flush_s
            while channel.bufferedAmount and time.monotonic() < deadline:  # noqa: ASYNC110  (aiortc has no such event)
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.02)  # acknowledged by SCTP on its way, before DTLS says goodbye
        self._track.stop()
        await self._pc.close()
        if self._remote is not None:
            self._remote.stop()

    # ---- from the session

    def push(self, block: AudioReady) -> None:
        """One block of the agent's audio."""
        self.outgoing.push(block)

    def send(self, text: str, *, may_drop: bool = False) -> None:
        """Send one event; before the channel opens it waits. `may_drop`: not worth waiting for on a slow channel."""
        channel = self._channel
        if channel is None or channel.readyState == "connecting":
            if len(self._pending) >= _PENDING_EVENTS:
                self._pending.popleft()
                self.counters.events_dropped += 1
            self._pending.append((text, may_drop))
        elif channel.readyState == "open":
            if channel.bufferedAmount > _CHANNEL_STALLED_BYTES:
                self.hang_up("the data channel's reader has stalled")
            elif may_drop and channel.bufferedAmount > _CHANNEL_BUSY_BYTES:
                self.counters.events_dropped += 1
            else:
                channel.send(text)

    def played_at(self, rtp_timestamp: int) -> int | None:
        """One past the last sample of the conversation that was played with the packet of this RTP timestamp.

        None if no packet of about that time was sent (within the last 20 s).
        """
        newest = self._newest_packet()
        if newest is None:
            return None
        ago = (newest[1] - rtp_timestamp) & 0xFFFFFFFF
        return None if ago >= 1 << 31 else self._track.position(newest[0] - ago)

    def played_at_track(self, played_ms: int) -> int | None:
        """The same for a client that counts milliseconds of the remote track."""
        return self._track.position(played_ms * OPUS_HZ // 1000)

    def _placed(self, pts: int, at: int) -> bool:
        newest = self._newest_packet()
        if newest is None:
            return False
        self.peer.placed(self.outgoing.epoch, at, (newest[1] + pts - newest[0]) & 0xFFFFFFFF)
        return True

    def _newest_packet(self) -> tuple[int, int] | None:
        """(pts, RTP timestamp) of what was sent last; None before the first.

        aiortc draws the origin of its timestamps at random and keeps it to itself; its newest packet tells it. Each
        frame makes one packet, and the newest frames may still be with the encoder.
        """
        sender = self._pc.getSenders()[0]
        packets, timestamp = sender._RTCRtpSender__packet_count, sender._RTCRtpSender__rtp_timestamp
        sent, unsent = self._track.sent, self._track.frames - packets
        return (sent[-1 - unsent][0], timestamp) if packets and 0 <= unsent < len(sent) else None

    # ---- from aiortc

    def _on_state(self) -> None:
        state = self._pc.connectionState
        if state == "connected":
            self._connected.set()
        elif state == "failed":
            self.hang_up("the connection failed")
        elif state == "closed":
            self._remote_hangup()

    def _remote_hangup(self) -> None:
        self.hung_up_by_peer = self.hung_up_by_peer or not self._ended.is_set()
        self.hang_up("the peer hung up")

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._remote = track

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label != CHANNEL or self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._on_message)
        channel.on("close", self._remote_hangup)
        if channel.readyState == "open":  # it may arrive open, and then "open" is never emitted
            self._on_open()
        else:
            channel.once("open", self._on_open)

    def _on_open(self) -> None:
        pending, self._pending = self._pending, deque()
        for text, may_drop in pending:
            self.send(text, may_drop=may_drop)
        self.peer.opened()

    def _on_message(self, message: str | bytes) -> None:
        if not self._ended.is_set():
            self.peer.received(message)

    # ---- tasks

    async def _listen(self, track: MediaStreamTrack) -> None:
        incoming = IncomingAudio(self.timebase, self.peer.heard, self.counters)
        try:
            await incoming.follow(track)
        except MediaStreamError:
            self._remote_hangup()

    async def _watch(self) -> None:
        """End a call from which nothing comes: no media, no reports, no consent. Tell the round trip on the way."""
        interval = min(5.0, self.settings.silence_s / 4)
        seen, quiet_since = -1, time.monotonic()
        while True:
            stats = (await self._pc.getStats()).values()
            received = sum(s.packetsReceived for s in stats if s.type == "transport")
            if received != seen:
                seen, quiet_since = received, time.monotonic()
            elif time.monotonic() - quiet_since >= self.settings.silence_s:
                self.hang_up("nothing was received for a while")
                return
            for s in stats:
                if s.type == "remote-inbound-rtp" and s.roundTripTime is not None:
                    self.peer.measured(max(0, round(s.roundTripTime * 1000)))
            await asyncio.sleep(interval)

    @staticmethod
    async def _first(*events: asyncio.Event) -> None:
        waiting = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
