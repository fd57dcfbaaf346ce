"""The engine over a real, tiny, restless duplex model: isolation bit for bit, and a record that adds up."""

import numpy as np
import pytest
import tiny
import torch

from omni.base.events import BlockInput, BlockResult
from omni.base.timebase import TINY
from omni.engine.engine import Engine

BLOCKS = 60


@pytest.fixture(scope="module")
def model():
    model = tiny.duplex(temperature=1.0, seed=3)
    with torch.no_grad():       # pieces of more than a block, so that there is something to cut
        model.mouth.synthesizer.timing[-1].bias += 2.0
    return model


def _room(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal((BLOCKS, TINY.block_samples))).astype(np.float32)


def _alone(model, seed: int, capacity: int = 3, slot: int = 0) -> list[BlockResult]:
    """The same batch shape and the same row of it: matrix products may round differently from row to row."""
    engine = Engine(model, capacity=capacity, threads=1)
    while engine.open(seed) != slot:
        pass
    return [engine.step({slot: BlockInput(block)})[slot] for block in _room(seed)]


def _key(result: BlockResult) -> tuple:
    return (result.block, result.token, result.speaking, result.epoch, result.tail, result.begun, result.ended,
            result.started, result.stopped, result.unheard, result.caption, result.audio.tobytes())


def test_conversations_in_one_batch_are_each_as_alone_bit_for_bit(model):
    """They join at different times, skip ticks, and take over the slots of others."""
    rng = np.random.default_rng(0)
    engine = Engine(model, capacity=3, threads=1)
    rooms = {seed: _room(seed) for seed in range(4)}
    waiting, running, done = list(rooms), {}, {}
    while waiting or running:
        if waiting and engine.num_open < 3:
            seed = waiting.pop(0)
            running[engine.open(seed)] = (seed, [])
        inputs = {slot: BlockInput(rooms[seed][len(results)]) for slot, (seed, results) in running.items()
                  if rng.random() < 0.8}
        for slot, result in engine.step(inputs).items():
            seed, results = running[slot]
            results.append(result)
            if len(results) == BLOCKS:
                done[seed] = slot, results
                engine.close(slot)
                del running[slot]
    for seed in rooms:
        slot, results = done[seed]
        for got, expected in zip(results, _alone(model, seed, slot=slot), strict=True):
            assert _key(got) == _key(expected), f"conversation {seed} in row {slot}, block {got.block}"


def test_the_record_adds_up(model):
    """Floor, epochs, pieces and cuts agree with each other in every block, whatever a random model decides."""
    starts = cuts = 0
    for seed in range(3):
        open_pieces, begun, emitted, replies, epoch, speaking = [], 0, 0, 0, 0, False
        for result in _alone(model, seed, capacity=1):
            first, last = TINY.block_at(result.block + 1), TINY.block_at(result.block + 2)
            assert not (result.started and speaking) and not (result.stopped and not speaking)
            epoch += result.started + (result.stopped == "interrupted")
            assert result.epoch == epoch
            emitted += result.symbol[0] != "<"
            for piece in result.begun:
                assert piece.index == begun and first <= piece.at <= last  # what begins in the last frame sounds next
                open_pieces.append(piece)
                begun += 1
            for piece in result.ended:
                assert piece.index == open_pieces[0].index and open_pieces.pop(0).at < piece.at <= last
                assert piece.cut == (result.stopped == "interrupted")
            assert 0 <= emitted - begun <= 2
            if result.stopped:
                assert not open_pieces and result.unheard == emitted - begun
                emitted = begun
            assert result.tail == (160 if result.stopped == "interrupted" else 0)
            if result.stopped == "interrupted":
                assert not result.audio[result.tail:].any()
            speaking = result.speaking
            replies += result.started
            starts += result.started
            cuts += result.stopped == "interrupted"
        assert replies
    assert cuts and starts > cuts
