"""What a metric is: a number over conversations, how sure it is, what it means and who defined it.

A sample holds what conversations contribute and a statistic of how often each is counted: once for the value, as often
as it was drawn in a bootstrap. So every interval is one over conversations, never over events as if these were
independent.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from omni.evaluate.cases import Case

OWN = "omni"
Better = Literal["higher", "lower", "neither"]

_RESAMPLES = 1_000
_SEED = 0


@dataclass(frozen=True, slots=True)
class Metric:
    """One number.

    Attributes:
        value: None if nothing was there to be counted.
        count: how many events (or words, frames, ...: the definition says) stand behind it.
        low, high: 95 % bootstrap interval over the conversations that contribute; None if these are fewer than two.
            It is widened to hold the value. With all events alike it is a point, however few they are.
        better: which way is good.
        definition, source: one line each.
    """

    name: str
    value: float | None
    unit: str
    count: int
    low: float | None
    high: float | None
    better: Better
    definition: str
    source: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What a metric is made from.

    Attributes:
        num_cases: conversations that contribute.
        count: see `Metric`.
        statistic: weights (rows, num_cases) of integers to values (rows,), NaN where a row gives none.
    """

    num_cases: int
    count: int
    statistic: Callable[[np.ndarray], np.ndarray]


REGISTRY: dict[str, Callable[[Sequence[Case]], Metric]] = {}


def metric(unit: str, better: Better, source: str = OWN, *, name: str = "", definition: str = ""):
    """Decorator: makes a function from cases to a `Sample` one from cases to a `Metric`, and registers it.

    Args:
        name, definition: the function's name and docstring if they are left out.
    """

    def register(sampled: Callable[[Sequence[Case]], Sample]) -> Callable[[Sequence[Case]], Metric]:
        called = name or sampled.__name__
        meaning = " ".join((definition or inspect.getdoc(sampled) or "").split())
        assert meaning and called not in REGISTRY, called

        @functools.wraps(sampled)
        def measured(cases: Sequence[Case]) -> Metric:
            sample = sampled(cases)
            value, low, high = estimate(sample)
            return Metric(called, value, unit, sample.count, low, high, better, meaning, source)

        REGISTRY[called] = measured
        return measured

    return register


def ratio(parts: Sequence[tuple[float, float]], count: int | None = None,
          scale: Callable[[np.ndarray], np.ndarray] = np.asarray) -> Sample:
    """Sum of numerators by sum of denominators, then `scale`.

    Args:
        parts: (numerator, denominator) of each conversation; one where both are 0 does not contribute.
        count: the sum of denominators by default.
    """
    kept = np.array([part for part in parts if any(part)], np.float64).reshape(-1, 2)
    return Sample(len(kept), int(round(kept[:, 1].sum())) if count is None else count,
                  lambda weights: scale(divide(weights @ kept[:, 0], weights @ kept[:, 1])))


def mean(values: Sequence[Sequence[float]]) -> Sample:
    """Mean over all values of all conversations."""
    return ratio([(sum(of_case), len(of_case)) for of_case in values])


def quantile(values: Sequence[Sequence[float]], percent: float) -> Sample:
    """Percentile over all values of all conversations, interpolated linearly (numpy's default)."""
    kept = [of_case for of_case in values if len(of_case)]
    pooled = np.array([value for of_case in kept for value in of_case], np.float64)
    owner = np.repeat(np.arange(len(kept)), [len(of_case) for of_case in kept]).astype(np.int64)
    order = np.argsort(pooled, kind="stable")
    pooled, owner = pooled[order], owner[order]

    def statistic(weights: np.ndarray) -> np.ndarray:
        passed = np.cumsum(weights[:, owner], axis=1)       # values counted up to and with each, of every row
        rank = (passed[:, -1] - 1) * (percent / 100)
        low = np.floor(rank)
        below, above = (pooled[np.sum(passed <= r[:, None], axis=1)] for r in (low, np.ceil(rank)))
        return below + (above - below) * (rank - low)

    return Sample(len(kept), len(pooled), statistic)


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their quotient, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(np.shape(denominator), np.nan), where=denominator != 0)


def estimate(sample: Sample) -> tuple[float | None, float | None, float | None]:
    """Value, and low and high of its interval; the same sample gives the same ones."""
    num_cases = sample.num_cases
    if not num_cases or not sample.count:
        return None, None, None
    value = float(sample.statistic(np.ones((1, num_cases), np.int64))[0])
    if np.isnan(value):
        return None, None, None
    if num_cases < 2:
        return value, None, None
    rng = np.random.default_rng(_SEED)
    drawn = sample.statistic(rng.multinomial(num_cases, np.full(num_cases, 1 / num_cases), _RESAMPLES))
    low, high = np.nanpercentile(np.append(drawn, value), (2.5, 97.5))
    return value, float(min(low, value)), float(max(high, value))
