import asyncio

import numpy as np
import pytest
from fakes import FakeEngine
from virtual_time import VirtualThread, run_virtual

from omni.base.events import (
    AgentText,
    AudioReady,
    SessionClosed,
    SessionStarted,
    SpeechEnded,
    SpeechHeard,
    SpeechStarted,
    UserText,
)
from omni.base.timebase import TINY
from omni.engine.worker import EngineWorker
from omni.transport.loopback import LinkConditions, Loopback

MS = 1_000_000
SIZE = TINY.block_samples
BAD = LinkConditions(delay_ms=30, jitter_ms=40, loss=0.05)


def _talk(scene, *, engine: FakeEngine | None = None, cost_ms=lambda number: 20, **options):
    """Play `scene(loopback, worker)` over a loopback in virtual time; gives the loopback."""
    async def main(loop):
        thread = VirtualThread(loop, lambda number: round(cost_ms(number) * MS))
        async with EngineWorker(engine or FakeEngine(), clock_ns=loop.clock_ns, executor=thread) as worker, \
                Loopback(worker, clock_ns=loop.clock_ns, unix_s=lambda: 0.0, session_id="s", **options) as loopback:
            await scene(loopback, worker)
            return loopback
    return run_virtual(main)


async def _five_seconds(loopback, worker):
    await asyncio.sleep(5)


def _of(events, kind) -> list:
    return [event for event in events if isinstance(event, kind)]


def _loud(samples: np.ndarray) -> np.ndarray:
    """Which 20 ms frames are not silent."""
    frames = samples[:len(samples) // 320 * 320].reshape(-1, 320)
    return np.abs(frames).max(axis=1) > 1e-3


def test_clean_link_delivers_every_sample():
    loopback = _talk(_five_seconds)
    spoken = np.concatenate([e.samples for e in _of(loopback.sent_events, AudioReady) if np.abs(e.samples).max() > 0.1])
    played = loopback.client.played
    first = int(np.flatnonzero(np.abs(played) > 0)[0])
    offset = int(np.flatnonzero(spoken)[0])
    assert np.array_equal(played[first:first + len(spoken) - offset], spoken[offset:])
    assert [type(e) for e in loopback.client.events[:1]] == [SessionStarted]


def test_same_seed_same_conversation():
    first, second = (_talk(_five_seconds, up=BAD, down=BAD, seed=7) for _ in range(2))
    other = _talk(_five_seconds, up=BAD, down=BAD, seed=8)
    assert np.array_equal(first.client.played, second.client.played)
    assert first.client.events == second.client.events
    assert not np.array_equal(first.client.played, other.client.played)


def test_what_the_client_says_is_heard():
    async def scene(loopback, worker):
        await asyncio.sleep(0.5)
        loopback.client.say(np.full(3 * 16_000, 0.25, np.float32))
        await asyncio.sleep(4)
    engine = FakeEngine(keep=True)
    loopback = _talk(scene, engine=engine, up=LinkConditions(delay_ms=30, jitter_ms=15))
    heard = np.concatenate(engine.heard[0])
    assert np.count_nonzero(heard) == 3 * 16_000, "jitter below 40 ms costs nothing"
    assert _of(loopback.client.events, UserText)


def test_lost_input_is_zeros_in_its_place():
    """Loss shortens nothing: the rest of the sentence stays where it was."""
    async def scene(loopback, worker):
        loopback.client.say(np.full(3 * 16_000, 0.25, np.float32))
        await asyncio.sleep(5)
    engine = FakeEngine(keep=True)
    loopback = _talk(scene, engine=engine, up=LinkConditions(loss=0.1), seed=3)
    heard = np.flatnonzero(np.concatenate(engine.heard[0]))
    assert loopback.up.lost > 10
    assert abs((heard[-1] - heard[0] + 1) - 3 * 16_000) <= 3 * 320
    assert len(heard) < 3 * 16_000


def test_cut_silences_within_one_frame_and_a_ramp():
    """At an interruption what is unsent of the old epoch is ramped down and dropped; the client hears no more of it.

    The step that interrupts is 50 ms faster than those before it, so that so much of the old audio still waits.
    """
    engine = FakeEngine(speak_from=5, interrupt_at=12)
    loopback = _talk(_five_seconds, engine=engine, cost_ms=lambda number: 10 if number == 17 else 60)
    reply = _of(loopback.sent_events, SpeechEnded)[0]
    assert reply.reason == "interrupted"
    loud = np.flatnonzero(_loud(loopback.client.played))
    uncut = _talk(_five_seconds, engine=FakeEngine(speak_from=5, speak_until=17), cost_ms=lambda number: 60)
    longer = np.flatnonzero(_loud(uncut.client.played))
    assert longer[0] == loud[0]
    assert loud[-1] <= longer[-1] - 2, "some of the last block was dropped instead of being played"
    end = loopback.client.played[loud[-1] * 320 - 640:]
    assert np.abs(np.diff(end)).max() < 0.3 * 2 * np.pi * 440 / 16_000 * 1.5, "no click at the cut"
    assert loopback._outgoing.counters.discarded > 0


@pytest.mark.parametrize("seed", range(4))
def test_heard_words_are_the_words_that_were_played(seed):
    """Under jitter and loss: never a word more than was played, and all of them in the end."""
    engine = FakeEngine(speak_from=5, interrupt_at=23)
    loopback = _talk(_five_seconds, engine=engine, up=BAD, down=BAD, seed=seed)
    said = _of(loopback.sent_events, AgentText)
    heard = _of(loopback.client.events, SpeechHeard)
    assert heard[-1].final and not heard[-1].estimated
    words = "".join(piece.text for piece in said).split()
    assert [h.text for h in heard] == sorted((h.text for h in heard), key=len), "heard text only grows"
    assert words[:len(heard[-1].text.split())] == heard[-1].text.split()
    assert len(words) - len(heard[-1].text.split()) <= 1


def test_heard_text_lags_behind_playback_not_ahead():
    """While the reply sounds, what counts as heard has left the speaker: the middle of its last word was played."""
    async def scene(loopback, worker):
        for _ in range(60):
            await asyncio.sleep(0.05)
            heard = _of(loopback.sent_events, SpeechHeard)
            if heard:
                last = _of(loopback.sent_events, AgentText)[len(heard[-1].text.split()) - 1]
                assert loopback.client.played_at > last.start + SIZE // 2
    _talk(scene, down=LinkConditions(delay_ms=60, jitter_ms=60, loss=0.02), jitter_buffer_ms=120)


def test_client_without_reports_gets_estimates():
    loopback = _talk(_five_seconds, report_every_ms=None)
    heard = _of(loopback.client.events, SpeechHeard)
    assert heard and all(event.estimated for event in heard) and heard[-1].final
    assert len(heard[-1].text.split()) == 10


def test_engine_stall_delays_speech_and_keeps_it_whole():
    """The engine stands still for 300 ms in mid-speech: a gap, then every sample that was to be said, in order."""
    smooth = _talk(_five_seconds)
    rough = _talk(_five_seconds, cost_ms=lambda number: 300 if number == 20 else 20)

    def spoken(loopback):
        frames = loopback.client.played
        return frames[np.abs(frames) > 0]
    assert np.array_equal(spoken(smooth), spoken(rough))
    gap = np.flatnonzero(~_loud(rough.client.played)[np.flatnonzero(_loud(rough.client.played))[0]:])
    assert len(gap) and 240 <= np.count_nonzero(np.diff(gap, prepend=gap[0] - 1) == 1) * 20
    assert [e.at for e in _of(rough.sent_events, AudioReady)] == [
        SIZE * (i + 1) for i in range(len(_of(rough.sent_events, AudioReady)))]


def test_delay_after_a_stall_is_won_back_in_silence():
    """The second reply is on its clock again: nothing of the first one's lateness is left."""
    engine = FakeEngine(speak_from=5, speak_until=20, repeat=40)
    on_time = _talk(_five_seconds, engine=engine)
    late = _talk(_five_seconds, engine=FakeEngine(speak_from=5, speak_until=20, repeat=40),
                 cost_ms=lambda number: 300 if number == 10 else 20)
    starts = [[e.at for e in _of(loopback.sent_events, SpeechStarted)] for loopback in (on_time, late)]
    assert starts[0][1] == starts[1][1]
    ends = [[e.at for e in _of(loopback.sent_events, SpeechEnded)] for loopback in (on_time, late)]
    assert ends[1][0] - ends[0][0] == 3 * SIZE


def test_downlink_stall_is_forgotten():
    """A network that stands still for a second and then delivers all at once leaves no lasting delay."""
    async def scene(loopback, worker):
        await asyncio.sleep(1)
        loopback.down.stall(1_000)
        await asyncio.sleep(4)
    loopback = _talk(scene, engine=FakeEngine(speak_from=10**6))
    lag = loopback.session.machine.playback.sent_until - loopback.client.played_at
    assert lag <= TINY.from_ms(80 + 20 + 20 + 60 + 80)


@pytest.mark.parametrize("drift_ppm", [-4_000.0, 4_000.0])
def test_drift_is_followed(drift_ppm):
    """A sound card that is 4,000 ppm off for 25 s: 100 ms apart, and neither direction falls behind.

    A slow card costs one frame in each block from the moment the drift is over its bound until it is corrected, 5 s.
    """
    async def scene(loopback, worker):
        await asyncio.sleep(25)
    loopback = _talk(scene, engine=FakeEngine(speak_from=10**6), drift_ppm=drift_ppm)
    counters = loopback.session.machine.input_counters
    assert counters.drift_corrections == 1
    assert counters.missing + counters.dropped + counters.late <= 2 * 64 * 320
    assert loopback._outgoing.held <= SIZE + 320


def test_client_that_vanishes_frees_its_slot():
    engine = FakeEngine()

    async def scene(loopback, worker):
        await asyncio.sleep(1)
        loopback.up.stall(60_000)
        await asyncio.sleep(12)
        assert engine.num_open == 0 and worker.stats().conversations == 0
    loopback = _talk(scene, engine=engine, idle_s=10)
    assert _of(loopback.client.events, SessionClosed)[0].reason == "expired"


def test_lost_engine_closes_with_a_reason():
    class Broken(FakeEngine):
        def step(self, inputs):
            raise RuntimeError
    loopback = _talk(_five_seconds, engine=Broken())
    closed = loopback.client.events[-1]
    assert closed.reason == "connection_lost" and closed.detail.startswith("engine_lost")
