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
LOOPS: dict[str, LoopConfig] = {}
STOP_AT: list[str] = []


@dataclass(frozen=True, slots=True)
class ToyStage:
    """Counts its steps, or seconds; is interrupted after one if its name is in STOP_AT."""

    stage: Literal["toy"]
    out: str
    init: str | None = None
    loop: LoopConfig = field(default_factory=LoopConfig)


@dataclass(frozen=True, slots=True)
class ToyBankStage:
    """Learns nothing: writes `count` lines."""

    stage: Literal["toy_bank"]
    out: str
    count: int = 1


def train(config: ToyStage | ToyBankStage) -> None:
    """As a stage does: goes on from what is there, keeps what is done. What a toy has learned is what it began with,
    and how long it went on."""
    folder = Path(config.out)
    folder.mkdir(exist_ok=True)
    if isinstance(config, ToyBankStage):
        RAN.append((config.out, 0))
        (folder / "lines.jsonl").write_text("line\n" * config.count)
        return
    path, begun = folder / "progress.json", folder / "resume.safetensors"
    step = json.loads(path.read_text())["step"] if path.exists() else 0
    steps = config.loop.steps or round(config.loop.minutes * 60)
    RAN.append((config.out, step))
    LOOPS[config.out] = config.loop
    if not begun.exists():
        source = Path(config.init or "nothing")
        begun.write_text("".join(p.read_text() for p in (source / "model.safetensors", source / "lines.jsonl")
                                 if p.exists()))
    done = step + 1 if config.out in STOP_AT else max(step, steps)
    path.write_text(json.dumps({"step": done, "seconds": done}))
    (folder / "model.safetensors").write_text(f"{begun.read_text()}{config.out}{done}")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three stages and their recipe."""
    RAN.clear()
    LOOPS.clear()
    STOP_AT.clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(stages.STAGES, "toy", (__name__, "ToyStage"))
    monkeypatch.setitem(stages.STAGES, "toy_bank", (__name__, "ToyBankStage"))
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
    assert main(["train", "all.yaml", "--set", "minutes=0"]) == 2 and "must be positive" in capsys.readouterr().err
    assert not RAN


# ---- what was made from what -----------------------------------------------------------------------------------------


@pytest.fixture
def chain(folder):
    """A bank, a stage that learns from it, one that goes on from that, and one that takes nothing."""
    told = {"bank": {"stage": "toy_bank", "out": "bank"}, "a": {"stage": "toy", "out": "a", "init": "bank"},
            "b": {"stage": "toy", "out": "b", "init": "a"}, "c": {"stage": "toy", "out": "c"}}
    for name, stage in told.items():
        loop = {} if name == "bank" else {"loop": {"steps": 3}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**stage, **loop}))
    (folder / "all.yaml").write_text(yaml.safe_dump(
        {"stage": "recipe", "out": "all", "stages": [f"{name}.yaml" for name in told]}))
    assert main(["train", "all.yaml"]) == 0 and len(RAN) == 4
    RAN.clear()
    return folder


def test_what_was_made_from_something_that_is_another_now_is_made_anew(chain, capsys):
    """Regression: a stage counted as finished by its own configuration alone."""
    assert main(["train", "all.yaml", "--set", "changes={bank.yaml: [count=2]}"]) == 0
    assert RAN == [("bank", 0), ("a", 0), ("b", 0)], "they begin anew, where before they would have gone on"
    told = capsys.readouterr().out
    assert "1/4 bank.yaml: into bank (count was 1, is 2 now)" in told
    assert "2/4 a.yaml: 3 steps (what it takes is another now: bank.yaml; what it had learned is kept in a.1)" in told
    assert "3/4 b.yaml: 3 steps (what it takes is another now: a.yaml; what it had learned is kept in b.1)" in told
    assert "4/4 c.yaml: finished before" in told
    assert (chain / "b.1" / "model.safetensors").read_text() == "line\na3b3"
    assert (chain / "b" / "model.safetensors").read_text() == "line\nline\na3b3"
    assert main(["train", "all.yaml", "--set", "changes={bank.yaml: [count=2]}"]) == 0 and len(RAN) == 3
    (chain / "bank.yaml").write_text("stage: toy_bank\nout: bank\ncount: 1\n")
    assert main(["train", "all.yaml"]) == 0 and (chain / "a.2").exists()


def test_what_comes_out_the_same_again_makes_nothing_else_due(chain, capsys):
    (chain / "bank" / "lines.jsonl").unlink()
    assert main(["train", "all.yaml"]) == 0
    assert RAN == [("bank", 0)] and "1/4 bank.yaml: into bank (its result is gone)" in capsys.readouterr().out


def test_a_stage_that_was_run_alone_makes_due_what_took_it(chain):
    assert main(["train", "a.yaml", "--set", "loop.steps=9"]) == 0
    assert main(["train", "all.yaml"]) == 0
    assert RAN == [("a", 3), ("b", 0)]
    assert (chain / "b" / "model.safetensors").read_text() == "line\na9b3"
    assert main(["train", "all.yaml"]) == 0 and len(RAN) == 2


def test_a_half_way_stage_begins_anew_only_if_what_it_takes_has_changed(chain):
    STOP_AT.append("b")
    assert main(["train", "all.yaml", "--set", "changes={a.yaml: [loop.steps=4]}"]) == 130
    assert RAN == [("a", 3), ("b", 0)]
    assert main(["train", "all.yaml", "--set", "changes={a.yaml: [loop.steps=4]}"]) == 130
    assert RAN[2:] == [("b", 1)]
    assert main(["train", "all.yaml", "--set", "changes={a.yaml: [loop.steps=5]}"]) == 130
    assert RAN[3:] == [("a", 4), ("b", 0)]


def test_where_and_how_fast_a_stage_runs_makes_nothing_due(chain):
    assert main(["train", "all.yaml", "--threads", "1", "--device", "cpu", "--set",
                 "changes={c.yaml: [loop.checkpoint_minutes=9.0]}"]) == 0
    assert not RAN


# ---- budget, device, threads -----------------------------------------------------------------------------------------


@pytest.fixture
def timed(folder):
    """A bank, and stages of 30, 60 and 90 minutes that take one another."""
    (folder / "bank.yaml").write_text("stage: toy_bank\nout: bank\n")
    for name, init, minutes in (("a", "bank", 30), ("b", "a", 60), ("c", "b", 90)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(
            {"stage": "toy", "out": name, "init": init, "loop": {"minutes": minutes}}))
    (folder / "all.yaml").write_text(yaml.safe_dump(
        {"stage": "recipe", "out": "all", "stages": [f"{name}.yaml" for name in ("bank", "a", "b", "c")]}))
    return folder


def _minutes() -> dict[str, float]:
    return {name: round(loop.minutes, 6) for name, loop in LOOPS.items()}


def test_a_budget_is_shared_by_the_stages_that_learn_and_goes_on_by_the_same_shares(timed, capsys):
    """Regression: a recipe refused --budget, --device and --threads, and told to run its stages one by one."""
    STOP_AT.append("b")
    assert main(["train", "all.yaml", "--budget", "18m"]) == 130
    assert _minutes() == {"a": 3.0, "b": 6.0}
    STOP_AT.clear()
    assert main(["train", "all.yaml", "--budget", "18m"]) == 0
    assert _minutes() == {"a": 3.0, "b": 6.0, "c": 9.0}, "what was finished by this budget is not shared out again"
    assert RAN == [("bank", 0), ("a", 0), ("b", 0), ("b", 1), ("c", 0)]
    assert "4/4 c.yaml: 9 min" in capsys.readouterr().out
    assert main(["train", "all.yaml", "--budget", "18m"]) == 0 and len(RAN) == 5, "nothing is left to do"


def test_a_longer_budget_makes_every_share_longer(timed):
    assert main(["train", "all.yaml", "--budget", "18m"]) == 0
    assert main(["train", "all.yaml", "--budget", "36m"]) == 0
    assert _minutes() == {"a": 6.0, "b": 12.0, "c": 18.0}
    assert RAN[4:] == [("a", 180), ("b", 0), ("c", 0)], "a goes on, and what took it begins anew"


def test_stages_finished_in_their_own_length_are_not_counted_and_stay_so(timed):
    STOP_AT.append("b")
    assert main(["train", "all.yaml"]) == 130
    STOP_AT.clear()
    assert main(["train", "all.yaml", "--budget", "15m"]) == 0
    assert _minutes() == {"a": 30.0, "b": 6.0, "c": 9.0}
    assert main(["train", "all.yaml", "--budget", "15m"]) == 0 and len(RAN) == 5
    (timed / "a" / "model.safetensors").unlink()
    assert main(["train", "all.yaml", "--budget", "15m"]) == 0
    assert _minutes()["a"] == 2.5 and RAN[5] == ("a", 1800), "what is due now was not counted: it is shared anew"


def test_after_a_budget_the_recipe_goes_on_to_its_own_length(timed, capsys):
    assert main(["train", "all.yaml", "--budget", "18m"]) == 0
    assert main(["train", "all.yaml"]) == 0
    assert _minutes() == {"a": 30.0, "b": 60.0, "c": 90.0} and RAN[4] == ("a", 180)
    assert "2/4 a.yaml: 30 min (loop.minutes was 3.0, is 30.0 now)" in capsys.readouterr().out


def test_device_and_threads_go_to_every_stage_that_learns_and_steps_to_their_share(timed):
    changes = "changes={b.yaml: [loop.steps=7]}"
    assert main(["train", "all.yaml", "--device", "cuda:7", "--threads", "3", "--set", changes]) == 0
    assert {(loop.device, loop.threads) for loop in LOOPS.values()} == {("cuda:7", 3)} and len(LOOPS) == 3
    assert [loop.steps for loop in LOOPS.values()] == [None, 7, None]
    assert main(["train", "all.yaml", "--budget", "18m", "--set", "out=other", "--set", changes]) == 0
    assert LOOPS["b"].steps is None and _minutes()["b"] == 6.0, "as a stage alone does with a budget"


def test_the_projects_own_recipe_can_be_read():
    module, recipe = stages.load_stage("tiny", [])
    assert module.__name__ == "omni.train.recipe"
    kinds = [stages.load_stage(name, [])[1].stage for name in recipe.stages]
    assert kinds[0] == "bank" and kinds[-1] in ("duplex", "preference")


def test_what_a_stage_of_the_projects_recipe_takes_an_earlier_one_has_made():
    made = set()
    for name in stages.load_stage("tiny", [])[1].stages:
        config = stages.load_stage(name, [])[1]
        assert {str(path) for path in stages.taken(config)} - {"tiny"} <= made, name
        made.add(config.out)


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
