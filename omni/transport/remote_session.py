"""What our own clients of the protocol share, whatever carries them: addresses, refusals, events, the end."""

import asyncio
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from omni.base import events as base
from omni.base.errors import OmniError, WireError
from omni.base.timebase import TINY, Timebase
from omni.wire import client_events, decode_server, server_events

PATH = "/v1/live/sessions"
CLOSE_S = 3.0               # how long the server has for its `session.closed`


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


class RemoteSession:
    """One session on a server: events of the protocol to events of the sink, and how it ended.

    A subclass connects, says how events leave (`_send`), and gives what arrives to `_receive`.

    Attributes:
        lost: what was said into the microphone and dropped because the network stood still; the unit is the
            subclass's.
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
        self._closed: base.SessionClosed | None = None
        self._ended = asyncio.Event()
        self._started = False
        self._epoch = 0
        self._last_words = ""       # why the server is about to end the session

    async def wait_closed(self) -> base.SessionClosed:
        """Wait for the end, whoever brings it. Cancelling it loses nothing."""
        await self._ended.wait()
        return self._closed

    # ---- what a transport calls

    def mute(self, client_event_id: str | None = None) -> None:
        """Hear zeros from now on."""
        self._send(client_events.InputAudioMute(event_id=client_event_id))

    def unmute(self, client_event_id: str | None = None) -> None:
        """Hear the room again."""
        self._send(client_events.InputAudioUnmute(event_id=client_event_id))

    def receive_audio(self, samples: np.ndarray, at: int | None = None) -> None:
        """Audio of the room, float32 (n,) at the model's rate."""
        raise NotImplementedError

    def report_played(self, at: int) -> None:
        """Everything before sample `at` of the clock of `AudioReady` has been played."""
        raise NotImplementedError

    def discard(self, start: int, end: int) -> None:
        """The protocol has no word for it: the server learns it from the reports."""

    # ---- for subclasses

    def _send(self, event: client_events.ClientEvent) -> None:
        raise NotImplementedError

    def _receive(self, message: str | bytes) -> None:
        """One message of the server.

        Raises:
            ServerError: it refuses, or does not speak the protocol.
        """
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
        if isinstance(event, server_events.SessionClosed):
            self._end(base.SessionClosed(event.reason, self._last_words))
        elif (translated := self._translate(event)) is not None:
            self._give(translated)

    def _give(self, event: base.SessionEvent) -> None:
        self._sink(event)

    def _translate(self, event: server_events.ServerEvent) -> base.SessionEvent | None:
        """The event as a session here would give it, its instants on the session's clock; None if it has no match."""
        samples = self._timebase.from_ms
        match event:
            case server_events.SessionStarted():
                self._started = True
                self.extended = event.session.client is not None and event.session.client.omni is not None
                return base.SessionStarted(event.session.id, event.session.expires_at, {"model": event.session.model})
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

    def _tls(self) -> ssl.SSLContext | None:
        if not self._url.startswith("wss:"):
            return None
        context = ssl.create_default_context()
        if self._insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


def refusal(status: int, sentence: str = "") -> str:
    """Why a server refuses, for a person; `sentence` is its own, if it sent one."""
    hint = {401: "it needs its token (--token)", 404: "there is no such page; is it an omni server?",
            429: "too many connections; wait a moment"}
    silent = {503: "it is full or shutting down; try again later"}
    return hint.get(status) or sentence or silent.get(status) or f"HTTP {status}"


def unreachable(error: Exception) -> str:
    """Why nobody answers, for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted; for its own self-signed one add --insecure"
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower() if error.errno else str(error)
    return str(error)
