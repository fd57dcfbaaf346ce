"""The whole server but the model: real sockets, the protocol, and every way of coming and going."""

import asyncio
import json
import logging
import os
import time
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, ClientTimeout, WSMsgType, WSServerHandshakeError
from fakes import FakeEngine
from vectors import load as load_vectors

from omni.base.config import build
from omni.engine.worker import EngineWorker
from omni.serve.command import BindError, serving
from omni.serve.config import ServeConfig

PATH = "/v1/live/sessions"
START = {"type": "session.start", "session": {"model": "tiny", "client": {"omni": {"events": "all"}}}}


class House:
    """A running server over a scripted engine, and a client of it."""

    def __init__(self, engine, worker, server, port, client):
        self.engine, self.worker, self.server, self.port, self.client = engine, worker, server, port, client
        self.url = f"http://127.0.0.1:{port}"

    def connect(self, **kwargs):
        return self.client.ws_connect(self.url + PATH, **kwargs)

    @asynccontextmanager
    async def session(self, **start):
        async with self.connect() as ws:
            await ws.send_json(START | start)
            started = await ws.receive_json(timeout=5)
            assert started["type"] == "session.started", started
            yield ws

    async def emptied(self, seconds=5.0, but=0):
        """Every slot is free and no connection is known any more, but for so many."""
        deadline = time.monotonic() + seconds
        while (self.engine.num_open, len(self.server.conversations)) != (but, but):
            assert time.monotonic() < deadline, (self.engine.num_open, self.server.conversations)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def house(*, engine=None, config=None):
    engine = engine or FakeEngine(capacity=2)
    values = {"port": 0, "limits": {"connects_burst": 1000, **(config or {}).pop("limits", {})}} | (config or {})
    with pytest.MonkeyPatch.context() as patch:
        # Both ends share this process: on a busy machine the engine must not turn callers away.
        patch.setattr("omni.engine.worker.ADMISSION_P95_US", 10**9)
        async with EngineWorker(engine) as worker:
            serve = serving(build(ServeConfig, values), worker, stats=worker.stats)
            async with serve, ClientSession(timeout=ClientTimeout(20)) as client:
                yield House(engine, worker, serve.server, serve.port, client)


async def until(ws, kind: str, seconds=10.0) -> list[dict]:
    """Events up to and with the first of this type."""
    seen = []
    async with asyncio.timeout(seconds):
        while not seen or seen[-1]["type"] != kind:
            message = await ws.receive()
            assert message.type is WSMsgType.TEXT, (message, [event["type"] for event in seen])
            seen.append(json.loads(message.data))
    return seen


async def closing(ws, seconds=10.0) -> tuple[list[dict], int, str]:
    """Everything that comes until the server closes: events, code, reason."""
    seen = []
    async with asyncio.timeout(seconds):
        while True:
            message = await ws.receive()
            if message.type is not WSMsgType.TEXT:
                return seen, ws.close_code, message.extra or ""
            seen.append(json.loads(message.data))


# ---- the page and the small endpoints


async def test_the_page_and_its_files_come_with_their_headers():
    async with house() as h:
        async with h.client.get(h.url + "/?x=1") as page:
            assert page.status == 200 and page.content_type == "text/html"
            policy = page.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and f"ws://127.0.0.1:{h.port}" in policy
            assert page.headers["X-Content-Type-Options"] == "nosniff"
            assert page.headers["Referrer-Policy"] == "no-referrer"
        for path in ("/main.js", "/client/main.js", "/worklets/capture.js"):
            async with h.client.get(h.url + path) as script:
                assert (script.status, script.content_type) == (200, "text/javascript"), path
        for path in ("/nothing.js", "/..%2fpyproject.toml", "/%2e%2e/pyproject.toml", "/.gitkeep", "/worklets/"):
            async with h.client.get(h.url + path) as missing:
                assert missing.status == 404, path


async def test_health_readiness_and_metrics():
    async with house() as h:
        async with h.session() as ws:
            await until(ws, "omni.block")
            async with h.client.get(h.url + "/readyz") as ready:
                assert (await ready.json())["sessions"] == 1
            async with h.client.get(h.url + "/metrics") as metrics:
                text = await metrics.text()
        assert "omni_conversations 1" in text and 'omni_connections_total{transport="websocket"} 1' in text
        assert "omni_engine_ticks" in text
        async with h.client.get(h.url + "/healthz") as health:
            assert (await health.json())["status"] == "ok"


# ---- a conversation over a WebSocket


async def test_a_conversation_from_start_to_close():
    async with house(engine=FakeEngine(capacity=1, speak_from=3, speak_until=8)) as h:
        async with h.session() as ws:
            events = await until(ws, "omni.floor")
            events += await until(ws, "omni.floor")
            kinds = {event["type"] for event in events}
            assert {"session.output_audio.delta", "session.output_transcript.delta", "omni.block"} <= kinds
            said = "".join(e["delta"] for e in events if e["type"] == "session.output_transcript.delta")
            assert said.startswith(" word0 word1")
            await ws.send_json({"type": "session.close", "event_id": "bye"})
            events, code, _ = await closing(ws)
            assert events[-1]["type"] == "session.closed" and events[-1]["reason"] == "close_requested"
            assert events[-1]["client_event_id"] == "bye" and code == 1000
        await h.emptied()


@pytest.mark.parametrize("rate", [16_000, 24_000])
async def test_audio_comes_at_the_pace_of_the_clock_and_in_the_format_asked_for(rate):
    async with house() as h:
        start = {"session": START["session"] | {"audio": {"format": {"type": "audio/pcm", "rate": rate}}}}
        async with h.session(**start) as ws:
            await until(ws, "session.output_audio.delta")
            began, count = time.monotonic(), 0
            while time.monotonic() - began < 1.0:
                events = await until(ws, "session.output_audio.delta")
                count += len(events[-1]["delta"]) * 3 // 4 // 2
            assert count / (time.monotonic() - began) == pytest.approx(rate, rel=0.25)


async def test_a_stock_client_sees_the_plain_protocol():
    async with house(engine=FakeEngine(capacity=1, speak_from=2, speak_until=4)) as h:
        async with h.session(session={"model": "gpt-live-1"}) as ws:
            kinds = {(await ws.receive_json())["type"] for _ in range(20)}
        assert not any(kind.startswith("omni.") for kind in kinds)


async def test_mute_is_acknowledged():
    async with house() as h, h.session() as ws:
        await ws.send_json({"type": "session.input_audio.mute", "event_id": "m"})
        assert (await until(ws, "session.input_audio.muted"))[-1]["client_event_id"] == "m"
        await ws.send_json({"type": "session.input_audio.unmute"})
        await until(ws, "session.input_audio.unmuted")


# ---- what must not work


async def test_audio_before_start_and_a_second_start_are_refused_and_the_session_goes_on():
    async with house() as h, h.connect() as ws:
        await ws.send_json({"type": "session.input_audio.append", "audio": "AAAA", "event_id": "early"})
        error = await ws.receive_json()
        assert error["error"]["code"] == "session_not_started" and error["error"]["client_event_id"] == "early"
        await ws.send_json(START)
        await until(ws, "session.started")
        await ws.send_json(START)
        assert (await until(ws, "error"))[-1]["error"]["code"] == "session_already_started"
        await until(ws, "session.output_audio.delta")


async def test_every_invalid_vector_gets_an_error_and_others_are_not_disturbed():
    async with house() as h, h.session() as bystander:
        for vector in load_vectors("invalid"):
            if vector.direction != "client":
                continue
            async with h.connect() as ws:
                if vector.state == "started":
                    await ws.send_json({"type": "session.start", "session": {"model": "tiny"}})
                    await until(ws, "session.started")
                binary = isinstance(vector.message, bytes)
                await (ws.send_bytes(vector.message) if binary else ws.send_str(vector.message))
                error = (await until(ws, "error"))[-1]["error"]
                assert error["code"] == vector.code and "\n" not in error["message"], vector
        before = time.monotonic()
        for _ in range(5):
            await until(bystander, "session.output_audio.delta")
        assert time.monotonic() - before < 5


@pytest.mark.parametrize("kind", ["text", "binary"])
async def test_five_megabytes_of_noise_end_the_connection_and_nothing_else(kind):
    async with house() as h, h.session() as bystander, h.session() as ws:
        noise = os.urandom(5 << 20)
        try:
            if kind == "text":
                await ws.send_str(noise.hex()[:5 << 20])
            else:
                await ws.send_bytes(noise)
        except ConnectionError:
            pass  # closed before all of it was taken
        _, code, _ = await closing(ws)
        assert code in (1009, 1006)
        await until(bystander, "session.output_audio.delta")
        deadline = time.monotonic() + 5
        while h.engine.num_open > 1:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


async def test_half_a_json_and_endless_errors():
    async with house() as h, h.session() as ws:
        text = json.dumps(START)
        await ws.send_str(text[:len(text) // 2])
        assert (await until(ws, "error"))[-1]["error"]["code"] == "invalid_json"
        for _ in range(120):
            await ws.send_str("noise")
        _, code, reason = await closing(ws)
        assert code == 1008 and "refused" in reason
    await asyncio.sleep(0)


async def test_other_origins_hosts_and_strangers_are_kept_out():
    config = {"token": "correct-horse", "limits": {"connects_burst": 1000}}
    async with house(config=config) as h:
        good = {"Authorization": "Bearer correct-horse"}
        for headers, status in [
                ({}, 401), ({"Authorization": "Bearer wrong-horse"}, 401),
                (good | {"Origin": "http://evil.example"}, 403), (good | {"Host": "evil.example"}, 421)]:
            with pytest.raises(WSServerHandshakeError) as caught:
                await h.connect(headers=headers)
            assert caught.value.status == status
            async with h.client.post(h.url + PATH, json={}, headers=headers) as response:
                assert response.status == status and (await response.json())["error"]["message"]
        async with h.client.get(h.url + "/metrics") as response:
            assert response.status == 401
        async with h.client.get(h.url) as response:
            assert response.status == 200  # the page holds no secret, and asks for the token itself
        async with h.connect(headers=good | {"Origin": h.url}):
            pass
        async with h.connect(protocols=("omni", "omni-token.correct-horse")) as ws:
            assert ws.protocol == "omni"


@pytest.mark.parametrize("path, method", [("", "POST"), ("/sess_x", "DELETE"), ("/sess_x/hangup", "POST")])
async def test_a_page_of_an_allowed_origin_may_call_and_hang_up(path, method):
    """The browser's preflight is answered on every path that it asks about: hanging up was refused with 405."""
    config = {"token": "correct-horse", "allowed_origins": ["https://page.example"]}
    async with house(config=config) as h:
        asked = {"Origin": "https://page.example", "Access-Control-Request-Method": method,
                 "Access-Control-Request-Headers": "authorization"}
        async with h.client.options(h.url + PATH + path, headers=asked) as response:   # it bears no token
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == "https://page.example"
            assert method in response.headers["Access-Control-Allow-Methods"].split(", ")
            assert "authorization" in response.headers["Access-Control-Allow-Headers"]
        asked["Origin"] = "https://evil.example"
        async with h.client.options(h.url + PATH + path, headers=asked) as response:
            assert response.status == 403 and "Access-Control-Allow-Origin" not in response.headers
        if path:
            headers = {"Origin": "https://page.example", "Authorization": "Bearer correct-horse"}
            async with h.client.request(method, h.url + PATH + path, headers=headers) as response:
                assert response.status == 404 and (await response.json())["error"]["code"] == "session_not_found"
                assert response.headers["Access-Control-Allow-Origin"] == "https://page.example"


async def test_the_next_conversation_is_refused_with_a_reason():
    async with house(engine=FakeEngine(capacity=1)) as h:
        async with h.session(), h.connect() as ws:
            await ws.send_json(START)
            events, code, reason = await closing(ws)
            assert events[0]["error"]["code"] == "session_limit_reached" and code == 1013 and reason
        await h.emptied()
        async with h.session():
            pass


async def test_connections_are_counted_by_address():
    async with house(config={"limits": {"connects_burst": 2, "connects_per_s": 0.001}}) as h:
        async with h.connect(), h.connect():
            with pytest.raises(WSServerHandshakeError) as caught:
                await h.connect()
            assert caught.value.status == 429


async def test_a_connection_that_never_starts_is_closed():
    async with house(config={"limits": {"start_s": 0.2}}) as h, h.connect() as ws:
        _, code, reason = await closing(ws)
        assert code == 1008 and "session.start" in reason


# ---- ends


async def test_a_client_that_vanishes_frees_its_slot():
    async with house() as h:
        async with h.session() as ws:
            assert h.engine.num_open == 1
            ws._response.connection.transport.abort()
            await h.emptied()


async def test_a_client_that_sends_nothing_for_too_long_is_closed_and_one_that_sends_stays():
    """Pings do not count, and neither does what the server sends; sent silence does."""
    async with house(config={"limits": {"idle_s": 1, "heartbeat_s": 0.2}}) as h:
        began = time.monotonic()
        async with h.session() as mute, h.session() as sending:

            async def send_silence() -> None:
                while True:
                    await sending.send_json({"type": "session.input_audio.append", "audio": "AAAA" * 40})
                    await asyncio.sleep(0.1)

            sender = asyncio.create_task(send_silence())
            try:
                events, code, reason = await closing(mute)
                assert 0.9 < time.monotonic() - began < 5
                assert events[-1]["type"] == "session.closed" and events[-1]["reason"] == "expired"
                assert (events[-2]["type"], events[-2]["code"]) == ("info", "session_closing")
                assert events[-2]["message"] == reason == "nothing came from the client for 1 s" and code == 1000
                while time.monotonic() - began < 2.5:
                    await until(sending, "session.output_audio.delta")
                assert h.engine.num_open == len(h.server.conversations) == 1
            finally:
                sender.cancel()
        await h.emptied()


async def test_the_end_of_time_closes_the_session():
    async with house(config={"limits": {"session_s": 1}}, engine=FakeEngine(speak_from=10_000)) as h:
        async with h.session() as ws:
            events, code, _ = await closing(ws)
            assert events[-1]["type"] == "session.closed" and events[-1]["reason"] == "expired" and code == 1000
        await h.emptied()


async def test_stopping_tells_every_client_within_the_deadline():
    async with house() as h, h.session() as one, h.session() as two:
        began = time.monotonic()
        stop = asyncio.create_task(h.server.stop())
        for ws in (one, two):
            events, code, _ = await closing(ws)
            assert events[-1]["type"] == "session.closed" and code == 1000
        await stop
        assert time.monotonic() - began < 5
        async with h.client.get(h.url + "/readyz") as ready:
            assert ready.status == 503
        with pytest.raises(WSServerHandshakeError):
            await h.connect()


async def test_logs_hold_neither_words_nor_audio(caplog):
    caplog.set_level(logging.DEBUG)
    async with house(engine=FakeEngine(capacity=1, speak_from=1, speak_until=4),
                     config={"token": "correct-horse"}) as h:
        async with h.connect(headers={"Authorization": "Bearer correct-horse"}) as ws:
            await ws.send_json(START | {"session": START["session"] | {"instructions": "the-secret-plan"}})
            heard = (await until(ws, "session.output_transcript.delta"))[-1]["delta"]
            await ws.send_json({"type": "session.input_audio.append", "audio": "QUJD" * 40})
            await ws.send_str('{"type": "private-noise')
            await until(ws, "error")
    assert heard.strip() == "word0"
    for secret in ("word0", "the-secret-plan", "QUJD", "private-noise", "correct-horse"):
        assert secret not in caplog.text


async def test_a_port_in_use_is_one_line():
    async with house() as h:
        again = serving(build(ServeConfig, {"port": h.port}), h.worker)
        with pytest.raises(BindError, match=f"port {h.port} of 127.0.0.1 is in use") as caught:
            await again.__aenter__()
        assert "\n" not in str(caught.value)
