"""Weights between two: each tensor on the straight line, and nothing of what both have in common is touched."""

from dataclasses import replace

import pytest
import tiny
import torch

from omni.base.errors import WeightsError
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.tokens import Pieces
from omni.model.weights import fingerprint, load_model, save_model
from omni.train import between

CONFIG = DuplexConfig(encoder=tiny.ENCODER, language_model=tiny.language_model(window=32), mouth=tiny.MOUTH)


def _model(seed: int, words: list[str] = tiny.WORDS, **changes) -> DuplexModel:
    return tiny.randomise(DuplexModel(replace(CONFIG, **changes), Pieces(words)), seed)


def test_every_tensor_lies_on_the_line_and_what_is_equal_stays():
    before, after = _model(0), _model(1)
    after.encoder.load_state_dict(before.encoder.state_dict())
    old, new = ({n: t.clone() for n, t in m.state_dict().items()} for m in (before, after))
    found = between.between(before, after, 0.25).state_dict()
    assert found.keys() == new.keys()
    moved = 0
    for name, tensor in found.items():
        if name.startswith("encoder."):
            assert torch.equal(tensor, old[name])
        else:
            assert torch.allclose(tensor, old[name] + 0.25 * (new[name] - old[name]), atol=1e-6), name
            moved += int(not torch.equal(tensor, old[name]) and not torch.equal(tensor, new[name]))
    assert moved > 20
    for name, tensor in before.state_dict().items():
        assert torch.equal(tensor, old[name]), "the one before is not changed"


def test_what_a_run_began_with_zeros_is_zeros_before():
    before, after = _model(0), _model(1, read_cut=True)
    whole = after.cut_in.weight.detach().clone()
    found = between.between(before, after, 0.5)
    assert torch.allclose(found.cut_in.weight, whole / 2) and whole.abs().max() > 0


def test_a_mind_that_reads_what_sounded_lately_lies_between_too():
    ears = replace(tiny.SENSES, caption_pieces=0)
    sounds = {"encoder": ears, "read_sounds": True}
    for changes in (sounds, {"encoder": ears}):
        before, after = _model(0, **changes), _model(1, **sounds, sounds_kept_s=2.0)
        new, count = after.sound_reader.table.detach().clone(), tiny.SENSES.sounds
        old = before.sound_reader.table if "read_sounds" in changes else torch.zeros(count, new.shape[1])
        table = between.between(before, after, 0.5).sound_reader.table
        assert torch.allclose(table[:count], (old + new[:count]) / 2, atol=1e-6) and len(table) == 2 * count
        assert torch.allclose(table[count:], new[count:] / 2) and new[count:].abs().max() > 0
    with pytest.raises(WeightsError, match="sounded lately"):
        between.between(_model(0, **sounds, sounds_kept_s=2.0), _model(1, **sounds), 0.5)


def test_others_are_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        between.between(_model(0), _model(1), 1.5)
    with pytest.raises(WeightsError, match="other pieces"):
        between.between(_model(0), _model(1, words=list(reversed(tiny.WORDS))), 0.5)
    with pytest.raises(WeightsError, match="cut_in.weight is in one of the two alone"):
        between.between(_model(0, read_cut=True), _model(1), 0.5)
    with pytest.raises(WeightsError, match="is of shape"):
        between.between(_model(0, encoder=replace(tiny.ENCODER, kernel=5)), _model(1), 0.5)


def test_the_command_writes_weights_that_load(tmp_path, monkeypatch, capsys):
    for seed in (0, 1):
        save_model(_model(seed), tmp_path / str(seed))
    line = [str(tmp_path / "0"), str(tmp_path / "1"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["between", *line])
    assert between.main() == 0 and fingerprint(tmp_path / "out") in capsys.readouterr().out
    assert load_model(tmp_path / "out").config == CONFIG
    monkeypatch.setattr("sys.argv", ["between", *line, "--share", "2"])
    with pytest.raises(SystemExit, match="2"):
        between.main()
    assert "from 0 to 1" in capsys.readouterr().err
