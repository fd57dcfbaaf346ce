"""Other ears for a mind that is trained: its connector learns to give of their frames what it gave of the old ones'."""

import copy
import dataclasses

import pytest
import tiny
import torch
import yaml
from learning import learn, tones
from safetensors.torch import save_file

from omni.base.config import to_plain
from omni.base.errors import ConfigError
from omni.cli import main
from omni.data.numbered import Numbered
from omni.model.captions import CAPTIONS_FILE
from omni.model.encoder import Encoder
from omni.model.weights import load_model, save_model
from omni.train import reconnect

BLOCKS = 12
READS = {"read_pieces": True, "read_sounds": True}


def _batch() -> dict:
    return {"room": torch.stack([tones("ab", BLOCKS * 1280), tones("ba", BLOCKS * 1280)]),
            "own": torch.zeros(2, BLOCKS * 1280)}


class _Sound(Numbered):
    """The same batch over and over, in place of conversations."""

    def open(self):
        return lambda rng: copy.deepcopy(_batch())


def _ears(folder, config, seed: int = 5) -> str:
    """A run of ears with random weights."""
    folder.mkdir()
    encoder = tiny.randomise(Encoder(config), seed)
    save_file({f"encoder.{n}": t.contiguous() for n, t in encoder.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.yaml").write_text(yaml.safe_dump({"encoder": to_plain(config)}))
    if config.caption_pieces:
        tiny.VOCABULARY.save(folder / CAPTIONS_FILE)
    return str(folder)


def test_the_connector_learns_to_give_what_it_gave_and_nothing_else_moves(tmp_path):
    old = tiny.duplex(restless=False, encoder=tiny.SENSES, switches=READS).eval()
    new = reconnect.reconnected(old, _ears(tmp_path / "ears", tiny.SENSES))
    moved = {n for n, p in new.state_dict().items() if not torch.equal(p, old.state_dict()[n])}
    assert {n.split(".")[0] for n in moved} == {"encoder", "connector"}
    assert {n for n in moved if n.startswith("connector.")} == {"connector.spell.weight", "connector.spell.bias"}
    assert torch.equal(new.connector.spell.weight, new.encoder.caption.weight)
    batch = reconnect.BothEars(old, new)(_batch())
    torch.testing.assert_close(batch["embedding"], old.connector(old.hear(*_batch().values())[0]))
    same = {**batch, "frames": old.hear(*_batch().values())[0]}
    assert reconnect.losses(old.connector, same)[1]["unexplained"] < 1e-9
    connector = new.connector.train()
    before = {n: p.clone() for n, p in new.state_dict().items() if not n.startswith("connector.")}
    found = learn(connector.parameters(), lambda: reconnect.losses(connector, batch), 60)
    assert found[-1] < 0.3 * found[0]
    assert all(torch.equal(new.state_dict()[n], p) for n, p in before.items())


def test_the_stage_gives_weights_with_the_new_ears(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reconnect, "SoundConversations", lambda *args, **settings: _Sound())
    monkeypatch.setattr(reconnect.stages.provenance, "data_hash", lambda path: "0" * 16)
    old = tiny.duplex(restless=False, encoder=tiny.SENSES, switches=READS)
    save_model(old, tmp_path / "before")
    _ears(tmp_path / "ears", tiny.SENSES)
    told = {"stage": "reconnect", "init": "before", "ears": "ears", "bank": "bank", "out": "run", "workers": 0,
            "loop": {"steps": 3, "threads": 1, "warmup": 1}}
    (tmp_path / "stage.yaml").write_text(yaml.safe_dump(told))
    assert main(["train", "stage.yaml"]) == 0
    new = load_model(tmp_path / "run" / "weights")
    assert new.config == old.config and not torch.equal(new.connector.up.weight, old.connector.up.weight)
    for wrong, config in (("no pieces", tiny.ENCODER), ("other sounds", dataclasses.replace(tiny.SENSES, sounds=5))):
        _ears(tmp_path / wrong, config)
        assert main(["train", "stage.yaml", "--set", f"ears={wrong}", "--set", "out=other"]) == 2
        assert f"ears: those of {wrong}" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="other frames"):
        reconnect.reconnected(old, _ears(tmp_path / "wide", dataclasses.replace(tiny.SENSES, dim=32)))
