"""The queue between tick and pacer, without a clock."""

import numpy as np

from omni.base.events import AudioReady
from omni.base.timebase import TINY
from omni.transport.outgoing import OutgoingAudio

BLOCK, FRAME, RAMP = 1280, 320, 160


class Rig:
    def __init__(self):
        self.discards = []
        self.queue = OutgoingAudio(TINY, lambda start, end: self.discards.append((start, end)))
        self.block = 0

    def push(self, level=0.0, epoch=0, tail=0, samples=None):
        samples = np.full(BLOCK, level, np.float32) if samples is None else samples
        self.queue.push(AudioReady(BLOCK * self.block, samples, epoch, tail))
        self.block += 1

    def pull(self, frames):
        return np.concatenate([self.queue.pull().samples for _ in range(frames)])


def test_a_steady_tick_passes_through_behind_one_frame_of_cushion():
    rig, out = Rig(), []
    for block in range(5):
        rig.push(samples=np.arange(BLOCK, dtype=np.float32) + BLOCK * block if block else np.zeros(BLOCK, np.float32))
        assert rig.queue.held <= BLOCK + FRAME
        out.append(rig.pull(4))
    joined = np.concatenate(out)
    assert not joined[:FRAME + BLOCK].any()
    assert np.array_equal(joined[FRAME + BLOCK:], np.arange(BLOCK, 5 * BLOCK - FRAME))
    assert rig.queue.counters.missing == 0


def test_a_newer_epoch_ramps_down_at_the_next_frame_and_reports_what_was_dropped():
    rig = Rig()
    rig.push()
    rig.pull(5)
    rig.push(0.5, epoch=1)
    rig.pull(1)
    new = np.zeros(BLOCK, np.float32)
    new[:RAMP] = 0.4  # the model's own ramp: superseded, since the queue has made one
    rig.push(samples=new, epoch=2, tail=RAMP)
    out = rig.pull(2)
    assert np.allclose(out[:RAMP], 0.5 * np.linspace(1, 0, RAMP), atol=1e-6) and not out[RAMP:].any()
    assert rig.discards == [(BLOCK + FRAME + RAMP, 2 * BLOCK)]


def test_with_nothing_unsent_the_models_own_ramp_is_played():
    rig = Rig()
    rig.push(0.5, epoch=1)
    rig.pull(4)
    new = np.zeros(BLOCK, np.float32)
    new[:RAMP] = 0.4
    rig.push(samples=new, epoch=2, tail=RAMP)
    assert np.allclose(rig.pull(1)[:RAMP], 0.4) and rig.discards == []


def test_silence_of_an_older_epoch_is_not_cut():
    rig = Rig()
    rig.push()
    rig.pull(4)  # one frame of cushion is left
    rig.push(0.5, epoch=1)
    out = rig.pull(5)
    assert not out[:FRAME].any() and np.allclose(out[FRAME:], 0.5) and rig.discards == []


def test_speech_behind_a_hole_is_kept_and_the_surplus_leaves_with_the_next_silence():
    rig = Rig()
    rig.push()
    rig.pull(5 + 4)                     # a block is missing: silence
    for _ in range(3):                  # three late ones come at once
        rig.push(0.5, epoch=1)
    heard = [rig.pull(4)]
    for _ in range(3):
        rig.push(0.5, epoch=1)
        heard.append(rig.pull(4))
    for _ in range(6):
        rig.push(epoch=1)
        heard.append(rig.pull(4))
    assert np.count_nonzero(np.concatenate(heard)) == 6 * BLOCK
    assert rig.queue.held <= BLOCK + FRAME and rig.queue.counters.trimmed > 0 and rig.discards == []


def test_a_pacer_that_stopped_does_not_grow_the_queue():
    rig = Rig()
    for _ in range(100):
        rig.push(0.5, epoch=1)
    assert rig.queue.held <= 5 * BLOCK + FRAME
    assert sum(end - start for start, end in rig.discards) == rig.queue.counters.overflowed > 0


def test_positions_count_what_was_really_pulled():
    rig = Rig()
    rig.push()
    assert [rig.queue.pull().at for _ in range(6)] == [0, FRAME, 2 * FRAME, 3 * FRAME, BLOCK, BLOCK]
