"""Who takes part in a suite: the model in this process, its controls, the usual turn-taking, a server, recordings.

Each is a function that makes sure that its conversations lie in its folder. What lies there already is not held again,
unless another model held it, by another script or seed, or with other sets to draw from.
"""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tqdm import tqdm

from omni.audio.files import made_folder, replacing
from omni.base import config
from omni.base.errors import ConfigError, MediaError, OmniError
from omni.engine.engine import Engine
from omni.evaluate.baselines.energy import EnergyGate
from omni.evaluate.baselines.engine import BaselineEngine
from omni.evaluate.baselines.reply import speak_reply
from omni.evaluate.baselines.silero import SileroVad
from omni.evaluate.baselines.smart_turn import SmartTurn
from omni.evaluate.controls import CONTROLS, Rewired, random_weights
from omni.evaluate.converse import load_engine
from omni.evaluate.growth import Growth
from omni.evaluate.recorded import drawn_with, judge_in_place
from omni.evaluate.scenario import Scenario
from omni.evaluate.sets import load_set
from omni.evaluate.simulate import Task, already, model_identity, simulate_all, write_outcome

BASELINES = {"energy_gate": EnergyGate, "silero_vad": SileroVad, "smart_turn": SmartTurn}
OWN = "omni"
MOST_AT_ONCE = 64       # sessions with one server: each is a clock of 20 ms in this process

Wanted = list[tuple[Path, Task]]
"""Of every conversation of a suite, its folder below the agent's and its task."""
Hold = Callable[[Path, Wanted], None]
"""Makes sure that the conversations lie in an agent's folder."""

_NO_SETS = hashlib.sha256(b"").hexdigest()[:16]


def chosen(args) -> dict[str, Hold]:
    """The agents that the flags name, in the order of the report.

    Raises:
        ConfigError: there is no such agent, or two have one name.
    """
    found: list[tuple[str, Hold]] = []
    if args.model is not None:
        identity = " ".join(model_identity(args.model))
        found.append((OWN, _in_process(args, OWN, identity, lambda n: load_engine(
            args.model, args.device, args.threads, capacity=n)[0])))
        found += [(name, _in_process(args, name, f"{identity} {name}", partial(_control, name, args)))
                  for name in args.control]
    elif args.control:
        raise ConfigError("--control is of the model in this process: add --model NAME")
    found += [(name, _baseline(args, name)) for name in args.baseline]
    if args.server:
        if args.name in (OWN, *CONTROLS, *BASELINES):
            raise ConfigError(f"--name {args.name} is an agent of this process: give another")
        found.append((args.name, _on_server(args)))
    found += [(name, _recorded) for name in args.recorded]
    for name, _ in found:
        if [n for n, _ in found].count(name) > 1:
            raise ConfigError(f"two agents are called {name!r}")
        if name != Path(name).name:
            raise ConfigError(f"{name!r} is no name of a folder in --out DIR")
    return dict(found)


def drawn_from(script: Path, scenario: Scenario) -> str:
    """A fingerprint of the sets that a script draws from, for it names them only.

    Raises:
        ScriptError: one is missing or wrong.
    """
    picks = [turn.pick for turn in scenario.user] + [scenario.noise.pick]
    found = [config.fingerprint(load_set(name, script)) for name in picks if name is not None]
    return hashlib.sha256("".join(found).encode()).hexdigest()[:16]


def missing(out: Path, wanted: Wanted, model: str) -> Wanted:
    """What this model has not held yet, in the order of `wanted`.

    Conversations tell their script but not what was in its sets: sets.json in `out` does. Those of a script whose sets
    have changed since are taken for unfinished, by losing their verdicts.

    Raises:
        MediaError: the folder cannot be made or written to.
    """
    now = {task.script.stem: drawn_from(task.script, task.scenario) for _, task in wanted}
    known = _read(out / "sets.json")
    for stem in now:
        if known.get(stem, _NO_SETS) != now[stem]:
            for verdicts in (out / stem).glob("*/verdicts.json"):
                verdicts.unlink()
    with replacing(made_folder(out) / "sets.json") as path:
        path.write_text(json.dumps({**known, **now}, indent=1) + "\n", encoding="utf-8")
    return [(folder, task) for folder, task in wanted if not already(out / folder, task, model)]


def hold(make_engine: Callable[[int], object], out: Path, wanted: Wanted, *, model: str, batch: int, name: str) -> None:
    """Hold the conversations that do not lie in `out` yet; each is written as soon as it is over.

    The engine has room for `batch` of all that are wanted, however few are left: sums of another batch are rounded
    otherwise, and a run that was interrupted is to end like one that was not.
    """
    todo = missing(out, wanted, model)
    if not todo:
        return
    todo.sort(key=lambda item: item[1].scenario.variant)    # scripts take turns: a swapped microphone is of another
    folders = {id(task): out / folder for folder, task in todo}
    engine = make_engine(min(batch, len(wanted)))
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


def load_growth(out: Path) -> dict:
    """What `Growth` measured when these conversations were held; empty if nobody did."""
    return _read(out / "growth.json")


def _in_process(args, name: str, model: str, make_engine: Callable[[int], object]) -> Hold:
    return partial(hold, make_engine, model=model, batch=args.batch, name=name)


def _control(name: str, args, capacity: int):
    from omni.model.weights import load_model

    if name == "random_weights":
        model = random_weights(load_model(args.model)).to(args.device)
        return Engine(model, capacity=capacity, device=args.device, threads=args.threads)
    return Rewired(load_engine(args.model, args.device, args.threads, capacity=capacity)[0], deaf=name == "deaf")


def _baseline(args, name: str) -> Hold:
    if name not in BASELINES:
        raise ConfigError(f"no baseline {name!r}; {config.nearest(name, BASELINES)}")
    reply = speak_reply()
    return _in_process(args, name, name, lambda n: BaselineEngine(BASELINES[name], n, reply))


def _on_server(args) -> Hold:
    """In real time. What could not be held raises once all the others are there."""
    from omni.evaluate.live import chosen_server, hold_all, write_call  # its codecs are needed by few runs

    if not 1 <= args.at_once <= MOST_AT_ONCE:
        raise ConfigError(f"--at-once goes from 1 to {MOST_AT_ONCE}")
    server = chosen_server(args)
    model = server.model

    def hold_there(out: Path, wanted: Wanted) -> None:
        todo = [(out / folder, task) for folder, task in missing(out, wanted, model)]
        left = hold_all(server, todo, partial(write_call, model=model, picture=False), at_once=args.at_once,
                        command="evaluate")
        if left:
            raise OmniError(f"{left} of {len(todo)} conversations could not be held; the same command holds them")

    return hold_there


def _recorded(out: Path, wanted: Wanted) -> None:
    """They are there; the scripts of now judge them.

    Raises:
        ConfigError: one was drawn with another seed than the report would say.
    """
    for folder, task in wanted:
        if (seed := drawn_with(out / folder)) not in (None, task.scenario.draw_seed):
            raise ConfigError(f"{out / folder} was drawn with seed {seed}: add --seed {seed}")
    for folder, task in wanted:
        try:
            judge_in_place(out / folder, task)
        except MediaError as error:
            raise MediaError(f"{out / folder}: {error}") from error


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
