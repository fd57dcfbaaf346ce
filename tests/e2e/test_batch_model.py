"""The shipped weights in a batch: a conversation is the same, bit for bit, whoever talks beside it."""

import importlib.resources

import numpy as np
import pytest

from omni.audio.files import read_audio
from omni.base.config import data_path
from omni.base.events import BlockInput, BlockResult
from omni.engine.engine import Engine

WEIGHTS = importlib.resources.files("omni") / "weights" / "tiny"
pytestmark = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="no weights are shipped yet")
SPOKEN = {3: "story.flac", 8: "question.flac"}     # by the conversation's seed
LATER = 7               # blocks after which the second one joins
BLOCKS = 40             # of each: what is asked, and the beginning of its answer


def microphone(name: str, size: int) -> np.ndarray:
    """Blocks (BLOCKS, size) of a quiet room with a recording in it, as much of it as fits."""
    samples = np.random.default_rng(6).normal(0, 10 ** (-62 / 20), BLOCKS * size).astype(np.float32)
    sound, _ = read_audio(data_path("configs") / "evaluate" / "recordings" / name)
    said = sound[0, :len(samples) - size]
    samples[size:size + len(said)] += said
    return samples.reshape(BLOCKS, size)


def test_two_conversations_are_bit_for_bit_what_each_is_alone():
    """At one shape of the batch: whether another row is in use, and what is said in it, is nothing to a conversation.
    In another row it is the same to the last bits of the sums only, which the kernels take in another order there."""
    from omni.model.weights import load_model

    engine = Engine(load_model("tiny", device="cpu"), capacity=2, device="cpu", threads=1)
    rooms = {seed: microphone(name, engine.timebase.block_samples) for seed, name in SPOKEN.items()}

    def alone(seed: int, row: int) -> list[BlockResult]:
        before = [engine.open() for _ in range(row)]    # take the rows before it, and stand still
        slot = engine.open(seed)
        results = [engine.step({slot: BlockInput(block.copy())})[slot] for block in rooms[seed]]
        for each in (slot, *before):
            engine.close(each)
        return results

    together: dict[int, list[BlockResult]] = {seed: [] for seed in rooms}
    slots: dict[int, int] = {}
    for tick in range(BLOCKS + LATER):
        for seed, begins in zip(rooms, (0, LATER), strict=True):
            if tick == begins:
                slots[seed] = engine.open(seed)
            if tick == begins + BLOCKS:
                engine.close(slots.pop(seed))
        for seed, result in _step(engine, slots, rooms, together).items():
            together[seed].append(result)
    engine.close(slots.popitem()[1])
    for row, seed in enumerate(rooms):
        _same(alone(seed, row), together[seed])
    moved = alone(8, 0)
    assert [result.token for result in moved] == [result.token for result in together[8]]
    np.testing.assert_allclose(*(np.concatenate([result.audio for result in results])
                                 for results in (moved, together[8])), rtol=0, atol=1e-4)
    assert [result.token for result in together[3]] != [result.token for result in together[8]]


def _step(engine: Engine, slots: dict[int, int], rooms, so_far) -> dict[int, BlockResult]:
    """One tick in which each conversation hears its next block; by seed."""
    results = engine.step({slot: BlockInput(rooms[seed][len(so_far[seed])].copy()) for seed, slot in slots.items()})
    return {seed: results[slot] for seed, slot in slots.items()}


def _same(alone: list[BlockResult], together: list[BlockResult]) -> None:
    assert any(result.begun for result in alone), "it answers within this time"
    for one, other in zip(alone, together, strict=True):
        assert one.audio.tobytes() == other.audio.tobytes(), one.block
        for name in ("block", "token", "symbol", "speaking", "epoch", "tail", "begun", "ended", "started", "stopped",
                     "unheard", "caption"):
            assert getattr(one, name) == getattr(other, name), (one.block, name)
