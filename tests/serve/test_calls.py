"""WebRTC sessions through the whole server: POST, media, data channel, and every way of ending."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import numpy as np
import pytest
from fakes import FakeEngine
from peers import Client, vanish
from test_app import PATH, house, until

SESSION = {"model": "tiny", "client": {"omni": {"events": "all"}}}


class Caller(Client):
    """A client that keeps events by type."""

    async def create(self, h, session=SESSION):
        body = {"session": session, "transport": {"type": "webrtc", "sdp": await self.offer()}}
        async with h.client.post(h.url + PATH, json=body) as response:
            created = await response.json()
            assert response.status == 201, created
            self.location = response.headers["Location"]
        assert created["session"]["id"] == self.location.rsplit("/", 1)[-1]
        await self.answer(created["transport"]["sdp"])

    def send(self, event):
        self.channel.send(json.dumps(event))

    async def until(self, kind: str, seconds: float = 10.0) -> dict:
        """The first event of this type, from the beginning on."""
        async with asyncio.timeout(seconds):
            while True:
                for text in self.texts:
                    event = json.loads(text)
                    if event["type"] == kind:
                        return event
                self.got_text.clear()
                await self.got_text.wait()


@asynccontextmanager
async def calling(h, session=SESSION):
    caller = Caller()
    try:
        await caller.create(h, session)
        await caller.until("session.started")
        yield caller
    finally:
        await caller.close()


@asynccontextmanager
async def undisturbed(ws):
    """Whatever happens meanwhile: a conversation over a WebSocket keeps its pace, without a gap in block or audio."""
    events = await until(ws, "omni.block")
    began, first = time.monotonic(), events[-1]["block"]
    yield
    for _ in range(2):  # what came meanwhile, and then something that came after it
        events += await until(ws, "omni.block")
        while events[-1]["block"] < first + (time.monotonic() - began) / 0.08 - 2:
            events += await until(ws, "omni.block")
    blocks = [event["block"] for event in events if event["type"] == "omni.block"]
    assert blocks == list(range(blocks[0], blocks[0] + len(blocks)))
    starts = [event["start_ms"] for event in events if event["type"] == "omni.audio"]
    assert starts == [starts[0] + 80 * k for k in range(len(starts))] and len(starts) >= len(blocks) - 1
    assert len(starts) == sum(event["type"] == "session.output_audio.delta" for event in events)
    assert not any(event["type"] in ("error", "session.closed") for event in events)


async def test_a_call_hears_and_speaks_and_is_closed_properly():
    engine = FakeEngine(capacity=1, speak_from=5, speak_until=18, keep=True)
    async with house(engine=engine) as h:
        async with calling(h) as caller:
            assert json.loads(caller.texts[0])["type"] == "session.started"
            assert (await caller.until("omni.floor"))["state"] == "speaking"
            await asyncio.sleep(1.2)
            caller.send({"type": "session.close", "event_id": "bye"})
            closed = await caller.until("session.closed")
            assert closed["reason"] == "close_requested" and closed["client_event_id"] == "bye"
            sound = caller.sound()
            kinds = {json.loads(text)["type"] for text in caller.texts}
        await h.emptied()
    assert "session.output_transcript.delta" in kinds and "session.output_audio.delta" not in kinds
    loud = sound[np.abs(sound) > 0.05]
    assert len(loud) > 12_000
    heard = np.concatenate(engine.heard[0])
    assert np.abs(heard).max() > 0.15


async def test_the_client_reports_what_it_has_played():
    async with house(engine=FakeEngine(capacity=1, speak_from=2, speak_until=12)) as h, calling(h) as caller:
        async with asyncio.timeout(5):
            heard = []
            while not heard or heard[-1]["estimated"]:
                caller.send({"type": "omni.playback", "played_ms": 20 * len(caller.frames)})
                await asyncio.sleep(0.1)
                heard = [event for event in map(json.loads, caller.texts) if event["type"] == "omni.heard"]
        assert heard[-1]["text"].startswith("word0")


@pytest.mark.parametrize("method, path", [("DELETE", ""), ("POST", "/hangup")])
async def test_a_call_can_be_hung_up_over_http(method, path):
    async with house() as h:
        async with calling(h) as caller:
            async with h.client.request(method, h.url + caller.location + path) as response:
                assert response.status == 204
            assert (await caller.until("session.closed"))["reason"] == "remote_hangup"
            await h.emptied()
            async with h.client.request(method, h.url + caller.location + path) as response:
                assert response.status == 404


async def test_a_client_that_closes_frees_its_slot():
    async with house() as h:
        async with calling(h):
            assert h.engine.num_open == 1
        await h.emptied()


async def test_a_client_that_vanishes_frees_its_slot():
    async with house(config={"webrtc": {"silence_s": 1.0}}) as h, calling(h) as caller:
        vanish(caller)
        await h.emptied(10)


async def test_an_offer_that_is_not_followed_up_frees_its_slot():
    async with house(config={"webrtc": {"connect_s": 0.5}}) as h:
        caller = Client()
        body = {"session": SESSION, "transport": {"type": "webrtc", "sdp": await caller.offer()}}
        async with h.client.post(h.url + PATH, json=body) as response:
            assert response.status == 201
        assert h.engine.num_open == 1
        await caller.close()
        await h.emptied()


async def test_a_full_server_says_so_before_anything_is_negotiated():
    async with house(engine=FakeEngine(capacity=1)) as h, calling(h):
        client = Client()
        body = {"session": SESSION, "transport": {"type": "webrtc", "sdp": await client.offer()}}
        async with h.client.post(h.url + PATH, json=body) as response:
            assert response.status == 503 and response.headers["Retry-After"]
            assert (await response.json())["error"]["code"] == "session_limit_reached"
        await client.close()


@pytest.mark.parametrize("spoil, status, code", [
    (lambda body: b"", 400, "invalid_json"), (lambda body: body[:len(body) // 2], 400, "invalid_json"),
    (lambda body: b"\xff" * 1000, 400, "invalid_json"), (lambda body: b"x" * (600 << 10), 413, "message_too_large"),
    (lambda body: body.replace(b"a=ice-ufrag", b"a=x"), 400, "invalid_sdp"),
    (lambda body: body.replace(b"m=audio", b"m=video"), 400, "invalid_sdp"),
    (lambda body: body.replace(b"opus", b"sorbus"), 400, "invalid_sdp"),
    (lambda body: body.replace(b'"webrtc"', b'"carrier-pigeon"'), 400, None),
    (lambda body: body.replace(b'"model"', b'"modell"'), 400, None)])
async def test_bad_offers_get_an_error_and_leave_nothing_behind(spoil, status, code):
    async with house() as h:
        client = Client()
        body = json.dumps({"session": SESSION, "transport": {"type": "webrtc", "sdp": await client.offer()}}).encode()
        async with h.session() as ws, undisturbed(ws):
            async with h.client.post(h.url + PATH, data=spoil(body)) as response:
                assert response.status == status
                error = (await response.json())["error"]
                assert error["message"] and (code is None or error["code"] == code), error
            await h.emptied(but=1)
        await client.close()
        await h.emptied()


async def test_half_an_sdp_gets_an_error_and_leaves_nothing_behind():
    """Sound JSON around a description that ends too soon: within a line, between lines, in either section. A cut right
    between the sections is none of these: it leaves a whole offer without a data channel."""
    async with house() as h:
        client = Client()
        sdp = await client.offer()
        cuts = [len(sdp) // 8 * k for k in range(1, 8)] + [sdp.index("m=audio") + 20, sdp.index("a=candidate") + 30]
        for kind in ("a=ice-ufrag", "a=fingerprint", "a=setup"):
            cuts += [sdp.index(kind), sdp.index(kind) + len(kind) + 1, sdp.rindex(kind)]
        cuts += [sdp.index("m=application") + 30, len(sdp) - 6]
        async with h.session() as ws, undisturbed(ws):
            for cut in cuts:
                body = {"session": SESSION, "transport": {"type": "webrtc", "sdp": sdp[:cut]}}
                async with h.client.post(h.url + PATH, json=body) as response:
                    assert response.status == 400, cut
                    error = (await response.json())["error"]
                    assert (error["code"], error["param"]) == ("invalid_sdp", "transport.sdp"), cut
                    assert error["message"] and "\n" not in error["message"]
                await h.emptied(but=1)
        await client.close()
        await h.emptied()


async def test_noise_on_the_channel_is_answered_and_the_call_goes_on():
    async with house() as h, calling(h) as caller:
        caller.channel.send("{half")
        assert (await caller.until("error"))["error"]["code"] == "invalid_json"
        caller.texts.clear()
        caller.channel.send(b"\xff\xfe" * 100)
        await caller.until("error")
        caller.texts.clear()
        caller.send({"type": "session.start", "session": SESSION})
        assert (await caller.until("error"))["error"]["code"] == "session_already_started"
        await caller.until("omni.block")


async def test_stopping_the_server_tells_the_caller():
    async with house() as h, calling(h) as caller:
        await h.server.stop()
        assert (await caller.until("session.closed"))["reason"] in ("expired", "close_requested")
        assert h.engine.num_open == 0
