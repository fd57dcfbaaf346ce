"""One client's conversation on the server: protocol, session and transport joined.

    client ─► transport ─► LiveAdapter.receive ─► commands ─► Session
    client ◄─ transport ◄─ LiveAdapter.send ◄──── events ◄─── Session

Nothing here decides anything: it carries. The protocol's rules are in `live`, time and floor in the session, bounds of
sending in the transports.
"""

import asyncio
import dataclasses
import logging
import secrets
import time
from collections.abc import Callable

from aiohttp import WSCloseCode, web

from omni.audio.resampling import Resampler
from omni.base import events as base
from omni.base.errors import CapacityError, OmniError
from omni.base.ports import EnginePort
from omni.serve import commands
from omni.serve.config import ServeConfig
from omni.serve.live import LiveAdapter
from omni.session.session import Session
from omni.transport.webrtc import Call
from omni.transport.websocket import SocketLink, SocketSettings
from omni.wire import limits as wire_limits

logger = logging.getLogger(__name__)

_CHUNK = 4096   # samples of an append resampled at a time: a burst of 30 s must not hold the event loop


def new_session_id() -> str:
    """An identifier nobody can guess: it is enough to hang a session up."""
    return f"sess_{secrets.token_urlsafe(16)}"


class Conversation:
    """What both transports share. A subclass says how events leave (`_deliver`) and how the line ends (`_hang_up`)."""

    kind = ""

    def __init__(self, engine: EnginePort, config: ServeConfig, adapter: LiveAdapter):
        self.session_id = new_session_id()
        self.closed_reason = "connection_lost"
        self._engine = engine
        self._config = config
        self._adapter = adapter
        self._session: Session | None = None
        self._began_s = 0.0

    async def open(self, start: commands.StartSession) -> None:
        """Take a place in the engine and start; `session.started` goes out.

        Cancelling it takes no place.

        Raises:
            CapacityError: no place is free.
        """
        limits = self._config.limits
        session = Session(self._engine, self._take, session_id=self.session_id, instructions=start.instructions,
                          stamped=self.kind == "webrtc", idle_s=limits.idle_s, length_s=limits.session_s,
                          seed=secrets.randbits(31))
        await session.start()
        self._session = session
        self._began_s = time.monotonic()
        logger.info("%s started over %s", self.session_id, self.kind)

    async def close(self, reason: base.CloseReason, detail: str = "") -> None:
        """End the session, if it runs, and give its place back. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close(reason, detail)
            logger.info("%s ended after %.1f s: %s", self.session_id, time.monotonic() - self._began_s,
                        self.closed_reason)

    async def dismiss(self, detail: str) -> None:
        """End it because the server stops."""
        await self.close("expired", detail)
        self._hang_up(WSCloseCode.GOING_AWAY, detail)

    @property
    def is_live(self) -> bool:
        """Whether it holds a place in the engine."""
        return self._session is not None

    # ---- outward

    def _take(self, event: base.SessionEvent) -> None:
        """The session's sink: called on the event loop, never waits."""
        self._deliver(event)
        if isinstance(event, base.SessionClosed):
            self.closed_reason = event.reason
            self._hang_up(WSCloseCode.OK, event.detail or event.reason)

    def _deliver(self, event: base.SessionEvent) -> None:
        raise NotImplementedError

    def _reply(self, texts: list[str]) -> None:
        raise NotImplementedError

    def _hang_up(self, code: int, reason: str) -> None:
        raise NotImplementedError

    def _discarded(self, start: int, end: int) -> None:
        if self._session is not None:
            self._session.discard(start, end)

    # ---- inward

    def _carry_out(self, command: commands.Command) -> None:
        """Everything but starting, closing and audio."""
        session = self._session
        match command:
            case commands.Reply():
                self._reply([command.text])
            case commands.Hangup():
                self._hang_up(WSCloseCode.POLICY_VIOLATION, command.message)
            case commands.Mute() if session:
                session.mute(command.client_event_id)
            case commands.Unmute() if session:
                session.unmute(command.client_event_id)
            case commands.ReportPlayed() if session:
                self._report_played(session, command)

    def _report_played(self, session: Session, report: commands.ReportPlayed) -> None:
        raise NotImplementedError


class SocketConversation(Conversation):
    """A conversation over a WebSocket."""

    kind = "websocket"

    def __init__(self, engine: EnginePort, config: ServeConfig, adapter: LiveAdapter,
                 refuse: Callable[[], OmniError | None]):
        """Args:
            refuse: asked when the client wants to start; an error if no session may start now.
        """
        super().__init__(engine, config, adapter)
        self._refuse = refuse
        self._link: SocketLink | None = None
        self._inward: Resampler | None = None
        self._outward: Resampler | None = None

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one connection from its handshake to its end. Cancelling it ends the session and the connection."""
        limits = self._config.limits
        self._link = await SocketLink.open(request, SocketSettings(
            wire_limits.MAX_MESSAGE_BYTES, limits.stall_s, limits.heartbeat_s), self._discarded)
        late = asyncio.get_running_loop().call_later(limits.start_s, self._start_is_late)
        by_peer = False
        try:
            by_peer = await self._link.run(self._receive)
        finally:
            late.cancel()
            await self.close("connection_lost" if by_peer else "close_requested")
            await self._link.close()
        return self._link.response

    def _start_is_late(self) -> None:
        if self._adapter.state == "new":
            self._hang_up(WSCloseCode.POLICY_VIOLATION, f"no session.start within {self._config.limits.start_s:g} s")

    async def _receive(self, message: str | bytes) -> None:
        for command in self._adapter.receive(message):
            match command:
                case commands.StartSession():
                    await self._start(command)
                case commands.AppendAudio():
                    await self._append(command)
                case commands.Close():
                    await self.close(command.reason)
                case _:
                    self._carry_out(command)

    async def _start(self, start: commands.StartSession) -> None:
        rate_hz = start.format.rate
        own_hz = self._engine.timebase.sample_rate_hz
        self._inward, self._outward = Resampler(rate_hz, own_hz), Resampler(own_hz, rate_hz)
        try:
            if error := self._refuse():
                raise error
            await self.open(start)
        except OmniError as error:
            self._reply(self._adapter.refuse(error))
            full = isinstance(error, CapacityError)
            self._hang_up(WSCloseCode.TRY_AGAIN_LATER if full else WSCloseCode.GOING_AWAY, str(error))

    async def _append(self, audio: commands.AppendAudio) -> None:
        for at in range(0, len(audio.samples), _CHUNK):
            if at:
                await asyncio.sleep(0)
            if self._session is None:
                return
            self._session.receive_audio(self._inward.process(audio.samples[at:at + _CHUNK]))

    def _deliver(self, event: base.SessionEvent) -> None:
        if isinstance(event, base.AudioReady):
            resampled = dataclasses.replace(event, samples=self._outward.process(event.samples))
            self._link.send_audio(self._adapter.send(resampled), event, len(event.samples))
        else:
            self._link.send(self._adapter.send(event))

    def _reply(self, texts: list[str]) -> None:
        self._link.send(texts)

    def _hang_up(self, code: int, reason: str) -> None:
        self._link.hang_up(code, reason)

    def _report_played(self, session: Session, report: commands.ReportPlayed) -> None:
        session.report_played(self._engine.timebase.from_ms(report.played_ms))


class CallConversation(Conversation):
    """A conversation over WebRTC; it is the call's peer."""

    kind = "webrtc"

    def __init__(self, engine: EnginePort, config: ServeConfig, adapter: LiveAdapter):
        super().__init__(engine, config, adapter)
        self._call = Call(self, engine.timebase, config.webrtc)
        self._asked_to_close: base.CloseReason | None = None

    async def accept(self, start: commands.StartSession, offer_sdp: str) -> str:
        """Take a place, then answer the offer. If it raises or is cancelled, nothing is left behind.

        Raises:
            CapacityError: no place is free.
            WireError: code "invalid_sdp".
        """
        try:
            await self.open(start)
            return await self._call.accept(offer_sdp)
        except BaseException:
            await self.close("connection_lost")
            await self._call.close()
            raise

    async def run(self) -> None:
        """Carry the call until it ends. Cancelling it ends the session and the call."""
        try:
            why = await self._call.run()
            logger.debug("%s: the call is over: %s", self.session_id, why)
        finally:
            lost = "remote_hangup" if self._call.hung_up_by_peer else "connection_lost"
            await self.close(self._asked_to_close or lost)
            await self._call.close()

    # ---- CallPeer

    def opened(self) -> None:
        """Events that were waiting have gone out already."""

    def received(self, message: str | bytes) -> None:
        """One event from the data channel."""
        for command in self._adapter.receive(message):
            if isinstance(command, commands.Close):
                self._asked_to_close = command.reason
                self._call.hang_up("the client asked for it")
            else:
                self._carry_out(command)

    def heard(self, samples, at: int) -> None:
        """Audio of the remote track."""
        if self._session is not None:
            self._session.receive_audio(samples, at)

    def discarded(self, start: int, end: int) -> None:
        """Unsent audio was thrown away."""
        self._discarded(start, end)

    def placed(self, epoch: int, at: int, rtp_timestamp: int) -> None:
        """Where the track lies on the session's timeline has changed."""
        for text in self._adapter.place(epoch, at, rtp_timestamp):
            self._call.send(text)

    def measured(self, round_trip_ms: int) -> None:
        """What the peer's reports say about the network."""
        if self._session is not None:
            self._session.set_round_trip(round_trip_ms)

    # ---- Conversation

    def _deliver(self, event: base.SessionEvent) -> None:
        if isinstance(event, base.AudioReady):
            self._call.push(event)
        for text in self._adapter.send(event):
            self._call.send(text, may_drop=isinstance(event, base.BlockPlayed))

    def _reply(self, texts: list[str]) -> None:
        for text in texts:
            self._call.send(text)

    def _hang_up(self, code: int, reason: str) -> None:
        self._call.hang_up(reason)

    def _report_played(self, session: Session, report: commands.ReportPlayed) -> None:
        if report.rtp_timestamp is not None:
            at = self._call.played_at(report.rtp_timestamp)
        else:
            at = self._call.played_at_track(report.played_ms)
        if at is not None:
            session.report_played(at)
