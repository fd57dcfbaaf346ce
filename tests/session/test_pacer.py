import numpy as np

from omni.base.events import BlockResult, PieceBegun
from omni.base.timebase import TINY
from omni.session.pacer import Pacer

SIZE = TINY.block_samples


def _result(block: int, level: float = 0.0, **more) -> BlockResult:
    return BlockResult(block=block, token=0, symbol="", speaking=level > 0, epoch=more.pop("epoch", 0),
                       audio=np.full(SIZE, level, np.float32), **more)


def _levels(blocks) -> list[tuple[int, float]]:
    return [(block.block, round(float(block.samples[-1]), 3)) for block in blocks]


def test_result_fills_open_slot_at_once():
    """On time, nothing is kept waiting: each block leaves with its result."""
    pacer = Pacer(TINY)
    for i in range(5):
        assert pacer.deadline() == []
        assert _levels(pacer.push(_result(i, 0.5), 100)) == [(i + 1, 0.5)]
    assert pacer.late_blocks == 0 and pacer.surplus == 0


def test_late_speech_is_delayed_not_dropped():
    """Silence stands in for a late block; all speech follows in order, one block a deadline."""
    pacer, sent = Pacer(TINY), []
    sent += pacer.deadline()
    sent += pacer.push(_result(0, 0.1), 0)
    sent += pacer.deadline()
    sent += pacer.deadline()            # block 1 is late
    sent += pacer.push(_result(1, 0.2), 0)
    sent += pacer.push(_result(2, 0.3), 0)
    for i in range(3, 6):
        sent += pacer.deadline()
        sent += pacer.push(_result(i, 0.1 + i / 10), 0)
    assert _levels(sent) == [(1, 0.1), (2, 0.0), (3, 0.2), (4, 0.3), (5, 0.4), (6, 0.5)]
    assert pacer.late_blocks == 1 and pacer.surplus == 1


def test_surplus_is_taken_out_of_silence():
    """The first silent block after a delay is left out, and the output is on its clock again."""
    pacer, sent = Pacer(TINY), []
    levels = [0.1, 0.2, 0.3, 0.0, 0.5]
    sent += pacer.deadline()
    sent += pacer.deadline()            # block 0 is late
    for i, level in enumerate(levels):
        if i >= 2:
            sent += pacer.deadline()
        sent += pacer.push(_result(i, level), 0)
    assert _levels(sent) == [(1, 0.0), (2, 0.1), (3, 0.2), (4, 0.3), (5, 0.5)]
    assert pacer.surplus == 0


def test_late_silence_does_not_take_the_slot_of_speech():
    """A silent block that comes late has been played already: speech that follows in time is not delayed by it."""
    pacer, sent = Pacer(TINY), []
    sent += pacer.deadline()
    sent += pacer.deadline()
    sent += pacer.push(_result(0), 0)
    sent += pacer.push(_result(1, 0.5), 0)
    assert _levels(sent) == [(1, 0.0), (2, 0.5)]


def test_pause_inside_a_word_is_kept():
    """A word may be silent for a block (a long stop): taking that out would garble it."""
    pacer, sent = Pacer(TINY), []
    sent += pacer.deadline()
    sent += pacer.deadline()
    sent += pacer.push(_result(0, 0.1, begun=(PieceBegun(0, " word", SIZE),)), 0)
    sent += pacer.push(_result(1, 0.0), 0)
    sent += pacer.deadline()
    assert _levels(sent) == [(1, 0.0), (2, 0.1), (3, 0.0)]


def test_interruption_drops_what_waits_and_ramps_from_what_was_sent():
    """The sound that was sent ends at block 1; the ramp goes on from there, not from the block that was dropped."""
    pacer, sent = Pacer(TINY), []
    sent += pacer.deadline()
    sent += pacer.push(_result(0, 0.1), 0)
    for _ in range(3):
        sent += pacer.deadline()        # blocks 1 and 2 are late
    sent += pacer.push(_result(1, 0.2), 0)
    sent += pacer.push(_result(2, 0.3), 0)
    sent += pacer.push(_result(3, 0.4), 0)
    cut = _result(4, 0.0, epoch=1, tail=160, stopped="interrupted")
    cut.audio[:160] = 0.9
    sent += pacer.push(cut, 0)
    sent += pacer.deadline()
    last = sent[-1]
    assert [b.result.block if b.result else None for b in sent] == [0, None, None, 1, 4]
    assert [r.block for r in last.dropped] == [2, 3]
    assert last.tail == 160 and last.epoch == 1
    assert abs(last.samples[0] - 0.3) < 1e-6 and np.all(np.diff(last.samples[:160]) < 0)
    assert not last.samples[160:].any()
    assert pacer.surplus == 0


def test_skipped_results_are_no_surplus():
    """Silence that stands for blocks nobody will compute needs not be won back."""
    pacer = Pacer(TINY)
    pacer.deadline()
    for _ in range(6):
        pacer.deadline()
    assert pacer.surplus == 6
    pacer.skip_results(2)
    assert pacer.surplus == 4
