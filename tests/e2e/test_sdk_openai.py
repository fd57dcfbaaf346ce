"""The stock OpenAI Python SDK, in an environment of its own, talks to our endpoint and sees its own protocol."""

import asyncio
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from omni.base import events as base
from omni.base.timebase import TINY
from omni.serve.commands import AppendAudio, Close, Mute, Reply, StartSession, Unmute
from omni.serve.live import LiveAdapter

REQUIREMENTS = ["openai==3.52.0", "websockets==17.4"]   # the versions the wire types were written against
CLIENT = Path(__file__).with_name("sdk_openai_client.py")


@pytest.fixture(scope="session")
def sdk_python(tmp_path_factory) -> Path:
    """Python of an environment with the SDK: the one of OMNI_SDK_VENV if it stands, else a fresh one."""
    given = os.environ.get("OMNI_SDK_VENV")
    folder = Path(given) if given else tmp_path_factory.mktemp("sdk")
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    if subprocess.run([python, "-c", "import openai, websockets"], capture_output=True, check=False).returncode:
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS]
        done = subprocess.run(install, capture_output=True, text=True, timeout=100, check=False)
        if done.returncode:
            reason = f"the package index gives no {' '.join(REQUIREMENTS)}: {done.stderr.strip()[-300:]}"
            if os.environ.get("OMNI_REQUIRE_ALL") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
    return python


async def _endpoint(request: web.Request) -> web.WebSocketResponse:
    """The smallest server around the adapter: it plays a tone and says what it says, at four times real time."""
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    adapter = LiveAdapter(TINY, model="omni-tiny")
    heard = 0

    async def say() -> None:
        samples = np.full(1920, 0.1, dtype=np.float32)   # a block at 24 kHz
        for block in range(1, 10_000):
            at = TINY.block_at(block)
            for event in (base.AudioReady(at, samples, 0), base.AgentText(" word", at, at + 640, 0),
                          *([base.UserText("a", at - 1280, at)] if heard else [])):
                for text in adapter.send(event):
                    await ws.send_str(text)
            await asyncio.sleep(0.02)

    async def send(event: base.SessionEvent) -> None:
        for text in adapter.send(event):
            await ws.send_str(text)

    speaking: asyncio.Task | None = None
    async for message in ws:
        for command in adapter.receive(message.data):
            match command:
                case StartSession():
                    await send(base.SessionStarted("live_1", 1_790_000_000))
                    speaking = asyncio.create_task(say())
                case AppendAudio():
                    heard += command.samples.size
                case Mute() | Unmute():
                    await send(base.MuteChanged(isinstance(command, Mute), command.client_event_id))
                case Reply():
                    await ws.send_str(command.text)
                case Close():
                    speaking.cancel()
                    await send(base.SessionClosed(command.reason))
                    await ws.close()
    return ws


@pytest.fixture
async def base_url():
    """Address of a running server, as the SDK wants it."""
    app = web.Application()
    app.router.add_get("/v1/live/sessions", _endpoint)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


@pytest.mark.timeout(180)
async def test_the_stock_sdk_holds_a_conversation(sdk_python: Path, base_url: str):
    child = await asyncio.create_subprocess_exec(
        sdk_python, CLIENT, base_url, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")})
    out, err = await child.communicate()
    assert child.returncode == 0, err.decode()[-3000:]
    told = json.loads(out)
    events = told["events"]
    types = [event["type"] for event in events]
    answers = {event["answers"]: (event["type"], event["code"]) for event in events if event["answers"]}

    assert types[0] == "session.started" and types[-1] == "session.closed" and types.count("session.closed") == 1
    assert told["started"]["status"] == "active" and told["started"]["audio"]["format"] == {"type": "audio/pcm",
                                                                                           "rate": 24000}
    assert told["audio_bytes"] >= 48_000 and told["audio_bytes"] % 2 == 0
    assert told["text"]["output"].strip() and told["text"]["input"].strip()
    assert told["closed"]["reason"] == "close_requested" and told["closed"]["seconds"] > 0
    assert not any(kind.startswith("omni.") for kind in types)
    assert answers == {
        "start": ("session.started", None), "mute": ("session.input_audio.muted", None),
        "unmute": ("session.input_audio.unmuted", None), "update": ("session.updated", None),
        "think": ("info", "context_not_followed"), "response": ("error", "unsupported_event"),
        "close": ("session.closed", None)}
    codes = [event["code"] for event in events if event["type"] == "info"]
    assert {"model_substituted", "instructions_not_followed", "voice_substituted"} <= set(codes)
    print(f"openai {told['version']} on {sys.platform}: {len(events)} events, "
          f"{told['audio_bytes'] / 48:.0f} ms of audio, closed after {told['closed']['seconds']} s")
