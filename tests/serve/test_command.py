"""`omni serve` as a process: what it prints, what it refuses, how it ends."""

import asyncio
import gc
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, WSMsgType
from fakes import FakeEngine
from peers import Client

from omni.engine.worker import EngineWorker
from omni.serve.command import serve_forever
from omni.serve.config import ServeConfig

PATH = "/v1/live/sessions"
# Loading torch takes seconds, and none of it is used here.
CHILD = """
import sys, types
sys.path.insert(0, sys.argv[1])
from fakes import FakeEngine
from omni.cli import main
sys.modules["omni.model.weights"] = types.SimpleNamespace(load_model=lambda *args, **kwargs: None)
sys.modules["omni.engine.engine"] = types.SimpleNamespace(Engine=lambda model, capacity, **kwargs: FakeEngine(
    capacity=capacity))
code = main(["serve", *sys.argv[2:]])
assert "torch" not in sys.modules, "the server's side of the house does not know torch"
sys.exit(code)
"""


@asynccontextmanager
async def process(*flags, **environment):
    """The command with a scripted engine in place of the model; gives (process, the address it prints)."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", CHILD, str(Path(__file__).parent.parent), "--port", "0", *flags,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | environment)
    try:
        address = (await asyncio.wait_for(child.stdout.readline(), 60)).decode().strip()
        assert address.startswith("http"), (await child.stderr.read()).decode()
        yield child, address
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_conversations_properly_and_in_time(number):
    async with process() as (child, address), ClientSession() as session, \
            session.ws_connect(address.rstrip("/") + PATH) as ws:
        await ws.send_json({"type": "session.start", "session": {"model": "tiny"}})
        assert (await ws.receive_json(timeout=10))["type"] == "session.started"
        caller = Client()
        body = {"session": {"model": "tiny"}, "transport": {"type": "webrtc", "sdp": await caller.offer()}}
        async with session.post(address.rstrip("/") + PATH, json=body) as response:
            await caller.answer((await response.json())["transport"]["sdp"])
        await asyncio.wait_for(caller.got_text.wait(), 20)
        began = time.monotonic()
        child.send_signal(number)
        events = []
        while (message := await ws.receive(timeout=10)).type is WSMsgType.TEXT:
            events.append(json.loads(message.data)["type"])
        assert events[-1] == "session.closed" and ws.close_code == 1000
        await asyncio.wait_for(child.wait(), 10)
        assert time.monotonic() - began < 8
        assert child.returncode == 0
        async with asyncio.timeout(5):
            while "session.closed" not in caller.texts[-1]:
                caller.got_text.clear()
                await caller.got_text.wait()
        await caller.close()
        assert (await child.stderr.read()).decode() == ""


async def test_https_with_a_token_serves_a_secure_page():
    async with process("--https", "--host", "0.0.0.0", OMNI_TOKEN="correct-horse") as (_, address):
        url, _, fragment = address.partition("/#")
        assert url.startswith("https://") and fragment == "token=correct-horse"
        url = f"https://127.0.0.1:{url.rsplit(':', 1)[1]}"
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        async with ClientSession() as session:
            async with session.get(url, ssl=trusting) as page:
                assert page.status == 200
                assert "wss://127.0.0.1" in page.headers["Content-Security-Policy"]
            async with session.get(url + PATH, ssl=trusting) as refused:
                assert refused.status == 401
            async with session.ws_connect(url + PATH, ssl=trusting, protocols=("omni", "omni-token.correct-horse"),
                                          origin=url) as ws:
                await ws.send_json({"type": "session.start", "session": {"model": "tiny"}})
                assert (await ws.receive_json(timeout=10))["type"] == "session.started"


@pytest.mark.parametrize("flags, words", [
    (("--host", "0.0.0.0"), "needs a token and TLS"), (("--set", "limits.sesions=1"), "did you mean 'sessions'"),
    (("--config", "nothing/here"), "no configuration")])
def test_mistakes_are_one_line_and_exit_code_2(flags, words):
    done = subprocess.run([sys.executable, "-m", "omni", "serve", *flags], capture_output=True, text=True, timeout=60,
                          check=False, env={k: v for k, v in os.environ.items() if k != "OMNI_TOKEN"})
    assert done.returncode == 2 and words in done.stderr
    assert done.stderr.count("\n") == 1 and not done.stdout


async def test_a_port_in_use_is_one_line_and_exit_code_2():
    async with process() as (_, address):
        port = address.rstrip("/").rsplit(":", 1)[1]
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, str(Path(__file__).parent.parent), "--port", port,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = await asyncio.wait_for(child.communicate(), 60)
        assert child.returncode == 2 and f"port {port} of 127.0.0.1 is in use" in err.decode()
        assert err.decode().count("\n") == 1 and not out


async def test_while_it_serves_what_was_loaded_is_out_of_the_collectors_way():
    """A full collection of all that torch and a model bring would hold every conversation for blocks."""
    visited = []

    class Worker(EngineWorker):
        async def __aenter__(self):
            visited.append((len(gc.get_objects()), gc.get_freeze_count()))
            asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGTERM)
            return await super().__aenter__()

    assert await serve_forever(ServeConfig(port=0), lambda: Worker(FakeEngine())) == 0
    (seen, frozen), = visited
    assert seen < 10_000 < frozen and gc.get_freeze_count() == 0
