"""The mouth: it starts within a block, ends in exact silence, and tells which piece sounded when."""

import pytest
import tiny
import torch

from omni.model.mouth import RAMP, Mouth
from omni.model.synthesizer import CURRENT, FRAMES, NEXT, Synthesizer
from omni.model.tokens import MAX_WAITING
from omni.model.vocoder import DELAY, HOP

PIECES = 30
ON, OFF = torch.tensor([True]), torch.tensor([False])


@pytest.fixture(scope="module")
def mouth() -> Mouth:
    mouth = tiny.randomise(Mouth(tiny.MOUTH, PIECES), seed=3)
    with torch.no_grad():
        mouth.synthesizer.leave.bias[:tiny.MELS] -= 4.0  # far from clipping
        mouth.synthesizer.timing[-1].bias += 2.5  # pieces of some length
    return mouth


def _push(mouth: Mouth, state, token: int) -> None:
    mouth.synthesizer.push(state["queue"], torch.tensor([token]), mouth.drive(torch.tensor([token])), ON)


@torch.no_grad()
def _say(mouth: Mouth, tokens: list[int], blocks: int, cut_at: int | None = None):
    """Push as fast as the grammar allows; (samples (blocks, 1280), records)."""
    state, fresh, todo, sound, records = mouth.init_state(1), mouth.init_state(1), list(tokens), [], []
    for block in range(blocks):
        if todo and Synthesizer.waiting(state["queue"]) < MAX_WAITING and block != cut_at:
            _push(mouth, state, todo.pop(0))
        samples, record = mouth.step(ON if block == cut_at else OFF, state, fresh, ON)
        if block == cut_at:
            todo = []
        sound.append(samples[0])
        records.append({k: v[0].tolist() for k, v in record.items()})
    return torch.stack(sound), records, state


def test_a_piece_pushed_in_a_block_sounds_in_that_block(mouth):
    sound, records, _ = _say(mouth, [7], 1)
    assert records[0]["begun_token"][0] == 7 and records[0]["begun_at"][0] == DELAY
    assert sound[0].abs().max() > 1e-4


def test_what_begins_ends_in_order_and_the_record_covers_the_sound(mouth):
    tokens = [3, 4, 5, 6, 7, 8, 9]
    sound, records, _ = _say(mouth, tokens, 40)
    begun, ended, at = [], [], 0
    for block, record in enumerate(records):
        for token, offset in zip(record["begun_token"], record["begun_at"], strict=True):
            assert (token >= 0) == (offset >= 0)
            if token >= 0:
                begun.append((token, block * 1280 + offset))
        for offset in record["ended_at"]:
            if offset >= 0:
                assert 0 < offset <= 1280, "an end lies within its block"
                ended.append(block * 1280 + offset)
    assert [t for t, _ in begun] == tokens and len(ended) == len(tokens)
    longest = tiny.MOUTH.synthesizer.max_frames * tiny.MOUTH.synthesizer.max_phones * HOP
    for (_, start), end, following in zip(begun, ended, [*begun[1:], (None, None)], strict=True):
        assert start < end <= start + longest
        assert following[1] is None or end <= following[1]
    for start, end in zip((s for _, s in begun), ended, strict=True):
        assert (sound.flatten()[start:end] != 0).any()
    at = ended[-1] + 4 * HOP  # rings on for four frames, then nothing at all
    assert (sound.flatten()[at:] == 0).all() and (sound.flatten()[:begun[0][1] - DELAY] == 0).all()


def test_at_rest_it_is_exactly_silent(mouth):
    sound, records, _ = _say(mouth, [], 5)
    assert (sound == 0).all()
    assert all(v == -1 for r in records for k in ("begun_token", "begun_at", "ended_at") for v in r[k])


@pytest.mark.parametrize("cut_at", [1, 2, 3, 4])
def test_a_cut_ramps_to_exact_zero_within_ten_milliseconds(mouth, cut_at):
    tokens = [3, 4, 5, 6, 7, 8, 9, 10]
    whole, *_ = _say(mouth, tokens, cut_at + 1)
    sound, _, state = _say(mouth, tokens, cut_at + 4, cut_at)
    assert torch.equal(sound[:cut_at], whole[:cut_at])
    assert RAMP == 160 and (sound[cut_at, RAMP - 1:] == 0).all() and (sound[cut_at + 1:] == 0).all()
    ramp = torch.linspace(1, 0, RAMP + 1)[1:]
    assert (sound[cut_at, :RAMP].abs() <= ramp + 1e-6).all()  # nothing louder than the ramp allows
    assert (sound[cut_at, :RAMP] != 0).any(), "it falls, it is not chopped off"
    for key, value in mouth.init_state(1)["queue"].items():
        if key != "block_0" and key != "block_1":
            assert torch.equal(state["queue"][key], value)


def test_after_a_cut_the_next_reply_is_that_of_a_fresh_mouth(mouth):
    """Nothing of the reply that was cut colours the next one."""

    @torch.no_grad()
    def reply(state) -> torch.Tensor:
        sound = []
        for token in (11, 12, None, None):
            if token is not None:
                _push(mouth, state, token)
            sound.append(mouth.step(OFF, state, mouth.init_state(1), ON)[0])
        return torch.cat(sound)

    state = mouth.init_state(1)
    with torch.no_grad():
        for token in (3, 4):
            _push(mouth, state, token)
            mouth.step(OFF, state, mouth.init_state(1), ON)
        mouth.step(ON, state, mouth.init_state(1), ON)
    assert torch.equal(reply(state), reply(mouth.init_state(1)))


def test_the_queue_holds_two_that_wait_and_moves_one_by_one(mouth):
    state = mouth.init_state(1)["queue"]
    for count, token in enumerate((3, 4)):
        assert Synthesizer.waiting(state) == count
        mouth.synthesizer.push(state, torch.tensor([token]), torch.zeros(1, tiny.WIDTH), ON)
    assert state["token"].tolist() == [[-1, -1, 3, 4]] and Synthesizer.waiting(state) == 2
    with torch.no_grad():
        mouth.synthesizer.step(state, ON, torch.ones(1))
    assert Synthesizer.sounding(state)
    assert 3 in (state["token"][0, CURRENT], state["token"][0, CURRENT - 1])
    assert state["token"][0, NEXT] in (4, -1) and FRAMES * HOP == 1280


def test_a_gate_of_zero_shuts_the_hidden_state_out_and_an_open_one_lets_it_in(mouth):
    token, hidden = torch.tensor([5]), torch.randn(1, tiny.WIDTH)
    gate = mouth.gate.item()
    with torch.no_grad():
        assert not torch.equal(mouth.drive(token, hidden), mouth.drive(token))
        mouth.gate.fill_(0.0)
        assert torch.equal(mouth.drive(token, hidden), mouth.drive(token))
        mouth.gate.fill_(gate)
    torch.testing.assert_close(mouth.drive(token).mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
