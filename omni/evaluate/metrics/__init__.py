"""The numbers agents are judged by, from recordings and traces alone: each is a function of conversations.

A share of nothing is None, never 0 or 1. No number is won by silence, noise or talking without end; where a published
definition allows it, its definition says so.
"""

from collections.abc import Sequence

from omni.evaluate.cases import Case
from omni.evaluate.metrics import (  # noqa: F401  (this registers their metrics)
    hearing,
    remembering,
    saying,
    taking,
    tau,
    yielding,
)
from omni.evaluate.metrics.metric import REGISTRY, Metric


def measure(cases: Sequence[Case]) -> list[Metric]:
    """All of them."""
    return [measured(cases) for measured in REGISTRY.values()]
