"""`omni bench`: what a block costs, for one conversation and for several, against the 80 ms there are.

Measured on whatever else the machine does; say which machine, and that it was idle, beside every number.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from tqdm import tqdm

from omni.audio.files import replacing
from omni.base.errors import ConfigError
from omni.base.events import BlockInput
from omni.base.memory import keep_memory
from omni.engine.engine import Engine

_WARM_UP_BLOCKS = 10


@dataclass(frozen=True, slots=True)
class Cost:
    """Compute per block of a number of conversations in one batch.

    Attributes:
        conversations: how many were stepped together; the batch has as many rows.
        blocks: measured, after a warm-up.
        p50_ms, p95_ms, max_ms: one step for all of them.
        p50_ratio, p95_ratio, max_ratio: the same, by the length of a block; below 1 keeps up with real time.
        speaking_share: share of measured rows in which the agent had the floor.
    """

    conversations: int
    blocks: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    p50_ratio: float
    p95_ratio: float
    max_ratio: float
    speaking_share: float


def bench_steps(engine: Engine, conversations: int, blocks: int, *, seed: int = 0,
                clock_ns: Callable[[], int] = time.perf_counter_ns,
                progress: Callable = iter) -> Cost:
    """Step `conversations` at once over noise with bursts, and measure each step.

    Args:
        engine: with at least that capacity; its batch shape is part of the result.
        progress: wraps the iteration over blocks.
    """
    rng = np.random.default_rng(seed)
    slots = [engine.open(seed + i) for i in range(conversations)]
    costs_ns, speaking = [], 0
    try:
        for block in progress(range(_WARM_UP_BLOCKS + blocks)):
            inputs = {slot: BlockInput(_room(rng, engine.timebase.block_samples, block + 7 * slot)) for slot in slots}
            started_ns = clock_ns()
            results = engine.step(inputs)
            if block >= _WARM_UP_BLOCKS:
                costs_ns.append(clock_ns() - started_ns)
                speaking += sum(result.speaking for result in results.values())
    finally:
        for slot in slots:
            engine.close(slot)
    percentiles = [round(float(np.percentile(costs_ns, p)) / 1e6, 3) for p in (50, 95, 100)]
    ratios = [round(ms / engine.timebase.block_ms, 4) for ms in percentiles]
    return Cost(conversations, blocks, *percentiles, *ratios, round(speaking / (blocks * conversations), 3))


def bench_forward(model, seconds: int, *, mouth: bool = True, repeats: int = 5,
                  clock_ns: Callable[[], int] = time.perf_counter_ns) -> float:
    """Seconds that the time-parallel forward takes over `seconds` of one conversation, the median of some repeats.

    Stepping the same is `seconds` / 0.08 blocks.

    Args:
        mouth: ears, mind and mouth; without it what training runs (`DuplexModel.forward`), ears and mind.
    """
    import torch

    from omni.model.synthesizer import CONTEXT, FRAMES, Course

    blocks = seconds * 1000 // model.timebase.block_ms
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((2, blocks * model.timebase.block_samples)))
    room, own = noise.float().mul(0.05).split(1)
    zeros, none = (torch.zeros(1, blocks * n, dtype=torch.int64) for n in (1, FRAMES))
    silent = Course(none[..., None].expand(-1, -1, 2 * CONTEXT + 1), none - 1, none, none, none)

    def run() -> int:
        started_ns = clock_ns()
        model(room, own, zeros, zeros)
        if mouth:
            model.mouth(silent)
        return clock_ns() - started_ns

    with torch.no_grad():
        run()
        return float(np.median([run() for _ in range(repeats)])) / 1e9


def main(args) -> int:
    """The command."""
    import torch

    from omni.model.weights import load_model

    if args.blocks < 1 or any(n < 1 for n in args.conversations):
        raise ConfigError("--blocks and --conversations take counts of at least 1")
    torch.set_num_threads(args.threads)
    keep_memory()
    model = load_model(args.model, device=args.device)
    costs = []
    for count in args.conversations:
        engine = Engine(model, capacity=count, device=args.device, threads=args.threads)
        costs.append(bench_steps(engine, count, args.blocks, seed=args.seed, progress=lambda blocks, count=count: tqdm(
            blocks, desc=f"{count} at once", unit="block", file=sys.stderr, disable=None, leave=False)))
    machine = (f"{processor()}, {os.cpu_count()} cores, {args.threads} threads, {args.device}, "
               f"torch {torch.__version__}")
    print(machine)
    for cost in costs:
        print(_line(cost, model.timebase.block_ms))
    stepping_s = costs[0].p50_ms * 10 / model.timebase.block_ms
    forwards = {"ears and mind": bench_forward(model, 10, mouth=False),
                "ears, mind and mouth": bench_forward(model, 10)}
    for what, forward_s in forwards.items():
        print(f"10 s in one forward, {what}: {forward_s:.3f} s, {stepping_s / forward_s:.1f} times the speed of "
              "stepping (all three)")
    if args.json:
        report = {"machine": machine, "model": args.model, "seed": args.seed, "costs": [asdict(c) for c in costs],
                  "forward_10_s": forwards}
        with replacing(args.json) as path:
            path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _line(cost: Cost, block_ms: int) -> str:
    noun = "conversation " if cost.conversations == 1 else "conversations"
    parts = "   ".join(f"{name} {ms:7.2f} ms = {ratio:.3f}" for name, ms, ratio in (
        ("p50", cost.p50_ms, cost.p50_ratio), ("p95", cost.p95_ms, cost.p95_ratio),
        ("max", cost.max_ms, cost.max_ratio)))
    return (f"{cost.conversations:3d} {noun}, {cost.blocks} blocks of {block_ms} ms:  {parts}   "
            f"(speaking {cost.speaking_share:.0%})")


def _room(rng: np.random.Generator, count: int, block: int) -> np.ndarray:
    """Noise with a burst of 1.6 s in every 4 s, so that the rows do not all hear silence."""
    level = 0.1 if block % 50 < 20 else 0.002
    return (level * rng.standard_normal(count)).astype(np.float32)


def processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
