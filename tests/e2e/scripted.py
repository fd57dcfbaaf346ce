"""A server of the page whose conversation is a script: for looking at the page, and for its refusals.

It speaks the WebSocket side of the protocol with `omni.wire` and sends the events of `SCORE` in real time, as a session
would. What the page does with a real session is tested against the real server.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
from aiohttp import WSMsgType, web

from omni.base.config import data_path
from omni.wire import decode_client, encode_server
from omni.wire.audio import encode_audio
from omni.wire.server_events import (
    Error,
    ErrorBody,
    InputTranscriptDelta,
    OmniAudio,
    OmniBlock,
    OmniFloor,
    OmniHeard,
    OutputAudioDelta,
    OutputTranscriptDelta,
    SessionStarted,
)
from omni.wire.session import AudioPcm, SessionResource

BLOCK_MS = 80
FULL = "all 4 conversations are taken"
_TYPES = {".js": "text/javascript", ".woff2": "font/woff2", ".svg": "image/svg+xml"}

SCORE = (
    ("wait", 10, ""),
    ("you", 24, "A large latte with oat milk, please."),
    ("wait", 6, ""),
    ("omni", 34, "A large latte with oat milk. That is five dollars and twenty cents. Anything else?"),
    ("wait", 12, ""),
    ("you", 18, "No. Tell me a story while I wait."),
    ("wait", 6, ""),
    ("omni", 30, "Once there was a lighthouse keeper who had forgotten the sea."),
    ("both", 5, "uh-huh"),
    ("omni", 26, "Every night she lit the lamp, and every night the ships went by"),
    ("both", 6, "stop"),
    ("cut", 0, " without a"),
    ("wait", 400, ""),
)


class Script:
    """Events of `SCORE`, block by block."""

    def __init__(self):
        self._number = 0

    def _name(self) -> str:
        self._number += 1
        return f"event_{self._number}"

    def blocks(self, score=SCORE):
        """Yields the events of one block at a time."""
        block, epoch, spoken = 0, 0, ""
        for entry, (who, length, text) in enumerate(score):
            agent, user = who in ("omni", "both"), who in ("you", "both")
            events = []
            if who == "cut":
                epoch += 1
                at = block * 80
                yield [OutputTranscriptDelta(event_id=self._name(), delta=text, start_ms=at, end_ms=at + 80),
                       OmniFloor(event_id=self._name(), state="listening", epoch=epoch, at_ms=at, reason="interrupted",
                                 unheard=2),
                       OmniHeard(event_id=self._name(), epoch=epoch - 1, text=spoken, estimated=False, final=True)]
                continue
            if agent and score[entry - 1][0] not in ("omni", "both"):
                epoch, spoken = epoch + 1, ""
                events.append(OmniFloor(event_id=self._name(), state="speaking", epoch=epoch, at_ms=block * 80))
            words = text.split()
            for i in range(length):
                at = block * 80
                due = words[i * len(words) // length:(i + 1) * len(words) // length]
                for word in due:
                    kind = InputTranscriptDelta if user else OutputTranscriptDelta
                    spoken += "" if user else f" {word}"
                    events.append(kind(event_id=self._name(), delta=f" {word}", start_ms=at, end_ms=at + 80))
                wave = abs(math.sin(block * 1.3) * math.sin(block * 0.47 + 1))
                agent_level, user_level = agent * (0.02 + 0.12 * wave), 0.0012 + user * (0.02 + 0.1 * wave)
                events.append(OmniBlock(event_id=self._name(), block=block, speaking=agent, agent_level=agent_level,
                                        user_level=user_level, late_blocks=0, compute_us=17_000 + 900 * (block % 5)))
                tone = np.sin(np.arange(1280) * 2 * np.pi * 200 / 16_000).astype(np.float32) * agent_level
                events.append(OmniAudio(epoch=epoch, start_ms=at, tail_ms=0))
                events.append(OutputAudioDelta(delta=encode_audio(tone, AudioPcm(rate=16_000))))
                yield events
                events = []
                block += 1
            if who == "omni" and score[entry + 1][0] == "wait":
                yield [OmniFloor(event_id=self._name(), state="listening", epoch=epoch, at_ms=block * 80,
                                 reason="finished"),
                       OmniHeard(event_id=self._name(), epoch=epoch, text=spoken, estimated=False, final=True)]


class ScriptedServer:
    """Serves the page and plays the script to each caller.

    Attributes:
        full: refuse every session, as a server without a free slot does.
        cut_after_s: drop the connection without a word after so long; None never.
        speed: script blocks for each 80 ms.
        received: types of the client's events.
    """

    def __init__(self, *, full: bool = False, cut_after_s: float | None = None, speed: float = 1.0):
        self.full, self.cut_after_s, self.speed = full, cut_after_s, speed
        self.received: list[str] = []
        pages = data_path("client")
        self._files = {str(path.relative_to(pages)): path.read_bytes() for path in pages.rglob("*") if path.is_file()}

    @contextlib.asynccontextmanager
    async def run(self, host: str = "127.0.0.1") -> AsyncIterator[str]:
        """Serve; yields the port's address."""
        app = web.Application()
        app.router.add_get("/v1/live/sessions", self._socket)
        app.router.add_post("/v1/live/sessions", self._post)
        app.router.add_get("/{path:.*}", self._page)
        runner = web.AppRunner(app, shutdown_timeout=0.2)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, 0)
            await site.start()
            yield f"http://localhost:{site._server.sockets[0].getsockname()[1]}/"
        finally:
            await runner.cleanup()

    async def _page(self, request: web.Request) -> web.Response:
        name = request.match_info["path"] or "index.html"
        if name not in self._files:
            raise web.HTTPNotFound
        kind = _TYPES.get(Path(name).suffix, f"text/{Path(name).suffix[1:]}")
        return web.Response(body=self._files[name], content_type=kind, headers={"Cache-Control": "no-store"})

    async def _post(self, request: web.Request) -> web.Response:
        """As good as blocked UDP: the offer is never answered. A full server says so at once."""
        if self.full:
            error = {"type": "server_error", "code": "session_limit_reached", "message": FULL}
            return web.json_response({"error": error}, status=503)
        await asyncio.sleep(30)
        raise web.HTTPGatewayTimeout

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("omni",))
        await socket.prepare(request)
        await socket.receive()  # session.start
        if self.full:
            body = ErrorBody(type="server_error", code="session_limit_reached", message=FULL)
            await socket.send_str(encode_server(Error(event_id="event_0", error=body)))
            await socket.close()
            return socket
        resource = SessionResource(id="sess_1", expires_at=2_000_000_000, model="scripted", status="active")
        await socket.send_str(encode_server(SessionStarted(event_id="event_0", session=resource)))
        playing = asyncio.create_task(self._play(socket))
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    self.received.append(decode_client(message.data).__struct_config__.tag)
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        return socket

    async def _play(self, socket: web.WebSocketResponse) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, events in enumerate(Script().blocks()):
            await asyncio.sleep(began + number * BLOCK_MS / 1000 / self.speed - loop.time())
            if self.cut_after_s is not None and loop.time() - began > self.cut_after_s:
                self.cut_after_s = None
                socket._req.transport.abort()
                return
            for event in events:
                await socket.send_str(encode_server(event))
