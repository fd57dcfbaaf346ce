"""Muon in float32: the matrices of a network turn by orthogonal steps.

After Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/), with the steps' root mean square as AdamW's has
it (Liu et al. 2025, arXiv 2502.16982), so that a rate means the same. PyTorch's own iterates in bfloat16, which a CPU
without AMX or AVX-512 multiplies seventeen times as slowly as float32; matrices of one shape are turned together.
"""

import math
from collections import defaultdict

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)    # of the quintic iteration, Jordan's
STEPS, EPS = 5, 1e-7
MOMENTUM = 0.95


def orthogonal(x_KMN: Tensor) -> Tensor:
    """K matrices with the singular vectors that they have, and singular values near 1 (about 0.7 to 1.2).

    Newton-Schulz: five times a x + (b g + c g^2) x with g = x x^T, from a Frobenius norm of 1.
    """
    a, b, c = COEFFICIENTS
    wide = x_KMN.shape[1] <= x_KMN.shape[2]
    x = x_KMN if wide else x_KMN.mT
    x = x / x.flatten(1).norm(dim=1).clamp(min=EPS)[:, None, None]
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.mT


class Muon(torch.optim.Optimizer):
    """As `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`: Nesterov momentum, decoupled decay of weights.

    Raises:
        ValueError: a parameter is no matrix.
    """

    def __init__(self, params, lr: float = 1e-3, weight_decay: float = 0.1):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        for p in (p for group in self.param_groups for p in group["params"]):
            if p.dim() != 2:
                raise ValueError(f"Muon turns matrices; here is a parameter of {p.dim()} dimensions")

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """One step of all parameters that have a gradient; nothing is evaluated anew."""
        assert closure is None
        alike: dict[torch.Size, list[tuple[Tensor, dict]]] = defaultdict(list)
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                if not self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p.grad)
                alike[p.shape].append((p, group))
        for shape, some in alike.items():
            scale = 0.2 * math.sqrt(max(shape))
            turns = orthogonal(torch.stack([self._update(p) for p, _ in some]))
            for (p, group), turned in zip(some, turns, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(turned, alpha=-group["lr"] * scale)

    def _update(self, p: Tensor) -> Tensor:
        momentum = self.state[p]["momentum_buffer"].lerp_(p.grad, 1 - MOMENTUM)
        return p.grad.lerp(momentum, MOMENTUM)
