"""What a frame of windowed attention sees, against attention written out in full."""

import pytest
import torch

from omni.nn.attention import RingAttention, rotary


def _plain(module: RingAttention, x: torch.Tensor) -> torch.Tensor:
    """Softmax over an explicit mask, one frame at a time."""
    B, T, D = x.shape
    q, k, v = module._project(x, torch.arange(T)[None])
    y = torch.zeros_like(q)
    for t in range(T):
        start = t - t % module.block
        first, last = max(start - module.window, 0), min(start + module.block, T)
        scores = (q[:, :, t:t + 1] * k[:, :, first:last]).sum(-1) / q.shape[-1] ** 0.5
        y[:, :, t] = (scores.softmax(-1)[..., None] * v[:, :, first:last]).sum(2)
    return module.out(y.transpose(1, 2).reshape(B, T, D))


@pytest.mark.parametrize(("window", "block", "frames"), [(4, 2, 18), (6, 3, 21), (2, 2, 8), (3, 1, 10)])
def test_attention_equals_the_plain_masked_one_past_two_wraps(window, block, frames):
    torch.manual_seed(0)
    module, x = RingAttention(16, 2, window, block), torch.randn(2, frames, 16)
    expected = _plain(module, x)
    state, everyone = module.init_state(2), torch.ones(2, dtype=torch.bool)
    stepped = torch.cat([module.step(c, state, everyone) for c in x.split(block, 1)], 1)
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stepped, expected, rtol=1e-4, atol=1e-5)


def test_rotary_scores_depend_on_distance_alone_even_after_days():
    torch.manual_seed(0)
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def score(at: int) -> float:
        return float((rotary(q, torch.tensor([[at + 3]])) * rotary(k, torch.tensor([[at]]))).sum())

    assert score(25 * 3600 * 24 * 7) == pytest.approx(score(0), abs=1e-4)


def test_shapes_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="multiple"):
        RingAttention(16, 2, window=5, block=2)
    module = RingAttention(16, 2, window=4, block=2)
    with pytest.raises(ValueError, match="2 frames"):
        module.step(torch.zeros(1, 3, 16), module.init_state(1), torch.ones(1, dtype=torch.bool))


def test_a_place_told_by_the_caller_is_the_one_it_finds_itself():
    """Layers that have heard as much share it: same outputs, same rings, bit for bit, whatever the rows' counts."""
    torch.manual_seed(0)
    module, x = RingAttention(16, 2, window=4, block=2), torch.randn(3, 18, 16)
    alone, told = module.init_state(3), module.init_state(3)
    with torch.no_grad():
        for i, chunk in enumerate(x.split(2, 1)):
            active = torch.tensor([True, i % 2 == 0, i > 4])
            place = module.place(told)
            assert torch.equal(module.step(chunk, alone, active), module.step(chunk, told, active, place))
            assert all(torch.equal(alone[key], told[key]) for key in alone)


def test_a_place_goes_round_the_ring_of_its_own_row_and_sees_what_was_written():
    module = RingAttention(16, 2, window=4, block=2)     # six slots
    state = module.init_state(2)
    state["count"].copy_(torch.tensor([0, 10]))
    place = module.place(state)
    assert place.slots.tolist() == [0, 1, 6 + 4, 6 + 5]
    assert (place.mask[:, 0, 0] == 0).tolist() == [[True, True, False, False, False, False], [True] * 6]
    cos, sin = place.cos[:, :, 0, 0], place.sin[:, :, 0, 0]
    assert torch.equal(cos[..., :4], cos[..., 4:]) and torch.equal(sin[..., :4], -sin[..., 4:])
    assert (cos[0, 0] == 1).all() and (sin[0, 0] == 0).all(), "position 0 turns nothing"
    torch.testing.assert_close(cos.square() + sin.square(), torch.ones(2, 2, 8))


def test_a_step_turns_and_writes_what_forward_looks_at():
    """The ring holds keys and values of the last window and block, and of rows that are away what it held."""
    torch.manual_seed(0)
    module, x = RingAttention(16, 2, window=4, block=2), torch.randn(2, 16, 16)
    state = module.init_state(2)
    with torch.no_grad():
        for i, chunk in enumerate(x.split(2, 1)):
            module.step(chunk, state, torch.tensor([True, i < 3]))
        _, keys, values = module._project(x, torch.arange(16)[None])
    assert state["count"].tolist() == [16, 6]
    for row, heard in ((0, range(10, 16)), (1, range(6))):
        for at in heard:
            key, value = state["ring"][row, at % 6]
            torch.testing.assert_close(key, keys[row, :, at], rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(value, values[row, :, at], rtol=1e-5, atol=1e-6)
