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
