"""A conversation on a server, seen as if it were a session here: our own client of the WebSocket protocol.

It has the methods of `omni.session.session.Session` that transports use, and gives its sink the same events, so that
whoever talks needs not know where the model runs. A server without the omni.* extension tells less: audio, whose place
is counted, and transcripts; it is sent no reports.
"""

import asyncio
from collections import deque

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from omni.base import events as base
from omni.base.errors import OmniError
from omni.transport.remote_session import (
    CLOSE_S,
    RemoteSession,
    ServerError,
    address,
    public,
    refusal,
    unreachable,
)
from omni.wire import audio, client_events, encode_client, limits, server_events
from omni.wire import session as wire_session

__all__ = ["RemoteConversation", "ServerError", "address", "public"]

FORMAT = wire_session.AudioPcm(rate=16_000)
OUTGOING_EVENTS = 250       # 5 s of microphone: a network that stands still longer loses the oldest speech
START_S = 10.0


class RemoteConversation(RemoteSession):
    """One session on a server, over a WebSocket. `lost` counts events."""

    def __init__(self, url: str, sink, **options):
        """As `RemoteSession`."""
        super().__init__(url, sink, **options)
        self._outgoing: deque[str] = deque()
        self._wake = asyncio.Event()
        self._received = 0          # samples of audio, which are its place where the server does not tell it
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
            raise ServerError(f"{self._name} refuses: {refusal(error.response.status_code)}") from None
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            raise ServerError(f"{self._name} cannot be reached: {unreachable(error)}") from None
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

    def receive_audio(self, samples: np.ndarray, at: int | None = None) -> None:
        """Audio of the room at the model's rate; the server counts it, so `at` has no effect."""
        self._send(client_events.InputAudioAppend(audio=audio.encode_audio(samples, FORMAT)))

    def report_played(self, at: int) -> None:
        """Everything before sample `at` of the conversation's clock has been played."""
        if self.extended:
            self._send(client_events.OmniPlayback(played_ms=self._timebase.to_ms(at)))

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

    def _translate(self, event: server_events.ServerEvent) -> base.SessionEvent | None:
        match event:
            case server_events.OmniAudio():
                self._next = event
                return None
            case server_events.OutputAudioDelta():
                block, here, self._next = audio.decode_audio(event.delta, FORMAT), self._next, None
                at, self._received = self._received, self._received + len(block)
                if here is None:
                    return base.AudioReady(at, block, self._epoch)
                samples = self._timebase.from_ms
                return base.AudioReady(samples(here.start_ms), block, here.epoch, samples(here.tail_ms))
        return super()._translate(event)

    async def _abandon(self) -> None:
        await self._socket.close()


def _closing(error: ConnectionClosed) -> str:
    return error.rcvd.reason or f"the connection was closed ({error.rcvd.code})" if error.rcvd else \
        "the connection broke off"
