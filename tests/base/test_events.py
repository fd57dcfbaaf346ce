"""The shared vocabulary is plain data that nobody can change on the way."""

import dataclasses
import typing

import numpy as np
import pytest

from omni.base import events


def _kinds():
    return [k for k in vars(events).values() if dataclasses.is_dataclass(k)]


def test_every_event_is_frozen_and_documented():
    assert len(_kinds()) >= 15
    for kind in _kinds():
        assert kind.__dataclass_params__.frozen and kind.__doc__ and hasattr(kind, "__slots__"), kind.__name__


def test_session_events_are_all_there():
    union = set(typing.get_args(events.SessionEvent))
    assert union == {k for k in _kinds() if k not in
                     (events.BlockInput, events.BlockResult, events.PieceBegun, events.PieceEnded)}


def test_events_cannot_be_changed():
    block = events.BlockInput(np.zeros(1280, np.float32))
    with pytest.raises(dataclasses.FrozenInstanceError):
        block.unplayed = 3
