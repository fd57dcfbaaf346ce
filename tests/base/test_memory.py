"""The process's memory: what is loaded does not stand in the collector's way."""

import gc
import weakref

import pytest

from omni.base.memory import settled_heap


class Knot:
    """Reaches itself: only the collector takes it away."""

    def __init__(self):
        self.itself = self


@pytest.fixture(autouse=True)
def _nothing_frozen():
    assert gc.get_freeze_count() == 0
    yield
    assert gc.get_freeze_count() == 0


def test_what_lives_is_not_visited_and_what_comes_and_goes_is_collected():
    kept, gone = Knot(), weakref.ref(Knot())
    visited = len(gc.get_objects())
    with settled_heap():
        assert gone() is None, "garbage is not kept"
        assert len(gc.get_objects()) < visited / 100
        young = weakref.ref(Knot())
        gc.collect()
        assert young() is None
        old = weakref.ref(kept)
        del kept
        gc.collect()
        assert old() is not None, "not visited, as was asked"
    gc.collect()
    assert old() is None


def test_inside_another_one_it_leaves_that_one_alone():
    with settled_heap():
        with settled_heap():
            pass
        assert gc.get_freeze_count() > 10_000


def test_an_error_passes_and_ends_it():
    with pytest.raises(KeyError), settled_heap():
        raise KeyError
