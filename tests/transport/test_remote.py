"""Our client against our server: real sockets on the loopback, an engine that follows a script."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
from fakes import FakeEngine

from omni.base.config import build
from omni.base.events import AgentText, AudioReady, SessionClosed, SessionStarted, SpeechHeard, SpeechStarted, UserText
from omni.engine.worker import EngineWorker
from omni.serve.command import serving
from omni.serve.config import ServeConfig
from omni.transport.remote import RemoteConversation, ServerError, address


@asynccontextmanager
async def _server(engine=None, **values):
    async with EngineWorker(engine or FakeEngine()) as worker:
        serve = serving(build(ServeConfig, {"port": 0, **values}), worker)
        async with serve:
            yield serve, f"http://127.0.0.1:{serve.port}"


@pytest.mark.parametrize(("typed", "meant"), [
    ("http://127.0.0.1:8765", "ws://127.0.0.1:8765/v1/live/sessions"),
    ("127.0.0.1:8765", "ws://127.0.0.1:8765/v1/live/sessions"),
    ("https://omni.example/", "wss://omni.example/v1/live/sessions"),
    ("wss://omni.example/other?x=1", "wss://omni.example/other?x=1"),
])
def test_addresses_people_type(typed, meant):
    assert address(typed) == meant


@pytest.mark.parametrize("typed", ["ftp://omni.example", "http://", ""])
def test_no_address(typed):
    with pytest.raises(ServerError, match="is no address"):
        address(typed)


@pytest.mark.realtime
async def test_conversation_with_a_server():
    """The same events as from a session here: audio with its place, words, captions, what was heard, the end."""
    engine = FakeEngine(speak_from=5, speak_until=9)
    events: list = []

    def take(event):
        events.append(event)
        if isinstance(event, AudioReady):
            remote.report_played(event.at)
    async with _server(engine) as (_, url):
        remote = RemoteConversation(url, take)
        await remote.start()
        for _ in range(75):
            remote.receive_audio(np.full(320, 0.1, np.float32))
            await asyncio.sleep(0.02)
        await remote.close()
        closed = await remote.wait_closed()
    assert isinstance(events[0], SessionStarted) and events[-1] == closed == SessionClosed("close_requested")
    audio = [event for event in events if isinstance(event, AudioReady)]
    assert [event.at for event in audio] == [1280 * (i + 1) for i in range(len(audio))] and len(audio) >= 10
    assert sum(np.abs(event.samples).max() > 0.2 for event in audio) == 4
    assert [event.text for event in events if isinstance(event, AgentText)] == [" word0", " word1"]
    assert any(isinstance(event, SpeechStarted) for event in events)
    assert any(isinstance(event, UserText) for event in events)
    heard = [event for event in events if isinstance(event, SpeechHeard)]
    assert heard[-1].text == "word0 word1" and not heard[-1].estimated
    assert engine.num_open == 0


async def test_nobody_there():
    with pytest.raises(ServerError, match="cannot be reached"):
        await RemoteConversation("http://127.0.0.1:1", lambda event: None).start()


async def test_full_server_refuses_in_words():
    async with _server(FakeEngine(capacity=1), limits={"sessions": 1}) as (_, url):
        first, second = (RemoteConversation(url, lambda event: None) for _ in range(2))
        await first.start()
        with pytest.raises(ServerError, match="refuses"):
            await second.start()
        await first.close()


async def test_token():
    async with _server(token="a-long-secret-for-this-test") as (_, url):
        with pytest.raises(ServerError, match="token"):
            await RemoteConversation(url, lambda event: None).start()
        remote = RemoteConversation(url, lambda event: None, token="a-long-secret-for-this-test")
        await remote.start()
        await remote.close()


async def test_server_that_goes_away_ends_the_conversation():
    events: list = []
    async with _server() as (_, url):
        remote = RemoteConversation(url, events.append)
        await remote.start()
    closed = await asyncio.wait_for(remote.wait_closed(), 5)
    await remote.close()
    assert closed.detail and events[-1] is closed


async def test_server_of_something_else():
    async def greet(reader, writer):
        writer.write(b"SSH-2.0-nothing\r\n")
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(ServerError, match="cannot be reached"):
        await RemoteConversation(f"http://127.0.0.1:{port}", lambda event: None).start()
    server.close()
    await server.wait_closed()
