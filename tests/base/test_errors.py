"""Every error of the project has a code of its own that fits on the wire."""

import re

import pytest

from omni.base import errors


def _tree(kind=errors.OmniError):
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def test_codes_are_short_stable_names():
    own = [k for k in _tree() if k.__module__ == "omni.base.errors"]
    assert len(own) == 7
    assert all(re.fullmatch(r"[a-z_]{3,40}", k.code) for k in own)
    assert len({k.code for k in own}) == len(own)


def test_a_code_may_be_narrowed_where_it_is_raised():
    error = errors.WireError("no", code="unknown_event", param="type", client_event_id="e1")
    assert (error.code, error.param, error.client_event_id, str(error)) == ("unknown_event", "type", "e1", "no")
    assert errors.WireError.code == "invalid_event"
    with pytest.raises(errors.OmniError):
        raise errors.CapacityError("full")
