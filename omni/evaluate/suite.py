"""`omni evaluate SUITE`: hundreds of scripted conversations, the numbers that full-duplex agents are judged by.

A suite is a folder of scripts. Every agent holds the same conversations: the weights asked for, the turn-taking that
a user would otherwise use (`omni.evaluate.baselines`), controls that must fail (`omni.evaluate.controls`). Metrics are
made from what lies on disk afterwards, so a run that was interrupted goes on, and recordings that another agent made in
the same layout are scored alike. Virtual time knows neither computing nor a network, so a stated delay (`--add-ms`) is
put on everything that an agent does before it is measured; every agent gets the same.

    OUT/report.json  report.html
    OUT/omni/stops/000/conversation.wav trace.jsonl verdicts.json (listen.html of the worst ten)
    OUT/energy_gate/stops/000/...
"""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from omni import __version__
from omni.audio.files import replacing
from omni.base import config
from omni.base.errors import ConfigError, MediaError, ScriptError
from omni.base.timebase import TINY
from omni.engine.engine import Engine
from omni.evaluate.baselines.energy import EnergyGate
from omni.evaluate.baselines.engine import BaselineEngine
from omni.evaluate.baselines.reply import speak_reply
from omni.evaluate.baselines.silero import SileroVad
from omni.evaluate.baselines.smart_turn import SmartTurn
from omni.evaluate.cases import Case, load_case
from omni.evaluate.converse import load_engine
from omni.evaluate.growth import Growth
from omni.evaluate.listen import write_page
from omni.evaluate.metrics import REGISTRY, measure
from omni.evaluate.metrics.taking import latencies_s
from omni.evaluate.metrics.yielding import yield_times_s
from omni.evaluate.recorded import draw_again
from omni.evaluate.report import as_text, compare, write_report
from omni.evaluate.scenario import Scenario
from omni.evaluate.scripts import concrete, load_scenario
from omni.evaluate.simulate import Task, already, check, simulate_all, write_outcome

BASELINES = {"energy_gate": EnergyGate, "silero_vad": SileroVad, "smart_turn": SmartTurn}
BY_SCRIPT = ("response_rate", "latency_p50", "answers_right", "caption_wer", "yield_rate", "wrong_yields_backchannel",
             "self_interruptions")
WORST = 10
COMPUTE_MS = 25     # of a block, p95 of one conversation on one core of the machine in the README


def find_suite(name: str) -> list[Path]:
    """The scripts of a suite by path, or of one of the project's own by name, in order of their names.

    Raises:
        ScriptError: there is none, or no script in it.
    """
    own = config.data_path("configs", "evaluate", "suites")
    folder = Path(name) if Path(name).is_dir() else own / name
    if not folder.is_dir():
        raise ScriptError(f"no suite {name}; {config.nearest(name, [p.name for p in own.iterdir() if p.is_dir()])}")
    if not (scripts := sorted(folder.glob("*.yaml"))):
        raise ScriptError(f"no script in the suite {name}")
    return scripts


def conversations(scripts: list[tuple[Path, Scenario]], seed: int, most: int | None) -> list[tuple[Path, Task]]:
    """(folder below the agent's, task) of every conversation; at most `most` of each script."""
    return [(Path(script.stem) / f"{variant:03d}", Task(concrete(scenario, variant), script, seed + variant))
            for script, scenario in scripts for variant in range(min(scenario.variants, most or scenario.variants))]


def hold(make_engine: Callable[[int], object], out: Path, wanted: list[tuple[Path, Task]], *, model: str, batch: int,
         name: str) -> None:
    """Hold the conversations that do not lie in `out` yet; each is written as soon as it is over."""
    todo = [(folder, task) for folder, task in wanted if not already(out / folder, task, model)]
    if not todo:
        return
    todo.sort(key=lambda item: item[1].scenario.variant)    # scripts take turns: a swapped microphone is of another
    folders = {id(task): out / folder for folder, task in todo}
    engine = make_engine(min(batch, len(todo)))
    block_s = engine.timebase.block_samples / engine.timebase.sample_rate_hz
    total = sum(int(-(-task.scenario.length_s // block_s)) for _, task in todo)
    with tqdm(total=total, unit="block", desc=name, smoothing=0.05) as bar:
        growth = Growth(total)

        def tick(blocks: int) -> None:
            bar.update(blocks)
            growth.tick(blocks)

        for task, outcome in simulate_all(engine, [task for _, task in todo], tick):
            write_outcome(folders[id(task)], task.scenario, outcome, seed=task.seed, model=model, picture=False)
    if len(todo) == len(wanted):    # a part of them says nothing of the whole
        with replacing(out / "growth.json") as path:
            path.write_text(json.dumps(growth.numbers(), indent=1) + "\n", encoding="utf-8")


def score(out: Path, wanted: list[tuple[Path, Task]]) -> tuple[list[Case], list[dict]]:
    """Cases and a line about each conversation: folder, script, expectations held and failed.

    Raises:
        MediaError: a conversation is missing or cannot be read.
    """
    cases, lines = [], []
    for folder, task in wanted:
        cases.append(load_case(out / folder))
        try:
            report = json.loads((out / folder / "verdicts.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise MediaError(f"{folder}/verdicts.json: cannot be read") from error
        failed = [f"{v['expected']}: {v['detail']}" for v in report["verdicts"] if not v["held"]]
        lines.append({"folder": str(out.name / folder), "script": task.script.stem, "failed": failed,
                      "held": len(report["verdicts"]) - len(failed), "model": report["model"]})
    return cases, lines


def added_ms(scenario: Scenario, add_ms: int) -> int:
    """What is put on everything the agent does; where the script has a network, its delays are there already and only
    computing is missing."""
    return add_ms if scenario.network is None else min(add_ms, COMPUTE_MS)


def header(scripts: list[tuple[Path, Scenario]], args, weights: str) -> dict:
    """What a number depends on."""
    import torch

    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"omni": __version__, "suite": args.suite, "weights": weights, "seed": args.seed,
            "scripts": hashlib.sha256("".join(config.fingerprint(s) for _, s in scripts).encode()).hexdigest()[:16],
            "device": args.device, "added_ms": args.add_ms,
            "threads": args.threads, "processor": processor, "cores": os.cpu_count(), "torch": torch.__version__,
            "python": platform.python_version()}


def main(args) -> int:
    """The command: 0 when the report is written; a wrong suite raises."""
    from omni.model.weights import fingerprint

    if args.compare:
        print(compare(*map(Path, args.compare)))
        return 0
    if not 0 <= args.add_ms <= 5_000:
        raise ConfigError("--add-ms goes from 0 to 5000")
    if not args.suite or not args.out:
        raise ConfigError("give a suite and --out DIR, or --compare A.json B.json")
    scripts = [(path, load_scenario(path)) for path in find_suite(args.suite)]
    for script, scenario in scripts:
        check(scenario, script)
    wanted = conversations(scripts, args.seed, args.most)
    weights, out = fingerprint(args.model), Path(args.out)
    makers: dict[str, tuple[str, Callable[[int], object]]] = {
        "omni": (weights, lambda n: load_engine(args.model, args.device, args.threads, capacity=n)[0])}
    for name in args.control:
        makers[name] = (f"{weights} {name}", lambda n, name=name: _control(name, args, n))
    for name in args.baseline:
        if name not in BASELINES:
            raise ConfigError(f"no baseline {name!r}; {config.nearest(name, BASELINES)}")
        reply = speak_reply()
        makers[name] = (name, lambda n, make=BASELINES[name], reply=reply: BaselineEngine(make, n, reply))
    agents = {}
    for name, (model, make) in makers.items():
        hold(make, out / name, wanted, model=model, batch=args.batch, name=name)
        cases, lines = score(out / name, wanted)
        cases = [case.delayed(TINY.from_ms(added_ms(task.scenario, args.add_ms)))
                 for case, (_, task) in zip(cases, wanted, strict=True)]
        agents[name] = {"metrics": {m.name: asdict(m) for m in measure(cases)}, "scripts": by_script(cases, lines),
                        "latencies_s": [round(t, 3) for case in cases for t in latencies_s(case)],
                        "yield_times_s": [round(t, 3) for case in cases for t in yield_times_s(case, "onset")],
                        "growth": load_growth(out / name), "conversations": lines}
        for line in sorted(lines, key=lambda line: -len(line["failed"]))[:WORST]:
            if line["failed"]:
                draw_again(out / line["folder"], line["folder"])
                write_page(out / line["folder"], line["folder"])
                line["page"] = f"{line['folder']}/listen.html"
    report = {"header": header(scripts, args, weights), "agents": agents}
    write_report(out, report)
    print(as_text(report))
    print(f"{out / 'report.html'}", file=sys.stderr)
    return 0


def load_growth(out: Path) -> dict:
    """What `Growth` measured when these conversations were held; empty if nobody did."""
    try:
        return json.loads((out / "growth.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _control(name: str, args, capacity: int):
    from omni.evaluate.controls import Rewired, random_weights
    from omni.model.weights import load_model

    if name == "random_weights":
        model = random_weights(load_model(args.model)).to(args.device)
        return Engine(model, capacity=capacity, device=args.device, threads=args.threads)
    return Rewired(load_engine(args.model, args.device, args.threads, capacity=capacity)[0], deaf=name == "deaf")


def by_script(cases: list[Case], lines: list[dict]) -> dict[str, dict]:
    """Of each script, expectations held and in all, and the metrics that say most about a kind of conversation."""
    found: dict[str, dict] = {}
    for script in dict.fromkeys(line["script"] for line in lines):
        own = [(case, line) for case, line in zip(cases, lines, strict=True) if line["script"] == script]
        held, failed = sum(line["held"] for _, line in own), sum(len(line["failed"]) for _, line in own)
        found[script] = {"held": held, "expected": held + failed, "conversations": len(own),
                         **{name: asdict(REGISTRY[name]([case for case, _ in own])) for name in BY_SCRIPT}}
    return found
