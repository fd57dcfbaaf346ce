"""Streaming state: a plain tree of tensors, one row a conversation, written in place under a mask.

    state = {"conv": {"context": f32 (B, C, K)}, "attention": {"keys": ..., "count": i64 (B,)}, ...}

A module never keeps state of its own. `step(x, state, active)` reads the tree and writes the rows that are active.
The three laws every streaming module keeps (tests/laws):

1. parity:  for every split of the input, the concatenated steps equal `forward` on the whole;
2. silence: a row that is not active keeps its state bit for bit;
3. rebirth: a reset row equals a fresh one bit for bit, and no other row moves.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

State = dict[str, "Tensor | State"]


def leaves(state: State) -> Iterator[Tensor]:
    """Every tensor of the tree, in a fixed order."""
    for key in sorted(state):
        value = state[key]
        if isinstance(value, dict):
            yield from leaves(value)
        else:
            yield value


def expand_mask(active: Tensor, like: Tensor) -> Tensor:
    """A row mask (B,) shaped to broadcast over `like` (B, ...)."""
    return active.view(-1, *([1] * (like.dim() - 1)))


def everyone(active: Tensor) -> bool:
    """Whether every row is known to be active; on a device, which would have to be waited for, none ever is."""
    return not active.is_cuda and all(active.tolist())


def write(target: Tensor, value: Tensor, active: Tensor) -> None:
    """Overwrite the active rows of `target` in place."""
    target.copy_(value if everyone(active) else torch.where(expand_mask(active, target), value, target))


def reset_rows(state: State, fresh: State, rows: Tensor) -> None:
    """Make the rows in mask `rows` (B,) equal to `fresh`, a one-row state of the same tree.

    On the CPU only those rows are touched: a conversation that begins must not have the caches of all others copied
    while they wait for their block. On a device the mask is not looked at, which would have to be waited for.
    """
    chosen = None if rows.is_cuda else rows.nonzero().flatten().tolist()
    if chosen != []:
        _reset_rows(state, fresh, rows, chosen)


def _reset_rows(state: State, fresh: State, rows: Tensor, chosen: list[int] | None) -> None:
    for key in state:
        value, origin = state[key], fresh[key]
        if isinstance(value, dict):
            _reset_rows(value, origin, rows, chosen)
        elif chosen is None:
            write(value, origin.expand_as(value), rows)
        else:
            for row in chosen:
                value[row].copy_(origin[0])


def map_state(state: State, function: Callable[[Tensor], Tensor]) -> State:
    """A new tree with `function` applied to each tensor."""
    return {k: map_state(v, function) if isinstance(v, dict) else function(v) for k, v in state.items()}


def num_bytes(state: State) -> int:
    """Memory of the tree."""
    return sum(t.numel() * t.element_size() for t in leaves(state))
