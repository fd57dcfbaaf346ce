"""`omni simulate`: a scripted conversation in virtual time, and whether the agent did what was expected.

The loop is reactive block by block: what the user does in block i + 1 may depend on what the agent decided from block
i, as it may between people, and on nothing later.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from omni.audio.files import replacing, write_wav
from omni.base import config
from omni.base.errors import MediaError
from omni.base.events import BlockInput, BlockResult
from omni.engine.engine import Engine
from omni.evaluate.conversation import Conversation
from omni.evaluate.converse import load_engine, write_lines
from omni.evaluate.listen import write_page
from omni.evaluate.network import RemoteRun
from omni.evaluate.outcome import Outcome, conclude, trace
from omni.evaluate.scenario import Scenario
from omni.evaluate.scripts import concrete, load_scenario, resolve_recording, resolve_script
from omni.evaluate.sets import load_set
from omni.evaluate.timeline import draw
from omni.evaluate.user import User, make_echo

BATCH = 16


class Run:
    """A script under way: its user, its conversation with the agent."""

    def __init__(self, engine: Engine, scenario: Scenario, script: Path, seed: int):
        self._scenario = scenario
        self._user = User(scenario, script, engine.timebase)
        self._talk = Conversation(engine, seed=seed, instructions=scenario.instructions,
                                  echo=make_echo(scenario, script, engine.timebase))

    @property
    def slot(self) -> int:
        """Its place in the engine."""
        return self._talk.slot

    @property
    def over(self) -> bool:
        """Whether its time has passed."""
        return self._talk.now >= self._user.num_samples

    def hear(self) -> BlockInput:
        """What the agent's microphone picks up in the next block."""
        return self._talk.hear(self._user.block(self._talk.now, self._talk.record))

    def take(self, result: BlockResult) -> None:
        """What the agent did in it."""
        self._talk.take(result)

    def close(self) -> None:
        """Give the slot back."""
        self._talk.__exit__()

    def outcome(self) -> Outcome:
        """What came of it, once it is over."""
        return conclude(self._scenario, self._user, self._talk.record, self._talk.output(self._user.num_samples))


def simulate(engine: Engine, scenario: Scenario, script: Path, *, seed: int = 0) -> Outcome:
    """Run a script to its end.

    Args:
        seed: of the model's random generator.

    Raises:
        ScriptError, MediaError: a recording is missing or cannot be used.
    """
    (_, outcome), = simulate_all(engine, [Task(scenario, script, seed)])
    return outcome


@dataclass(frozen=True, slots=True)
class Task:
    """One conversation to be held: a concrete script, its file, the seed of the model's random generator."""

    scenario: Scenario
    script: Path
    seed: int


def simulate_all(engine: Engine, tasks: Iterable[Task],
                 tick: Callable[[int], None] = lambda blocks: None) -> Iterator[tuple[Task, Outcome]]:
    """Hold conversations, as many at once as the engine has slots; each is given back when it is over.

    A conversation is the same bit for bit whatever runs beside it (the batch has one row for every slot always).

    Args:
        tick: told after every step how many blocks have passed, over all conversations.

    Raises:
        ScriptError, MediaError: a recording is missing or cannot be used.
    """
    waiting, running = iter(tasks), {}
    try:
        while True:
            while len(running) < engine.capacity and (task := next(waiting, None)) is not None:
                kind = Run if task.scenario.network is None else RemoteRun
                run = kind(engine, task.scenario, task.script, task.seed)
                running[run.slot] = (task, run)
            if not running:
                return
            results = engine.step({slot: run.hear() for slot, (_, run) in running.items()})
            tick(len(results))
            for slot, result in results.items():
                running[slot][1].take(result)
            for slot, (task, run) in list(running.items()):
                if run.over:
                    run.close()
                    del running[slot]
                    yield task, run.outcome()
    finally:
        for _, run in running.values():
            run.close()


def write_outcome(folder: Path, scenario: Scenario, outcome: Outcome, *, seed: int, model: str,
                  picture: bool = True) -> None:
    """Write conversation.wav (user left, agent right), trace.jsonl, timeline.png and verdicts.json into `folder`.

    Equal outcomes give equal files. The picture takes longer than the rest; verdicts.json comes last, so that a folder
    that has it is complete.

    Raises:
        MediaError: the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{folder}: cannot be made ({(error.strerror or 'no access').lower()})") from error
    timebase = outcome.record.timebase
    write_wav(folder / "conversation.wav", np.stack((outcome.user, outcome.agent)), timebase.sample_rate_hz)
    with replacing(folder / "trace.jsonl") as path:
        write_lines(path, trace(outcome))
    verdicts = [{**asdict(v), "start": timebase.to_seconds(v.start), "end": timebase.to_seconds(v.end)}
                for v in outcome.verdicts]
    report = {"title": scenario.title, "held": outcome.held, "verdicts": verdicts, "model": model, "seed": seed,
              "scenario": config.to_plain(scenario), "fingerprint": config.fingerprint(scenario)}
    if picture:
        with replacing(folder / "timeline.png") as path:
            draw(path, scenario.title, outcome.user, outcome.agent, outcome.record, outcome.turns, outcome.verdicts)
    with replacing(folder / "verdicts.json") as path:
        path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Work:
    """What one command is to do.

    Attributes:
        scripts: as they were named, with what stands in them.
        alone: it is one conversation, whose files lie in the folder itself.
        todo: folder and task of every conversation.
        skipped: how many were there already.
    """

    scripts: list[tuple[Path, Scenario]]
    alone: bool
    todo: list[tuple[Path, Task]]
    skipped: int


def plan(args, model: str | None) -> Work:
    """The conversations that the flags ask for.

    Args:
        model: who holds them, by which --resume knows those that are there; None if nothing is to be run.

    Raises:
        ScriptError: a script is wrong, or something that it needs to be run is missing.
    """
    scripts = [(resolve_script(name), load_scenario(resolve_script(name))) for name in args.scripts]
    out = Path(args.out)
    alone = len(scripts) == 1 and scripts[0][1].variants == 1
    todo: list[tuple[Path, Task]] = []
    for script, scenario in scripts:
        if model is not None:
            check(scenario, script)
        for variant in range(scenario.variants):
            folder = out if alone else out / script.stem / f"{variant:03d}"
            task = Task(concrete(scenario, variant), script, args.seed + variant)
            if not (args.resume and model is not None and already(folder, task, model)):
                todo.append((folder, task))
    return Work(scripts, alone, todo, sum(scenario.variants for _, scenario in scripts) - len(todo))


def main(args) -> int:
    """The command: 0 if every expectation was met, 1 if not; a wrong script raises."""
    work = plan(args, args.model)   # what is missing is told before a model is loaded
    folders, tasks = {id(task): folder for folder, task in work.todo}, [task for _, task in work.todo]
    engine, _ = load_engine(args.model, args.device, args.threads, capacity=min(args.batch or BATCH, len(tasks) or 1))
    size = engine.timebase.block_samples / engine.timebase.sample_rate_hz
    total = sum(-(-task.scenario.length_s // size) for task in tasks)
    outcomes: list[tuple[Task, Outcome]] = []
    with tqdm(total=int(total), unit="block", desc="conversations", disable=work.alone, leave=False) as bar:
        for task, outcome in simulate_all(engine, tasks, bar.update):
            folder = folders[id(task)]
            write_outcome(folder, task.scenario, outcome, seed=task.seed, model=args.model)
            if args.listen:
                write_page(folder, task.scenario.title)
            outcomes.append((task, outcome))
    return tell(work, outcomes)


def tell(work: Work, outcomes: list[tuple[Task, Outcome]]) -> int:
    """Say what came of it; the command's exit code."""
    if work.alone:
        for verdict in outcomes[0][1].verdicts if outcomes else ():
            print(f"{'held  ' if verdict.held else 'FAILED'}  {verdict.expected}: {verdict.detail}")
    for script, scenario in work.scripts:
        verdicts = [v for task, outcome in outcomes if task.script == script for v in outcome.verdicts]
        met = sum(v.held for v in verdicts)
        print(f"{scenario.title}: {met} of {len(verdicts)} expectations held", file=sys.stderr)
    if work.skipped:
        print(f"{work.skipped} conversations were there already", file=sys.stderr)
    return 0 if all(outcome.held for _, outcome in outcomes) else 1


def check(scenario: Scenario, script: Path) -> None:
    """Find everything a script needs.

    Raises:
        ScriptError: a recording or a set is not there.
    """
    for turn in scenario.user:
        if turn.play is not None:
            resolve_recording(turn.play, script)
        if turn.pick is not None:
            for name in load_set(turn.pick, script).files:
                resolve_recording(name, script)
        if turn.room is not None:
            resolve_recording(turn.room, script)


def already(folder: Path, task: Task, model: str) -> bool:
    """Whether this very conversation lies in a folder."""
    try:
        report = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (report.get("fingerprint"), report.get("seed"), report.get("model")) == (
        config.fingerprint(task.scenario), task.seed, model)
