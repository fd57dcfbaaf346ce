"""One loop for every stage: a schedule fitted to a time budget, checkpoints that are whole or absent, a log, a bar.

What step n does depends on the checkpoint before it, the number n and the rate, and on nothing else: batches have
numbers, and the generators are seeded anew for every step. So a run that was stopped anywhere and goes on equals one
that was not, bit for bit on a CPU, if it is given `steps` (a budget of time depends on the clock).

Several processes (torchrun) share a step: each takes its own batches, gradients are averaged, the first one writes
(`omni.train.team`).
"""

import contextlib
import json
import math
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from omni.base.config import LATER
from omni.base.memory import keep_memory
from omni.train import curves
from omni.train.muon import Muon
from omni.train.team import Team, leads, meet, together

TOGETHER_S = 10.0  # in which signals to several processes are one
Batches = Callable[[int, int], Iterator]  # (first, every): batches number first, first + every, ...
Losses = Callable[[nn.Module, object], tuple[Tensor, dict[str, float]]]
STEPS_PER_LINE = 20
MOMENTS = ("exp_avg", "exp_avg_sq", "momentum_buffer")  # of AdamW, and of Muon


class Also(Protocol):
    """Something besides the model that a run must have again to go on as if it had not stopped."""

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps of it."""

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Be as it was when a checkpoint kept this; what was not there then is empty."""


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How long and how fast to learn.

    Attributes:
        minutes: wall-clock budget; the learning rate falls to zero at its end, whenever that is.
        steps: number of steps in place of the budget.
        lr: its highest value, after `warmup` steps of rising; it falls along a half cosine.
        clip: of the gradient's norm; a step whose gradient is not finite is left out.
        ema: share of the moving average that a step keeps; the average is what is stored and evaluated.
        accumulate: batches in a step, of each process.
        checkpoint_minutes: distance of checkpoints.
        threads: of torch.
        device: "cpu", "cuda" (under torchrun the process's own) or "cuda:1".
        bf16: compute in bfloat16 on CUDA; parameters stay float32.
        bf16_cpu: and on a CPU with AMX (`amx_bf16` among its flags), where a step of stage "words" takes two thirds of
            the time; one without would take longer, and computes in float32, which a run tells.
        seed: of whatever is random in a step.
        optimiser: "adamw", or "muon": the matrices inside of layers (the mind's) and blocks (the ears') turn by
            orthogonal steps (Muon, Jordan et al. 2024, scaled to AdamW's root mean square, so that `lr` means the
            same); tables, heads and vectors by AdamW. Where a CPU computes in float32, so does it (`omni.train.muon`).
    """

    minutes: float = 30.0
    lr: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.05
    clip: float = 1.0
    ema: float = 0.995
    checkpoint_minutes: float = 3.0
    threads: int = 2
    steps: int | None = None
    accumulate: int = 1
    device: str = "cpu"
    bf16: bool = True
    seed: int = 0
    bf16_cpu: bool = field(default=False, metadata=LATER)
    optimiser: Literal["adamw", "muon"] = field(default="adamw", metadata=LATER)

    @property
    def computes_bf16(self) -> bool:
        """Whether a step computes in bfloat16 where it runs."""
        if self.device.startswith("cuda"):
            return self.bf16
        return self.bf16_cpu and self.device == "cpu" and cpu_has_bf16()


def cpu_has_bf16() -> bool:
    """Whether this machine's CPU multiplies matrices of bfloat16 in hardware."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def save(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write safetensors so that the file is complete or not there; a tensor with two names is written under both."""
    partial = path.with_suffix(".partial")
    save_file({k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}, partial)
    os.replace(partial, path)


def own_device(device: str) -> str:
    """The device of this process: under torchrun each of a machine's processes has its own, if none is numbered."""
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        return f"cuda:{int(os.environ['LOCAL_RANK'])}"
    return device


@together()
def run(model: nn.Module, batches: Batches, loss_of: Losses, config: LoopConfig, folder: Path,
        validate: Callable[[nn.Module], dict[str, float]] | None = None,
        lr_scale: Callable[[str], float] = lambda name: 1.0, also: Also | None = None) -> None:
    """Train `model` in place until the budget is spent or Ctrl-C; resumes from `folder` if it holds a checkpoint.

    The parameters left in `model` are the moving average. `folder` gets model.safetensors (average),
    resume.safetensors (parameters, moments, step, seconds), progress.json, log.jsonl and curves.png.

    Args:
        loss_of: the loss to be minimised, a mean over its batch, and parts of it for the log.
        also: kept in checkpoints beside the model, of the first process.
    """
    config = replace(config, device=own_device(config.device))
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.threads)
    keep_memory()
    team = Team(config.device)
    model.to(config.device)
    course = _Course(model, config, folder, lr_scale, also)
    started, saved = time.monotonic() - course.seconds, time.monotonic()
    log = _Log(folder, config, course) if leads() else None
    source: Iterator | None = None
    if log is not None and config.device == "cpu" and config.bf16_cpu and not config.computes_bf16:
        log.bar.write("this CPU does not multiply bfloat16 (no amx_bf16 among its flags): float32")

    def checkpoint() -> None:
        if leads():
            course.seconds = time.monotonic() - started
            course.save(folder)

    stopped, validated = False, -1
    with _Stop(patience_s=0.0 if team.size == 1 else TOGETHER_S) as stop:
        try:
            # all stop after the same step: whoever went on alone would wait for the others' gradients for ever
            while (not (stopped := team.any(stop.asked))
                   and not course.over(elapsed := team.agree(time.monotonic() - started))):
                if source is None:
                    per_step = config.accumulate * team.size
                    source = batches(course.step * per_step + team.rank, team.size)
                parts = course.advance(source, loss_of, elapsed, team)
                if log is not None:
                    log.add(course.step, time.monotonic() - started, parts)
                if team.agree(time.monotonic() - saved) > config.checkpoint_minutes * 60:
                    checkpoint()
                    if validate is not None and log is not None:
                        log.validated(course.step, course.with_average(validate))
                        validated = course.step
                    if log is not None:
                        curves.draw(folder)
                    saved = time.monotonic()
        except KeyboardInterrupt:
            stopped = True
        if stopped and log is not None:
            log.bar.write("interrupted; keeping what was learned")
        checkpoint()
        if validate is not None and log is not None and not stopped and validated != course.step:   # what is stored
            log.validated(course.step, course.with_average(validate))
    if log is not None:
        log.close(course.step, time.monotonic() - started)
        curves.draw(folder)
    course.take_average()
    model.eval()
    meet()  # what the first one has written is there for all


def _optimisers(named: list[tuple[str, nn.Parameter]], config: LoopConfig,
                lr_scale: Callable[[str], float]) -> list[torch.optim.Optimizer]:
    """Those of a run: AdamW, or Muon and AdamW; every parameter a group of its own, with its `scale` of the rate."""
    parts = {True: [], False: []}
    for n, p in named:
        inside = any(part in f".{n}" for part in (".layers.", ".blocks."))
        parts[config.optimiser == "muon" and p.dim() == 2 and inside].append((n, p))
    turned, others = parts[True], parts[False]

    def groups(some: list[tuple[str, nn.Parameter]]) -> list[dict]:
        return [{"params": [p], "scale": lr_scale(n), "weight_decay": config.weight_decay if p.dim() > 1 else 0.0}
                for n, p in some]

    made: list[torch.optim.Optimizer] = []
    if turned and (config.device.startswith("cuda") or config.computes_bf16):
        made.append(torch.optim.Muon(groups(turned), lr=config.lr, adjust_lr_fn="match_rms_adamw"))
    elif turned:
        made.append(Muon(groups(turned), lr=config.lr))
    if others:
        made.append(torch.optim.AdamW(groups(others), lr=config.lr, betas=(0.9, 0.98), eps=1e-8))
    return made


class _Course:
    """Parameters, moments, average and the number of steps: all that a checkpoint holds."""

    def __init__(self, model: nn.Module, config: LoopConfig, folder: Path, lr_scale: Callable[[str], float],
                 also: Also | None = None):
        self.model, self.config, self.also = model, config, also
        self.named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        self.optimisers = _optimisers(self.named, config, lr_scale)
        self.average = {n: p.detach().clone() for n, p in self.named}
        self.step, self.seconds = 0, 0.0
        if (folder / "resume.safetensors").exists():
            self._load(load_file(folder / "resume.safetensors"))

    def over(self, elapsed: float) -> bool:
        """Whether the budget is spent."""
        return self.progress(elapsed) >= 1

    def progress(self, elapsed: float) -> float:
        """Share of the budget that is spent, of steps or of time."""
        c = self.config
        return self.step / c.steps if c.steps is not None else elapsed / (c.minutes * 60)

    def advance(self, source: Iterator, loss_of: Losses, elapsed: float, team: Team) -> dict[str, float]:
        """One step; gives what is to be logged."""
        c = self.config
        rate = min(1.0, (self.step + 1) / c.warmup) * 0.5 * (1 + math.cos(math.pi * min(self.progress(elapsed), 1)))
        for group in (g for o in self.optimisers for g in o.param_groups):
            group["lr"] = c.lr * rate * group["scale"]
        self.model.train()
        for _, p in self.named:
            p.grad = None
        told: dict[str, float] = {}
        for turn in range(c.accumulate):
            batch = _moved(next(source), c.device)
            _seed(f"{c.seed}/{self.step}/{turn}/{team.rank}")
            with self._precision():
                loss, parts = loss_of(self.model, batch)
            (loss / c.accumulate).backward()
            for key, value in {"loss": loss.item(), **parts}.items():
                told[key] = told.get(key, 0.0) + value / c.accumulate
        team.average([p for _, p in self.named])
        norm = nn.utils.clip_grad_norm_([p for _, p in self.named], c.clip)
        if torch.isfinite(norm):
            for optimiser in self.optimisers:
                optimiser.step()
        keep = min(c.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for n, p in self.named:
                self.average[n].lerp_(p, 1 - keep)
        self.step += 1
        return told

    def _precision(self):
        kind = self.config.device.partition(":")[0]
        return torch.autocast(kind, torch.bfloat16) if self.config.computes_bf16 else contextlib.nullcontext()

    def save(self, folder: Path) -> None:
        """What goes on, first, and then what is to be used."""
        states = [(n, o.state[p]) for o in self.optimisers for n, p in self.named if p in o.state]
        moments = {f"{key}.{n}": state[key] for n, state in states for key in MOMENTS if key in state}
        updates = {f"updates.{n}": state["step"] for n, state in states if "step" in state}
        save(folder / "resume.safetensors", {
            **{f"parameter.{n}": p for n, p in self.named}, **moments, **updates,
            **{f"average.{n}": a for n, a in self.average.items()},
            **{f"also.{n}": t for n, t in (self.also.tensors() if self.also else {}).items()},
            "step": torch.tensor(self.step), "seconds": torch.tensor(self.seconds, dtype=torch.float64)})
        (folder / "progress.json").write_text(json.dumps({"step": self.step, "seconds": self.seconds}))
        save(folder / "model.safetensors", {**dict(self.model.state_dict()), **self.average})

    def _load(self, tensors: dict[str, Tensor]) -> None:
        self.step, self.seconds = int(tensors["step"]), float(tensors["seconds"])
        if self.also is not None:
            self.also.load({n.removeprefix("also."): t for n, t in tensors.items() if n.startswith("also.")})
        with torch.no_grad():
            for n, p in self.named:
                p.copy_(tensors[f"parameter.{n}"])
                self.average[n].copy_(tensors[f"average.{n}"])
        of = {p: o for o in self.optimisers for group in o.param_groups for p in group["params"]}
        for n, p in self.named:
            kept = {key: tensors[f"{key}.{n}"].to(p.device) for key in MOMENTS if f"{key}.{n}" in tensors}
            if f"updates.{n}" in tensors:
                kept["step"] = tensors[f"updates.{n}"]
            if kept:
                of[p].state[p] = kept

    def take_average(self) -> None:
        """The moving average becomes the model."""
        with torch.no_grad():
            for n, p in self.named:
                p.copy_(self.average[n])

    def with_average(self, validate: Callable[[nn.Module], dict[str, float]]) -> dict[str, float]:
        """What the average scores; the parameters are as before afterwards."""
        live = {n: p.detach().clone() for n, p in self.named}
        self.take_average()
        self.model.eval()
        with torch.no_grad():
            scores = validate(self.model)
            for n, p in self.named:
                p.copy_(live[n])
        return scores


class _Stop:
    """Ctrl-C and SIGTERM ask for an end after the step; a second one ends at once.

    A run in the background gets SIGTERM, and shells start such runs with SIGINT ignored: both keep what was learned.

    Args:
        patience_s: seconds from the first one in which more of them mean the same: Ctrl-C reaches the processes of
            torchrun twice, from the terminal and from torchrun.
    """

    def __init__(self, patience_s: float = 0.0):
        self.asked = False
        self._patience_s, self._since = patience_s, 0.0

    def __enter__(self) -> "_Stop":
        self._kept = {n: signal.signal(n, self._ask) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._kept.items():
            signal.signal(number, handler)

    def _ask(self, *_) -> None:
        if self.asked and time.monotonic() - self._since >= self._patience_s:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self._since = True, time.monotonic()


class _Log:
    """The bar, and a line of JSON every few steps."""

    def __init__(self, folder: Path, config: LoopConfig, course: _Course):
        self._file = open(folder / "log.jsonl", "a", encoding="utf-8")
        self._recent: dict[str, float] = {}
        self._told = True
        self._by_steps = config.steps is not None
        total, done = (config.steps, course.step) if self._by_steps else (int(config.minutes * 60), int(course.seconds))
        self.bar = tqdm(total=total, initial=done, unit="step" if self._by_steps else "s", desc=folder.name,
                        mininterval=5)

    def add(self, step: int, seconds: float, parts: dict[str, float]) -> None:
        for key, value in parts.items():
            self._recent[key] = value if key not in self._recent else 0.98 * self._recent[key] + 0.02 * value
        self.bar.update(1 if self._by_steps else int(seconds) - self.bar.n)
        self._told = step % STEPS_PER_LINE == 0
        if self._told:
            self.bar.set_postfix({k: f"{v:.3g}" for k, v in self._recent.items()}, refresh=False)
            self._tell(step, seconds)

    def validated(self, step: int, scores: dict[str, float]) -> None:
        self._write({"step": step, **scores})
        self.bar.write(f"step {step}: {scores}")

    def close(self, step: int, seconds: float) -> None:
        if not self._told:
            self._tell(step, seconds)
        self._file.close()
        self.bar.close()

    def _tell(self, step: int, seconds: float) -> None:
        self._write({"step": step, "seconds": round(seconds, 1), **{k: round(v, 5) for k, v in self._recent.items()}})

    def _write(self, line: dict) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def _seed(name: str) -> None:
    """Seed what a step draws from."""
    random.seed(name)
    torch.manual_seed(random.getrandbits(62))


def _moved(batch: object, device: str) -> object:
    """A batch, of whatever shape, on the device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {k: _moved(v, device) for k, v in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(_moved(v, device) for v in batch)
    return batch
