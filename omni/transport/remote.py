"""A conversation on a server, seen as if it were a session here: our own client of the WebSocket protocol.

It has the methods of `omni.session.session.Session` that transports use, and gives its sink the same events, so that
whoever talks needs not know where the model runs. A server without the omni.* extension tells less: audio, whose place
is counted, and transcripts; it is sent no reports.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from omni.base import events as base
from omni.base.errors import OmniError, WireError
from omni.base.timebase import TINY, Timebase
from omni.wire import audio, client_events, decode_server, encode_client, limits, server_events
from omni.wire import session as wire_session

PATH = "/v1/live/sessions"
FORMAT = wire_session.AudioPcm(rate=16_000)
OUTGOING_EVENTS = 250       # 5 s of microphone: a network that stands still longer loses the oldest speech
CLOSE_S = 3.0               # how long the server has for its `session.closed`
START_S = 10.0


class ServerError(OmniError):
    """The server cannot be reached, or refuses."""

    code = "server_refused"


def address(url: str) -> str:
    """The WebSocket address for what a person types: `http://host:port`, `wss://host/...`, `host:port`.

    Raises:
        ServerError: it is no address.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise ServerError(f"{url!r} is no address of a server; it looks like http://127.0.0.1:8765")
    path = parts.path if parts.path.rstrip("/") else PATH
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def public(url: str) -> str:
    """The address without what may be secret in it (user, password, query): for messages and files.

    Raises:
        ServerError: as `address`.
    """
    parts = urlsplit(address(url))
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class RemoteConversation:
    """One session on a server.

    Attributes:
        lost: events of microphone audio dropped because the network stood still.
        extended: whether the server has the omni.* extension; known once the session has started.
    """

    def __init__(self, url: str, sink: Callable[[base.SessionEvent], None], *, token: str | None = None,
                 instructions: str = "", insecure: bool = False, timebase: Timebase = TINY):
        """Args:
            url: see `address`.
            sink: takes each event, in order, on the event loop.
            token: the server's secret, if it has one.
            insecure: accept any TLS certificate: the server's own self-signed one.

        Raises:
            ServerError: `url` is no address.
        """
        self.lost = 0
        self.extended = True
        self._url = address(url)
        self._name = public(url)
        self._sink = sink
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._instructions = instructions
        self._insecure = insecure
        self._timebase = timebase
        self._outgoing: deque[str] = deque()
        self._wake = asyncio.Event()
        self._closed: base.SessionClosed | None = None
        self._ended = asyncio.Event()
        self._started = False
        self._received = 0          # samples of audio, which are its place where the server does not tell it
        self._epoch = 0
        self._last_words = ""       # why the server is about to end the session
        self._next: server_events.OmniAudio | None = None
        self._socket: ClientConnection | None = None
        self._tasks: list[asyncio.Task] = []

    async def start(self) -> None:
        """Connect and start the session; `SessionStarted` is the first event. Cancelling it leaves nothing behind.

        Raises:
            ServerError: nobody is there, or the server refuses; the message says why.
        """
        try:
            self._socket = await connect(
                self._url, additional_headers=self._headers, compression=None, max_size=limits.MAX_MESSAGE_BYTES,
                ssl=self._tls(), open_timeout=START_S, user_agent_header="omni")
        except InvalidStatus as error:
            raise ServerError(f"{self._name} refuses: {_words(error)}") from None
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            raise ServerError(f"{self._name} cannot be reached: {_why(error)}") from None
        try:
            await self._ask()
            async with asyncio.timeout(START_S):
                while not self._started:
                    asked = self.extended
                    self._receive(await self._socket.recv())
                    if asked and not self.extended and not self._started:
                        await self._ask()       # it does not know the extension
        except TimeoutError:
            await self._abandon()
            raise ServerError(f"{self._name} did not start a session within {START_S:g} s") from None
        except ConnectionClosed as error:
            raise ServerError(f"{self._name} refuses: {_closing(error)}") from None
        except BaseException:
            await self._abandon()
            raise
        self._tasks = [asyncio.create_task(self._read(), name="omni-remote-read"),
                       asyncio.create_task(self._write(), name="omni-remote-write")]

    async def close(self, reason: base.CloseReason = "close_requested", detail: str = "") -> None:
        """Say goodbye, wait up to 3 s for the answer, close. Idempotent. Cancelled, it closes without the answer."""
        if self._socket is None:
            return
        if self._closed is None:
            self._send(client_events.SessionClose())
            try:
                async with asyncio.timeout(CLOSE_S):
                    await self._ended.wait()
            except TimeoutError:
                self._end(base.SessionClosed("connection_lost", "the server did not answer"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._abandon()

    async def wait_closed(self) -> base.SessionClosed:
        """Wait for the end, whoever brings it. Cancelling it loses nothing."""
        await self._ended.wait()
        return self._closed

    # ---- what a transport calls

    def receive_audio(self, samples: np.ndarray, at: int | None = None) -> None:
        """Audio of the room at the model's rate; the server counts it, so `at` has no effect."""
        self._send(client_events.InputAudioAppend(audio=audio.encode_audio(samples, FORMAT)))

    def mute(self, client_event_id: str | None = None) -> None:
        """Hear zeros from now on."""
        self._send(client_events.InputAudioMute(event_id=client_event_id))

    def unmute(self, client_event_id: str | None = None) -> None:
        """Hear the room again."""
        self._send(client_events.InputAudioUnmute(event_id=client_event_id))

    def report_played(self, at: int) -> None:
        """Everything before sample `at` of the conversation's clock has been played."""
        if self.extended:
            self._send(client_events.OmniPlayback(played_ms=self._timebase.to_ms(at)))

    def discard(self, epoch: int, num_samples: int) -> None:
        """The protocol has no word for it: the server learns it from the reports."""

    # ---- inside

    async def _ask(self) -> None:
        omni = wire_session.ClientConfig(omni=wire_session.OmniExtension(events="all")) if self.extended else None
        await self._socket.send(encode_client(client_events.SessionStart(session=wire_session.SessionConfig(
            model="omni", instructions=self._instructions or None, audio=wire_session.Audio(format=FORMAT),
            client=omni))))

    def _send(self, event: client_events.ClientEvent) -> None:
        if not self._started or self._closed is not None:
            return
        self._outgoing.append(encode_client(event))
        while len(self._outgoing) > OUTGOING_EVENTS:
            self._outgoing.popleft()
            self.lost += 1
        self._wake.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._outgoing:
                    await self._socket.send(self._outgoing.popleft())
        except ConnectionClosed:
            pass    # the reader tells

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                self._receive(message)
            self._end(base.SessionClosed("connection_lost", "the server closed the connection"))
        except ConnectionClosed as error:
            self._end(base.SessionClosed("connection_lost", _closing(error)))
        except OmniError as error:
            self._end(base.SessionClosed("connection_lost", str(error)))

    def _receive(self, message: str | bytes) -> None:
        try:
            event = decode_server(message)
        except WireError as error:
            if error.code == "unknown_event":
                return      # a newer server has more events
            raise ServerError(f"{self._name} does not speak the protocol: {error}") from None
        if not self._started and isinstance(event, server_events.Error):
            if self.extended and event.error.code == "unknown_parameter":
                self.extended = False
                return
            raise ServerError(f"{self._name} refuses: {event.error.message}")
        if isinstance(event, server_events.OmniAudio):
            self._next = event
        elif isinstance(event, server_events.SessionClosed):
            self._end(base.SessionClosed(event.reason, self._last_words))
        elif (translated := self._translate(event)) is not None:
            self._sink(translated)

    def _translate(self, event: server_events.ServerEvent) -> base.SessionEvent | None:
        samples = self._timebase.from_ms
        match event:
            case server_events.SessionStarted():
                self._started = True
                self.extended = event.session.client is not None and event.session.client.omni is not None
                return base.SessionStarted(event.session.id, event.session.expires_at, {"model": event.session.model})
            case server_events.OutputAudioDelta():
                block, here, self._next = audio.decode_audio(event.delta, FORMAT), self._next, None
                at, self._received = self._received, self._received + len(block)
                if here is None:
                    return base.AudioReady(at, block, self._epoch)
                return base.AudioReady(samples(here.start_ms), block, here.epoch, samples(here.tail_ms))
            case server_events.OutputTranscriptDelta():
                return base.AgentText(event.delta, samples(event.start_ms), samples(event.end_ms), self._epoch)
            case server_events.InputTranscriptDelta():
                return base.UserText(event.delta, samples(event.start_ms), samples(event.end_ms))
            case server_events.OmniFloor(state="speaking"):
                self._epoch = event.epoch
                return base.SpeechStarted(event.epoch, samples(event.at_ms))
            case server_events.OmniFloor():
                return base.SpeechEnded(event.epoch, samples(event.at_ms), event.reason or "finished",
                                        event.unheard or 0)
            case server_events.OmniHeard():
                return base.SpeechHeard(event.epoch, event.text, event.estimated, event.final)
            case server_events.OmniBlock():
                return base.BlockPlayed(event.block, event.speaking, event.agent_level, event.user_level,
                                        event.late_blocks, event.compute_us)
            case server_events.InputAudioMuted():
                return base.MuteChanged(True, event.client_event_id)
            case server_events.InputAudioUnmuted():
                return base.MuteChanged(False, event.client_event_id)
            case server_events.Info(code="session_closing"):
                self._last_words = event.message
            case server_events.Info():
                return base.Notice(event.code, event.message)
            case server_events.Error():
                return base.Refused(event.error.code, event.error.message, event.error.param,
                                    event.error.client_event_id)
        return None

    def _end(self, closed: base.SessionClosed) -> None:
        if self._closed is None:
            self._closed = closed
            self._sink(closed)
            self._ended.set()

    async def _abandon(self) -> None:
        await self._socket.close()

    def _tls(self) -> ssl.SSLContext | None:
        if not self._url.startswith("wss:"):
            return None
        context = ssl.create_default_context()
        if self._insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


def _words(error: InvalidStatus) -> str:
    """The server's own sentence, if it sent one."""
    status = error.response.status_code
    hint = {401: "it needs its token (--token)", 404: "there is no such page; is it an omni server?",
            429: "too many connections; wait a moment", 503: "it is full or shutting down; try again later"}
    return hint.get(status, f"HTTP {status}")


def _closing(error: ConnectionClosed) -> str:
    return error.rcvd.reason or f"the connection was closed ({error.rcvd.code})" if error.rcvd else \
        "the connection broke off"


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted; for its own self-signed one add --insecure"
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower() if error.errno else str(error)
    return str(error)
