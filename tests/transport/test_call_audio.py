"""Pacing and placing of a call's audio, in virtual time."""

import asyncio
import types

import av
import numpy as np
import pytest
from aiortc.codecs.opus import OpusDecoder, OpusEncoder
from aiortc.jitterbuffer import JitterFrame

from omni.base.events import AudioReady
from omni.base.timebase import TINY
from omni.transport import call_audio
from omni.transport.call_audio import CallCounters, IncomingAudio, PacedTrack, SourceTrack
from omni.transport.outgoing import OutgoingAudio

MS = 1_000_000


@pytest.fixture
def clock(monkeypatch):
    """Time moves only when somebody sleeps, or when a test says so."""
    now = types.SimpleNamespace(ns=5_000 * MS)

    async def sleep(seconds):
        now.ns += round(seconds * 1e9)

    monkeypatch.setattr(call_audio, "time", types.SimpleNamespace(monotonic_ns=lambda: now.ns))
    monkeypatch.setattr(call_audio, "asyncio", types.SimpleNamespace(sleep=sleep))
    return now


def track(counters=None) -> tuple[OutgoingAudio, PacedTrack]:
    outgoing = OutgoingAudio(TINY, lambda epoch, samples: None)
    return outgoing, PacedTrack(TINY, outgoing, counters or CallCounters())


async def test_frames_are_due_on_an_absolute_grid_whatever_each_of_them_costs(clock):
    _, paced = track()
    began, instants = clock.ns, []
    for number in range(200):
        frame = await paced.recv()
        assert (frame.pts, frame.samples, frame.sample_rate) == (960 * number, 960, 48_000)
        instants.append(clock.ns - began)
        clock.ns += number % 17 * MS  # encoding
    assert instants == [20 * MS * number for number in range(200)]


async def test_a_small_delay_is_caught_up_and_a_long_one_moves_the_grid_without_a_burst(clock):
    counters = CallCounters()
    _, paced = track(counters)
    await paced.recv()
    clock.ns += 70 * MS
    assert [(await paced.recv()).pts for _ in range(3)] == [960, 1920, 2880]  # at once: 50, 30 and 10 ms late
    assert counters.resyncs == 0
    clock.ns += 1_000 * MS
    late = await paced.recv()
    assert counters.resyncs == 1 and 2880 + 960 * 49 <= late.pts <= 2880 + 960 * 51
    instants = []
    for _ in range(4):
        instants.append(clock.ns)
        await paced.recv()
    assert np.diff(instants).max() <= 20 * MS and instants[-1] - instants[0] >= 40 * MS


async def test_what_is_sent_is_the_block_resampled_without_seams(clock):
    outgoing, paced = track()
    tone = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(1280 * 6) / 16_000)).astype(np.float32)
    out = []
    for block in range(6):
        outgoing.push(AudioReady(1280 * block, tone[1280 * block:][:1280], epoch=0))
        out += [(await paced.recv()).to_ndarray()[0, ::2] for _ in range(4)]
    out = np.concatenate(out)[2000:-2000] / 32_767
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out)))) ** 2
    peak = int(np.argmax(spectrum))
    assert abs(peak * 48_000 / len(out) - 1000) < 3
    spectrum_rest = spectrum.copy()
    spectrum_rest[peak - 8:peak + 9] = 0
    assert spectrum_rest.sum() < 1e-6 * spectrum.sum()


async def test_where_the_conversation_lies_on_the_track_is_told_when_it_moves(clock):
    """A block that comes late leaves a hole, silence that is too much is left out, a cut drops what waits."""
    places: list[tuple[int, int]] = []
    known = False
    outgoing = OutgoingAudio(TINY, lambda epoch, samples: None)
    paced = PacedTrack(TINY, outgoing, CallCounters(), lambda pts, at: known and not places.append((pts, at)))
    loud, at = np.full(1280, 0.1, np.float32), 0

    async def send(samples, frames: int = 4, epoch: int = 0, tail: int = 0):
        nonlocal at
        outgoing.push(AudioReady(at, samples, epoch, tail))
        at += 1280
        return [await paced.recv() for _ in range(frames)]

    await send(loud)
    known = True                                # only now can it be told; then once, not with every frame
    await send(loud)
    await send(loud, 6)                         # the next one is 40 ms late
    await send(loud, 3)
    await send(loud, epoch=1, tail=160)         # 20 ms wait: 10 ms ramp, 10 ms dropped
    lag = 96                                    # of the resampler, 2 ms
    frame = 960
    assert places == [(4 * frame + lag, 1280), (14 * frame + lag, 3840), (17 * frame + 480 + lag, 5120 + 160)]


async def test_what_is_sent_is_as_loud_as_what_was_said():
    """aiortc's encoder made stereo of mono at 3 dB less, so over WebRTC both ends were quieter than on a WebSocket."""
    source, encoder, decoder, out = SourceTrack(TINY), OpusEncoder(), OpusDecoder(), []
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.float32)
    for at in range(0, 16_000, 320):
        source.push(tone[at:at + 320])
    for _ in range(49):
        payloads, timestamp = encoder.encode(await source.recv())
        for payload in payloads:
            out += decoder.decode(JitterFrame(data=payload, timestamp=timestamp))
    heard = np.concatenate([f.to_ndarray().reshape(-1, 2)[:, 0] for f in out])[9_600:] / 32_768
    assert np.sqrt(np.mean(heard ** 2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.02)


async def test_a_source_that_nobody_sends_loses_the_oldest():
    source = SourceTrack(TINY)
    waiting = asyncio.create_task(source.recv())
    await asyncio.sleep(0)
    for _ in range(call_audio.MAX_FRAMES_WAITING + 11):     # the first frame comes 2 ms late: one less is complete
        source.push(np.zeros(320, np.float32))
    assert source.lost == 10 and (await waiting).pts == 10 * 960 and (await source.recv()).pts == 11 * 960
    source.stop()
    with pytest.raises(call_audio.MediaStreamError):
        await source.recv()


async def test_a_stopped_track_ends():
    _, paced = track()
    paced.stop()
    with pytest.raises(call_audio.MediaStreamError):
        await asyncio.wait_for(paced.recv(), 1)


def frame(pts: int, level: int, channels: int = 2, samples: int = 960) -> av.AudioFrame:
    made = av.AudioFrame.from_ndarray(np.full((1, samples * channels), level, np.int16), format="s16",
                                      layout="stereo" if channels == 2 else "mono")
    made.pts, made.sample_rate = pts, 48_000
    return made


def test_frames_become_stretches_with_their_place_and_gaps_stay_gaps():
    heard, counters = [], CallCounters()
    incoming = IncomingAudio(TINY, lambda samples, at: heard.append((at, samples)), counters)
    for number in (0, 1, 2, 5, 6):
        incoming.push(frame(960 * number, 16_384, channels=1 if number == 6 else 2))
    at, line = 0, np.full(320 * 7, np.nan, np.float32)
    for at, samples in heard:
        assert np.isnan(line[at:at + len(samples)]).all(), "two stretches overlap"
        line[at:at + len(samples)] = samples
    assert counters.gaps == 1
    assert np.isnan(line[960:1600]).all()
    assert np.allclose(line[100:800], 0.5, atol=0.01) and np.allclose(line[1700:2100], 0.5, atol=0.01)
