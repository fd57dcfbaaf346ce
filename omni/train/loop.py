"""One loop for every stage: a schedule fitted to a time budget, checkpoints that are whole or absent, a log, a bar."""

import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from omni.base.memory import keep_memory


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How long and how fast to learn.

    Attributes:
        minutes: wall-clock budget; the learning rate falls to zero at its end, whenever that is.
        warmup: steps of rising learning rate.
        checkpoint_minutes: distance of checkpoints.
        threads: torch threads.
    """

    minutes: float
    lr: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.05
    clip: float = 1.0
    ema: float = 0.995
    checkpoint_minutes: float = 3.0
    threads: int = 2


def save(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write safetensors so that the file is complete or not there; a tensor with two names is written under both."""
    partial = path.with_suffix(".partial")
    save_file({k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}, partial)
    os.replace(partial, path)


def run(model: nn.Module, batches: Iterator, loss_of: Callable[[nn.Module, object], tuple[Tensor, dict[str, float]]],
        config: LoopConfig, folder: Path, validate: Callable[[nn.Module], dict[str, float]] | None = None,
        lr_scale: Callable[[str], float] = lambda name: 1.0) -> None:
    """Train `model` in place until the budget is spent or Ctrl-C; resumes from `folder` if it holds a checkpoint.

    The parameters left in `model` are the moving average. `folder` gets model.safetensors (average),
    resume.safetensors (parameters and moments), progress.json and log.jsonl.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # a run in the background gets SIGTERM, and shells start such runs with SIGINT ignored: both keep what was learned
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    torch.set_num_threads(config.threads)
    keep_memory()
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [{"params": [p], "scale": lr_scale(n), "weight_decay": config.weight_decay if p.dim() > 1 else 0.0}
              for n, p in named]
    optimiser = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), eps=1e-8)
    average = {n: p.detach().clone() for n, p in named}
    step, spent = _resume(folder, named, optimiser, average)
    started, saved, budget = time.monotonic() - spent, time.monotonic(), config.minutes * 60
    bar, recent = tqdm(total=int(budget), initial=int(spent), unit="s", desc=folder.name, mininterval=5), {}

    def checkpoint() -> None:
        moments = {}
        for n, p in named:
            for key in ("exp_avg", "exp_avg_sq"):
                if key in optimiser.state[p]:
                    moments[f"{key}.{n}"] = optimiser.state[p][key]
        save(folder / "resume.safetensors", {**{f"parameter.{n}": p for n, p in named}, **moments,
                                             **{f"average.{n}": a for n, a in average.items()}})
        (folder / "progress.json").write_text(json.dumps({"step": step, "seconds": time.monotonic() - started}))
        save(folder / "model.safetensors", {**dict(model.state_dict()), **average})

    with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
        try:
            while (elapsed := time.monotonic() - started) < budget:
                rate = min(1.0, (step + 1) / config.warmup) * 0.5 * (1 + math.cos(math.pi * elapsed / budget))
                for group in optimiser.param_groups:
                    group["lr"] = config.lr * rate * group["scale"]
                model.train()
                loss, parts = loss_of(model, next(batches))
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                norm = nn.utils.clip_grad_norm_([p for _, p in named], config.clip)
                if torch.isfinite(norm):
                    optimiser.step()
                keep = min(config.ema, (1 + step) / (10 + step))
                with torch.no_grad():
                    for n, p in named:
                        average[n].lerp_(p, 1 - keep)
                step += 1
                for key, value in {"loss": loss.item(), **parts}.items():
                    recent[key] = value if key not in recent else 0.98 * recent[key] + 0.02 * value
                bar.update(int(time.monotonic() - started) - bar.n)
                if step % 20 == 0:
                    bar.set_postfix({k: f"{v:.3g}" for k, v in recent.items()}, refresh=False)
                    log.write(json.dumps({"step": step, "seconds": round(time.monotonic() - started, 1),
                                          **{k: round(v, 5) for k, v in recent.items()}}) + "\n")
                    log.flush()
                if time.monotonic() - saved > config.checkpoint_minutes * 60:
                    checkpoint()
                    if validate is not None:
                        scores = _validated(model, average, validate)
                        log.write(json.dumps({"step": step, **scores}) + "\n")
                        bar.write(f"step {step}: {scores}")
                    saved = time.monotonic()
        except KeyboardInterrupt:
            bar.write("interrupted; keeping what was learned")
        checkpoint()
    bar.close()
    with torch.no_grad():
        for n, p in named:
            p.copy_(average[n])
    model.eval()


def _validated(model: nn.Module, average: dict[str, Tensor], validate: Callable) -> dict[str, float]:
    live = {n: p.detach().clone() for n, p in model.named_parameters() if n in average}
    with torch.no_grad():
        for n, p in model.named_parameters():
            if n in average:
                p.copy_(average[n])
        model.eval()
        scores = validate(model)
        for n, p in model.named_parameters():
            if n in average:
                p.copy_(live[n])
    return scores


def _resume(folder: Path, named, optimiser, average) -> tuple[int, float]:
    if not (folder / "resume.safetensors").exists():
        return 0, 0.0
    tensors = load_file(folder / "resume.safetensors")
    progress = json.loads((folder / "progress.json").read_text())
    with torch.no_grad():
        for n, p in named:
            p.copy_(tensors[f"parameter.{n}"])
            average[n].copy_(tensors[f"average.{n}"])
            if f"exp_avg.{n}" in tensors:
                optimiser.state[p] = {"step": torch.tensor(float(progress["step"])),
                                      "exp_avg": tensors[f"exp_avg.{n}"], "exp_avg_sq": tensors[f"exp_avg_sq.{n}"]}
    return progress["step"], progress["seconds"]
