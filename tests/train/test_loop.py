"""The loop learns, keeps what it learned, and goes on from there as if nothing had happened."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from omni.data.numbered import Numbered, loader
from omni.train import loop


@pytest.fixture(autouse=True)
def _signals():
    """The loop takes SIGINT and SIGTERM; give them back."""
    kept = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


class Clock:
    """Stands in for `time`: a second passes with each batch."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(loop, "time", clock)
    return clock


def _model() -> nn.Module:
    torch.manual_seed(4)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def _batches(clock: Clock, stop_at: int | None = None) -> loop.Batches:
    def numbered(first: int, every: int):
        for i in itertools.count(first, every):
            if i == stop_at:
                raise KeyboardInterrupt
            clock.now += 1
            x = torch.randn(16, 4, generator=torch.Generator().manual_seed(i))
            yield x, x.sum(1, keepdim=True)

    return numbered


def _loss(model, batch):
    loss = (model(batch[0]) - batch[1]).square().mean()
    return loss, {"twice": 2 * loss.item()}


def _config(seconds: float, **settings) -> loop.LoopConfig:
    return loop.LoopConfig(seconds / 60, lr=0.05, warmup=5, threads=1, **settings)


def test_bfloat16_computes_and_float32_is_what_learns(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(loop, "cpu_has_bf16", lambda: True)
    kinds, lost = [], {}

    def loss_of(model, batch):
        hidden = model[0](batch[0])
        kinds.append(hidden.dtype)
        loss = (model[2](model[1](hidden)).float() - batch[1]).square().mean()
        return loss, {}

    for wanted in (False, True):
        kinds.clear()
        model = _model()
        loop.run(model, _batches(clock), loss_of, _config(120, bf16_cpu=wanted), tmp_path / str(wanted))
        assert set(kinds) == {torch.bfloat16 if wanted else torch.float32}
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        lines = (tmp_path / str(wanted) / "log.jsonl").read_text().splitlines()
        lost[wanted] = json.loads(lines[-1])["loss"]
    assert lost[True] != lost[False] and lost[True] == pytest.approx(lost[False], rel=0.3)


def test_a_cpu_that_does_not_multiply_bfloat16_computes_in_float32_and_says_so(tmp_path, clock, monkeypatch, capsys):
    """The recipe's files ask for bfloat16; on a CPU without AMX a step of Muon alone took 9.9 s where float32 takes
    0.6."""
    kinds = []

    def loss_of(model, batch):
        kinds.append(model[0](batch[0]).dtype)
        return _loss(model, batch)

    for has in (False, True):
        monkeypatch.setattr(loop, "cpu_has_bf16", lambda has=has: has)
        config = _config(3, bf16_cpu=True, optimiser="muon")
        loop.run(_model(), _batches(clock), loss_of, config, tmp_path / str(has))
        assert kinds[-1] == (torch.bfloat16 if has else torch.float32)
        assert ("bfloat16" in "".join(capsys.readouterr())) is not has
        assert config.computes_bf16 is has


def test_it_learns_and_leaves_the_average_in_the_model_and_on_disk(tmp_path, clock):
    model = _model()
    loop.run(model, _batches(clock), _loss, _config(120, ema=0.9), tmp_path)
    assert not model.training
    stored = load_file(tmp_path / "model.safetensors")
    for name, value in model.state_dict().items():
        assert torch.equal(stored[name], value)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20, 40, 60, 80, 100, 120]
    assert lines[-1]["loss"] < 0.2 * lines[0]["loss"]
    assert lines[-1]["twice"] == pytest.approx(2 * lines[-1]["loss"], 0.01)
    assert json.loads((tmp_path / "progress.json").read_text()) == {"step": 120, "seconds": 120.0}
    assert not list(tmp_path.glob("*.partial"))


def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, clock):
    """Parameters, both moments, the average, the step and the time spent come back, and the next batch is the next."""
    straight = _model()
    loop.run(straight, _batches(clock), _loss, _config(40), tmp_path / "a")
    halted = _model()
    loop.run(halted, _batches(clock, stop_at=23), _loss, _config(40), tmp_path / "b")
    assert json.loads((tmp_path / "b" / "progress.json").read_text())["step"] == 23
    resumed = _model()
    with torch.no_grad():
        for p in resumed.parameters():
            p.fill_(9.0)  # all of it comes from the checkpoint
    clock.now += 5000
    loop.run(resumed, _batches(clock), _loss, _config(40), tmp_path / "b")
    for name, value in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


class Kept:
    """Something beside the model that counts batches."""

    def __init__(self):
        self.count = 0

    def counted(self, batches: loop.Batches) -> loop.Batches:
        def numbered(first: int, every: int):
            for x, y in batches(first, every):
                self.count += 1
                yield x, y + self.count

        return numbered

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"count": torch.tensor(self.count)}

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        self.count = int(tensors["count"])


def test_what_else_a_run_needs_is_kept_with_its_checkpoints(tmp_path, clock):
    straight, kept = _model(), Kept()
    loop.run(straight, kept.counted(_batches(clock)), _loss, _config(40), tmp_path / "a", also=kept)
    for stop_at in (23, None):
        resumed, kept = _model(), Kept()
        loop.run(resumed, kept.counted(_batches(clock, stop_at)), _loss, _config(40), tmp_path / "b", also=kept)
        assert kept.count == (stop_at or 40)
    for name, value in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_budget_that_is_spent_is_not_spent_again(tmp_path, clock):
    model = _model()
    loop.run(model, _batches(clock), _loss, _config(20), tmp_path)
    again = _model()
    loop.run(again, lambda first, every: iter(()), _loss, _config(20), tmp_path)  # would stop with StopIteration
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_a_signal_keeps_what_was_learned(tmp_path, clock):
    def batches(first, every):
        for i, batch in enumerate(_batches(clock)(first, every)):
            if i == 7:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    loop.run(_model(), batches, _loss, _config(50), tmp_path)
    assert json.loads((tmp_path / "progress.json").read_text())["step"] == 8


def test_what_is_frozen_stays_and_a_tensor_with_two_names_is_kept_under_both(tmp_path, clock):
    """Regression: the table shared by mouth and mind made the first checkpoint of two stages fail."""

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.top = nn.Embedding(3, 4), nn.Linear(4, 1)
            self.same = nn.Embedding(3, 4)
            self.same.weight = self.table.weight
            self.table.weight.requires_grad_(False)

        def forward(self, x):
            return self.top(x + self.table.weight[0])

    model = Shared()
    before = model.table.weight.clone()
    loop.run(model, _batches(clock), _loss, _config(10), tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert torch.equal(stored["table.weight"], before) and torch.equal(stored["same.weight"], before)
    assert not any("table" in n or "same" in n for n in load_file(tmp_path / "resume.safetensors"))


def test_a_step_whose_gradient_is_no_number_is_skipped(tmp_path, clock):
    def loss(model, batch):
        value, parts = _loss(model, batch)
        return value * (float("nan") if clock.now % 3 == 0 else 1.0), parts

    model = _model()
    loop.run(model, _batches(clock), loss, _config(30), tmp_path)
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_validation_sees_the_average_and_training_goes_on_from_the_parameters(tmp_path, clock):
    seen = []

    def validate(model):
        assert not model.training
        seen.append(model[0].weight.clone())
        return {"score": 1.0}

    loop.run(_model(), _batches(clock), _loss, _config(40, checkpoint_minutes=9.5 / 60), tmp_path, validate)
    straight = _model()
    loop.run(straight, _batches(clock), _loss, _config(40), tmp_path / "other")
    assert len(seen) >= 3 and not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[-1], straight[0].weight), "what is stored in the end has a score too"
    assert torch.equal(load_file(tmp_path / "model.safetensors")["0.weight"], straight[0].weight)
    assert '"score": 1.0' in (tmp_path / "log.jsonl").read_text()


def test_rates_of_parts_are_scaled_by_name(tmp_path, clock):
    model = _model()
    before = model[0].weight.clone()
    loop.run(model, _batches(clock), _loss, _config(10, weight_decay=0.0), tmp_path,
             lr_scale=lambda name: 0.0 if name.startswith("0.") else 1.0)
    torch.testing.assert_close(model[0].weight, before)
    assert not torch.allclose(model[2].weight, _model()[2].weight)


def _noisy(model, batch):
    """A loss that draws: dropout, and a number of Python's."""
    x = nn.functional.dropout(batch[0], 0.3)
    loss = (model(x) - batch[1] * random.uniform(0.9, 1.1)).square().mean()
    return loss, {}


class Counting(Numbered):
    """A stream whose batches tell their number's draw."""

    seed = 7

    def open(self):
        return lambda rng: (torch.randn(8, 4, generator=torch.Generator().manual_seed(rng.getrandbits(32))),
                            torch.full((8, 1), rng.random()))


@pytest.mark.parametrize("workers, stop_at", [(0, 1), (0, 17), (2, 12)])
def test_a_run_stopped_anywhere_goes_on_bit_for_bit_whatever_it_draws(tmp_path, workers, stop_at):
    config = loop.LoopConfig(60, lr=0.05, warmup=5, threads=1, steps=24, accumulate=2)
    straight, resumed, calls = _model(), _model(), 0

    def stopping(model, batch):
        nonlocal calls
        calls += 1
        if calls == 2 * stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return _noisy(model, batch)

    loop.run(straight, loader(Counting()), _noisy, config, tmp_path / "a")
    loop.run(_model(), loader(Counting(), workers), stopping, config, tmp_path / "b")
    assert json.loads((tmp_path / "b" / "progress.json").read_text())["step"] == stop_at
    torch.manual_seed(99)
    random.seed(99)
    loop.run(resumed, loader(Counting(), workers), _noisy, config, tmp_path / "b")
    for name, value in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


class _Layered(nn.Module):
    """Two layers with matrices inside, and a table and a bias that are none."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.layers, self.blocks = (nn.ModuleList(nn.Linear(4, 4) for _ in range(n)) for n in (2, 1))
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        for layer in (*self.layers, *self.blocks):
            x = x + torch.tanh(layer(x))
        return self.head(x)


def test_muon_turns_the_matrices_of_layers_alone_and_goes_on_bit_for_bit(tmp_path):
    """Its step has the same size in every direction; what it does not turn moves as by AdamW."""
    config = loop.LoopConfig(60, lr=0.01, warmup=1, threads=1, weight_decay=0, steps=12, optimiser="muon")
    moved = {}
    for optimiser in ("muon", "adamw"):
        model, once = _Layered(), replace(config, steps=1, ema=0, optimiser=optimiser)
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        loop.run(model, loader(Counting(), 0), _loss, once, tmp_path / optimiser)
        moved[optimiser] = {n: p.detach() - before[n] for n, p in model.named_parameters()}
    for name, step in moved["muon"].items():
        if name in ("layers.0.weight", "layers.1.weight", "blocks.0.weight"):
            sizes = torch.linalg.svdvals(step) / (0.01 * 0.2 * 4**0.5)
            assert 0.5 < sizes.min() and sizes.max() < 1.5, name
        else:
            assert torch.equal(step, moved["adamw"][name]), name

    straight, resumed = _Layered(), _Layered()
    loop.run(straight, loader(Counting(), 0), _loss, config, tmp_path / "a")
    calls = itertools.count(1)

    def stopping(model, batch):
        if next(calls) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return _loss(model, batch)

    loop.run(_Layered(), loader(Counting(), 0), stopping, config, tmp_path / "b")
    assert json.loads((tmp_path / "b" / "progress.json").read_text())["step"] == 5
    loop.run(resumed, loader(Counting(), 0), _loss, config, tmp_path / "b")
    for name, value in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_batches_are_the_same_whoever_makes_them():
    alone = list(itertools.islice(loader(Counting(), 0)(0, 1), 6))
    shared = list(itertools.islice(loader(Counting(), 2)(0, 1), 6))
    of_two = [list(itertools.islice(loader(Counting(), 0)(rank, 2), 3)) for rank in (0, 1)]
    for i in range(6):
        for other in (shared[i], of_two[i % 2][i // 2]):
            assert torch.equal(alone[i][0], other[0]) and torch.equal(alone[i][1], other[1])


def test_two_processes_learn_what_one_does_with_twice_the_batches(tmp_path):
    """By torchrun, with gloo, which once in a while aborts as it is left; a restart finds the run complete."""
    program = tmp_path / "together.py"
    program.write_text(f"""import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_loop import Counting, _loss, _model, loader, loop
loop.run(_model(), loader(Counting(), 0), _loss, loop.LoopConfig(60, lr=0.05, warmup=5, threads=1, steps=10),
         Path({str(tmp_path / "two")!r}))
""")
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
                           "--max-restarts=1", str(program)], timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    one = _model()
    loop.run(one, loader(Counting(), 0), _loss, loop.LoopConfig(60, lr=0.05, warmup=5, threads=1, steps=10,
                                                                accumulate=2), tmp_path / "one")
    two = load_file(tmp_path / "two" / "model.safetensors")
    for name, value in one.state_dict().items():
        torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-6)


def _slow_program(folder: Path, workers: int) -> Path:
    """A program that trains in the folder `run` for some minutes."""
    program = folder / "slow.py"
    program.write_text(f"""import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_loop import Counting, _loss, _model, loader, loop
def slowly(model, batch):
    time.sleep(0.05)
    return _loss(model, batch)
loop.run(_model(), loader(Counting(), {workers}), slowly, loop.LoopConfig(60, threads=1, steps=4000), Path("run"))
""")
    return program


def _wait_for_twenty_steps(running: subprocess.Popen, run: Path) -> None:
    log = run / "log.jsonl"
    while running.poll() is None and not (log.exists() and log.read_text()):
        time.sleep(0.1)


def test_two_processes_stop_together_and_keep_what_they_learned(tmp_path):
    """SIGTERM to torchrun, which signals all their workers too: neither waits for the other, and the run goes on from
    the step that both had reached."""
    program = _slow_program(tmp_path, workers=1)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(program)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        _wait_for_twenty_steps(running, tmp_path / "run")
        started = time.monotonic()
        running.send_signal(signal.SIGTERM)
        told = running.stderr.read().decode()
        running.wait(60)
        assert time.monotonic() - started < 25, "torchrun kills after 30 s"
    assert "RuntimeError" not in told, told[-3000:]
    progress = tmp_path / "run" / "progress.json"
    assert progress.exists(), told[-3000:]
    assert 20 <= json.loads(progress.read_text())["step"] < 4000


def test_ctrl_c_in_a_terminal_reaches_the_workers_too_and_keeps_what_was_learned(tmp_path):
    program = _slow_program(tmp_path, workers=2)
    with subprocess.Popen([sys.executable, str(program)], cwd=tmp_path, start_new_session=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        _wait_for_twenty_steps(running, tmp_path / "run")
        os.killpg(running.pid, signal.SIGINT)
        told = running.stderr.read().decode()
        assert running.wait(60) == 0, told[-3000:]
    assert "Error" not in told, told[-3000:]
    assert 20 <= json.loads((tmp_path / "run" / "progress.json").read_text())["step"] < 4000


def test_a_run_that_fails_ends_and_so_do_its_workers(tmp_path):
    """They heed no signals, and Python waits for its children at exit."""
    program = _slow_program(tmp_path, workers=1)
    program.write_text(program.read_text().replace("time.sleep(0.05)", "raise ValueError('no such lesson')"))
    with subprocess.Popen([sys.executable, str(program)], cwd=tmp_path, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE) as running:
        try:
            told = running.communicate(timeout=60)[1].decode()
        finally:
            running.kill()
    assert running.returncode == 1 and "no such lesson" in told


def test_each_process_of_a_machine_has_its_own_device(monkeypatch):
    """Under torchrun every process once took the first device."""
    assert loop.own_device("cuda") == "cuda"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert loop.own_device("cuda") == "cuda:3"
    assert loop.own_device("cuda:1") == "cuda:1" and loop.own_device("cpu") == "cpu"
