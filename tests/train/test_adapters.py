"""Adapters learn in place of a frozen language model, and leave a plain one behind."""

import pytest
import tiny
import torch

from omni.base.config import build
from omni.base.errors import ConfigError
from omni.model.tokens import THINK
from omni.train import adapters, words
from omni.train.adapters import LoraSettings

ROOM = torch.randn(1, 5 * 1280, generator=torch.Generator().manual_seed(0)) * 0.1
REST = (torch.zeros(1, 5 * 1280), torch.full((1, 5), THINK), torch.zeros(1, 5, dtype=torch.int64))


@pytest.fixture
def model():
    model = tiny.duplex(restless=False, encoder=tiny.SENSES, switches={"read_pieces": True}, num_layers=2)
    words.freeze_voice(model)
    return model


def test_a_fresh_adapter_says_what_was_said_and_learns_with_what_leads_in(model):
    before = model(ROOM, *REST)[0]
    adapters.adapt(model, LoraSettings(rank=2))
    torch.testing.assert_close(model(ROOM, *REST)[0], before)
    model(ROOM, *REST)[0].square().mean().backward()
    learning = {n for n, p in model.named_parameters() if p.requires_grad and not n.startswith("encoder.")}
    mind = {n for n in learning if n.startswith("mind.")}
    assert len(mind) == 2 * 2 * 2 and all("lora" in n and ("q_proj" in n or "v_proj" in n) for n in mind)
    assert {n.split(".")[0] for n in learning - mind} == {"connector", "own_in", "token_in", "backlog", "reader"}
    assert all(p.grad is not None for n, p in model.named_parameters() if n in learning)


def test_merged_the_weights_are_plain_and_say_the_same(model):
    names, frozen = set(model.state_dict()), model.mind.model.model.layers[0].self_attn.k_proj.weight.clone()
    adapters.adapt(model, LoraSettings(rank=2, alpha=8.0, targets=("q_proj", "down_proj")))
    with torch.no_grad():
        before = model(ROOM, *REST)[0]
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.5, generator=torch.Generator().manual_seed(1))
        changed = model(ROOM, *REST)[0]
        adapters.merge(model)
        assert not torch.allclose(changed, before, atol=1e-2)
        torch.testing.assert_close(model(ROOM, *REST)[0], changed, rtol=1e-4, atol=1e-5)
    assert set(model.state_dict()) == names
    assert torch.equal(model.mind.model.model.layers[0].self_attn.k_proj.weight, frozen)


def test_layers_that_are_not_there_are_named(model):
    with pytest.raises(ConfigError, match="no layers called query"):
        adapters.adapt(model, LoraSettings(targets=("query",)))
    with pytest.raises(ConfigError, match="rank must be 1"):
        build(LoraSettings, {"rank": 0})
