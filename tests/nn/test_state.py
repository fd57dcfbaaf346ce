"""The tree of state: written under a mask, in place."""

import torch

from omni.nn.state import leaves, map_state, num_bytes, reset_rows, write


def _tree(rows: int) -> dict:
    return {"b": {"y": torch.ones(rows, 2, 3), "x": torch.zeros(rows, dtype=torch.int64)}, "a": torch.zeros(rows, 4)}


def test_leaves_come_in_a_fixed_order_and_are_counted():
    tree = _tree(2)
    assert [t.shape for t in leaves(tree)] == [(2, 4), (2,), (2, 2, 3)]
    assert num_bytes(tree) == 4 * 8 + 8 * 2 + 4 * 12


def test_write_keeps_identity_and_masked_rows():
    target, before = torch.arange(6.0).view(3, 2), torch.arange(6.0).view(3, 2)
    pointer = target.data_ptr()
    write(target, torch.full((3, 2), float("nan")), torch.tensor([False, True, False]))
    assert target.data_ptr() == pointer
    assert target[1].isnan().all() and torch.equal(target[[0, 2]], before[[0, 2]])


def test_reset_takes_a_one_row_state_for_any_rows():
    tree = map_state(_tree(3), lambda t: t + 5)
    reset_rows(tree, _tree(1), torch.tensor([True, False, True]))
    for value, fresh in zip(leaves(tree), leaves(_tree(3)), strict=True):
        assert torch.equal(value[[0, 2]], fresh[[0, 2]]) and torch.equal(value[1], fresh[1] + 5)
