"""SALMONN's ears: two encoders that see no later block, a query transformer that sees one window, and the whole by
configuration alone. That steps equal the whole is among the laws (tests/laws)."""

import json
from dataclasses import replace

import numpy as np
import peft
import pytest
import tiny
import torch

from omni import cli
from omni.audio.files import write_wav
from omni.base.config import build, data_path, load, to_plain
from omni.base.errors import ConfigError
from omni.data import skills
from omni.model import weights
from omni.model.connector import Connector
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.encoder import EncoderConfig
from omni.model.salmonn_ears import QFormerConfig, QueryConnector, SalmonnConfig, SalmonnEncoder, TransformerConfig
from omni.model.tokens import THINK, Pieces

EARS = SalmonnConfig("salmonn", tiny.MELS, TransformerConfig(8, 1, 2, window=4), TransformerConfig(12, 1, 2, window=8),
                     QFormerConfig(num_queries=2, dim=8, num_layers=2, num_heads=2))
TOY = data_path("configs", "model", "salmonn_toy.yaml")


def _model(num_queries: int = 1, layout: str = "summed") -> DuplexModel:
    ears = replace(EARS, qformer=replace(EARS.qformer, num_queries=num_queries))
    config = DuplexConfig(encoder=ears, language_model=tiny.language_model(), mouth=tiny.MOUTH, layout=layout)
    return tiny.randomise(DuplexModel(config, Pieces(tiny.WORDS)))


@torch.no_grad()
@pytest.mark.parametrize("stream", [0, 1])
def test_each_encoder_hears_both_streams_and_no_later_block(stream):
    encoder = tiny.randomise(SalmonnEncoder(EARS))
    streams = [torch.randn(1, 40, tiny.MELS), torch.randn(1, 40, tiny.MELS)]
    before = encoder(*streams)
    assert before.shape == (1, 20, 20)
    streams[stream] = streams[stream].clone()
    streams[stream][:, 16:] += 1  # from block 2 on
    moved = (encoder(*streams) - before).abs()
    assert (moved[:, :8] == 0).all()
    for part in (slice(0, 8), slice(8, 20)):  # speech, events
        assert (moved[0, 8:12, part].amax(1) > 1e-3).all(), "every frame of a block sees all of it"


@torch.no_grad()
def test_a_patch_shows_its_quarter_of_the_bands_of_both_streams():
    events = tiny.randomise(SalmonnEncoder(EARS)).event_encoder
    x = torch.randn(1, 16, 2 * tiny.MELS)
    before, quarter = events._patches(x), tiny.MELS // 4
    for stream in (0, 1):
        for band in range(4):
            y = x.clone()
            y[0, 8:, stream * tiny.MELS + band * quarter:][:, :quarter] += 1  # in the second block
            moved = (events._patches(y) - before)[0].abs().amax(1) > 1e-4
            assert moved.nonzero().flatten().tolist() == [4 + band]


@torch.no_grad()
def test_the_query_transformer_sees_one_window_with_the_same_weights_everywhere():
    torch.manual_seed(1)
    connector = tiny.randomise(QueryConnector(EARS, 6))
    x = torch.randn(2, 12, 20)
    heard = connector(x)
    assert heard.shape == (2, 6, 6), "two embeddings for each of three windows"
    torch.testing.assert_close(connector(x[:, 4:8]), heard[:, 2:4])
    y = x.clone()
    y[:, 8:] += 1
    moved = (connector(y) - heard).abs()
    assert (moved[:, :4] < 1e-6).all() and (moved[:, 4:].amax(2) > 1e-3).all()
    assert not torch.allclose(heard[:, 0], heard[:, 1], atol=1e-3), "queries ask for different things"


def test_more_than_one_embedding_a_block_needs_positions_of_its_own():
    with pytest.raises(ValueError, match="2 embeddings a block need layout 'interleaved'"):
        _model(2, "summed")
    model = _model(2, "interleaved")
    assert model.positions == 4
    with torch.no_grad():
        ears, own, token = torch.randn(1, 6, tiny.WIDTH), torch.randn(1, 3, tiny.WIDTH), torch.randn(1, 3, tiny.WIDTH)
        x = model.arrange(ears, own, token)
        assert torch.equal(x[0, 4:8], torch.stack([ears[0, 2], ears[0, 3], own[0, 1], token[0, 1]]))
        logits = model(torch.randn(1, 3 * 1280) * 0.1, torch.zeros(1, 3 * 1280), torch.full((1, 3), THINK),
                       torch.zeros(1, 3, dtype=torch.int64))[0]
    assert logits.shape == (1, 3, len(model.pieces))


def test_what_salmonn_trains_is_what_can_learn():
    """Connector and LoRA on query and value; encoders and language model stay (section 4.1 of the paper)."""
    model = _model()
    model.requires_grad_(False)
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "v_proj"],
                                                 init_lora_weights=False), model.mind.model)
    model.connector.requires_grad_(True)
    logits = model(torch.randn(1, 4 * 1280) * 0.1, torch.zeros(1, 4 * 1280), torch.full((1, 4), THINK),
                   torch.zeros(1, 4, dtype=torch.int64))[0]
    logits.square().mean().backward()
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    reached = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert all("lora" in n or n.startswith("connector.") for n in learning) and any("lora" in n for n in learning)
    # with one query, attention among queries has one place to look at, so what it asks by moves nothing
    alone = {n for n in learning - reached if ".attention.attention.query" in n or ".attention.attention.key" in n}
    assert learning - reached - alone <= {n for n in learning if n.endswith("key.bias")}


# ---- configuration ---------------------------------------------------------------------------------------------------


def test_a_configuration_chooses_the_ears_and_survives_yaml():
    assert build(DuplexConfig, to_plain(_model().config)) == _model().config
    assert isinstance(load(DuplexConfig, TOY).encoder, SalmonnConfig)
    assert isinstance(build(DuplexConfig, {"encoder": {"dim": 24}}).encoder, EncoderConfig)
    with pytest.raises(ConfigError, match="unknown key 'dimm'; did you mean 'dim'"):
        build(DuplexConfig, {"encoder": {"dimm": 24}})
    with pytest.raises(ConfigError):
        build(DuplexConfig, {"encoder": {"kind": "salmon"}})
    with pytest.raises(ValueError, match="multiple of 4"):
        SalmonnConfig("salmonn", num_mels=81)


def test_the_shipped_weights_have_the_plain_ears_and_the_same_configuration_as_before():
    """Results name a model by the hash of its configuration: a choice of ears added no key to it."""
    config = load(DuplexConfig, weights.folder_of("tiny") / "config.yaml")
    assert isinstance(config.encoder, EncoderConfig) and "kind" not in to_plain(config)["encoder"]
    assert isinstance(weights.load_model("tiny").connector, Connector)


def test_the_toy_converses_from_its_configuration_and_comes_back_from_disk(tmp_path):
    torch.manual_seed(0)
    model = DuplexModel(load(DuplexConfig, TOY), Pieces(skills.vocabulary())).eval()
    weights.save_model(model, tmp_path / "toy", int8=False)
    again = weights.load_model(tmp_path / "toy")
    assert again.config == model.config
    for (name, a), b in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    source, out, events = (tmp_path / name for name in ("in.wav", "out.wav", "events.jsonl"))
    write_wav(source, np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32), 16_000)
    weights.save_model(model, tmp_path / "toy", int8=True)
    assert cli.main(["converse", str(source), "--model", str(tmp_path / "toy"), "--out", str(out), "--events",
                     str(events)]) == 0
    assert json.loads(events.read_text().splitlines()[-1])["type"] == "summary" and out.stat().st_size == 32_044
