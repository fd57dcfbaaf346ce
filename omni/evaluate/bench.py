"""`omni bench`: what a block costs, for one conversation and for several, against the 80 ms there are.

The agent is made to speak in half of the blocks (`omni.evaluate.forcing`), and blocks are told apart by what it did in
them: it listened, or it spoke. Both come from the same run, in turns of some seconds, so their ratio does not hang on
what else the machine does. The numbers themselves do: say which machine, and that it was idle, beside each.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from tqdm import tqdm

from omni.audio.files import replacing
from omni.base.errors import ConfigError
from omni.base.events import BlockInput
from omni.base.memory import settled_heap
from omni.engine.engine import Engine
from omni.evaluate.forcing import APART, ROUND, Forcing

_WARM_UP_BLOCKS = ROUND
STATES = {"listening": "blocks in which the agent of no conversation has the floor",
          "speaking": "blocks in which the agent of one conversation at least has the floor"}


@dataclass(frozen=True, slots=True)
class Spread:
    """Compute per block, over some of the blocks of a run.

    Attributes:
        blocks: measured.
        p50_ms, p95_ms, max_ms: one step for all conversations.
        p50_ratio, p95_ratio, max_ratio: the same, by the length of a block; below 1 keeps up with real time.
        speaking_share: share of rows (conversation and block) in which the agent had the floor.
        sounding_share: share of rows in which it gave any sound, samples other than zero.
    """

    blocks: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    p50_ratio: float
    p95_ratio: float
    max_ratio: float
    speaking_share: float
    sounding_share: float


@dataclass(frozen=True, slots=True)
class Cost(Spread):
    """Compute per block of a number of conversations in one batch, over all blocks after a warm-up.

    Attributes:
        conversations: how many were stepped together; the batch has as many rows.
        states: the blocks in which nobody's agent spoke and those in which one did, as of `STATES`; what there were
            none of is left out.
        speaking_to_listening: how many times as much a block of speaking cost: ratio of the medians of both within a
            round of 4 s, and the median of the rounds, so that both met the same machine. None without such a round.
    """

    conversations: int
    states: dict[str, Spread]
    speaking_to_listening: float | None


def bench_steps(engine: Engine, conversations: int, blocks: int, *, seed: int = 0, forcing: Forcing | None = None,
                clock_ns: Callable[[], int] = time.perf_counter_ns,
                progress: Callable = iter) -> Cost:
    """Step `conversations` at once over noise with bursts, and measure each step.

    Args:
        engine: with at least that capacity; its batch shape is part of the result.
        forcing: of the engine's model, for as many rows as the engine has; None leaves the floor to the model.
        progress: wraps the iteration over blocks.
    """
    rng = np.random.default_rng(seed)
    slots = [engine.open(seed + i) for i in range(conversations)]
    measured: list[_Step] = []
    try:
        with forcing or nullcontext():
            for block in progress(range(_WARM_UP_BLOCKS + blocks)):
                inputs = {slot: BlockInput(_room(rng, engine.timebase.block_samples, block + APART * slot))
                          for slot in slots}
                if forcing:
                    forcing.tell(block)
                started_ns = clock_ns()
                results = engine.step(inputs)
                ended_ns = clock_ns()
                if forcing:
                    forcing.see(results)
                if block >= _WARM_UP_BLOCKS:
                    measured.append(_Step(ended_ns - started_ns, sum(r.speaking for r in results.values()),
                                          sum(bool(r.audio.any()) for r in results.values())))
    finally:
        for slot in slots:
            engine.close(slot)
    block_ms = engine.timebase.block_ms
    states = {name: Spread(**_spread(part, conversations, block_ms)) for name, part in _parted(measured).items()}
    return Cost(**_spread(measured, conversations, block_ms), conversations=conversations, states=states,
                speaking_to_listening=_compared(measured))


@dataclass(frozen=True, slots=True)
class _Step:
    """What one step took, and in how many conversations the agent had the floor and its voice sounded."""

    ns: int
    speaking: int
    sounding: int


def _spread(steps: Sequence[_Step], conversations: int, block_ms: int) -> dict:
    """Fields of `Spread`."""
    fields = {"blocks": len(steps)}
    for name, percent in (("p50", 50), ("p95", 95), ("max", 100)):
        fields[f"{name}_ms"] = ms = round(float(np.percentile([s.ns for s in steps], percent)) / 1e6, 3)
        fields[f"{name}_ratio"] = round(ms / block_ms, 4)
    rows = len(steps) * conversations
    return {**fields, "speaking_share": round(sum(s.speaking for s in steps) / rows, 3),
            "sounding_share": round(sum(s.sounding for s in steps) / rows, 3)}


def _parted(steps: Sequence[_Step]) -> dict[str, list[_Step]]:
    """Steps by state; no state is empty."""
    parts = {name: [s for s in steps if (s.speaking > 0) == (name == "speaking")] for name in STATES}
    return {name: part for name, part in parts.items() if part}


def _compared(steps: Sequence[_Step]) -> float | None:
    """See `Cost.speaking_to_listening`."""
    ratios = []
    for at in range(0, len(steps), ROUND):
        medians = {name: np.median([s.ns for s in part]) for name, part in _parted(steps[at:at + ROUND]).items()}
        if len(medians) == len(STATES):
            ratios.append(medians["speaking"] / medians["listening"])
    return round(float(np.median(ratios)), 3) if ratios else None


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


def bench_matrices(packed, plain, *, rounds: int = 24, clock_ns: Callable[[], int] = time.perf_counter_ns) -> float:
    """How many times as fast a block of one conversation is with packed matrices as with plain ones: ratio of the
    medians of a second of blocks each, in turns, and the median of the rounds.

    Args:
        packed, plain: engines of the same weights, with a capacity of one.
    """
    slots, rng, ratios = [engine.open(0) for engine in (packed, plain)], np.random.default_rng(0), []
    try:
        for turn in range(rounds + 1):
            medians = []
            for engine, slot in zip((packed, plain), slots, strict=True):
                spent = []
                for block in range(12):
                    room = BlockInput(_room(rng, engine.timebase.block_samples, 12 * turn + block))
                    started_ns = clock_ns()
                    engine.step({slot: room})
                    spent.append(clock_ns() - started_ns)
                medians.append(np.median(spent))
            ratios.append(medians[1] / medians[0])
    finally:
        packed.close(slots[0])
        plain.close(slots[1])
    return float(np.median(ratios[1:]))     # the first round warms up


def bench_beginning(engine: Engine, conversations: int, *, rounds: int = 12,
                    clock_ns: Callable[[], int] = time.perf_counter_ns) -> float:
    """How many times as much a block costs all conversations if one of them begins in it: ratio to the median of the
    five blocks after it, and the median of the rounds.

    Args:
        engine: with at least that capacity.
    """
    rng, ratios = np.random.default_rng(0), []
    slots = [engine.open(i) for i in range(conversations)]
    try:
        for turn in range(rounds + 1):
            engine.close(slots.pop())
            slots.append(engine.open(turn))
            spent = []
            for block in range(6):
                inputs = {slot: BlockInput(_room(rng, engine.timebase.block_samples, block)) for slot in slots}
                started_ns = clock_ns()
                engine.step(inputs)
                spent.append(clock_ns() - started_ns)
            ratios.append(spent[0] / np.median(spent[1:]))
    finally:
        for slot in slots:
            engine.close(slot)
    return float(np.median(ratios[1:]))     # in the first round all of them begin


def main(args) -> int:
    """The command."""
    import torch

    from omni.model.weights import load_model
    from omni.nn.conv import turn
    from omni.nn.packed import can_pack

    if args.blocks < 1 or any(n < 1 for n in args.conversations):
        raise ConfigError("--blocks and --conversations take counts of at least 1")
    share = _share(args.speaking)
    torch.set_num_threads(args.threads)
    model = load_model(args.model, device=args.device, packed=True)
    costs, beginnings = [], []
    with settled_heap():    # as where it serves
        for count in args.conversations:
            engine = Engine(model, capacity=count, device=args.device, threads=args.threads)
            forcing = None if share is None else Forcing(model, count, share, args.seed)
            progress = partial(tqdm, desc=f"{count} at once", unit="block", file=sys.stderr, disable=None, leave=False)
            costs.append(bench_steps(engine, count, args.blocks, seed=args.seed, forcing=forcing, progress=progress))
            beginnings.append(bench_beginning(engine, count))
    machine = (f"{processor()}, {os.cpu_count()} cores, {args.threads} threads, {args.device}, "
               f"torch {torch.__version__}")
    print(machine)
    for cost, beginning in zip(costs, beginnings, strict=True):
        print("\n".join(_lines(cost, model.timebase.block_ms, share)))
        print(f"  a block in which one begins costs {beginning:.2f} times the next ones, in turns")
    for name, meaning in STATES.items():
        print(f"{name}: {meaning}")
    times = None
    if can_pack() and torch.device(args.device).type == "cpu":
        unpacked = turn(load_model(args.model))     # so that packing is all that differs
        packed, plain = (Engine(loaded, capacity=1, threads=args.threads) for loaded in (model, unpacked))
        times = bench_matrices(packed, plain)
        print(f"one conversation with matrices packed in half precision, as above: {times:.2f} times as fast as with "
              "float32, in turns in this run")
    # that forward's mouth is silent, so it is compared with blocks in which the agent is
    stepping_s = costs[0].states.get("listening", costs[0]).p50_ms * 10 / model.timebase.block_ms
    forwards = {"ears and mind": bench_forward(model, 10, mouth=False),
                "ears, mind and mouth": bench_forward(model, 10)}
    for what, forward_s in forwards.items():
        print(f"10 s in one forward, {what}: {forward_s:.3f} s, {stepping_s / forward_s:.1f} times the speed of "
              "stepping (all three, listening)")
    if args.json:
        report = {"machine": machine, "model": args.model, "seed": args.seed,
                  "speaking": "own" if share is None else share, "states": STATES,
                  "costs": [{**asdict(cost), "beginning_to_other": beginning} for cost, beginning in
                            zip(costs, beginnings, strict=True)], "packed_to_float32": times, "forward_10_s": forwards}
        with replacing(args.json) as path:
            path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _share(speaking: str) -> float | None:
    """Of blocks in which the agent is made to speak; None if that is left to it."""
    if speaking == "own":
        return None
    try:
        share = float(speaking)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(f"--speaking takes a share of blocks from 0 to 1, or own, not {speaking}")
    return share


def _lines(cost: Cost, block_ms: int, share: float | None) -> list[str]:
    """Of a table: all blocks, and those of each state; `share` as of `_share`."""
    noun = "conversation" if cost.conversations == 1 else "conversations"
    floor = "floor left to the weights" if share is None else f"made to speak in about {share:.0%}"
    lines = [f"{cost.conversations} {noun}, blocks of {block_ms} ms, {floor}"]
    for name, spread in {"all": cost, **cost.states}.items():
        parts = "   ".join(f"{percentile} {ms:7.2f} ms = {ratio:.3f}" for percentile, ms, ratio in (
            ("p50", spread.p50_ms, spread.p50_ratio), ("p95", spread.p95_ms, spread.p95_ratio),
            ("max", spread.max_ms, spread.max_ratio)))
        lines.append(f"  {name:9} {spread.blocks:5d} blocks   {parts}   (has the floor {spread.speaking_share:.0%}, "
                     f"sounds {spread.sounding_share:.0%})")
    if cost.speaking_to_listening is not None:
        lines.append(f"  a block of speaking costs {cost.speaking_to_listening:.2f} times one of listening, "
                     "round by round of 4 s")
    return lines


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
