"""`omni bench` with a clock of its own: the numbers are the clock's, whatever the machine does."""

import itertools

import pytest
import tiny
from fake_model import FakeModel

from omni.engine.engine import Engine
from omni.evaluate.bench import bench_forward, bench_steps


def test_costs_are_percentiles_of_what_the_clock_said():
    ticks = itertools.count()

    def clock_ns() -> int:      # every step takes 8 ms
        return next(ticks) * 8_000_000

    engine = Engine(FakeModel(), capacity=4)
    cost = bench_steps(engine, 4, 60, clock_ns=clock_ns)
    assert (cost.conversations, cost.blocks) == (4, 60)
    assert cost.p50_ms == cost.p95_ms == cost.max_ms == 8.0
    assert cost.p95_ratio == pytest.approx(0.1)
    assert 0 <= cost.speaking_share <= 1
    assert engine.num_open == 0


def test_forward_of_the_real_model_is_measured_warm_and_its_median_counts():
    ticks = iter(range(0, 10_000_000_000_000, 500_000_000))
    assert bench_forward(tiny.duplex(), 1, repeats=3, clock_ns=lambda: next(ticks)) == 0.5
    assert bench_forward(tiny.duplex(), 1, mouth=False, repeats=1, clock_ns=lambda: next(ticks)) == 0.5
