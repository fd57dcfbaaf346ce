"""Run by test_sdk_openai.py in an environment that holds the stock `openai` package and nothing of omni.

    python sdk_openai_client.py BASE_URL [SDP_FILE]

Holds one conversation through `client.live.connect`, checks every event against the package's own types, and prints
what it saw as one JSON object. With an SDP offer it creates a WebRTC session through `client.live.create` too.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

import openai
import pydantic
from openai.types.live.server_event import ServerEvent

STRICT = pydantic.TypeAdapter(ServerEvent)
TONE_100_MS = base64.b64encode(b"\x00\x10\x00\xf0" * 1200).decode()   # 100 ms of PCM at 24 kHz


async def converse(client: openai.AsyncOpenAI) -> dict:
    """One conversation; the wire type, `code` and `client_event_id` of each event, and what was gathered."""
    seen: list[dict] = []
    audio_bytes, text = 0, {"input": "", "output": ""}
    async with client.live.connect() as connection:
        await connection.session.start(event_id="start", session={
            "model": "gpt-live-1", "instructions": "Be brief.",
            "audio": {"format": {"type": "audio/pcm", "rate": 24000}, "output": {"voice": "marin"}}})
        started = None
        asked = False
        async for event in connection:
            body = json.loads(event.to_json())
            STRICT.validate_python(body)
            seen.append({"type": event.type, "code": body.get("code"), "answers": body.get("client_event_id")})
            match event.type:
                case "session.started":
                    started = body["session"]
                    for _ in range(20):
                        await connection.session.input_audio.append(audio=TONE_100_MS)
                    await connection.session.input_audio.mute(event_id="mute")
                    await connection.session.input_audio.unmute(event_id="unmute")
                    await connection.session.update(session={"delegation": {"type": "client"}}, event_id="update")
                    await connection.session.thinking.append(content="x", delegation_id=None, event_id="think")
                    await connection.send({"type": "response.create", "event_id": "response"})
                case "session.output_audio.delta":
                    audio_bytes += len(base64.b64decode(event.delta))
                case "session.input_transcript.delta":
                    text["input"] += event.delta
                case "session.output_transcript.delta":
                    text["output"] += event.delta
                    assert event.start_ms <= event.end_ms
                case "error":
                    seen[-1]["code"], seen[-1]["answers"] = event.error.code, event.error.client_event_id
                case "session.closed":
                    return {"started": started, "events": seen, "audio_bytes": audio_bytes, "text": text,
                            "closed": {"reason": event.reason, "seconds": event.usage.seconds},
                            "version": openai.__version__}
            if not asked and audio_bytes >= 48_000 and text["input"] and text["output"]:
                asked = True
                await connection.session.close(event_id="close")
    raise SystemExit(f"the connection ended without session.closed: {seen[-5:]}")


async def create(client: openai.AsyncOpenAI, sdp: str) -> dict:
    """A WebRTC session by POST, hung up at once."""
    created = await client.live.create(session={"model": "gpt-live-1"}, transport={"type": "webrtc", "sdp": sdp})
    await client.live.sessions.hangup(created.session.id)
    return {"id": created.session.id, "type": created.transport.type, "sdp": created.transport.sdp}


async def main(base_url: str, sdp: str | None) -> None:
    """Print what was seen."""
    async with openai.AsyncOpenAI(base_url=base_url, api_key="not-needed", max_retries=5) as client:
        async with asyncio.timeout(75):
            told = await converse(client)
            if sdp:
                told["created"] = await create(client, sdp)
    print(json.dumps(told))


asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_text(encoding="utf-8") if len(sys.argv) > 2 else None))
