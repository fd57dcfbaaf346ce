"""Time is counted, never summed."""

import pytest

from omni.base.timebase import TINY, Timebase, exact_div


def test_the_grid_of_the_shipped_model():
    assert (TINY.block_samples, TINY.samples_per_ms, TINY.block_at(3)) == (1280, 16, 3840)


def test_hours_are_exact():
    blocks = 24 * 3600 * 1000 // 80
    assert TINY.to_ms(TINY.block_at(blocks)) == 24 * 3600 * 1000
    assert TINY.to_seconds(TINY.block_at(375)) == 30.0  # 375 sums of 0.08 are 29.99999999999945


@pytest.mark.parametrize("ms", [0, 1, 79, 80, 12_345])
def test_milliseconds_there_and_back(ms):
    assert TINY.to_ms(TINY.from_ms(ms)) == ms


def test_part_of_a_millisecond_is_rounded_down():
    assert TINY.to_ms(31) == 1 and TINY.to_ms(32) == 2


def test_a_grid_that_does_not_divide_is_refused_and_not_rounded():
    assert Timebase(24_000, 80).block_samples == 1920
    with pytest.raises(ValueError, match="not a multiple"):
        _ = Timebase(11_025, 10).block_samples
    with pytest.raises(ValueError, match="7 is not a multiple of 2"):
        exact_div(7, 2)
