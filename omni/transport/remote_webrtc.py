"""A conversation on a server over WebRTC: our own client of it, on aiortc, to the same methods and events as
`omni.transport.remote`.

    receive_audio ─► SourceTrack ─► Opus, RTP ─────► server
    sink ◄─ AudioReady, 20 ms ◄──── Opus, RTP ◄───── server
         ◄─ words, floor ◄─ wait for their sound ◄── data channel `oai-events`

Instants that the sink is given, `AudioReady.at` among them, lie on the received track's clock, which a client can
play: the server tells how its own lies on it (`omni.transport.track_clock`), so it must have the omni.* extension. What
is told of words and floor is given together with the audio in which they sound, or as soon as it comes, if the channel
is slower: what the network loses there is sent again after a third of a second or more. How long a word lasts is not
told: its end is far away.

The server cuts its own queue at an interruption, so nothing that has arrived is to be dropped: all audio has epoch 0.

With `conditions` a `Relay` stands in the way. The server's candidates in its answer are replaced by the relay's, and
the offer carries none: the server would otherwise check the client's addresses itself (RFC 8445 section 7.2), and the
pair that it finds would lead around the relay. So it learns of the client from checks that crossed it.
"""

import asyncio
import time
from collections import deque

import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcconfiguration import RTCBundlePolicy

from omni.base import events as base
from omni.base.errors import OmniError
from omni.transport.call_audio import CallCounters, IncomingAudio, SourceTrack
from omni.transport.jitter import PromptBuffer, replace_jitter_buffer
from omni.transport.loopback import LinkConditions
from omni.transport.outgoing import RAMP_MS
from omni.transport.relay import Relay
from omni.transport.remote_session import CLOSE_S, RemoteSession, ServerError
from omni.transport.sdp import addresses, readdressed
from omni.transport.signalling import Signalling
from omni.transport.track_clock import TrackClock
from omni.transport.webrtc import CHANNEL, prefer_opus
from omni.wire import client_events, encode_client, server_events
from omni.wire.session import ClientConfig, OmniExtension, SessionConfig

START_S = 20.0              # a server gives up after 15 s; a lost datagram of a handshake costs seconds
SILENCE_S = 5.0             # without a packet of a voice that sends 50 a second: the server is gone
WITHDRAW_S = 2.0
MAX_WAITING = 256           # words and floor whose sound has not come
MAX_BUFFERED_BYTES = 64 * 1024  # in the data channel: more, and reports are left out
LATER = 1 << 62

Told = base.AgentText | base.UserText | base.SpeechStarted | base.SpeechEnded


class RemoteCall(RemoteSession):
    """One session on a server, over WebRTC. `lost` counts frames of 20 ms.

    Attributes:
        setup_ms: from the first request until words and voice could be placed; 0 before.
    """

    def __init__(self, url: str, sink, *, conditions: LinkConditions | None = None, seed: int = 0, **options):
        """As `RemoteSession`, and:

        Args:
            conditions: of each direction of the way that datagrams take; None for the way as it is.
            seed: of what is lost and delayed on it.
        """
        super().__init__(url, sink, **options)
        self.setup_ms = 0
        self._relay = Relay(conditions, seed) if conditions is not None else None
        self._microphone = SourceTrack(self._timebase)
        self._counters = CallCounters()
        self._clock = TrackClock(self._timebase)
        self._waiting: deque[Told] = deque()
        self._live = False
        self._signalling = Signalling(self._url, self._name, self._headers, self._tls())
        self._session_id = ""
        self._opened: asyncio.Future[None] | None = None
        self._pc: RTCPeerConnection | None = None
        self._packets: PromptBuffer | None = None
        self._channel: RTCDataChannel | None = None
        self._voice: MediaStreamTrack | None = None
        self._tasks: list[asyncio.Task] = []

    async def start(self) -> None:
        """Call; `SessionStarted` is the first event, and audio follows once this has returned: what came before is
        not given. Cancelling it leaves nothing behind.

        Raises:
            ServerError: nobody is there, the server refuses, or no call comes about; the message says why.
        """
        began = time.monotonic()
        self._opened = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(START_S):
                await self._negotiate()
                await self._opened
            self._live = True
        except TimeoutError:
            raise ServerError(f"{self._name} cannot be reached by WebRTC: no call came about within "
                              f"{START_S:g} s") from None
        finally:
            if not self._live:
                await self._abandon()
        self.setup_ms = round(1000 * (time.monotonic() - began))
        self._tasks.append(asyncio.create_task(self._watch(), name="omni-call-watchdog"))

    async def close(self, reason: base.CloseReason = "close_requested", detail: str = "") -> None:
        """Say goodbye, wait up to 3 s for the answer, hang up. Idempotent. Cancelled, it does so without the answer."""
        if not self._live:
            return
        try:
            if self._closed is None:
                self._send(client_events.SessionClose())
                async with asyncio.timeout(CLOSE_S):
                    await self._ended.wait()
        except TimeoutError:
            self._lose("the server did not answer")
        finally:
            self._live = False
            await self._abandon()

    def receive_audio(self, samples: np.ndarray, at: int | None = None) -> None:
        """Audio of the room at the model's rate, as the microphone gives it; it is counted, so `at` has no effect."""
        self._microphone.push(samples)
        self.lost = self._microphone.lost

    def report_played(self, at: int) -> None:
        """Everything before sample `at` of the track has been played."""
        rtp_timestamp = self._clock.rtp_timestamp(at)
        if rtp_timestamp is not None:
            self._send(client_events.OmniPlayback(played_ms=self._timebase.to_ms(at), rtp_timestamp=rtp_timestamp))

    def counts(self) -> dict[str, int]:
        """What the way did. Datagrams of both directions, from the first to the last, where a relay stood in it. Of
        the voice's packets those received in order, those that were missing then, and of these those that came later
        and were dropped."""
        counts = {"setup_ms": self.setup_ms}
        if self._relay is not None:
            up, down = self._relay.up, self._relay.down
            counts |= {"datagrams_up": up.sent, "datagrams_lost_up": up.lost, "datagrams_down": down.sent,
                       "datagrams_lost_down": down.lost, "datagrams_overflowed": up.overflowed + down.overflowed}
        if self._packets is not None:
            packets = self._packets.counters
            counts |= {"packets_received": packets.received, "packets_missed": packets.lost,
                       "packets_overtaken": packets.late}
        return counts

    # ---- signalling

    async def _negotiate(self) -> None:
        self._pc = pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        pc.on("connectionstatechange", self._on_state)
        pc.on("track", self._on_track)
        pc.addTrack(self._microphone)
        transceiver = pc.getTransceivers()[0]
        prefer_opus(transceiver)
        self._packets = replace_jitter_buffer(transceiver.receiver)
        self._channel = pc.createDataChannel(CHANNEL)
        self._channel.on("message", self._on_message)
        self._channel.on("close", self._on_hangup)
        await pc.setLocalDescription(await pc.createOffer())
        offer = pc.localDescription.sdp
        created = await self._signalling.create(
            SessionConfig(model="omni", instructions=self._instructions or None,
                          client=ClientConfig(omni=OmniExtension(events="all"))),
            offer if self._relay is None else readdressed(offer, {}))
        self._session_id, answer = created.session.id, created.transport.sdp
        if self._relay is not None:
            places = {server: await self._relay.open(server) for server in addresses(answer)}
            answer = readdressed(answer, {server: place for server, place in places.items() if place is not None})
        if not addresses(answer):
            raise ServerError(f"{self._name} cannot be reached by WebRTC: it told no address that leads there")
        try:
            await pc.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
        except Exception:   # aiortc's parser answers bad input with whatever Python raised
            raise ServerError(f"{self._name} does not speak the protocol: its answer is no session description "
                              f"with Opus audio") from None

    async def _abandon(self) -> None:
        """Free everything, and the server's place, if it does not know yet that nobody will come."""
        if not self._opened.cancel() and not self._opened.cancelled():
            self._opened.exception()    # it may have come when nobody waited for it any more
        try:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._microphone.stop()
            if self._pc is not None:
                await self._pc.close()
            if self._voice is not None:
                self._voice.stop()
            if self._session_id and not self._started:
                async with asyncio.timeout(WITHDRAW_S):
                    await self._signalling.delete(self._session_id)
        except (ServerError, TimeoutError):
            pass    # it gives the place up by itself after a while
        finally:
            if self._relay is not None:
                self._relay.close()

    # ---- from aiortc

    def _on_state(self) -> None:
        if self._pc.connectionState in ("failed", "closed"):
            self._lose("the connection failed")

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._voice = track
        self._tasks.append(asyncio.create_task(self._listen(track), name="omni-call-listen"))

    def _on_message(self, message: str | bytes) -> None:
        if self._closed is None:
            try:
                self._receive(message)
            except OmniError as error:
                self._lose(str(error))

    def _on_hangup(self) -> None:
        self._lose("the server closed the connection")

    async def _listen(self, track: MediaStreamTrack) -> None:
        try:
            await IncomingAudio(self._timebase, self._heard, self._counters).follow(track)
        except MediaStreamError:
            self._on_hangup()
        except OmniError as error:
            self._lose(str(error))

    async def _watch(self) -> None:
        received = -1
        while received != self._packets.counters.received:
            received = self._packets.counters.received
            await asyncio.sleep(SILENCE_S)
        self._lose(f"nothing was received for {SILENCE_S:g} s")

    # ---- inside

    def _lose(self, why: str) -> None:
        if self._live:
            self._end(base.SessionClosed("connection_lost", self._last_words or why))
        elif self._opened is not None and not self._opened.done():
            self._opened.set_exception(ServerError(why if why.startswith(self._name) else
                                                   f"{self._name} cannot be reached by WebRTC: "
                                                   f"{self._last_words or why}"))

    def _send(self, event: client_events.ClientEvent) -> None:
        if self._closed is None and self._channel.readyState == "open" and \
                self._channel.bufferedAmount <= MAX_BUFFERED_BYTES:
            self._channel.send(encode_client(event))

    def _translate(self, event: server_events.ServerEvent) -> base.SessionEvent | None:
        translated = super()._translate(event)
        if isinstance(event, server_events.OmniAudio) and event.rtp_timestamp is not None:
            self._clock.place(self._timebase.from_ms(event.start_ms), event.rtp_timestamp)
        elif isinstance(event, server_events.SessionStarted) and not self.extended:
            raise ServerError(f"{self._name} does not tell when its words sound (the omni.* extension), so a call "
                              f"cannot be followed; leave --webrtc out")
        return translated

    def _give(self, event: base.SessionEvent) -> None:
        if not isinstance(event, Told):
            self._sink(event)
        elif len(self._waiting) >= MAX_WAITING:
            raise ServerError("the server sends words without sound")
        else:
            self._waiting.append(event)

    def _heard(self, samples: np.ndarray, at: int) -> None:
        self._clock.start(self._packets.origin)
        if self._live:
            tail = self._tell(at + len(samples)) if self._clock.known else 0
            self._sink(base.AudioReady(at, samples, 0, tail))
        elif self._started and self._clock.known and not self._opened.done():
            self._opened.set_result(None)

    def _tell(self, until: int) -> int:
        """Give what sounds before sample `until` of the track; returns the ramp of a reply that is cut there."""
        locate, tail = self._clock.locate, 0
        while self._waiting:
            event = self._waiting[0]
            at = locate(event.at if isinstance(event, base.SpeechStarted | base.SpeechEnded) else event.start)
            if at >= until:
                break
            self._waiting.popleft()
            match event:
                case base.SpeechStarted():
                    self._sink(base.SpeechStarted(event.epoch, at))
                case base.SpeechEnded():
                    if event.reason == "interrupted":
                        tail = locate(event.at + self._timebase.from_ms(RAMP_MS)) - at
                    self._sink(base.SpeechEnded(event.epoch, at, event.reason, event.unheard))
                case base.AgentText():
                    self._sink(base.AgentText(event.text, at, LATER, event.epoch))
                case base.UserText():
                    self._sink(base.UserText(event.text, at, locate(event.end)))
        return tail
