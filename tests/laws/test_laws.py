"""The three laws of streaming, held over every module that streams, and over the whole.

Equality is bit for bit wherever the shapes are the same; parity compares one computation in two shapes, whose sums
float32 rounds apart.
"""

import pytest
import salmonn
import senses
import torch
from streaming import DRAWN, MODULES, Streaming, Tensors
from torch import Tensor

from omni.nn.state import State, leaves, map_state

ROWS = 3


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture(params=MODULES)
def name(request) -> str:
    return request.param


def _split(units: int, longest: int, generator: torch.Generator) -> list[int]:
    sizes = []
    while sum(sizes) < units:
        size = int(torch.randint(1, longest + 1, (), generator=generator))
        sizes.append(min(size, units - sum(sizes)))
    return sizes


def _assert_same(a: Tensors, b: Tensors, rows: slice | Tensor = slice(None)) -> None:
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key][rows], b[key][rows]), key


def _assert_same_state(a: State, b: State, rows: Tensor | int) -> None:
    for x, y in zip(leaves(a), leaves(b), strict=True):
        assert torch.equal(x[rows], y[rows])


def _copy(state: State) -> State:
    return map_state(state, torch.Tensor.clone)


def test_parity_steps_over_any_split_equal_forward_on_the_whole(name):
    for trial in range(4 if MODULES[name]().longest > 1 else 1):
        _hold_parity(name, torch.Generator().manual_seed(trial))


def _hold_parity(name: str, generator: torch.Generator) -> None:
    subject: Streaming = MODULES[name]()
    inputs, everyone = subject.draw(2, generator), torch.ones(2, dtype=torch.bool)
    if "cut" in inputs:
        inputs["cut"].zero_()  # forward knows no cuts; tests of the mouth do
    state, at, outputs = subject.init_state(2), 0, []
    for size in _split(subject.units, subject.longest, generator):
        outputs.append(subject.step({k: v[:, at:at + size] for k, v in inputs.items()}, state, everyone))
        at += size
    stepped = {key: torch.cat([o[key] for o in outputs], 1) for key in outputs[0]}
    whole = subject.forward(inputs)
    for key, expected in whole.items():
        if expected.dtype.is_floating_point:
            assert expected.abs().max() > 1e-3, f"{key} is silent, so the comparison says nothing"
            torch.testing.assert_close(stepped[key], expected, rtol=1e-4, atol=2e-4, msg=lambda m, k=key: f"{k}: {m}")
        elif not (name in DRAWN and key == "token"):
            assert torch.equal(stepped[key], expected), key


def _run(subject: Streaming, inputs: Tensors, presence: Tensor) -> tuple[list[list[Tensors]], State]:
    """Step unit by unit; row r takes its next unit in tick t where presence[t, r]. Outputs by row, and the state."""
    rows = presence.shape[1]
    state, taken, outputs = subject.init_state(rows), torch.zeros(rows, dtype=torch.int64), [[] for _ in range(rows)]
    for active in presence:
        before = _copy(state)
        index = taken.clamp(max=subject.units - 1)
        chunk = {k: v[torch.arange(rows), index][:, None] for k, v in inputs.items()}
        out = subject.step(chunk, state, active)
        _assert_same_state(before, state, ~active)  # the law itself: those who are away keep every bit
        for row in active.nonzero().flatten().tolist():
            outputs[row].append({k: v[row] for k, v in out.items()})
        taken += active
    return outputs, state


def _presence(units: int, generator: torch.Generator) -> Tensor:
    """Rows that join late, skip ticks and leave, until each has had `units` of them."""
    orders = []
    for row in range(ROWS):
        ticks = torch.randperm(2 * units, generator=generator)[:units] + 2 * row  # joins later, row by row
        orders.append(torch.zeros(2 * units + 2 * ROWS, dtype=torch.bool).index_fill(0, ticks, True))
    return torch.stack(orders, 1)


def test_silence_a_row_that_joins_skips_and_leaves_equals_itself_alone(name):
    """Past two wraps of each ring; alone means the same batch shape with every other row away."""
    subject = MODULES[name]()
    generator = torch.Generator().manual_seed(7)
    inputs = subject.draw(ROWS, generator)
    crowd, crowd_state = _run(subject, inputs, _presence(subject.units, generator))
    for row in range(ROWS):
        presence = torch.zeros(subject.units, ROWS, dtype=torch.bool)
        presence[:, row] = True
        others = subject.draw(ROWS, generator)
        alone, alone_state = _run(subject, {k: torch.where(_only(row, v), v, others[k]) for k, v in inputs.items()},
                                  presence)
        assert len(alone[row]) == len(crowd[row]) == subject.units
        for a, b in zip(alone[row], crowd[row], strict=True):
            _assert_same(a, b)
        _assert_same_state(alone_state, crowd_state, row)


def _only(row: int, like: Tensor) -> Tensor:
    return (torch.arange(ROWS) == row).view(-1, *([1] * (like.dim() - 1)))


def test_silence_what_others_hear_moves_nothing_of_mine(name):
    """Everyone present: the same row beside other content, quiet or a hundred times as loud."""
    subject = MODULES[name]()
    generator = torch.Generator().manual_seed(8)
    everyone = torch.ones(subject.units, ROWS, dtype=torch.bool)
    inputs = subject.draw(ROWS, generator)
    first, _ = _run(subject, inputs, everyone)
    for gain in (0.0, 100.0):
        others = {k: v * gain if v.dtype.is_floating_point else v for k, v in subject.draw(ROWS, generator).items()}
        again, _ = _run(subject, {k: torch.where(_only(1, v), v, others[k]) for k, v in inputs.items()}, everyone)
        for a, b in zip(first[1], again[1], strict=True):
            _assert_same(a, b)


def test_rebirth_a_reset_row_is_fresh_and_no_other_moves(name):
    subject = MODULES[name]()
    generator = torch.Generator().manual_seed(9)
    inputs, everyone = subject.draw(ROWS, generator), torch.ones(ROWS, dtype=torch.bool)
    state = subject.init_state(ROWS)
    for at in range(subject.units):
        subject.step({k: v[:, at:at + 1] for k, v in inputs.items()}, state, everyone)
    before, again = _copy(state), torch.tensor([False, True, False])
    subject.reset(state, again)
    fresh = subject.init_state(ROWS)
    _assert_same_state(state, fresh, again)
    _assert_same_state(state, before, ~again)
    remembers = any(not torch.equal(x[1], y[1]) for x, y in zip(leaves(before), leaves(fresh), strict=True))
    assert remembers or not any(x.numel() for x in leaves(before)), "nothing was remembered, so nothing was forgotten"
    for at in range(subject.units):
        chunk = {k: v[:, at:at + 1] for k, v in inputs.items()}
        _assert_same(subject.step(chunk, state, everyone), subject.step(chunk, fresh, everyone), again)


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith("DuplexModel")])
def test_the_models_under_these_laws_speak_and_are_cut(name):
    """A model that only thinks would keep every law."""
    subject = MODULES[name]()
    inputs, everyone = subject.draw(8, torch.Generator().manual_seed(10)), torch.ones(8, dtype=torch.bool)
    state = subject.init_state(8)
    outputs = [subject.step({k: v[:, at:at + 1] for k, v in inputs.items()}, state, everyone)
               for at in range(subject.units)]
    seen = {k: torch.cat([o[k] for o in outputs], 1) for k in outputs[0]}
    assert (seen["begun_token"] >= 0).any() and (seen["stopped"] == 2).any() and (seen["caption"] >= 0).any()
    assert 1e-3 < seen["audio"].std() < 0.5


# ---- ears of other kinds ---------------------------------------------------------------------------------------------

_EARS = {**salmonn.MODULES, **senses.MODULES}
_LAWS = [test_parity_steps_over_any_split_equal_forward_on_the_whole,
         test_silence_a_row_that_joins_skips_and_leaves_equals_itself_alone,
         test_silence_what_others_hear_moves_nothing_of_mine, test_rebirth_a_reset_row_is_fresh_and_no_other_moves]


@pytest.mark.parametrize("law, ears", [
    *((law, name) for law in _LAWS for name in _EARS),
    *((test_the_models_under_these_laws_speak_and_are_cut, name) for name in _EARS if name.startswith("DuplexModel"))])
def test_ears_of_other_kinds_keep_the_laws(law, ears, monkeypatch):
    monkeypatch.setitem(MODULES, ears, _EARS[ears])
    law(ears)
