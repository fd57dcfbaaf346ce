"""Packed matrices: the values of half precision whichever product is taken, and nothing else of a model changes."""

import copy

import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import nn

from omni.model.weights import load_model, quantise, save_model
from omni.nn.packed import MANY, PackedLinear, can_pack, pack

pytestmark = pytest.mark.skipif(not can_pack(), reason="this build of torch has no FBGEMM, so that nothing is packed")


def layer(bias: bool = True, columns: int = 33, rows: int = 70) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(columns, rows, bias=bias)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (MANY - 1,), (MANY,), (2, MANY)])
def test_products_are_those_of_the_rounded_matrix(bias, shape):
    plain = layer(bias)
    packed, x = pack(nn.Sequential(copy.deepcopy(plain)))[0], torch.randn(*shape, 33)
    with torch.inference_mode():
        wanted = F.linear(x, plain.weight.half().float(), plain.bias)
        torch.testing.assert_close(packed(x), wanted, rtol=1e-5, atol=1e-5)
        if shape:
            turned = x.mT.contiguous().mT
            torch.testing.assert_close(packed(turned), packed(x), rtol=1e-5, atol=1e-5)


def test_a_row_does_not_depend_on_what_others_hold():
    packed, x = PackedLinear(layer()), torch.randn(5, 33)
    with torch.inference_mode():
        y, x[[0, 2, 3, 4]] = packed(x), 1e6
        assert torch.equal(packed(x)[1], y[1]) and not torch.equal(packed(x)[2], y[2])


def test_what_was_int8_moves_by_a_sixteenth_of_a_step_at_most():
    plain = layer()
    values, scale = quantise(plain.weight)
    with torch.no_grad():
        plain.weight.copy_(values.float() * scale[:, None])
        before = plain.weight.clone()
        moved = ((PackedLinear(plain).weight - before).abs() / scale[:, None]).max()
    assert 0 < moved <= 1 / 16


def test_gradients_are_of_the_plain_product():
    packed, x = PackedLinear(layer()), torch.randn(4, 33, requires_grad=True)
    packed(x).square().sum().backward()
    assert x.grad.abs().sum() > 0 and packed.weight.grad.abs().sum() > 0


def test_what_half_precision_cannot_hold_stays():
    large, double, small = layer(), layer().double(), layer()
    with torch.no_grad():
        large.weight[3, 4] = 1e5
    model = pack(nn.Sequential(large, double, small))
    assert model[0] is large and model[1] is double and isinstance(model[2], PackedLinear)
    assert large.weight[3, 4] == 1e5


def test_a_matrix_that_is_shared_stays_shared():
    model = nn.ModuleDict({"out": layer(), "table": nn.Embedding(70, 33)})
    model["out"].weight = model["table"].weight
    names = list(model.state_dict())
    assert pack(model)["out"].weight is model["table"].weight and list(model.state_dict()) == names
    assert torch.equal(model["table"].weight, model["table"].weight.half().float())


def test_packed_ears_and_mind_step_as_they_run_whole():
    """The first law, where steps take the packed product and the whole takes torch's."""
    model = pack(tiny.duplex())
    blocks = 2 * MANY
    torch.manual_seed(1)
    room, own = torch.randn(2, 1, blocks * 1280).mul(0.1)
    fed, backlog = torch.zeros(2, 1, blocks, dtype=torch.int64)
    active, none = torch.ones(1, dtype=torch.bool), torch.zeros(1, dtype=torch.int64)
    with torch.inference_mode():
        whole, own_mel = model.hear(room, own)
        hidden = model.decide(whole, own_mel, fed, backlog)[1]
        state = model.init_state(1)
        for i in range(blocks):
            part = slice(i * 1280, (i + 1) * 1280)
            frames, mel, said = model.hear_next(room[:, part], own[:, part], state, active)
            torch.testing.assert_close(frames, whole[:, 2 * i:2 * i + 2], rtol=1e-3, atol=1e-3)
            x = model.arrange(*model.listen(frames, mel, said, model.sounds_next(frames, state, active)),
                              model.think_of(fed[:, i:i + 1], backlog[:, i:i + 1], none[:, None]))
            torch.testing.assert_close(model.mind.step(x, state["mind"], active)[:, -1], hidden[:, i],
                                       rtol=1e-3, atol=1e-3)


def test_weights_are_loaded_packed_for_whoever_asks(tmp_path):
    save_model(tiny.duplex(), tmp_path)
    loaded = [load_model(tmp_path, packed=packed) for packed in (False, True)]
    kinds = [{type(m) for m in model.modules()} for model in loaded]
    assert PackedLinear not in kinds[0] and PackedLinear in kinds[1] and nn.Linear not in kinds[1]
    turned = [model.encoder.blocks[0].depthwise.weight.stride(0) == 1 for model in loaded]
    assert turned == [False, True]
