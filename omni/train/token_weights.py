"""What each kind of token weighs in the loss of the mind.

Most blocks are `<think>`, so what it weighs decides how soon the floor is taken. It can be negative, as SALMONN-omni
has tried (arXiv 2505.17060, table 9, "Explicit-NS"): then every `<think>` that should be there makes the loss smaller
the less likely it is. Such a loss has no lower end, so a token's part in it is bounded: below a likelihood of
`exp(-MOST_NATS)` it gains nothing more. The sum is divided by the sum of the weights' absolute values, so that the
other kinds keep their share of a step whatever the sign.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, THINK

MOST_NATS = 3.0  # of a token with a negative weight


@dataclass(frozen=True, slots=True)
class TokenWeights:
    """Weights of kinds of targets: pieces of text, `<start_speak>`, `<end_speak>`, `<think>`. The defaults are those
    that lessons come with (`omni.data.streams`)."""

    text: float = 1.0
    start: float = 1.0
    end: float = 1.0
    think: float = 0.5

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.name != "think" and getattr(self, f.name) < 0:
                raise ValueError(f"{f.name} must not be negative; `<think>` alone may be")


LESSONS = TokenWeights()


def weigh(weight_BT: Tensor, target_BT: Tensor, told: TokenWeights) -> Tensor:
    """The weights of a lesson's blocks, as told in place of `LESSONS`; what a lesson leaves out (0) stays out."""
    if told == LESSONS:
        return weight_BT
    scale = torch.ones_like(weight_BT)
    for name, where in (("text", target_BT >= FIRST_PIECE), ("start", target_BT == START_SPEAK),
                        ("end", target_BT == END_SPEAK), ("think", target_BT == THINK)):
        scale[where] = getattr(told, name) / getattr(LESSONS, name)
    return weight_BT * scale


def mean(losses_BT: Tensor, weight_BT: Tensor) -> Tensor:
    """The weighted mean of tokens' losses, those with a negative weight bounded."""
    bounded = torch.where(weight_BT < 0, losses_BT.clamp(max=MOST_NATS), losses_BT)
    return (bounded * weight_BT).sum() / weight_BT.abs().sum().clamp(min=1e-6)
