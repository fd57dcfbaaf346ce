"""One WebSocket connection on the server's side (aiohttp): bounded both ways, and never waited for.

What goes out is paced by the tick that makes it. It waits in a queue from which audio of an older epoch is dropped, and
a reader that stands still for two seconds is closed with a reason: it could only ever hear the past. What comes in is
read no faster than several times real time, so one client's flood costs the others nothing.
"""

import asyncio
import logging
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import WSCloseCode, WSMsgType, web

from omni.base.events import AudioReady

logger = logging.getLogger(__name__)

PROTOCOLS = ("omni", "realtime")
_MAX_ENTRIES = 1024             # some ten seconds of everything; the stall limit comes first
_SEND_BUFFER_BYTES = 32 * 1024  # of the kernel and of asyncio each: what they hold cannot be taken back
_READ_BURST_BYTES = 4 << 20     # the longest burst of audio (30 s) twice over
_READ_BYTES_PER_S = 1 << 20     # sixteen times real time of 24 kHz PCM in base64
_CLOSE_S = 1.0                  # for the last events and the close frame to be written
_LINGER_S = 5.0                 # for a reader that stood still to find the close frame


@dataclass(frozen=True, slots=True)
class SocketSettings:
    """Limits of one connection.

    Attributes:
        max_message_bytes: of one message from the client; a larger one closes with 1009.
        stall_s: seconds the reader may stand still.
        heartbeat_s: seconds between pings; half of it without an answer ends the connection.
    """

    max_message_bytes: int = 2 << 20
    stall_s: float = 2.0
    heartbeat_s: float = 10.0


@dataclass(slots=True)
class SocketCounters:
    """Texts sent and received, and samples of audio dropped for a newer epoch."""

    sent: int = 0
    received: int = 0
    discarded: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    texts: list[str]
    since: float
    epoch: int | None = None    # of audio
    at: int = 0                 # of audio, its first sample on the conversation's clock
    samples: int = 0            # of audio, at the model's rate


class SocketLink:
    """A prepared WebSocket: `send` never waits, `run` reads and writes until it is over.

    Args:
        discarded: called with (first sample, one past the last) on the conversation's clock when unsent audio is
            dropped for a newer epoch.
    """

    def __init__(self, ws: web.WebSocketResponse, request: web.Request, settings: SocketSettings,
                 discarded: Callable[[int, int], None]):
        self.counters = SocketCounters()
        self._ws = ws
        self._transport = request.transport
        self._settings = settings
        self._discarded = discarded
        self._queue: deque[_Entry] = deque()
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._epoch = 0
        self._code, self._reason = int(WSCloseCode.OK), ""
        self._by_peer = False
        self._writer: asyncio.Task[None] | None = None
        _keep_little_unsent(self._transport)

    @classmethod
    async def open(cls, request: web.Request, settings: SocketSettings,
                   discarded: Callable[[int, int], None]) -> "SocketLink":
        """Answer the handshake.

        A subprotocol is answered only if one was offered. A client that offers nothing known (a token, say) gets its
        own first one back, since browsers give up otherwise.

        Raises:
            aiohttp.web.HTTPException: it is no WebSocket handshake.
        """
        offered = offered_protocols(request)
        answered = [p for p in offered if p in PROTOCOLS] or offered[:1]
        ws = web.WebSocketResponse(protocols=answered, compress=False, max_msg_size=settings.max_message_bytes,
                                   heartbeat=settings.heartbeat_s, timeout=_CLOSE_S, writer_limit=0)
        await ws.prepare(request)
        return cls(ws, request, settings, discarded)

    @property
    def response(self) -> web.WebSocketResponse:
        """What the request's handler returns in the end."""
        return self._ws

    # ---- from the session; none of these waits

    def send(self, texts: list[str]) -> None:
        """Queue events, in order."""
        if texts:
            self._put(_Entry(texts, time.monotonic()))

    def send_audio(self, texts: list[str], block: AudioReady, samples: int) -> None:
        """Queue the events that carry one block (`samples` at the model's rate); older epochs unsent are dropped."""
        if block.epoch > self._epoch:
            self._epoch = block.epoch
            self._drop_older()
        if texts:
            self._put(_Entry(texts, time.monotonic(), block.epoch, block.at, samples))

    def hang_up(self, code: int, reason: str) -> None:
        """Close once the queue is written. Idempotent: the first reason stays."""
        if not self._ended.is_set():
            self._code, self._reason = code, reason[:120]  # a close frame holds 123 bytes
            self._ended.set()
            self._wake.set()

    # ---- life

    async def run(self, received: Callable[[str | bytes], Awaitable[None]]) -> bool:
        """Carry texts both ways until either side wants to close; True if the client has closed or is gone.

        `close` is to follow. Cancelling it loses nothing but what `received` was doing.
        """
        self._writer = asyncio.create_task(self._write(), name="socket-write")
        reader = asyncio.create_task(self._read(received), name="socket-read")
        ended = asyncio.create_task(self._ended.wait(), name="socket-ended")
        try:
            # A reader or writer that fails by a fault of ours ends the run too, and the fault is raised.
            await asyncio.wait([reader, self._writer, ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reader, ended):
                task.cancel()
            await asyncio.gather(reader, ended, return_exceptions=True)
        for task in (reader, self._writer):
            if task.done() and not task.cancelled() and (fault := task.exception()):
                raise fault
        return self._by_peer

    async def close(self) -> None:
        """Write what is queued and the close frame, waiting a second at most for each, and free the socket.

        A reader that stands still has a few seconds more to find the close frame.
        """
        self.hang_up(WSCloseCode.OK, "")
        if self._writer is not None:
            if not self._by_peer:
                await asyncio.wait([self._writer], timeout=_CLOSE_S)
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        transport = self._transport
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._ws.close(code=self._code, message=self._reason.encode())
        except TimeoutError:
            logger.debug("the close frame waits for its reader")
        if transport is not None:
            waiting = transport.get_write_buffer_size()     # a TLS transport that was closed twice cannot tell
            transport.close()
            if waiting:
                asyncio.get_running_loop().call_later(_LINGER_S, transport.abort)

    async def _read(self, received: Callable[[str | bytes], Awaitable[None]]) -> None:
        budget, at = float(_READ_BURST_BYTES), time.monotonic()
        while True:
            message = await self._ws.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                self._by_peer = True
                self.hang_up(self._ws.close_code or WSCloseCode.ABNORMAL_CLOSURE, "")
                return
            self.counters.received += 1
            now = time.monotonic()
            budget = min(float(_READ_BURST_BYTES), budget + (now - at) * _READ_BYTES_PER_S) - len(message.data)
            at = now
            if budget < 0:
                await asyncio.sleep(-budget / _READ_BYTES_PER_S)
            await received(message.data)

    async def _write(self) -> None:
        """Write what is queued; ends once the connection is to be closed and nothing is left."""
        while True:
            while self._queue:
                entry = self._queue.popleft()
                for text in entry.texts:
                    try:
                        async with asyncio.timeout(self._settings.stall_s):
                            await self._ws.send_str(text)
                    except TimeoutError:
                        self._stalled()
                        return
                    except ConnectionError:
                        self._by_peer = True
                        self.hang_up(WSCloseCode.ABNORMAL_CLOSURE, "")
                        return
                    self.counters.sent += 1
            if self._ended.is_set():
                return
            self._wake.clear()
            await self._wake.wait()

    def _put(self, entry: _Entry) -> None:
        if self._ended.is_set() and self._by_peer:
            return
        if self._queue and (entry.since - self._queue[0].since > self._settings.stall_s
                            or len(self._queue) >= _MAX_ENTRIES):
            self._stalled()
            return
        self._queue.append(entry)
        self._wake.set()

    def _stalled(self) -> None:
        self._queue.clear()
        self.hang_up(WSCloseCode.POLICY_VIOLATION, f"the reader stood still for {self._settings.stall_s:g} s")

    def _drop_older(self) -> None:
        kept: deque[_Entry] = deque()
        for entry in self._queue:
            if entry.epoch is None or entry.epoch >= self._epoch:
                kept.append(entry)
            else:
                self.counters.discarded += entry.samples
                self._discarded(entry.at, entry.at + entry.samples)
        self._queue = kept


def offered_protocols(request: web.Request) -> list[str]:
    """The subprotocols of a handshake, in the client's order."""
    return [p.strip() for p in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if p.strip()]


def _keep_little_unsent(transport: asyncio.Transport | None) -> None:
    if transport is None:
        return
    transport.set_write_buffer_limits(high=_SEND_BUFFER_BYTES)
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
