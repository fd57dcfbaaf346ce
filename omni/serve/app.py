"""One aiohttp application: the page, signalling, WebSocket, health and metrics.

    GET    /  and its files             the page
    GET    /v1/live/sessions            WebSocket: session.start is the first message
    POST   /v1/live/sessions            {session, transport: {type: "webrtc", sdp}} -> 201, answer
    DELETE /v1/live/sessions/{id}       hang up; POST /v1/live/sessions/{id}/hangup does the same
    OPTIONS of these three              what a browser asks before a page of an allowed origin may
    GET    /healthz /readyz /metrics
"""

import asyncio
import dataclasses
import logging
import mimetypes
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from omni import __version__
from omni.base.config import data_path
from omni.base.errors import CapacityError, OmniError, WireError
from omni.base.ports import EnginePort
from omni.serve.config import ServeConfig
from omni.serve.conversation import CallConversation, Conversation, SocketConversation
from omni.serve.limits import Access, AccessError, ConnectionRate
from omni.serve.live import LiveAdapter
from omni.serve.metrics import CONTENT_TYPE, Metrics
from omni.transport.jitter import check_aiortc
from omni.transport.websocket import offered_protocols
from omni.wire import decode_create, encode_created, encode_http_error
from omni.wire import limits as wire_limits

logger = logging.getLogger(__name__)

SESSIONS = "/v1/live/sessions"
_BODY_S = 10.0  # for the body of a POST to arrive

_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml",
          ".woff2": "font/woff2", ".json": "application/json", ".webmanifest": "application/manifest+json"}

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}


class ServerError(OmniError):
    """The server cannot take a session for a reason of its own."""

    code = "server_error"


class Server:
    """What the handlers share. One per process; lives on one event loop.

    Args:
        engine: where conversations find their model.
        model: name of the model that answers.
        stats: numbers of the engine for /metrics, as a dataclass, or None.
        pages: folder of the page; the packaged one if None.
    """

    def __init__(self, engine: EnginePort, config: ServeConfig, *, model: str = "tiny",
                 stats: Callable[[], object] | None = None, pages: Path | None = None):
        check_aiortc()
        self.config = config
        self.metrics = Metrics()
        self.conversations: dict[str, Conversation] = {}
        self.stopping = False
        self._engine = engine
        self._model = model
        self._stats = stats
        self._access = Access(config)
        self._rate = ConnectionRate(config.limits.connects_burst, config.limits.connects_per_s)
        self._sockets = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._pages = _scan(pages or data_path("client"))
        self._declare_metrics()

    def app(self) -> web.Application:
        """The application; cleaning it up ends every conversation."""
        app = web.Application(middlewares=[self._guard], client_max_size=wire_limits.MAX_OFFER_BYTES)
        app.on_response_prepare.append(self._add_headers)
        app.on_shutdown.append(lambda _: self.stop())
        add = app.router.add_route
        add("GET", SESSIONS, self._socket)
        add("POST", SESSIONS, self._call)
        add("DELETE", SESSIONS + "/{id}", self._hang_up)
        add("POST", SESSIONS + "/{id}/hangup", self._hang_up)
        for path in (SESSIONS, SESSIONS + "/{id}", SESSIONS + "/{id}/hangup"):
            add("OPTIONS", path, self._preflight)
        add("GET", "/healthz", self._health)
        add("GET", "/readyz", self._ready)
        add("GET", "/metrics", self._metrics)
        add("GET", "/{path:.*}", self._page)
        return app

    async def stop(self) -> None:
        """Take nothing new, tell every client, and end all within the deadline. Idempotent."""
        self.stopping = True
        try:
            async with asyncio.timeout(self.config.limits.shutdown_s):
                await asyncio.gather(*(c.dismiss("the server is shutting down")
                                       for c in list(self.conversations.values())))
                while self.conversations or self._calls:  # noqa: ASYNC110  (two plain collections, a few rounds)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            logger.warning("%d conversations did not end in time", len(self.conversations))
        for task in list(self._calls):
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    # ---- what every request meets

    @web.middleware
    async def _guard(self, request: web.Request,
                     handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        try:
            host = self._access.check_host(request.headers.get("Host"))
            if request.path.startswith("/v1/"):
                self._access.check_origin(request.headers.get("Origin"), host)
            if request.method != "OPTIONS" and (request.path.startswith("/v1/") or request.path == "/metrics"):
                self._access.check_token(request.headers, request.query, offered_protocols(request))
            return await handler(request)
        except AccessError as error:
            self.metrics.add("omni_refused_total", reason=error.code)
            headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
            return _refusal(error, error.status, headers)
        except CapacityError as error:
            self.metrics.add("omni_refused_total", reason=error.code)
            return _refusal(error, 503, {"Retry-After": "5"})
        except ServerError as error:
            return _refusal(error, 503, {"Retry-After": "5"})
        except OmniError as error:
            self.metrics.add("omni_refused_total", reason="invalid")
            return _refusal(error, 400)
        except web.HTTPRequestEntityTooLarge:
            return _refusal(WireError("the body is too large", code="message_too_large"), 413)

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_HEADERS)
        response.headers["Server"] = "omni"
        origin = request.headers.get("Origin")
        if origin and self._access.allows(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "Location"
            response.headers["Vary"] = "Origin"

    async def _preflight(self, request: web.Request) -> web.Response:
        return web.Response(status=204, headers={"Access-Control-Allow-Methods": "GET, POST, DELETE",
                                                 "Access-Control-Allow-Headers": "authorization, content-type",
                                                 "Access-Control-Max-Age": "600"})

    # ---- sessions

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise WireError("open a WebSocket here, or POST an offer", code="upgrade_required")
        self._rate.take(request.remote or "", time.monotonic())
        if self._sockets >= self.config.limits.connections or self.stopping:
            raise ServerError("too many connections are open" if not self.stopping else "the server is shutting down")
        conversation = SocketConversation(self._engine, self.config, self._adapter("websocket"), self._refuse_start)
        self._sockets += 1
        self._entered(conversation)
        try:
            return await conversation.run(request)
        finally:
            self._sockets -= 1
            self._left(conversation)

    async def _call(self, request: web.Request) -> web.Response:
        self._rate.take(request.remote or "", time.monotonic())
        try:
            async with asyncio.timeout(_BODY_S):
                body = await request.read()
        except TimeoutError:
            raise WireError("the body did not arrive in time", code="timeout") from None
        create = decode_create(body)
        adapter = self._adapter("webrtc")
        start = adapter.create(create.session)
        if error := self._refuse_start():
            raise error
        conversation = CallConversation(self._engine, self.config, adapter)
        self._entered(conversation)
        try:
            answer = await conversation.accept(start, create.transport.sdp)
        except BaseException:
            self._left(conversation)
            raise
        task = asyncio.create_task(self._run_call(conversation), name=f"call-{conversation.session_id}")
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return web.Response(status=201, text=encode_created(conversation.session_id, answer),
                            content_type="application/json",
                            headers={"Location": f"{SESSIONS}/{conversation.session_id}"})

    async def _run_call(self, conversation: CallConversation) -> None:
        try:
            await conversation.run()
        except Exception:
            logger.exception("%s failed", conversation.session_id)
        finally:
            self._left(conversation)

    async def _hang_up(self, request: web.Request) -> web.Response:
        conversation = self.conversations.get(request.match_info["id"])
        if conversation is None:
            return _refusal(WireError("there is no such session", code="session_not_found"), 404)
        await conversation.close("remote_hangup")
        return web.Response(status=204)

    def _adapter(self, transport) -> LiveAdapter:
        return LiveAdapter(self._engine.timebase, model=self._model, transport=transport,
                           follows_instructions=self._engine.follows_instructions)

    def _refuse_start(self) -> OmniError | None:
        return ServerError("the server is shutting down") if self.stopping else None

    def _entered(self, conversation: Conversation) -> None:
        self.conversations[conversation.session_id] = conversation
        self.metrics.add("omni_connections_total", transport=conversation.kind)

    def _left(self, conversation: Conversation) -> None:
        if self.conversations.pop(conversation.session_id, None) is not None:
            self.metrics.add("omni_ended_total", reason=conversation.closed_reason)

    # ---- the rest

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "version": __version__})

    async def _ready(self, request: web.Request) -> web.Response:
        able = getattr(self._stats() if self._stats else None, "ready", True)
        status = "stopping" if self.stopping else "ready" if able else "busy"
        return web.json_response({"status": status, "model": self._model, "sessions": self._live(),
                                  "limit": self.config.limits.sessions}, status=200 if status == "ready" else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        stats = self._stats() if self._stats else None
        numbers = dataclasses.asdict(stats) if dataclasses.is_dataclass(stats) else {}
        text = self.metrics.text({f"omni_engine_{name}": value for name, value in numbers.items()})
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _page(self, request: web.Request) -> web.StreamResponse:
        name = re.sub(r"^client/", "", request.match_info["path"]) or "index.html"
        path = self._pages.get(name)
        if path is None:
            raise web.HTTPNotFound(text="not found")
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        response = web.FileResponse(path, headers={"Content-Type": kind, "Cache-Control": "no-cache"})
        if kind == "text/html":
            response.headers["Content-Security-Policy"] = self._policy(request)
        return response

    def _policy(self, request: web.Request) -> str:
        host = request.headers["Host"]
        sockets = f"wss://{host}" if self.config.https else f"ws://{host}"  # not all browsers count them as 'self'
        return "; ".join((
            "default-src 'none'", "script-src 'self'", "worker-src 'self'", "style-src 'self'", "font-src 'self'",
            "img-src 'self' data:", "media-src 'self' blob: mediastream:", f"connect-src 'self' {sockets}",
            "manifest-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"))

    def _live(self) -> int:
        return sum(c.is_live for c in self.conversations.values())

    def _declare_metrics(self) -> None:
        metrics = self.metrics
        metrics.counter("omni_connections_total", "Connections taken, by transport.")
        metrics.counter("omni_ended_total", "Connections ended, by reason.")
        metrics.counter("omni_refused_total", "Requests refused, by reason.")
        metrics.gauge("omni_conversations", "Conversations now.", self._live)
        metrics.gauge("omni_connections", "Connections now, with or without a conversation.",
                      lambda: len(self.conversations))


def _refusal(error: OmniError, status: int, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=encode_http_error(error), content_type="application/json", headers=headers)


def _scan(folder: Path) -> dict[str, Path]:
    """Every file of the page by its name below the folder: what is not in here is not served."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)}
