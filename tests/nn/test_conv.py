"""Causal convolution: what it sees, and what it never sees."""

import pytest
import torch

from omni.nn.conv import CausalConv1d


@pytest.mark.parametrize(("kernel", "stride"), [(5, 1), (5, 2), (4, 4)])
def test_an_output_sees_its_stride_and_the_past_and_nothing_later(kernel, stride):
    torch.manual_seed(0)
    conv, x = CausalConv1d(2, 3, kernel, stride), torch.randn(1, 2, 6 * stride)
    for t in range(6):
        later = x.clone()
        later[:, :, (t + 1) * stride:] = 100.0
        assert torch.equal(conv(x)[:, :, :t + 1], conv(later)[:, :, :t + 1])
        last = x.clone()
        last[:, :, (t + 1) * stride - 1] += 1
        assert not torch.equal(conv(x)[:, :, t], conv(last)[:, :, t])


def test_a_kernel_shorter_than_its_stride_would_skip_samples():
    with pytest.raises(ValueError, match="shorter"):
        CausalConv1d(1, 1, 2, stride=3)
