"""Controls collapse when they should, and what must not matter does not."""

import numpy as np
import pytest
import tiny
import torch
from fake_model import FakeModel

from omni.base.events import BlockInput
from omni.base.timebase import TINY
from omni.engine.engine import Engine
from omni.evaluate.controls import Rewired, random_captions, random_weights
from omni.evaluate.conversation import run_pass

BLOCK = TINY.block_samples


def _asks(seed: int, at: int) -> np.ndarray:
    """Noise for eight blocks from block `at` on, in 60 blocks of near silence."""
    x = np.random.default_rng(seed).standard_normal(60 * BLOCK).astype(np.float32)
    x *= 1e-4
    x[at * BLOCK:(at + 8) * BLOCK] *= 2_000
    return x


def _starts(engine, rooms: list[np.ndarray]) -> list[int | None]:
    """Block in which each conversation first takes the floor."""
    slots, first = [engine.open(i) for i in range(len(rooms))], [None] * len(rooms)
    for block in range(60):
        results = engine.step({s: BlockInput(r[block * BLOCK:(block + 1) * BLOCK].copy())
                               for s, r in zip(slots, rooms, strict=True)})
        for i, slot in enumerate(slots):
            if results[slot].started and first[i] is None:
                first[i] = block
    for slot in slots:
        engine.close(slot)
    return first


def test_with_swapped_microphones_everybody_answers_somebody_else():
    rooms = [_asks(0, 5), _asks(1, 20), _asks(2, 35)]
    own = _starts(Engine(FakeModel(), capacity=3), rooms)
    swapped = _starts(Rewired(Engine(FakeModel(), capacity=3), deaf=False), rooms)
    assert None not in own and len(set(own)) == 3
    assert swapped == [own[2], own[0], own[1]]


def test_the_deaf_and_the_last_one_left_hear_nothing():
    assert _starts(Rewired(Engine(FakeModel(), capacity=2), deaf=True), [_asks(0, 5), _asks(1, 20)]) == [None, None]
    assert _starts(Rewired(Engine(FakeModel(), capacity=1), deaf=False), [_asks(0, 5)]) == [None]


@pytest.mark.parametrize("encoder", [tiny.ENCODER, tiny.SENSES], ids=["characters", "every head"])
def test_random_weights_are_new_ones_and_the_same_every_time(encoder):
    model = tiny.duplex(restless=False, encoder=encoder)
    state = torch.random.get_rng_state()
    a, b = random_weights(model), random_weights(model)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.token_in.weight, model.token_in.weight) and not a.training


@pytest.mark.parametrize("encoder", [tiny.ENCODER, tiny.SENSES], ids=["characters", "every head"])
def test_scrambled_captions_move_no_token(encoder):
    model = tiny.duplex(encoder=encoder)
    user = np.random.default_rng(0).standard_normal(40 * BLOCK).astype(np.float32) * 0.1
    plain = run_pass(Engine(model, capacity=1), user)
    before = {name: p.clone() for name, p in model.encoder.named_parameters()}
    random_captions(model)
    moved = {name.split(".")[0] for name, p in model.encoder.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"caption"} | ({"pieces", "sounds", "speech"} if encoder is tiny.SENSES else set())
    scrambled = run_pass(Engine(model, capacity=1), user)
    assert plain.record.caption_text() != scrambled.record.caption_text()
    assert np.array_equal(plain.output(len(user)), scrambled.output(len(user)))
    read = tiny.duplex(encoder=encoder, switches={"read_sounds": encoder is tiny.SENSES})
    sounds = {name: p.clone() for name, p in read.encoder.named_parameters() if name.startswith("sounds")}
    random_captions(read)
    assert all(torch.equal(read.encoder.get_parameter(name), p) for name, p in sounds.items()), "no mere by-product"
    texts = [[(p.text, p.start, p.end) for r in c.record.replies for p in r.pieces] for c in (plain, scrambled)]
    assert texts[0] == texts[1] and plain.record.replies
