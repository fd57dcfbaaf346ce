"""Engine over a fake model: rows join, leave and skip; epochs, spans and cuts come out as they went in."""

import numpy as np
import pytest
from fake_model import PIECE, RAMP, WORDS, FakeModel

from omni.base.errors import CapacityError
from omni.base.events import BlockInput, BlockResult
from omni.base.timebase import TINY
from omni.engine.engine import Engine

BLOCK = TINY.block_samples
QUIET = np.zeros(BLOCK, np.float32)
LOUD = 0.3 * np.random.default_rng(1).standard_normal(BLOCK).astype(np.float32)


def _run(engine: Engine, slot: int, rooms) -> list[BlockResult]:
    return [engine.step({slot: BlockInput(room.copy())})[slot] for room in rooms]


def _same(a: list[BlockResult], b: list[BlockResult]) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x.audio, y.audio)
        for name in ("block", "token", "symbol", "speaking", "epoch", "tail", "begun", "ended", "started", "stopped",
                     "unheard", "caption"):
            assert getattr(x, name) == getattr(y, name), (x.block, name)


QUESTION = [LOUD] * 2 + [QUIET] * 40


def test_a_reply_has_its_pieces_one_after_the_other_on_the_conversations_clock():
    engine = Engine(FakeModel(), capacity=1)
    results = _run(engine, engine.open(), QUESTION)
    begun = [p for r in results for p in r.begun]
    ended = [p for r in results for p in r.ended]
    assert [p.text for p in begun] == list(WORDS)
    assert [p.index for p in begun] == [p.index for p in ended] == list(range(6))
    first = begun[0].at
    assert [p.at for p in begun] == [first + k * PIECE for k in range(6)]
    assert [p.at for p in ended] == [first + (k + 1) * PIECE for k in range(6)]
    start = next(r for r in results if r.started)
    assert (start.block, start.epoch) == (4, 1)
    # the first piece is decided in the block after <start_speak> and sounds in the output block after that
    assert first == TINY.block_at(start.block + 2)
    audio = np.concatenate([QUIET, *[r.audio for r in results]])
    sounding = np.flatnonzero(np.abs(audio) > 0)
    assert sounding[0] in (first, first + 1) and sounding[-1] == first + 6 * PIECE - 1
    end = next(r for r in results if r.stopped)
    assert (end.stopped, end.epoch, end.unheard) == ("finished", 1, 0)


def test_an_interruption_ends_the_epoch_and_cuts_the_sounding_piece():
    engine = Engine(FakeModel(), capacity=1)
    results = _run(engine, engine.open(), [LOUD] * 2 + [QUIET] * 8 + [LOUD] * 3 + [QUIET] * 30)
    cut = next(r for r in results if r.stopped)
    assert (cut.stopped, cut.epoch, cut.tail) == ("interrupted", 2, RAMP)
    assert cut.unheard == 2
    piece, = cut.ended
    assert piece.cut and piece.at == TINY.block_at(cut.block + 1) + RAMP
    assert not cut.audio[RAMP:].any()
    again = next(r for r in results[cut.block + 1:] if r.started)
    assert again.epoch == 3
    # running numbers go on where the heard pieces stopped
    assert next(r for r in results[cut.block + 1:] if r.begun).begun[0].index == piece.index + 1


def test_rows_that_join_leave_and_skip_give_what_each_would_alone():
    rng = np.random.default_rng(2)
    rooms = {seed: [LOUD if rng.random() < 0.2 else QUIET for _ in range(120)] for seed in range(5)}
    alone = {}
    for seed, room in rooms.items():
        engine = Engine(FakeModel(), capacity=3)
        alone[seed] = _run(engine, engine.open(seed), room)
    engine = Engine(FakeModel(), capacity=3)
    waiting, running, done = list(rooms), {}, {}
    for _ in range(2000):
        if waiting and engine.num_open < 3 and rng.random() < 0.1:
            seed = waiting.pop(0)
            running[engine.open(seed)] = (seed, [])
        present = [slot for slot in running if rng.random() < 0.7]
        inputs = {s: BlockInput(rooms[running[s][0]][len(running[s][1])].copy()) for s in present}
        for slot, result in engine.step(inputs).items():
            seed, results = running[slot]
            results.append(result)
            if len(results) == 120:
                done[seed] = results
                engine.close(slot)
                del running[slot]
    assert sorted(done) == sorted(rooms)
    for seed in rooms:
        _same(done[seed], alone[seed])


def test_a_slot_is_born_again_without_its_past():
    engine = Engine(FakeModel(), capacity=1)
    first = _run(engine, engine.open(7), QUESTION)
    engine.close(0)
    engine.close(0)
    assert engine.num_open == 0
    _same(_run(engine, engine.open(7), QUESTION), first)


def test_unplayed_samples_reach_the_model():
    model = FakeModel()
    engine = Engine(model, capacity=2)
    slot = engine.open()
    engine.step({slot: BlockInput(QUIET.copy(), unplayed=320)})
    engine.step({slot: BlockInput(QUIET.copy(), unplayed=100)})
    assert engine._runner._state["unplayed"].tolist() == [420, 0]


def test_audio_given_out_is_the_callers_own():
    engine = Engine(FakeModel(), capacity=1)
    slot = engine.open()
    results = _run(engine, slot, QUESTION)
    kept = [r.audio.copy() for r in results]
    results[7].audio[:] = 9.0
    more = _run(engine, slot, QUESTION)
    assert all(r.audio.max() < 1 for r in more)
    np.testing.assert_array_equal(results[8].audio, kept[8])


def test_refusals_move_nothing():
    engine = Engine(FakeModel(), capacity=1)
    slot = engine.open()
    with pytest.raises(CapacityError, match="all 1 conversations are taken"):
        engine.open()
    with pytest.raises(ValueError, match="slot 5 is not open"):
        engine.step({slot: BlockInput(QUIET), 5: BlockInput(QUIET)})
    with pytest.raises(ValueError, match="a block has shape"):
        engine.step({slot: BlockInput(QUIET[:100])})
    assert engine.step({slot: BlockInput(QUIET.copy())})[slot].block == 0
    assert engine.step({}) == {}
