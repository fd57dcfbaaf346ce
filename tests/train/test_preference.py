"""Preference on the floor: which decisions are compared, with what, and that it does more than the same steps alone."""

import math

import pytest
import tiny
import torch
from learning import learn

from omni.base.config import build
from omni.base.errors import ConfigError
from omni.model.tokens import CUT_1, END_SPEAK, FIRST_PIECE, START_SPEAK, THINK
from omni.train import words
from omni.train.preference import KINDS, Preference, PreferenceSettings, has_floor, pairs

A, B = FIRST_PIECE + 30, FIRST_PIECE + 31
BLOCKS = 24


def test_the_floor_follows_what_was_fed():
    fed = torch.tensor([[THINK, START_SPEAK, A, THINK, END_SPEAK, THINK, START_SPEAK],
                        [A, THINK, CUT_1, THINK, START_SPEAK, A, CUT_1],
                        [THINK, A, THINK, B, THINK, THINK, THINK],
                        [THINK] * 7])
    assert has_floor(fed).int().tolist() == [[0, 1, 1, 1, 0, 0, 1], [1, 1, 0, 0, 1, 1, 0], [1] * 7, [0] * 7]


def _pairs(target: list[int], fed: list[int], liked: list[int] | None = None, within: int = 2):
    reference = torch.zeros(1, len(target), B + 1)
    reference[..., THINK], reference[..., B] = 1.0, 0.5
    for block, token in enumerate(liked or []):
        reference[0, block, token] += 5.0
    chosen, rejected, kind = pairs(torch.tensor([target]), torch.tensor([fed]), reference, within)
    names = [KINDS[k] if k >= 0 else "" for k in kind[0].tolist()]
    return list(zip(chosen[0].tolist(), rejected[0].tolist(), names, strict=True))


def test_pairs_are_the_decision_that_is_due_and_those_before_it_that_are_not():
    target = [THINK, THINK, THINK, START_SPEAK, START_SPEAK, A, B, THINK, THINK, END_SPEAK, THINK]
    fed = [THINK, THINK, THINK, THINK, THINK, START_SPEAK, A, B, THINK, THINK, END_SPEAK]
    found = _pairs(target, fed)
    early, start = (THINK, START_SPEAK, "early_start"), (START_SPEAK, THINK, "start")
    assert found[1:5] == [early, early, start, start], "a start that is late is due in every block"
    assert [name for *_, name in found] == ["", "early_start", "early_start", "start", "start", "", "", "early_end",
                                            "early_end", "end", ""]
    assert found[8] == (THINK, END_SPEAK, "early_end") and found[9] == (END_SPEAK, THINK, "end")


def test_the_other_decision_is_what_the_mind_would_have_said():
    target, fed = [A, END_SPEAK], [START_SPEAK, A]
    assert _pairs(target, fed, [THINK, B], within=1) == [(A, END_SPEAK, "early_end"), (END_SPEAK, B, "end")]


def test_where_the_mind_is_wrong_about_the_floor_is_compared_anywhere():
    target, fed = [THINK] * 3 + [START_SPEAK, A, A], [THINK] * 4 + [START_SPEAK, A]
    found = _pairs(target, fed, [START_SPEAK, THINK, THINK, START_SPEAK, END_SPEAK, A], within=0)
    assert [name for *_, name in found] == ["early_start", "", "", "start", "early_end", ""]
    assert found[4] == (A, END_SPEAK, "early_end")


def test_a_target_for_another_floor_is_not_compared():
    assert [name for *_, name in _pairs([A, THINK, START_SPEAK], [THINK, THINK, THINK])] == ["", "early_start", "start"]
    assert _pairs([START_SPEAK], [START_SPEAK], [END_SPEAK], within=0)[0][2] == ""


# ---- learning --------------------------------------------------------------------------------------------------------


def _lesson() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    target, fed = torch.full((2, BLOCKS), THINK), torch.full((2, BLOCKS), THINK)
    for row, at in ((0, 6), (1, 9)):
        said = torch.tensor([START_SPEAK, A, B, THINK, END_SPEAK])
        target[row, at:at + 5], fed[row, at + 1:at + 6] = said, said
    return {"room": torch.randn(2, BLOCKS * 1280, generator=generator) * 0.1, "own": torch.zeros(2, BLOCKS * 1280),
            "target": target, "fed": fed, "backlog": torch.zeros(2, BLOCKS, dtype=torch.int64),
            "weight": torch.ones(2, BLOCKS)}


def _gained(weight: float, steps: int = 40) -> tuple[list[float], list[dict], float]:
    """A mind that has had its lessons goes on with preference: how much farther apart what is chosen and what is
    rejected are then, by kind; what was told on the way; the preference loss in the end."""
    torch.manual_seed(0)
    model = tiny.duplex(restless=False, seed=4)
    words.freeze_voice(model)
    model.encoder.requires_grad_(False)
    batch, told = _lesson(), []
    with torch.no_grad():
        heard = model.hear(batch["room"], batch["own"])

    def lessons():
        return words.token_loss(model.decide(*heard, batch["fed"], batch["backlog"])[0], batch)

    learn(model.parameters(), lessons, 40, lr=0.01)
    preference = Preference(PreferenceSettings(beta=0.5, weight=weight), model)

    def losses():
        logits, _ = model.decide(*heard, batch["fed"], batch["backlog"])
        loss, parts = words.token_loss(logits, batch)
        preferred, more = preference(logits, heard, batch, 0)
        told.append({**parts, **more})
        return loss + preferred, told[-1]

    learn(model.parameters(), losses, steps, lr=0.005)
    logits, _ = model.decide(*heard, batch["fed"], batch["backlog"])
    last = preference(logits, None, batch, 0)[1]
    return [last[f"gained_{kind}"] for kind in KINDS], told, last["preference"]


def test_preference_parts_the_two_decisions_farther_than_the_same_steps_without():
    plain, _, without = _gained(0.0)
    preferred, told, left = _gained(4.0)
    assert told[0]["preference"] == pytest.approx(math.log(2), abs=1e-5), "it begins where the reference is"
    assert sum(preferred) > 1.05 * sum(plain) and left < 0.7 * without
    assert min(preferred) > 1.3 * min(plain) > 0, "most where plain lessons do least"
    assert {f"gained_{kind}" for kind in KINDS} | {"preferred_right"} <= told[0].keys()


def test_the_reference_stays_and_the_minds_heads_do_not_see_it():
    from omni.train.heads import MindHeads

    model = tiny.duplex(restless=False, seed=4)
    heads, batch = MindHeads(model), _lesson()
    preference = Preference(PreferenceSettings(), model)
    logits, _ = model.decide(*model.hear(batch["room"], batch["own"]), batch["fed"], batch["backlog"])
    seen = heads._left["heard"]
    with torch.no_grad():
        model.token_in.weight += 1.0
    loss, _ = preference(logits, None, batch, 0)
    assert heads._left["heard"] is seen
    assert loss.item() == pytest.approx(math.log(2), abs=1e-5), "it is the mind of before the change"


def test_blocks_left_out_and_lessons_without_a_floor_teach_nothing():
    model, batch = tiny.duplex(restless=False, seed=4), _lesson()
    logits = torch.zeros(2, BLOCKS, len(model.pieces), requires_grad=True)
    loss, parts = Preference(PreferenceSettings(), model)(logits, None, {**batch, "weight": torch.zeros(2, BLOCKS)}, 0)
    loss.backward()
    assert loss.item() == 0 and parts == {} and not logits.grad.any()


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ConfigError, match="beta must be positive"):
        build(PreferenceSettings, {"beta": 0})
