"""The synthesizer jumps from event to event and asks its timing network only when something has changed; frame by frame
and asked each time, it does the same, bit for bit."""

from dataclasses import replace

import pytest
import tiny
import torch

from omni.model.synthesizer import FRAMES, Synthesizer
from omni.model.tokens import MAX_WAITING
from omni.nn.state import leaves, map_state, reset_rows


class Plodding(Synthesizer):
    """One frame at a time, with every duration asked for anew in each."""

    def _run(self, state, passing, most):
        return 1

    def _look(self, state, active, rate, moved):
        super()._look(state, active, rate, torch.ones_like(moved))


def _pair(seed: int) -> tuple[Synthesizer, Plodding]:
    jumping, plodding = (tiny.randomise(kind(tiny.MOUTH.synthesizer), seed) for kind in (Synthesizer, Plodding))
    for synthesizer in (jumping, plodding):
        with torch.no_grad():
            synthesizer.timing[-1].bias += 1.5
    return jumping, plodding


@pytest.mark.parametrize("rows", [1, 4, 12])
@pytest.mark.parametrize("seed", range(4))
def test_a_jump_equals_frame_by_frame_over_replies_cuts_and_rates(rows, seed):
    jumping, plodding = _pair(seed)
    generator = torch.Generator().manual_seed(100 * rows + seed)

    def chance(share: float) -> torch.Tensor:
        return torch.rand(rows, generator=generator) < share

    state, other = jumping.init_state(rows), plodding.init_state(rows)
    rate, begun, ended = torch.ones(rows), 0, 0
    with torch.no_grad():
        for block in range(40):
            active = chance(0.85)
            rate = torch.where(chance(0.15), 0.6 + torch.rand(rows, generator=generator), rate)
            cut = chance(0.06) & active
            token = torch.randint(5, 20, (rows,), generator=generator)
            drive = torch.randn(rows, tiny.WIDTH, generator=generator)
            speaks = chance(0.5 if block % 16 < 10 else 0.0) & active     # and at times nobody does
            outputs = []
            for synthesizer, own in ((jumping, state), (plodding, other)):
                synthesizer.push(own, token, drive, speaks & (Synthesizer.waiting(own) < MAX_WAITING))
                outputs.append(synthesizer.step(own, active, rate))
                reset_rows(own, synthesizer.init_state(1), cut)
            (frames, record), (expected, wanted) = outputs
            assert torch.equal(frames[active], expected[active])
            for key in wanted:
                assert torch.equal(record[key][active], wanted[key][active]), key
            _assert_same(state, other, active)
            begun += int((record["begun_token"] >= 0)[active].sum())
            ended += int((record["ended_frame"] >= 0)[active].sum())
    assert begun > 5 * rows and ended > 3 * rows, "replies were spoken"


def _assert_same(state, other, rows) -> None:
    """But for `rate`: who is asked each time knows at once what another is told when it matters."""
    a, b = ({k: v for k, v in s.items() if k != "rate"} for s in (state, other))
    for x, y in zip(leaves(a), leaves(b), strict=True):
        assert torch.equal(x[rows], y[rows])


def test_durations_are_asked_for_only_where_something_has_changed():
    synthesizer = tiny.randomise(Synthesizer(replace(tiny.MOUTH.synthesizer, max_frames=60)))
    with torch.no_grad():
        synthesizer.timing[-1].weight.zero_()
        synthesizer.timing[-1].bias.fill_(5.0)      # every phone lasts as long as one may: seven blocks
    asked, plain = [], synthesizer.frames
    synthesizer.frames = lambda *args: asked.append(1) or plain(*args)
    state, one, rate = synthesizer.init_state(1), torch.ones(1, dtype=torch.bool), torch.ones(1)

    def step(at: torch.Tensor = rate) -> int:
        asked.clear()
        with torch.no_grad():
            synthesizer.step(state, one, at)
        return len(asked)

    def push() -> None:
        with torch.no_grad():
            synthesizer.push(state, torch.tensor([7]), torch.randn(1, tiny.WIDTH), one)

    assert step() == 0, "nothing sounds"
    push()
    assert [step(), step(), step()] == [1, 0, 0], "a piece begins, then its first phone goes on"
    push()
    assert [step(), step()] == [1, 0], "what follows is known now"
    assert [step(2 * rate), step(2 * rate)] == [1, 0], "another rate"
    reset_rows(state, synthesizer.init_state(1), one)
    assert step() == 0
    push()
    assert step() == 1, "after a reset nothing is known"


def test_many_rows_at_once_keep_their_own_courses():
    """Sixty-four rows that start in different blocks at different rates: each goes the way it goes alone."""
    synthesizer, _ = _pair(1)
    rows, blocks, generator = 64, 14, torch.Generator().manual_seed(5)
    drive = torch.randn(rows, 3, tiny.WIDTH, generator=generator)
    starts, rate = torch.arange(rows) % 6, 0.7 + torch.rand(rows, generator=generator)

    def run(chosen: torch.Tensor) -> torch.Tensor:
        """Tokens that sound, (rows, blocks * FRAMES)."""
        state, heard = synthesizer.init_state(len(chosen)), []
        everyone, given = torch.ones(len(chosen), dtype=torch.bool), torch.zeros(len(chosen), dtype=torch.int64)
        for block in range(blocks):
            comes = (starts[chosen] <= block) & (given < 3) & (Synthesizer.waiting(state) < MAX_WAITING)
            vectors = drive[chosen, given.clamp(max=2)]
            synthesizer.push(state, 5 + given, vectors, comes)
            given += comes
            heard.append(synthesizer.step(state, everyone, rate[chosen])[1]["token"])
        return torch.cat(heard, 1)

    with torch.no_grad():
        together = run(torch.arange(rows))
        for row in range(0, rows, 9):
            assert torch.equal(run(torch.tensor([row]))[0], together[row])
    assert together.shape == (rows, blocks * FRAMES)
    assert all((together[:, :48] == token).any(1).float().mean() > 0.3 for token in (5, 6))


def test_a_copied_state_goes_on_as_the_original():
    """What is known of durations is state like any other."""
    synthesizer, _ = _pair(2)
    state, one, rate = synthesizer.init_state(1), torch.ones(1, dtype=torch.bool), torch.ones(1)
    with torch.no_grad():
        synthesizer.push(state, torch.tensor([9]), torch.randn(1, tiny.WIDTH), one)
        synthesizer.step(state, one, rate)
        copy = map_state(state, torch.Tensor.clone)
        assert torch.equal(synthesizer.step(state, one, rate)[0], synthesizer.step(copy, one, rate)[0])
