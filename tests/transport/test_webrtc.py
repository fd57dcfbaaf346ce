"""Two aiortc peers on this machine, over real ICE, DTLS and RTP."""

import asyncio

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtpPacket
from peers import Client, vanish

from omni.base.errors import WireError
from omni.base.events import AudioReady
from omni.base.timebase import TINY
from omni.transport.jitter import PromptBuffer, replace_jitter_buffer
from omni.transport.webrtc import Call, WebRtcSettings


class Peer:
    """The server's side: keeps what it is told."""

    def __init__(self):
        self.texts, self.stretches, self.discards, self.round_trips_ms, self.places = [], [], [], [], []
        self.open = asyncio.Event()

    def opened(self):
        self.open.set()

    def received(self, text):
        self.texts.append(text)

    def heard(self, samples, at):
        self.stretches.append((at, samples))

    def discarded(self, start, end):
        self.discards.append((start, end))

    def placed(self, epoch, at, rtp_timestamp):
        self.places.append((epoch, at, rtp_timestamp))

    def measured(self, round_trip_ms):
        self.round_trips_ms.append(round_trip_ms)

    def timeline(self) -> np.ndarray:
        end = max(at + len(samples) for at, samples in self.stretches)
        line = np.full(end, np.nan, np.float32)
        for at, samples in self.stretches:
            line[at:at + len(samples)] = samples
        return line


class connected:
    """A call and a client joined; closes both."""

    def __init__(self, **settings):
        self.settings = WebRtcSettings(**settings)

    async def __aenter__(self):
        self.peer, self.client = Peer(), Client()
        self.call = Call(self.peer, TINY, self.settings)
        await self.client.answer(await self.call.accept(await self.client.offer()))
        self.run = asyncio.ensure_future(self.call.run())
        await asyncio.wait_for(self.peer.open.wait(), 10)
        await asyncio.wait_for(self.client.open.wait(), 10)
        return self

    async def __aexit__(self, *_):
        await self.call.close()
        await self.run
        await self.client.close()


async def test_audio_and_events_flow_both_ways():
    async with connected() as c:
        c.call.send("before the first message")
        c.client.channel.send('{"type": "x"}')
        for block in range(14):
            tone = 0.3 * np.sin(2 * np.pi * 300 * (np.arange(1280) + 1280 * block) / 16_000)
            c.call.push(AudioReady(1280 * block, tone.astype(np.float32), epoch=1))
            await asyncio.sleep(0.08)
        assert c.peer.texts == ['{"type": "x"}']
        assert c.client.texts == ["before the first message"]
        heard = c.peer.timeline()
        heard = heard[~np.isnan(heard)][4000:12_000]
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
        assert abs(np.argmax(spectrum) * 16_000 / len(heard) - 440) < 5
        sound = c.client.sound()
        sound = sound[np.flatnonzero(np.abs(sound) > 0.1)[0] + 2400:][:24_000]
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
        assert abs(np.argmax(spectrum) * 48_000 / len(sound) - 300) < 5


async def test_frames_leave_on_a_steady_grid_and_are_mapped_to_the_conversation():
    async with connected() as c:
        for block in range(4):
            c.call.push(AudioReady(1280 * block, np.full(1280, 0.1, np.float32), epoch=0))
        async with asyncio.timeout(15):
            while c.call.outgoing.held:  # noqa: ASYNC110  (a plain number)
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.1)
        newest = c.call._pc.getSenders()[0]._RTCRtpSender__rtp_timestamp
        ends = [c.call.played_at((newest - 960 * back) & 0xFFFFFFFF) for back in range(500)]
        ends = [end for end in ends if end]
        # 20 ms a frame; silence does not move on, and neither does a pacer that was held up (its timestamps jump).
        assert ends == sorted(ends, reverse=True) and sorted(set(ends)) == list(range(320, 5121, 320))
        assert c.call.played_at((newest + 960 * 50) & 0xFFFFFFFF) is None
        pts = [sent for sent, _ in c.call._track.sent]
        assert set(np.diff(pts)) <= {960} or c.call.counters.resyncs


async def test_a_client_that_hangs_up_ends_the_call():
    async with connected() as c:
        await c.client.close()
        assert await asyncio.wait_for(asyncio.shield(c.run), 5) == "the peer hung up"


async def test_the_round_trip_is_told():
    async with connected(silence_s=2.0) as c:
        async with asyncio.timeout(10):
            while not c.peer.round_trips_ms:  # noqa: ASYNC110  (a plain list)
                await asyncio.sleep(0.05)
        assert 0 <= c.peer.round_trips_ms[0] < 1000


async def test_the_watchdog_ends_a_call_from_which_nothing_comes():
    async with connected(silence_s=1.0) as c:
        vanish(c.client)
        assert "nothing was received" in await asyncio.wait_for(asyncio.shield(c.run), 8)


async def test_an_offer_nobody_follows_up_is_given_up():
    client, call = Client(), Call(Peer(), TINY, WebRtcSettings(connect_s=0.3))
    await call.accept(await client.offer())
    assert "no connection" in await call.run()
    await call.close()
    await client.close()


@pytest.mark.parametrize("spoil", [
    lambda sdp: "", lambda sdp: "v=0\r\n", lambda sdp: sdp[:len(sdp) // 3], lambda sdp: "x" * 5000,
    lambda sdp: sdp.replace("m=audio", "m=video"), lambda sdp: sdp + sdp.split("\r\n", 5)[5],
    lambda sdp: sdp.replace("a=ice-ufrag", "a=ice-xfrag"), lambda sdp: sdp.replace("opus", "speex"),
    lambda sdp: sdp.replace("a=fingerprint:sha-256 ", "a=fingerprint:"),
    lambda sdp: sdp.replace("m=audio ", "m=audio x"),
    lambda sdp: sdp + "a=candidate:1 1 udp 1 10.0.0.1 1000 typ host\r\n" * 65,
    lambda sdp: sdp + "a=x\r\n" * 1000, lambda sdp: sdp.replace("v=0", "v=0\x00"),
])
async def test_a_bad_offer_is_refused_with_a_reason(spoil):
    client, call = Client(), Call(Peer(), TINY)
    try:
        with pytest.raises(WireError) as caught:
            await call.accept(spoil(await client.offer()))
        assert caught.value.code == "invalid_sdp" and "\n" not in str(caught.value)
    finally:
        await call.close()
        await client.close()


def packet(sequence: int) -> RtpPacket:
    p = RtpPacket(sequence_number=sequence & 0xFFFF, timestamp=(960 * sequence) & 0xFFFFFFFF)
    p._data = sequence.to_bytes(4, "big")
    return p


def lags(buffer, lost: set[int], count: int = 200) -> list[int]:
    """Packets between the newest that came and the one given on, at each arrival."""
    found = []
    for sequence in range(65_500, 65_500 + count):
        if sequence in lost:
            continue
        _, frame = buffer.add(packet(sequence))
        if frame:
            found.append(sequence - int.from_bytes(frame.data, "big"))
    return found


def test_loss_does_not_make_latency_grow():
    """aiortc's buffer lags four frames and after one loss fifteen, for ever; this one none, ever."""
    lost = {65_520, 65_530, 65_540, 65_541, 65_542, 65_600}
    assert set(lags(PromptBuffer(), lost)) == {0}
    assert lags(JitterBuffer(capacity=16, prefetch=4), lost)[-1] > 10  # what it is replaced for
    buffer = PromptBuffer()
    lags(buffer, lost)
    assert buffer.counters.lost == len(lost) and buffer.counters.late == 0


def test_late_packets_are_dropped_and_a_restart_is_followed():
    buffer = PromptBuffer()
    assert buffer.add(packet(10))[1] and buffer.add(packet(12))[1]
    assert buffer.add(packet(11))[1] is None and buffer.counters.late == 1
    assert buffer.add(packet(12))[1] is None
    assert buffer.add(packet(5000 + 32_000))[1] is not None


def test_a_flood_of_packets_is_cut_off():
    buffer = PromptBuffer()
    given = 0
    for sequence in range(3000):
        p = packet(sequence)
        p.timestamp = sequence
        given += buffer.add(p)[1] is not None
    assert given == 400 and buffer.counters.flooded == 2600


async def test_the_buffer_replaces_the_one_of_the_known_aiortc_only(monkeypatch):
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receiver = pc.addTransceiver("audio").receiver
    assert replace_jitter_buffer(receiver) is receiver._RTCRtpReceiver__jitter_buffer
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.17.0")
    with pytest.raises(RuntimeError, match="not known"):
        replace_jitter_buffer(receiver)
    await pc.close()


async def test_lost_packets_leave_a_hole_in_time_and_no_shift():
    """One packet in twenty is dropped before the buffer: what is heard stays at its place."""
    async with connected() as c:
        buffer, dropped = c.call.incoming, []
        add = buffer.add

        def lossy(p):
            if p.sequence_number % 20 == 7:
                dropped.append(p.sequence_number)
                return False, None
            return add(p)

        buffer.add = lossy
        async with asyncio.timeout(15):
            while c.call.counters.gaps < 3 or len(c.peer.stretches) < 60:  # noqa: ASYNC110  (plain numbers)
                await asyncio.sleep(0.05)
        line = c.peer.timeline()
        holes = np.isnan(line[2000:])
        assert holes.any()
        # The tone's phase before and after a hole is that of one continuous tone: time was kept.
        line = line[8000:20_000]
        good = ~np.isnan(line)
        at = np.arange(len(line))
        basis = np.stack([np.sin(2 * np.pi * 440 * at / 16_000), np.cos(2 * np.pi * 440 * at / 16_000)])
        fit, *_ = np.linalg.lstsq(basis[:, good].T, line[good], rcond=None)
        residue = line[good] - fit @ basis[:, good]
        assert np.median(np.abs(residue)) < 0.05 * np.abs(fit).max()
