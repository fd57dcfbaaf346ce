"""The stock OpenAI Python SDK, in an environment of its own, talks to our endpoint and sees its own protocol."""

import asyncio
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from fakes import FakeEngine

from omni.engine.worker import EngineWorker
from omni.serve.command import serving
from omni.serve.config import ServeConfig

REQUIREMENTS = ["openai==3.52.0", "websockets==17.4"]   # the versions the wire types were written against
CLIENT = Path(__file__).with_name("sdk_openai_client.py")


@pytest.fixture(scope="session")
def sdk_python(tmp_path_factory) -> Path:
    """Python of an environment with the SDK: the one of OMNI_SDK_VENV if it stands, else a fresh one."""
    given = os.environ.get("OMNI_SDK_VENV")
    folder = Path(given) if given else tmp_path_factory.mktemp("sdk")
    python = folder / "bin" / "python"
    try:
        if not python.exists():
            venv.create(folder, with_pip=True)
        if subprocess.run([python, "-c", "import openai, websockets"], capture_output=True, check=False).returncode:
            install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS]
            subprocess.run(install, capture_output=True, text=True, timeout=100, check=True)
    except subprocess.SubprocessError as error:
        reason = f"no environment with {' '.join(REQUIREMENTS)}: {str(getattr(error, 'stderr', '') or error)[-300:]}"
        if os.environ.get("OMNI_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return python


@pytest.fixture
async def base_url():
    """Address of a running server, as the SDK wants it; what speaks is a script instead of a model."""
    engine = FakeEngine(capacity=2, speak_from=3, speak_until=20, repeat=25)
    async with EngineWorker(engine) as worker, serving(ServeConfig(port=0), worker) as address:
        yield address + "v1"


async def _offer() -> str:
    """An offer as a browser makes it, without candidates: one audio section and the events' channel."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio")
    peer.createDataChannel("oai-events")
    offer = await peer.createOffer()   # never applied: no socket is opened
    await peer.close()
    return offer.sdp


@pytest.mark.realtime
@pytest.mark.timeout(180)
async def test_the_stock_sdk_holds_a_conversation(sdk_python: Path, base_url: str, tmp_path: Path):
    offer = tmp_path / "offer.sdp"
    offer.write_text(await _offer(), encoding="utf-8")   # noqa: ASYNC240  (a test's few bytes)
    child = await asyncio.create_subprocess_exec(
        sdk_python, CLIENT, base_url, offer, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
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
    assert told["created"]["type"] == "webrtc" and "m=audio" in told["created"]["sdp"]
    print(f"openai {told['version']} on {sys.platform}: {len(events)} events, "
          f"{told['audio_bytes'] / 48:.0f} ms of audio, closed after {told['closed']['seconds']} s")
