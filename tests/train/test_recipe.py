"""Stages told by configuration: what is wrong is said before anything runs, and a folder tells where it comes from."""

import json

import pytest
import tiny
import torch
import yaml
from safetensors.torch import load_file

from omni.base.config import data_path, to_plain
from omni.base.errors import ConfigError
from omni.cli import main
from omni.train import stages, words

OWN = sorted(p.stem for p in data_path("configs", "train", "tiny").glob("*.yaml"))


@pytest.mark.parametrize("name", OWN)
def test_the_projects_own_stages_are_valid(name):
    module, config = stages.load_stage(f"tiny/{name}", [])
    assert callable(module.train) and config.out.startswith("runs/") or config.stage == "wordings"


def test_the_recipe_is_whole():
    assert {stages.load_stage(f"tiny/{name}", [])[1].stage for name in OWN} == set(stages.STAGES)


@pytest.mark.parametrize("text, found", [("30m", 30), ("1.5h", 90), ("90s", 1.5)])
def test_budgets(text, found):
    assert stages.minutes(text) == found


@pytest.mark.parametrize("text", ["30", "m", "0m", "-3m", "1d", "3 m"])
def test_what_is_no_budget(text):
    with pytest.raises(ConfigError, match="30m, 1.5h or 90s"):
        stages.minutes(text)


@pytest.mark.parametrize("arguments, told", [
    (["tiny/eers"], "did you mean 'ears'"), (["tiny/ears", "--set", "loop.lrr=1"], "did you mean 'lr'"),
    (["tiny/ears", "--set", "stage=eers"], "did you mean 'ears'"), (["tiny/words", "--budget", "5"], "no budget"),
    (["tiny/voice", "--set", "loop.steps=many"], "loop.steps")])
def test_a_wrong_stage_exits_with_two_and_names_the_key(arguments, told, capsys):
    assert main(["train", *arguments]) == 2
    assert told in capsys.readouterr().err


@pytest.fixture
def voice_stage(tmp_path, monkeypatch):
    """A stage's configuration for a folder, with lessons that are never read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lessons.npz").write_bytes(b"x")

    def load(*overrides):
        return stages.load_stage("tiny/voice", ["lessons=lessons.npz", "out=run", *overrides])[1]

    return load


def test_a_folder_tells_configuration_commit_and_data(voice_stage, tmp_path):
    folder = stages.begin(voice_stage(), [tmp_path / "lessons.npz"])
    stages.begin(voice_stage(), [tmp_path / "lessons.npz"])
    told = json.loads((folder / "run.json").read_text())
    assert len(told) == 2 and len(told[0]["config"]) == 16 and len(told[0]["data"]["lessons.npz"]) == 16
    assert yaml.safe_load((folder / "config.yaml").read_text())["loop"]["lr"] == 1e-3
    (tmp_path / "lessons.npz").write_bytes(b"y")
    stages.begin(voice_stage(), [tmp_path / "lessons.npz"])
    again = json.loads((folder / "run.json").read_text())
    assert again[2]["data"] != told[0]["data"]


def test_a_run_goes_on_with_more_time_and_not_with_another_recipe(voice_stage, tmp_path):
    folder = stages.begin(voice_stage(), [])
    (folder / "resume.safetensors").write_bytes(b"")
    stages.begin(voice_stage("loop.minutes=90", "loop.threads=1"), [])
    with pytest.raises(ConfigError, match="loop.lr: 0.001, now it is 0.1"):
        stages.begin(voice_stage("loop.lr=0.1"), [])


def test_a_stage_that_was_stopped_goes_on_bit_for_bit(tmp_path, monkeypatch):
    """The whole stage from its file, data and all: stopped in its third step, and run again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(words, "load_mouth", lambda model, folder: None)
    (tmp_path / "voice").mkdir()
    (tmp_path / "voice" / "model.safetensors").write_bytes(b"x")
    model = to_plain(tiny.duplex().config)
    model["language_model"]["settings"]["num_hidden_layers"] = 7
    (tmp_path / "stage.yaml").write_text(yaml.safe_dump({
        "stage": "words", "voice": "voice", "out": "run", "blocks": 40, "batch": 2, "drills": 1, "workers": 0,
        "model": model, "loop": {"steps": 5, "threads": 1, "warmup": 2}}))
    losses, calls = words.losses, []

    def stopping(reader, batch):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return losses(reader, batch)

    assert main(["train", "stage.yaml", "--out", "straight"]) == 0
    monkeypatch.setattr(words, "losses", stopping)
    assert main(["train", "stage.yaml", "--out", "again"]) == 0
    assert json.loads((tmp_path / "again" / "progress.json").read_text())["step"] == 2
    assert main(["train", "stage.yaml", "--out", "again"]) == 0
    straight, again = (load_file(tmp_path / name / "model.safetensors") for name in ("straight", "again"))
    assert straight.keys() == again.keys() and all(torch.equal(straight[n], again[n]) for n in straight)
    assert (tmp_path / "straight" / "curves.png").stat().st_size > 5_000
    assert len(json.loads((tmp_path / "again" / "run.json").read_text())) == 2
