"""Scheduler: rows are given, kept and given back."""

import numpy as np
import pytest

from omni.base.errors import CapacityError
from omni.base.events import BlockInput
from omni.engine.scheduler import Scheduler


def _heard() -> BlockInput:
    return BlockInput(np.zeros(1280, np.float32))


def test_lowest_free_row_is_taken_and_reused():
    scheduler = Scheduler(3)
    assert [scheduler.open(0, "").index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(CapacityError):
        scheduler.open(0, "")
    scheduler.close(1)
    assert scheduler.open(5, "be brief").index == 1
    assert len(scheduler) == 3


def test_a_slot_is_fresh_until_its_first_batch_has_run():
    scheduler = Scheduler(2)
    scheduler.open(0, "")
    scheduler.open(0, "")
    batch = scheduler.schedule({1: _heard()})
    assert [s.index for s in batch.fresh] == [1]
    assert scheduler.schedule({1: _heard()}).fresh == batch.fresh     # planned, not run
    scheduler.collect(batch, [None])
    assert [s.index for s in scheduler.schedule({0: _heard(), 1: _heard()}).fresh] == [0]


def test_a_batch_is_in_order_of_rows():
    scheduler = Scheduler(3)
    for _ in range(3):
        scheduler.open(0, "")
    batch = scheduler.schedule({2: _heard(), 0: _heard()})
    assert [s.index for s in batch.slots] == [0, 2]
