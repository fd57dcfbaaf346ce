"""The WebSocket link between a real aiohttp server and real clients, without a session behind it."""

import asyncio
import base64
import os
import socket
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiohttp import ClientSession, WSMsgType, web

from omni.base.events import AudioReady
from omni.transport.websocket import SocketLink, SocketSettings


class Site:
    """One endpoint whose links are handed to the test."""

    def __init__(self, settings: SocketSettings):
        self.settings, self.links, self.discards, self.texts = settings, asyncio.Queue(), [], []
        self.ended: list[bool] = []
        self.delay_s = 0.0

    async def handle(self, request):
        link = await SocketLink.open(request, self.settings, lambda *lost: self.discards.append(lost))
        self.links.put_nowait(link)
        self.ended.append(await link.run(self._received))
        await link.close()
        return link._ws

    async def _received(self, text):
        self.texts.append(text)


@asynccontextmanager
async def site(**settings):
    here = Site(SocketSettings(**settings))
    app = web.Application()
    app.router.add_get("/ws", here.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    tcp = web.TCPSite(runner, "127.0.0.1", 0)
    await tcp.start()
    here.port = tcp._server.sockets[0].getsockname()[1]
    here.url = f"http://127.0.0.1:{here.port}/ws"
    try:
        yield here
    finally:
        await runner.cleanup()


def block(epoch, at=0):
    return AudioReady(at, np.zeros(1280, np.float32), epoch)


async def test_texts_go_both_ways_in_order_and_the_reason_arrives():
    async with site() as here, ClientSession() as client, client.ws_connect(here.url) as ws:
        link = await here.links.get()
        link.send(["one", "two"])
        link.send_audio(["three"], block(0), 1280)
        await ws.send_str("hello")
        assert [(await ws.receive()).data for _ in range(3)] == ["one", "two", "three"]
        link.send(["last"])
        link.hang_up(1000, "all said")
        assert (await ws.receive()).data == "last"
        closing = await ws.receive()
        assert (closing.type, closing.data, closing.extra) == (WSMsgType.CLOSE, 1000, "all said")
        assert here.texts == ["hello"]
    assert here.ended == [False]


async def test_a_client_that_closes_or_vanishes_ends_the_run():
    async with site() as here, ClientSession() as client:
        ws = await client.ws_connect(here.url)
        await ws.close()
        ws = await client.ws_connect(here.url)
        ws._response.connection.transport.abort()
        for _ in range(100):
            if len(here.ended) == 2:
                break
            await asyncio.sleep(0.02)
        assert here.ended == [True, True]


async def test_a_client_that_answers_no_ping_is_gone():
    async with site(heartbeat_s=0.4) as here, ClientSession() as client:
        await client.ws_connect(here.url, autoping=False)  # and it never reads, so it never answers
        for _ in range(150):
            if here.ended:
                break
            await asyncio.sleep(0.02)
        assert here.ended == [True]


async def test_unsent_audio_of_an_older_epoch_is_dropped_and_reported():
    async with site() as here, ClientSession() as client, client.ws_connect(here.url) as ws:
        link = await here.links.get()
        link.send_audio(["old 1"], block(1), 1280)  # nothing is written before this test lets go of the loop
        link.send(["text"])
        link.send_audio(["old 2"], block(1, 1280), 1280)
        link.send_audio(["new"], block(2, 2560), 1280)
        assert [(await ws.receive()).data for _ in range(2)] == ["text", "new"]
        assert here.discards == [(0, 1280), (1280, 2560)]


async def raw_handshake(port: int) -> socket.socket:
    """A client whose reading the test controls, with a small receive buffer."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    await loop.sock_sendall(sock, (f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                   f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += await loop.sock_recv(sock, 1)
    return sock


async def test_a_reader_that_stands_still_is_closed_with_a_reason():
    async with site(stall_s=0.3, heartbeat_s=60) as here:
        sock = await raw_handshake(here.port)
        link = await here.links.get()
        for at in range(400):
            link.send_audio(["x" * 8000], block(0, at), 1280)
            await asyncio.sleep(0.005)
            if here.ended:
                break
        assert here.ended == [False]
        data = b""
        loop = asyncio.get_running_loop()
        while chunk := await asyncio.wait_for(loop.sock_recv(sock, 65_536), 5):
            data += chunk
        assert data.endswith(b"the reader stood still for 0.3 s") and data[-34:-32] == (1008).to_bytes(2, "big")
        sock.close()


async def test_a_message_beyond_the_bound_closes_with_1009():
    async with site(max_message_bytes=1 << 20) as here, ClientSession() as client, \
            client.ws_connect(here.url) as ws:
        noise = os.urandom(5 << 20)
        try:
            await ws.send_bytes(noise)
        except ConnectionError:
            pass  # the server has not waited for all of it
        message = await ws.receive(timeout=5)
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)
        assert ws.close_code in (1009, 1006) and not here.texts


async def test_a_flood_is_read_no_faster_than_its_budget(monkeypatch):
    monkeypatch.setattr("omni.transport.websocket._READ_BURST_BYTES", 100_000)
    monkeypatch.setattr("omni.transport.websocket._READ_BYTES_PER_S", 200_000)
    async with site() as here, ClientSession() as client, client.ws_connect(here.url) as ws:
        started = asyncio.get_running_loop().time()
        for _ in range(20):
            await ws.send_str("x" * 10_000)
        async with asyncio.timeout(5):
            while len(here.texts) < 20:  # noqa: ASYNC110  (polls a plain list)
                await asyncio.sleep(0.01)
        assert asyncio.get_running_loop().time() - started > 0.35


@pytest.mark.parametrize("offered, answered", [
    ((), None), (("realtime", "omni-token.abc"), "realtime"), (("omni-token.abc",), "omni-token.abc"),
    (("omni-token.abc", "omni"), "omni")])
async def test_subprotocols_are_answered_if_offered_and_tokens_stay_out_of_logs(offered, answered, caplog):
    async with site() as here, ClientSession() as client, client.ws_connect(here.url, protocols=offered) as ws:
        assert ws.protocol == answered
    assert "abc" not in caplog.text
