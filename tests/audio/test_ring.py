"""Ring: order, exact counts, and what is lost when it is full."""

import numpy as np
import pytest

from omni.audio.ring import Ring


def test_reads_what_was_written_in_order_whatever_the_chunks():
    rng = np.random.default_rng(1)
    ring = Ring(1000)
    fed = rng.standard_normal(20_000).astype(np.float32)
    at, got = 0, []
    while at < len(fed):
        count = int(rng.integers(0, 700 - len(ring) if len(ring) < 700 else 1))
        assert ring.write(fed[at:at + count]) == 0
        at += count
        take = int(rng.integers(0, len(ring) + 1))
        got.append(ring.read(take))
    got.append(ring.read(len(ring)))
    np.testing.assert_array_equal(np.concatenate(got), fed)


def test_full_ring_loses_the_oldest_and_says_how_many():
    ring = Ring(10)
    assert ring.write(np.arange(8)) == 0
    assert ring.write(np.arange(8, 13)) == 3
    np.testing.assert_array_equal(ring.read(10), np.arange(3, 13))
    assert ring.write(np.arange(25)) == 15
    np.testing.assert_array_equal(ring.read(10), np.arange(15, 25))


def test_refuses_to_read_more_than_waits():
    ring = Ring(10)
    ring.write(np.ones(4))
    with pytest.raises(ValueError, match="5 samples asked for, 4 are waiting"):
        ring.read(5)
    assert ring.drop(9) == 4
    assert len(ring) == 0
