"""GELU by torch's own loop: the same values as the library's, and in training the library's itself."""

import pytest
import torch
import torch.nn.functional as F

from omni.nn.activation import Gelu, gelu

SHAPES = [(7,), (1, 384), (1, 2, 256), (3, 8, 768), (2, 5, 33), (1, 4, 192 * 64)]  # the last is left to the library


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("turned", [False, True])
def test_it_agrees_with_the_library_whatever_the_layout(shape, turned):
    torch.manual_seed(0)
    x = 3 * torch.randn(shape)
    x = x.mT.contiguous().mT if turned and len(shape) > 1 else x
    with torch.inference_mode():
        y = gelu(x)
        torch.testing.assert_close(y, F.gelu(x), rtol=1e-6, atol=2e-6)
        assert y.is_contiguous() == x.is_contiguous() and torch.equal(Gelu()(x), y)


def test_extremes_are_those_of_the_library():
    x = torch.tensor([[0.0, -0.0, 30.0, -30.0], [1e-30, -1e-30, 1e30, float("nan")]])
    with torch.no_grad():
        torch.testing.assert_close(gelu(x), F.gelu(x), equal_nan=True)


def test_with_gradients_it_is_the_library_bit_for_bit():
    torch.manual_seed(0)
    x = torch.randn(2, 8, 64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    a, b = gelu(x), F.gelu(y)
    a.square().sum().backward()
    b.square().sum().backward()
    assert torch.equal(a, b) and torch.equal(x.grad, y.grad)


def test_a_row_does_not_depend_on_what_others_hold():
    torch.manual_seed(0)
    x = torch.randn(3, 2, 40)
    loud = torch.cat([x[:1], 100 * torch.randn(2, 2, 40)])
    with torch.no_grad():
        assert torch.equal(gelu(x)[0], gelu(loud)[0])
