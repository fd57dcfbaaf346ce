"""Kinds of tokens weigh what they are told to, and a negative weight stays within bounds."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from learning import learn

from omni.base.config import build
from omni.base.errors import ConfigError
from omni.data import streams
from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, THINK
from omni.train import words
from omni.train.token_weights import LESSONS, MOST_NATS, TokenWeights, mean, weigh

TARGET = torch.tensor([[THINK, START_SPEAK, FIRST_PIECE, FIRST_PIECE + 4, END_SPEAK, THINK]])


def test_by_default_lessons_weigh_what_they_always_did():
    weight = torch.from_numpy(streams.weights(TARGET[0].numpy()))[None]
    assert weigh(weight, TARGET, LESSONS) is weight
    assert weight[0].tolist() == [LESSONS.think, LESSONS.start, LESSONS.text, LESSONS.text, LESSONS.end, LESSONS.think]
    losses = torch.rand(1, 6)
    assert torch.equal(mean(losses, weight), (losses * weight).sum() / weight.sum())


def test_each_kind_has_its_own_weight_and_what_is_left_out_stays_out():
    weight = torch.from_numpy(streams.weights(TARGET[0].numpy()))[None]
    weight[0, 3] = 0
    told = weigh(weight, TARGET, TokenWeights(text=2.0, start=3.0, end=4.0, think=-0.25))
    np.testing.assert_allclose(told[0], [-0.25, 3.0, 2.0, 0.0, 4.0, -0.25])


def test_the_sum_is_divided_by_the_absolute_weights():
    losses, weight = torch.tensor([[1.0, 2.0, 5.0]]), torch.tensor([[1.0, -0.5, -0.5]])
    assert mean(losses, weight).item() == pytest.approx((1 - 1 - 0.5 * MOST_NATS) / 2)
    assert mean(losses, torch.zeros(1, 3)).item() == 0


def test_a_negative_weight_makes_thinking_less_likely_down_to_a_bound():
    """Without the bound its likelihood goes to nothing, and the loss to minus infinity."""
    target = torch.full((1, 40), THINK)
    target[0, ::4] = FIRST_PIECE
    weight = torch.from_numpy(streams.weights(target[0].numpy()))[None]

    def trained(think: float) -> tuple[float, float]:
        logits = torch.nn.Parameter(torch.zeros(1, 40, 12))
        told = weigh(weight, target, TokenWeights(think=think))
        losses = learn([logits], lambda: words.token_loss(logits, {"target": target, "weight": told}), 400, lr=0.05)
        assert min(losses) > -MOST_NATS
        return tuple(F.cross_entropy(logits[target == t], target[target == t]).item() for t in (THINK, FIRST_PIECE))

    think, piece = trained(-0.5)
    assert MOST_NATS - 0.1 < think < MOST_NATS + 1 and piece < 0.1, "past the bound it coasts and stops"
    assert trained(0.5)[0] < 0.1


def test_only_thinking_may_be_negative():
    assert build(TokenWeights, {"think": -0.1}).think == -0.1
    with pytest.raises(ConfigError, match="start must not be negative"):
        build(TokenWeights, {"start": -0.1})
