"""Our WebRTC client against our server: real ICE, DTLS, RTP and data channel, an engine that follows a script."""

import asyncio

import numpy as np
import pytest
from fakes import FakeEngine
from test_remote import _server

from omni.base.events import AgentText, AudioReady, SessionClosed, SessionStarted, SpeechHeard, SpeechStarted
from omni.base.timebase import TINY
from omni.transport.loopback import LinkConditions
from omni.transport.remote_session import ServerError
from omni.transport.remote_webrtc import RemoteCall
from omni.transport.sdp import addresses, readdressed
from omni.transport.track_clock import OPUS_DELAY, TrackClock

LAG = OPUS_DELAY // 3


def test_the_session_is_found_on_the_track():
    clock = TrackClock(TINY)
    clock.place(1_280, (1 << 32) - 300)     # told before the first packet came, and before the timestamps wrapped
    assert not clock.known and clock.rtp_timestamp(1_000) is None
    clock.start((1 << 32) - 600)
    assert clock.known and clock.locate(1_280) == 100 + LAG and clock.locate(2_280) == 1_100 + LAG
    assert clock.locate(0) == 0, "before the track began"
    assert clock.rtp_timestamp(320) == (1 << 32) - 600 and clock.rtp_timestamp(520) == 0
    assert clock.rtp_timestamp(319) is None, "no packet was played to its end"


def test_what_was_cut_or_held_up_sounds_at_the_next_sample():
    clock = TrackClock(TINY)
    clock.start(0)
    clock.place(0, 0)
    clock.place(2_000, 3 * 1_500)           # 500 samples were left out
    clock.place(4_000, 3 * 4_000)           # 500 samples of silence were put in
    assert [clock.locate(at) - LAG for at in (1_000, 1_499, 1_700, 1_999, 2_000, 3_999, 4_000, 4_100)] == \
        [1_000, 1_499, 1_500, 1_500, 1_500, 3_499, 4_000, 4_100]


def test_a_description_gets_other_addresses():
    sdp = ("v=0\r\nm=audio 9\r\na=candidate:1 1 udp 1 10.0.0.1 1000 typ host\r\na=candidate:2 1 udp 1 fd00::1 2000 typ "
           "host\r\na=candidate:3 1 tcp 1 10.0.0.1 9 typ host tcptype active\r\na=candidate:4 1 udp 1 a.local 5 typ "
           "host\r\na=end-of-candidates\r\n")
    assert addresses(sdp + sdp) == [("10.0.0.1", 1000), ("fd00::1", 2000)]
    assert readdressed(sdp, {("10.0.0.1", 1000): ("10.0.0.2", 7)}) == (
        "v=0\r\nm=audio 9\r\na=candidate:1 1 udp 1 10.0.0.2 7 typ host\r\na=end-of-candidates\r\n")
    assert readdressed(sdp, {}) == "v=0\r\nm=audio 9\r\n"


@pytest.mark.realtime
async def test_a_call_with_a_server():
    """The same events as from a session here; what is told of words comes with their sound; nothing stays behind."""
    tasks = asyncio.all_tasks()
    engine = FakeEngine(speak_from=14, speak_until=19, keep=True)
    events: list = []

    def take(event):
        events.append(event)
        if isinstance(event, AudioReady):
            call.report_played(event.at)

    async with _server(engine) as (_, url):
        call = RemoteCall(url, take)
        await call.start()
        for frame in range(75):
            at = np.arange(320) + 320 * frame
            call.receive_audio((0.1 * np.sin(2 * np.pi * 440 * at / 16_000)).astype(np.float32))
            await asyncio.sleep(0.02)
        await call.close()
        assert await call.wait_closed() == SessionClosed("close_requested") == events[-1]
        await call.close()
    assert isinstance(events[0], SessionStarted) and call.setup_ms > 0 and call.lost == 0
    audio = [event for event in events if isinstance(event, AudioReady)]
    track = np.zeros(audio[-1].at + len(audio[-1].samples), np.float32)
    for event in audio:
        track[event.at:event.at + len(event.samples)] = event.samples
    loud = np.flatnonzero(np.abs(track) > 0.1)
    started, = (event for event in events if isinstance(event, SpeechStarted))
    assert loud[0] == pytest.approx(started.at, abs=48)
    assert 5 * 1_280 - 160 < loud[-1] - loud[0] < 8 * 1_280, "five blocks; a busy machine leaves a hole between them"
    carrier = next(event for event in events[events.index(started):] if isinstance(event, AudioReady))
    assert carrier.at <= started.at < carrier.at + len(carrier.samples)
    assert [event.text for event in events if isinstance(event, AgentText)][0] == " word0"
    heard = [event for event in events if isinstance(event, SpeechHeard)]
    assert heard and not heard[-1].estimated
    assert np.abs(np.concatenate(engine.heard[0])).max() == pytest.approx(0.1, abs=0.02) and engine.num_open == 0
    await asyncio.sleep(0.3)
    assert asyncio.all_tasks() <= tasks


async def test_a_call_that_does_not_come_about_gives_its_place_back(monkeypatch):
    monkeypatch.setattr("omni.transport.remote_webrtc.START_S", 1.2)
    tasks, engine = asyncio.all_tasks(), FakeEngine(capacity=1)
    async with _server(engine) as (_, url):
        with pytest.raises(ServerError, match="no call came about"):
            await RemoteCall(url, lambda event: None, conditions=LinkConditions(0, 0, 0.999)).start()
        async with asyncio.timeout(3):      # not when the server has waited long enough: 15 s
            while engine.num_open:  # noqa: ASYNC110  (a plain number)
                await asyncio.sleep(0.02)
        with pytest.raises(ServerError, match="refuses: .*length"):     # in the server's own words
            await RemoteCall(url, lambda event: None, instructions="x" * 70_000).start()
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() <= tasks


@pytest.mark.realtime
async def test_a_server_that_vanishes_is_missed(monkeypatch):
    monkeypatch.setattr("omni.transport.remote_webrtc.SILENCE_S", 0.4)
    monkeypatch.setattr("omni.transport.remote_webrtc.CLOSE_S", 0.2)
    async with _server(webrtc={"silence_s": 1.0}) as (_, url):
        call = RemoteCall(url, lambda event: None, conditions=LinkConditions(1))
        await call.start()
        call._relay.close()
        closed = await asyncio.wait_for(call.wait_closed(), 3)
        assert closed == SessionClosed("connection_lost", "nothing was received for 0.4 s")
        await call.close()
