"""Muon in float32 does what PyTorch's does in bfloat16."""

import pytest
import torch
from torch import Tensor, nn

from omni.train import muon

SHAPES = [(24, 24), (48, 24), (24, 48), (24, 24)]


def _after(make, steps: int = 3) -> list[Tensor]:
    random = torch.Generator().manual_seed(1)
    parameters = [nn.Parameter(torch.randn(shape, generator=random)) for shape in SHAPES]
    optimiser = make([{"params": [p], "weight_decay": 0.1 * i} for i, p in enumerate(parameters)])
    for _ in range(steps):
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=random)
        optimiser.step()
    return [p.detach() for p in parameters]


def test_it_makes_the_steps_that_pytorch_makes():
    before = _after(lambda groups: muon.Muon(groups, lr=0.02), steps=0)
    own = _after(lambda groups: muon.Muon(groups, lr=0.02))
    others = _after(lambda groups: torch.optim.Muon(groups, lr=0.02, adjust_lr_fn="match_rms_adamw"))
    for start, mine, other in zip(before, own, others, strict=True):
        assert (mine - start).norm() > 0.1
        assert (mine - other).norm() < 0.02 * (other - start).norm(), "but for the rounding of bfloat16"


def test_what_it_turns_has_singular_values_near_one_and_keeps_its_vectors():
    for shape in ((3, 16, 40), (3, 40, 16)):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
        turned = muon.orthogonal(x)
        values = torch.linalg.svdvals(turned)
        assert turned.shape == x.shape and 0.6 < values.min() and values.max() < 1.25
        u, _, v = torch.linalg.svd(x, full_matrices=False)
        turned_in = u.mT @ turned @ v.mT
        assert (turned_in - torch.diag_embed(turned_in.diagonal(dim1=1, dim2=2))).abs().max() < 1e-4


def test_a_parameter_without_a_gradient_stays_and_a_vector_is_refused():
    still, moved = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4, 4))
    optimiser = muon.Muon([still, moved])
    moved.grad = torch.eye(4)
    optimiser.step()
    assert torch.equal(still, torch.ones(4, 4)) and not torch.equal(moved, torch.ones(4, 4))
    with pytest.raises(ValueError, match="1 dimensions"):
        muon.Muon([nn.Parameter(torch.ones(4))])
