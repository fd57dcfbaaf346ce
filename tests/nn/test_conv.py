"""Causal convolution: what it sees, and what it never sees."""

import copy

import pytest
import torch

from omni.nn.conv import CausalConv1d, turn


@pytest.mark.parametrize(("kernel", "stride"), [(5, 1), (5, 2), (4, 4)])
def test_an_output_sees_its_stride_and_the_past_and_nothing_later(kernel, stride):
    torch.manual_seed(0)
    conv, x = CausalConv1d(2, 3, kernel, stride), torch.randn(1, 6 * stride, 2)
    for t in range(6):
        later = x.clone()
        later[:, (t + 1) * stride:] = 100.0
        assert torch.equal(conv(x)[:, :t + 1], conv(later)[:, :t + 1])
        last = x.clone()
        last[:, (t + 1) * stride - 1] += 1
        assert not torch.equal(conv(x)[:, t], conv(last)[:, t])


def test_a_kernel_shorter_than_its_stride_would_skip_samples():
    with pytest.raises(ValueError, match="shorter"):
        CausalConv1d(1, 1, 2, stride=3)


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(5, 1, 1), (5, 2, 1), (9, 1, 4), (5, 2, 4), (4, 2, 2)])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_context_is_the_last_of_what_was_heard_and_few_outputs_are_those_of_many(kernel, stride, groups, rows):
    """Rows times outputs lie on both sides of where the library's convolution takes over."""
    torch.manual_seed(0)
    conv, x = CausalConv1d(4, 4, kernel, stride, groups), torch.randn(rows, 54 * stride, 4)
    state, everyone = conv.init_state(rows), torch.ones(rows, dtype=torch.bool)
    assert state["context"].shape == (rows, kernel - stride, 4)
    with torch.no_grad():
        whole, at = conv(x), 0
        for units in (1, 2, 5, 16, 30):
            end = at + units
            y = conv.step(x[:, at * stride:end * stride], state, everyone)
            torch.testing.assert_close(y, whole[:, at:end], rtol=1e-5, atol=1e-6)
            heard = torch.cat([torch.zeros(rows, kernel, 4), x[:, :end * stride]], 1)
            assert torch.equal(state["context"], heard[:, -(kernel - stride):])
            at = end


@pytest.mark.parametrize("groups", [1, 4])
def test_turned_weights_are_the_same_weights(groups):
    """Two outputs of a row go by products and sums, those of eighty by the library's convolution."""
    torch.manual_seed(0)
    conv = CausalConv1d(4, 4, 9, groups=groups)
    turned = turn(copy.deepcopy(conv))
    assert torch.equal(turned.weight, conv.weight) and turned.weight.requires_grad
    assert (turned.weight.stride(0) == 1) == (groups == 4)
    with torch.no_grad():
        for rows in (1, 80):
            x, everyone = torch.randn(rows, 2, 4), torch.ones(rows, dtype=torch.bool)
            y, z = (c.step(x, c.init_state(rows), everyone) for c in (conv, turned))
            assert torch.equal(y, z)


def test_context_of_a_row_that_is_away_stays():
    torch.manual_seed(0)
    conv = CausalConv1d(4, 4, 5, groups=4)
    state = conv.init_state(2)
    with torch.no_grad():
        conv.step(torch.randn(2, 6, 4), state, torch.tensor([True, True]))
        before = state["context"].clone()
        conv.step(torch.randn(2, 1, 4), state, torch.tensor([True, False]))
    assert torch.equal(state["context"][1], before[1]) and torch.equal(state["context"][0, :-1], before[0, 1:])
