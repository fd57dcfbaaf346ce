"""Timelines in virtual time: a source and a reader with clocks of their own, faults seeded."""

import numpy as np
import pytest

from omni.audio.timeline import Counted, Timeline
from omni.base.timebase import TINY

BLOCK = TINY.block_samples
FRAME = 320     # 20 ms


def _ramp(start: int, count: int) -> np.ndarray:
    """Samples that tell their own stamp (1-based, so that zero means missing)."""
    return np.arange(start + 1, start + 1 + count, dtype=np.float32)


def test_nothing_before_the_first_packet_is_missing():
    timeline = Timeline(TINY)
    for _ in range(5):
        assert not timeline.read_block().any()
    assert timeline.counters.missing == 0


def test_steady_packets_read_without_gaps_40_ms_behind():
    timeline = Timeline(TINY)
    sent, blocks = 0, []
    for _ in range(50):
        for _ in range(4):
            timeline.place(_ramp(sent, FRAME), 7_000_000 + sent)
            sent += FRAME
        blocks.append(timeline.read_block())
    heard = np.concatenate(blocks)
    heard = heard[np.flatnonzero(heard)[0]:]
    np.testing.assert_array_equal(heard, _ramp(0, len(heard)))
    assert sent - len(heard) == TINY.from_ms(40)
    assert timeline.counters.missing == timeline.counters.late == timeline.counters.drift_corrections == 0


def test_reordered_within_the_delay_is_whole_and_beyond_it_is_late():
    timeline = Timeline(TINY)
    timeline.place(_ramp(0, BLOCK + 640), 0)
    np.testing.assert_array_equal(timeline.read_block(), _ramp(0, BLOCK))
    timeline.place(_ramp(BLOCK + 1280, 640), BLOCK + 1280)
    timeline.place(_ramp(BLOCK + 640, 640), BLOCK + 640)
    np.testing.assert_array_equal(timeline.read_block(), _ramp(BLOCK, BLOCK))
    timeline.place(_ramp(3 * BLOCK + 640, 0), 3 * BLOCK)
    block = timeline.read_block()
    np.testing.assert_array_equal(block[:640], _ramp(2 * BLOCK, 640))
    assert not block[640:].any() and timeline.counters.missing == 640
    timeline.place(_ramp(2 * BLOCK + 640, 640), 2 * BLOCK + 640)
    assert timeline.counters.late == 640


def _drive(ppm: float, seconds: int, timeline: Timeline) -> np.ndarray:
    """A source whose clock runs `ppm` fast feeds 20 ms packets; the reader ticks each 80 ms."""
    sent, out = 0, []
    for tick in range(1, seconds * 1000 // 80 + 1):
        due = int(tick * BLOCK * (1 + ppm * 1e-6))
        while sent + FRAME <= due:
            timeline.place(_ramp(sent, FRAME), sent)
            sent += FRAME
        out.append(timeline.read_block())
    return np.concatenate(out)


def test_drift_of_a_fast_source_is_corrected_after_it_lasted():
    timeline = Timeline(TINY)
    out = _drive(1000, 120, timeline)       # 120 ms too much in two minutes
    assert timeline.counters.drift_corrections >= 1
    assert timeline.counters.missing == 0
    steps = np.diff(out[out > 0])
    assert (steps >= 1).all()
    assert np.count_nonzero(steps > 1) == timeline.counters.drift_corrections


def test_drift_of_a_slow_source_is_corrected_and_nothing_is_heard_twice():
    timeline = Timeline(TINY)
    out = _drive(-1000, 120, timeline)
    assert timeline.counters.drift_corrections >= 1
    assert (np.diff(out[out > 0]) >= 1).all()


def test_honest_clocks_are_never_corrected():
    timeline = Timeline(TINY)
    _drive(50, 300, timeline)
    assert timeline.counters.drift_corrections == 0


def _jittered(jitter_ms: int, seconds: int, timeline: Timeline, seed: int = 4) -> list[int]:
    """Packets of 20 ms that queue behind late ones; returns what was missing in each read."""
    rng, arrived, arrivals, missing = np.random.default_rng(seed), 0, [], []
    for packet in range(seconds * 50):
        arrived = max(arrived, (packet + 1) * FRAME + int(rng.uniform(0, jitter_ms)) * 16)
        arrivals.append((arrived, packet * FRAME))
    for tick in range(1, seconds * 1000 // 80):
        while arrivals and arrivals[0][0] <= tick * BLOCK:
            timeline.place(_ramp(arrivals[0][1], FRAME), arrivals.pop(0)[1])
        before = timeline.counters.missing
        timeline.read_block()
        missing.append(timeline.counters.missing - before)
    return missing


@pytest.mark.parametrize("jitter_ms", [100, 200])
def test_packets_that_keep_coming_late_are_waited_for(jitter_ms):
    early = late = grown = 0
    for seed in range(8):
        timeline = Timeline(TINY)
        missing = _jittered(jitter_ms, 30, timeline, seed)
        early, late = early + sum(missing[:62]), late + sum(missing[62:])
        grown += timeline.counters.delays
        assert timeline.counters.delays <= 4 and timeline.counters.drift_corrections == 0
    assert grown >= 4 and late <= 8 * FRAME < early     # five seconds of evidence, then next to nothing is missing


def test_a_delay_that_is_enough_does_not_grow():
    timeline = Timeline(TINY)
    assert sum(_jittered(40, 30, timeline)) == 0 and timeline.counters.delays == 0
    slow = Timeline(TINY)
    _drive(-1_000, 120, slow)      # a slow clock is drift, which is corrected, and no reason to wait longer
    assert slow.counters.drift_corrections >= 1 and slow.counters.delays == 0


def test_a_clock_that_jumps_is_followed_within_half_a_second():
    for jump in (5_000_000, -5_000_000, 8_000):
        timeline, sent, last = Timeline(TINY), 0, []
        for tick in range(30):
            for _ in range(4):
                timeline.place(np.ones(FRAME), sent + (jump if tick >= 15 else 0))
                sent += FRAME
            last.append(timeline.read_block().any())
        assert all(last[22:]), jump


def test_a_stalled_source_is_no_drift():
    timeline, sent = Timeline(TINY), 0
    for tick in range(200):
        if not 50 <= tick < 150:
            timeline.place(_ramp(sent, BLOCK), sent)
        sent += BLOCK
        timeline.read_block()
    assert timeline.counters.drift_corrections == 0
    # what the delay still held is heard; the hole of 100 blocks is the missing part
    assert timeline.counters.missing == 100 * BLOCK


def test_a_burst_is_kept_and_heard_in_real_time():
    counted = Counted(TINY)
    counted.append(_ramp(0, 25 * BLOCK))
    blocks = np.concatenate([counted.read_block() for _ in range(25)])
    np.testing.assert_array_equal(blocks, _ramp(0, 25 * BLOCK))
    assert counted.counters.dropped == counted.counters.missing == 0


def test_a_burst_beyond_30_s_loses_its_oldest():
    counted = Counted(TINY)
    counted.append(_ramp(0, 31 * 16_000))
    assert counted.counters.dropped == 16_000
    assert counted.read_block()[0] == 16_001


def test_a_short_clip_is_heard_without_waiting_for_more():
    counted = Counted(TINY)
    counted.append(_ramp(0, 600))
    assert not counted.read_block().any()
    np.testing.assert_array_equal(counted.read_block()[:600], _ramp(0, 600))


def _live(counted: Counted, stall: range, ticks: int, chunk: int = FRAME) -> list[int]:
    """A live source sends `chunk`s on time, except that what falls into `stall` (ticks) comes at its end."""
    waits, sent, latest = [], 0, 0
    for tick in range(1, ticks + 1):
        if tick not in stall:
            while sent + chunk <= tick * BLOCK:
                counted.append(_ramp(sent, chunk))
                sent += chunk
        block = counted.read_block()
        latest = int(block.max()) or latest
        waits.append(tick * BLOCK - latest)
    return waits


def test_a_live_source_is_heard_with_little_delay_and_no_gap():
    counted = Counted(TINY)
    waits = _live(counted, range(0), 200)
    assert counted.counters.missing == counted.counters.dropped == 0
    assert max(waits[10:]) <= TINY.from_ms(80)


def test_large_chunks_settle_without_endless_losses():
    counted = Counted(TINY)
    _live(counted, range(0), 50, chunk=3200)
    settled = counted.counters.missing
    assert settled <= 3200
    _live(counted, range(0), 0)
    assert counted.counters.dropped == 0


def test_after_a_stall_the_surplus_is_dropped_oldest_first():
    for length in (2, 30):
        counted = Counted(TINY)
        waits = _live(counted, range(50, 50 + length), 120)
        assert counted.counters.dropped > 0, length
        assert waits[-1] <= TINY.from_ms(200), length


def test_a_long_pause_is_a_new_beginning_and_its_burst_is_kept():
    counted = Counted(TINY)
    counted.append(_ramp(0, 5 * BLOCK))
    for _ in range(100):
        counted.read_block()
    missing = counted.counters.missing
    assert missing <= TINY.from_ms(200) + BLOCK
    counted.append(_ramp(0, 50 * BLOCK))
    out = np.concatenate([counted.read_block() for _ in range(50)])
    np.testing.assert_array_equal(out, _ramp(0, 50 * BLOCK))
    assert counted.counters.anchors == 2 and counted.counters.dropped == 0
