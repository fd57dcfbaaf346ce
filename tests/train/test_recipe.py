"""A recipe runs its stages in order, once each, and goes on where it was interrupted."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml

from omni.cli import main
from omni.train import stages
from omni.train.loop import LoopConfig

RAN: list[tuple[str, int]] = []
STOP_AT: list[str] = []


@dataclass(frozen=True, slots=True)
class ToyStage:
    """Counts its steps; is interrupted after one if its name is in STOP_AT."""

    stage: Literal["toy"]
    out: str
    loop: LoopConfig = field(default_factory=LoopConfig)


def train(config: ToyStage) -> None:
    """As a stage does: goes on from what is there, keeps what is done."""
    path = Path(config.out) / "progress.json"
    path.parent.mkdir(exist_ok=True)
    step = json.loads(path.read_text())["step"] if path.exists() else 0
    stop = config.out in STOP_AT
    RAN.append((config.out, step))
    path.write_text(json.dumps({"step": step + 1 if stop else config.loop.steps, "seconds": 1.0}))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three stages and their recipe."""
    RAN.clear()
    STOP_AT.clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(stages.STAGES, "toy", (__name__, "ToyStage"))
    for name in "abc":
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"stage": "toy", "out": name, "loop": {"steps": 3}}))
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(
        {"stage": "recipe", "out": "all", "stages": ["a.yaml", "b.yaml", "c.yaml"]}))
    return tmp_path


def test_stages_run_in_order_and_only_once(folder, capsys):
    assert main(["train", "all.yaml"]) == 0
    assert RAN == [("a", 0), ("b", 0), ("c", 0)]
    assert "2/3 b.yaml: 3 steps" in capsys.readouterr().out
    assert main(["train", "all.yaml"]) == 0 and len(RAN) == 3
    assert "3/3 c.yaml: finished before" in capsys.readouterr().out


def test_an_interrupted_stage_ends_the_recipe_and_goes_on_the_next_time(folder):
    STOP_AT.append("b")
    assert main(["train", "all.yaml"]) == 130
    assert RAN == [("a", 0), ("b", 0)]
    STOP_AT.clear()
    assert main(["train", "all.yaml"]) == 0
    assert RAN[2:] == [("b", 1), ("c", 0)]


def test_a_stage_that_is_changed_runs_again(folder):
    assert main(["train", "all.yaml"]) == 0
    assert main(["train", "all.yaml", "--set", "changes={b.yaml: [loop.steps=5]}"]) == 0
    assert RAN[3:] == [("b", 3)]


def test_what_is_wrong_is_said_before_anything_runs(folder, capsys):
    (folder / "c.yaml").write_text("stage: toy\nout: c\nlop: {}\n")
    assert main(["train", "all.yaml"]) == 2 and not RAN
    assert "lop" in capsys.readouterr().err
    assert main(["train", "all.yaml", "--set", "changes={d.yaml: []}"]) == 2
    assert "d.yaml is none of the stages" in capsys.readouterr().err
    (folder / "c.yaml").write_text((folder / "all.yaml").read_text())
    assert main(["train", "all.yaml"]) == 2 and "is a recipe itself" in capsys.readouterr().err
    assert main(["train", "all.yaml", "--budget", "5m"]) == 2 and not RAN


def test_the_projects_own_recipe_can_be_read():
    module, recipe = stages.load_stage("tiny", [])
    assert module.__name__ == "omni.train.recipe"
    kinds = [stages.load_stage(name, [])[1].stage for name in recipe.stages]
    assert kinds[0] == "bank" and kinds[-1] in ("duplex", "preference")


def test_what_a_stage_of_the_projects_recipe_takes_an_earlier_one_has_made():
    made = set()
    for name in stages.load_stage("tiny", [])[1].stages:
        config = stages.load_stage(name, [])[1]
        taken = {getattr(config, key, None) for key in ("bank", "ears", "words", "voice", "init")} - {None, "tiny"}
        assert {path for path in taken if isinstance(path, str)} - {getattr(config, "out", None)} <= made, name
        made.add(getattr(config, "out", None))


def test_single_turns_and_preference_are_duplex_lessons_with_switches():
    connect, preference = (stages.load_stage(f"tiny/{name}", [])[1] for name in ("connect", "preference"))
    assert connect.drills == connect.batch and connect.lora is None and connect.ears_rate == 0
    assert stages.load_stage("tiny/connect", ["lora={rank: 16, alpha: 32}"])[1].lora.rank == 16
    assert preference.preference.weight > 0 and preference.loop.steps and preference.init
    plain = stages.load_stage("tiny/preference", ["preference.weight=0", "out=x"])[1]
    assert plain.preference.weight == 0 and plain.loop == preference.loop


def test_a_budget_for_what_learns_nothing_is_refused_in_words_that_say_so(capsys):
    assert main(["train", "tiny/wordings", "--budget", "5m"]) == 2
    assert "stage wordings learns nothing" in capsys.readouterr().err
