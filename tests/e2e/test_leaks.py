"""Two hundred connects and disconnects, half over WebRTC, half over WebSocket: nothing may stay behind.

With the shipped weights where they are present, with the scripted engine otherwise. The clients live in the same
process, so what they leak would be counted too.
"""

import asyncio
import ctypes
import gc
import json
import logging
import os
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout, TCPConnector
from aiohttp.web import WebSocketResponse
from aiortc import RTCPeerConnection
from fakes import FakeEngine
from peers import Client

import omni
from omni.base.config import build
from omni.engine.worker import EngineWorker
from omni.serve.command import serving
from omni.serve.config import ServeConfig
from omni.session.machine import Machine
from omni.session.session import Session
from omni.transport.webrtc import Call
from omni.transport.websocket import SocketLink

ROUNDS = int(os.environ.get("OMNI_LEAK_ROUNDS", "200"))
WARM_UP = 24            # caches fill, thread pools reach their size
AT_ONCE = 4
GROWTH_MIB = 10         # over all rounds; a leaked call is some 300 KiB, so a leak of half of them shows
KINDS = (RTCPeerConnection, Call, SocketLink, Session, Machine, WebSocketResponse)  # none of them may be left
PATH = "/v1/live/sessions"
SESSION = {"model": "tiny"}


def engine():
    """The shipped model if its weights are there."""
    if not list(Path(omni.__file__).parent.glob("weights/tiny/*.safetensors")):
        return FakeEngine(capacity=AT_ONCE, speak_from=1, speak_until=500)
    from omni.engine.engine import Engine
    from omni.model.weights import load_model

    return Engine(load_model("tiny"), capacity=AT_ONCE)


async def over_websocket(client: ClientSession, url: str, polite: bool) -> None:
    async with client.ws_connect(url + PATH) as ws:
        await ws.send_json({"type": "session.start", "session": SESSION})
        while (await ws.receive_json(timeout=10))["type"] != "session.output_audio.delta":
            pass
        await ws.send_json({"type": "session.input_audio.append", "audio": "AAAA" * 500})
        if not polite:
            ws._response.connection.transport.abort()
            return
        await ws.send_json({"type": "session.close"})
        while json.loads((await ws.receive(timeout=10)).data)["type"] != "session.closed":
            pass


async def over_webrtc(client: ClientSession, url: str, polite: bool) -> None:
    caller = Client()
    try:
        body = {"session": SESSION, "transport": {"type": "webrtc", "sdp": await caller.offer()}}
        async with client.post(url + PATH, json=body) as response:
            created = await response.json()
            assert response.status == 201, created
        await caller.answer(created["transport"]["sdp"])
        await asyncio.wait_for(caller.got_text.wait(), 10)
        if polite:
            caller.channel.send(json.dumps({"type": "session.close"}))
            async with asyncio.timeout(10):
                while not any("session.closed" in text for text in caller.texts):
                    caller.got_text.clear()
                    await caller.got_text.wait()
    finally:
        await caller.close()


@asynccontextmanager
async def running():
    the_engine = engine()
    config = build(ServeConfig, {"port": 0, "limits": {"connects_burst": 10_000, "sessions": AT_ONCE}})
    async with EngineWorker(the_engine) as worker:
        serve = serving(config, worker, stats=worker.stats)
        # A connection kept for the next request would be a task of the server's: each request has its own.
        connector = TCPConnector(force_close=True)
        async with serve, ClientSession(timeout=ClientTimeout(30), connector=connector) as client:
            yield worker, serve, client


def lasting_threads() -> list[str]:
    """Names of the threads but those of asyncio's own pool, which grows to its bound and stays."""
    return sorted(thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_"))


def resident_mib() -> float:
    """Resident memory after glibc has given back what it keeps for later: the arenas of threads that have ended."""
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


async def settled(serve, worker) -> None:
    """The server knows of no conversation, and aiortc's last callbacks have run."""
    async with asyncio.timeout(20):
        while serve.server.conversations or worker.stats().conversations:  # noqa: ASYNC110  (polls plain numbers)
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    gc.collect()


@pytest.mark.realtime
@pytest.mark.timeout(240)
async def test_two_hundred_connects_and_disconnects_leave_nothing_behind(caplog, monkeypatch):
    caplog.set_level(logging.ERROR)
    # Server and clients share this process: a machine too slow for both must not turn callers away here.
    monkeypatch.setattr("omni.engine.worker.ADMISSION_P95_US", 10**9)
    async with running() as (worker, serve, client):
        url = f"http://127.0.0.1:{serve.port}"

        async def rounds(count: int) -> None:
            numbers = iter(range(count))

            async def caller() -> None:
                for number in numbers:
                    way = over_webrtc if number % 2 else over_websocket
                    await way(client, url, polite=number % 4 < 2)

            async with asyncio.TaskGroup() as callers:
                for _ in range(AT_ONCE - 1):  # a slot may still be on its way back when the next caller comes
                    callers.create_task(caller())
            await settled(serve, worker)

        await rounds(WARM_UP)
        before = sorted(str(task.get_coro()) for task in asyncio.all_tasks())
        threads, memory = lasting_threads(), resident_mib()
        await rounds(ROUNDS)
        after = sorted(str(task.get_coro()) for task in asyncio.all_tasks())
        left = [type(thing).__name__ for thing in gc.get_objects()
                if issubclass(type(thing), KINDS)]     # isinstance asks torch's deprecated proxies for their class
        growth = resident_mib() - memory
        print(f"{ROUNDS} connects: tasks {len(before)} -> {len(after)}, threads {len(threads)} -> "
              f"{len(lasting_threads())}, resident {memory:.1f} {growth:+.1f} MiB")
        assert len(after) <= len(before), after
        assert lasting_threads() == threads
        assert worker.stats().conversations == 0
        assert not left
        assert growth < GROWTH_MIB
    assert not caplog.records, caplog.text
