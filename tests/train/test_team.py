"""Processes that train together: what one of them makes alone the others wait for. By torchrun, with gloo."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from omni.train import team

HERE = Path(__file__).resolve().parent

TOYS = f"""
import os, sys, time
sys.path.insert(0, {str(HERE)!r})
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from test_loop import Counting, _loss, _model, loader
from omni.train import loop, stages
from omni.train.loop import LoopConfig
from omni.train.team import first_alone, leads

RANK = os.environ["RANK"]

def tell(line):
    with open("told.txt", "a") as file:
        file.write(line + "\\n")

@dataclass(frozen=True, slots=True)
class SlowStage:
    stage: Literal["slow"]
    out: str
    seconds: float = 1.0

@dataclass(frozen=True, slots=True)
class LoopStage:
    stage: Literal["loop"]
    out: str
    init: str
    loop: LoopConfig = field(default_factory=LoopConfig)

def train(config):
    out = Path(config.out)
    if isinstance(config, SlowStage):
        tell(f"slow {{RANK}}")
        time.sleep(config.seconds)
        out.mkdir(exist_ok=True)
        (out / "lines.jsonl").write_text("line")
        return
    with first_alone():
        if not (lessons := Path(f"{{config.out}}_lessons.txt")).exists():
            time.sleep(0.5)
            lessons.write_text(f"made by {{RANK}}")
    before = [name for name in ("lines.jsonl", "late.txt") if (Path(config.init) / name).exists()]
    tell(f"{{config.out}} {{RANK}} {{lessons.read_text()}}, finds {{before}}")
    stages.begin(config, [])
    loop.run(_model(), loader(Counting(), 0), _loss, config.loop, out)
    if leads():
        time.sleep(1)
        (out / "late.txt").write_text("saved")

if __name__ == "__main__":
    from omni.cli import main
    for name, kind in (("slow", "SlowStage"), ("loop", "LoopStage")):
        stages.STAGES[name] = ("toys", kind)
    sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def recipe(tmp_path):
    """Its folder: a stage without a loop, and two with one, each of which takes the one before."""
    (tmp_path / "toys.py").write_text(TOYS)
    (tmp_path / "slow.yaml").write_text("stage: slow\nout: slow\n")
    loop = {"minutes": 60, "lr": 0.05, "warmup": 1, "threads": 1}
    for name, init in (("a", "slow"), ("b", "a")):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"stage": "loop", "out": name, "init": init,
                                                               "loop": loop}))
    (tmp_path / "all.yaml").write_text("stage: recipe\nout: all\nstages: [slow.yaml, a.yaml, b.yaml]\n")
    return tmp_path


def _torchrun(*args: str, restarts: int = 1) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            f"--max-restarts={restarts}", "toys.py", "train", *args]


def test_a_recipe_runs_once_for_all_processes(recipe):
    """Regression: every process built the bank, wrote lessons and took its own turn at the record of what is finished,
    onto the same files; the second one began the next stage before the first one had saved."""
    done = subprocess.run(_torchrun("all.yaml", "--budget", "2s"), cwd=recipe, timeout=110, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    told = (recipe / "told.txt").read_text().splitlines()
    assert told[0] == "slow 0"
    assert sorted(told[1:3]) == [f"a {rank} made by 0, finds ['lines.jsonl']" for rank in "01"]
    assert sorted(told[3:]) == [f"b {rank} made by 0, finds ['late.txt']" for rank in "01"]
    assert done.stdout.count("slow.yaml: into slow") == 1
    assert done.stdout.count("a.yaml: 0.0167 min") == 1 and done.stdout.count("b.yaml: 0.0167 min") == 1
    assert all("made" in entry for entry in json.loads((recipe / "all" / "done.json").read_text()).values())
    progress = [json.loads((recipe / name / "progress.json").read_text()) for name in "ab"]
    assert all(p["step"] > 0 and p["seconds"] >= 1 for p in progress)

    again = subprocess.run(_torchrun("all.yaml", "--budget", "2s"), cwd=recipe, timeout=110, capture_output=True,
                           text=True)
    assert again.returncode == 0 and again.stdout.count("finished before") == 3, again.stderr[-3000:]
    assert len((recipe / "told.txt").read_text().splitlines()) == 5


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_who_waits_for_one_that_works_alone_heeds_a_signal(recipe, stop):
    (recipe / "slow.yaml").write_text("stage: slow\nout: slow\nseconds: 100.0\n")
    with subprocess.Popen(_torchrun("all.yaml", restarts=0), cwd=recipe, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, start_new_session=True) as running:
        while running.poll() is None and not (recipe / "told.txt").exists():
            time.sleep(0.1)
        time.sleep(0.5)
        started = time.monotonic()
        os.killpg(running.pid, stop) if stop == signal.SIGINT else running.send_signal(stop)
        told = running.stderr.read().decode()
        running.wait(60)
        assert time.monotonic() - started < 20, "torchrun kills after 30 s: " + told[-3000:]
    assert (recipe / "told.txt").read_text() == "slow 0\n" and not (recipe / "slow").exists()


def test_a_process_that_is_alone_waits_for_nobody(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with team.together():
        team.meet()
        with team.first_alone():
            found = team.told_by_first(lambda: 3)
    assert found == 3 and team.leads()
