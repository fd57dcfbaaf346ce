"""`omni evaluate SUITE`: hundreds of scripted conversations, the numbers that full-duplex agents are judged by.

A suite is a folder of scripts. Every agent holds the same conversations (`omni.evaluate.agents`): the weights that were
asked for, the turn-taking that a user would otherwise use, controls that must fail, an agent behind a server; or they
lie there, held before or by another agent in the same layout. Metrics are made from what lies on disk afterwards, in
one way for all, and a run that was interrupted goes on. Virtual time knows neither computing nor a network, so a stated
delay (`--add-ms`) is put on all that an agent in it does before that is measured; to real time nothing is added.

    OUT/report.json  report.html
    OUT/omni/stops/000/conversation.wav trace.jsonl verdicts.json (timeline.png and listen.html of the worst ten)
    OUT/energy_gate/stops/000/...
"""

import hashlib
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from omni import __version__
from omni.base import config
from omni.base.errors import ConfigError, MediaError, ScriptError
from omni.base.timebase import TINY
from omni.evaluate.agents import Wanted, chosen, drawn_from, load_growth
from omni.evaluate.cases import Case, load_case
from omni.evaluate.compare import compare
from omni.evaluate.listen import write_page
from omni.evaluate.metrics import REGISTRY, measure
from omni.evaluate.metrics.taking import latencies_s
from omni.evaluate.metrics.yielding import yield_times_s
from omni.evaluate.outcome import added_ms, stated_ms
from omni.evaluate.recorded import by_the_clock, draw_again, judge_in_place
from omni.evaluate.report import as_text, write_report
from omni.evaluate.scenario import Scenario
from omni.evaluate.scripts import concrete, load_scenario
from omni.evaluate.simulate import Task, check, model_identity

BY_SCRIPT = ("response_rate", "latency_p50", "answers_right", "caption_wer", "yield_rate", "wrong_yields_backchannel",
             "self_interruptions")
WORST = 10


def find_suite(name: str, only: list[str] | None = None) -> list[Path]:
    """The scripts of a suite by path, or of one of the project's own by name, in order of their names.

    Args:
        only: these of them, by name without ".yaml"; all for none.

    Raises:
        ScriptError: there is none, or no script in it, or one of `only` is not.
    """
    own = config.data_path("configs", "evaluate", "suites")
    folder = Path(name) if Path(name).is_dir() else own / name
    if not folder.is_dir():
        raise ScriptError(f"no suite {name}; {config.nearest(name, [p.name for p in own.iterdir() if p.is_dir()])}")
    if not (scripts := sorted(folder.glob("*.yaml"))):
        raise ScriptError(f"no script in the suite {name}")
    known = [script.stem for script in scripts]
    for wanted in only or ():
        if wanted not in known:
            raise ScriptError(f"--only {wanted}: no script of the suite {name}; {config.nearest(wanted, known)}")
    return [script for script in scripts if not only or script.stem in only]


def conversations(scripts: list[tuple[Path, Scenario]], seed: int, most: int | None, times: int = 1) -> Wanted:
    """(folder below the agent's, task) of every conversation: `times` as many of each script as it has variants, and
    of these at most `most`. The first of more are the same as those of fewer."""
    found: Wanted = []
    for script, scenario in scripts:
        count = times * scenario.variants
        for variant in range(min(count, most or count)):
            task = Task(concrete(scenario, variant, seed), script, seed + variant)
            found.append((Path(script.stem) / f"{variant:03d}", task))
    return found


def score(out: Path, wanted: Wanted, add_ms: int) -> tuple[list[Case], list[dict]]:
    """Cases, later by what is added to them, and a line about each conversation: folder, script, who held it, and its
    expectations held and failed. Verdicts that have another delay added are judged again where they lie.

    Raises:
        MediaError: a conversation is missing or cannot be read.
    """
    cases, lines = [], []
    for folder, task in wanted:
        case, report = load_case(out / folder), _verdicts(out / folder)
        added = 0 if by_the_clock(report["model"]) else added_ms(task.scenario, add_ms)
        if stated_ms(report) != added:
            judge_in_place(out / folder, task, added)
            report = _verdicts(out / folder)
        failed = [f"{v['expected']}: {v['detail']}" for v in report["verdicts"] if not v["held"]]
        cases.append(case.delayed(TINY.from_ms(added)))
        lines.append({"folder": str(out.name / folder), "script": task.script.stem, "failed": failed,
                      "held": len(report["verdicts"]) - len(failed), "model": report["model"]})
    return cases, lines


def _verdicts(folder: Path) -> dict:
    try:
        return json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MediaError(f"{folder.name}/verdicts.json: cannot be read") from error


def header(scripts: list[tuple[Path, Scenario]], args) -> dict:
    """What a number depends on; `scripts` stands for what they say and for the sets that they draw from."""
    import torch

    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    said = "".join(config.fingerprint(scenario) + drawn_from(script, scenario) for script, scenario in scripts)
    model = dict(zip(("weights", "config"), model_identity(args.model), strict=True)) if args.model is not None else {}
    return {"omni": __version__, "suite": args.suite, **model, "seed": args.seed, "times": args.times,
            "most": args.most, "scripts": hashlib.sha256(said.encode()).hexdigest()[:16], "device": args.device,
            "added_ms": args.add_ms, "threads": args.threads, "processor": processor, "cores": os.cpu_count(),
            "torch": torch.__version__, "python": platform.python_version()}


def main(args) -> int:
    """The command: 0 when the report is written; a wrong suite raises."""
    if args.compare:
        print(compare(*map(Path, args.compare)))
        return 0
    if args.batch < 1 or args.times < 1 or (args.most is not None and args.most < 1):
        raise ConfigError("--batch, --times and --most are at least 1")
    if not args.suite or not args.out:
        raise ConfigError("give a suite and --out DIR, or --compare A.json B.json")
    scripts = [(path, load_scenario(path)) for path in find_suite(args.suite, args.only)]
    holds = chosen(args)
    for script, scenario in scripts:        # what is wrong is told before the hours that holding takes
        added_ms(scenario, args.add_ms)
        if set(holds) != set(args.recorded):
            check(scenario, script, args.seed, args.times)
    wanted, out = conversations(scripts, args.seed, args.most, args.times), Path(args.out)
    agents = {}
    for name, hold in holds.items():
        hold(out / name, wanted)
        agents[name] = measured(out / name, wanted, args.add_ms)
        show(out, agents[name]["conversations"], every=args.pictures)
    report = {"header": header(scripts, args), "agents": agents}
    write_report(out, report)
    print(as_text(report))
    print(f"{out / 'report.html'}", file=sys.stderr)
    return 0


def measured(out: Path, wanted: Wanted, add_ms: int) -> dict:
    """What a report holds of one agent; see `write_report`.

    Raises:
        MediaError: a conversation is missing or cannot be read.
    """
    cases, lines = score(out, wanted, add_ms)
    return {"model": ", ".join(dict.fromkeys(line["model"] for line in lines)),
            "real_time": all(by_the_clock(line["model"]) for line in lines),
            "metrics": {m.name: asdict(m) for m in measure(cases)}, "scripts": by_script(cases, lines),
            "latencies_s": [round(t, 3) for case in cases for t in latencies_s(case)],
            "yield_times_s": [round(t, 3) for case in cases for t in yield_times_s(case, "onset")],
            "growth": load_growth(out), "conversations": lines}


def show(out: Path, lines: list[dict], *, every: bool) -> None:
    """A picture and a page for the ear of the worst conversations; a picture of every one if asked.

    Args:
        lines: as from `score`; those of the worst get their `page`.

    Raises:
        MediaError: a file is missing or cannot be used.
    """
    worst = [line for line in sorted(lines, key=lambda line: -len(line["failed"]))[:WORST] if line["failed"]]
    for line in tqdm(lines if every else worst, desc="pictures", unit="picture", disable=not every):
        if not _drawn(out / line["folder"]):
            draw_again(out / line["folder"], line["folder"])
    for line in worst:
        write_page(out / line["folder"], line["folder"])
        line["page"] = f"{line['folder']}/listen.html"


def _drawn(folder: Path) -> bool:
    """Whether there is a picture of this very conversation: one that is no older than its verdicts."""
    try:
        return (folder / "timeline.png").stat().st_mtime_ns >= (folder / "verdicts.json").stat().st_mtime_ns
    except OSError:
        return False


def by_script(cases: list[Case], lines: list[dict]) -> dict[str, dict]:
    """Of each script, expectations held and in all, and the metrics that say most about a kind of conversation."""
    found: dict[str, dict] = {}
    for script in dict.fromkeys(line["script"] for line in lines):
        own = [(case, line) for case, line in zip(cases, lines, strict=True) if line["script"] == script]
        held, failed = sum(line["held"] for _, line in own), sum(len(line["failed"]) for _, line in own)
        found[script] = {"held": held, "expected": held + failed, "conversations": len(own),
                         **{name: asdict(REGISTRY[name]([case for case, _ in own])) for name in BY_SCRIPT}}
    return found
