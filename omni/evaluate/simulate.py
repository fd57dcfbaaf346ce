"""`omni simulate`: a scripted conversation in virtual time, and whether the agent did what was expected.

The loop is reactive block by block: what the user does in block i + 1 may depend on what the agent decided from block
i, as it may between people, and on nothing later.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from omni.audio.files import made_folder, read_mono, replacing, write_wav
from omni.audio.mixing import Echo, bed
from omni.audio.resampling import resample
from omni.base import config
from omni.base.errors import MediaError, OmniError
from omni.base.events import BlockInput, BlockResult
from omni.data import recordings, voices
from omni.engine.engine import Engine
from omni.evaluate.conversation import Conversation
from omni.evaluate.converse import load_engine, write_lines
from omni.evaluate.listen import write_page
from omni.evaluate.network import RemoteRun
from omni.evaluate.outcome import Outcome, added_ms, conclude, delayed, trace
from omni.evaluate.scenario import Scenario, Turn
from omni.evaluate.scripts import (
    Lines,
    concrete,
    load_scenario,
    read_strict,
    resolve_recording,
    resolve_script,
    resolve_set,
)
from omni.evaluate.sets import RATE_HZ, ItemSet, choose_voice
from omni.evaluate.timeline import draw
from omni.evaluate.user import User, make_echo

BATCH = 16
_DRAWN = ("unseen", "another")      # voices that are known when a variant is


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
    made_folder(folder)
    timebase = outcome.record.timebase
    write_wav(folder / "conversation.wav", np.stack((outcome.user, outcome.agent)), timebase.sample_rate_hz)
    with replacing(folder / "trace.jsonl") as path:
        write_lines(path, trace(outcome))
    verdicts = [{**asdict(v), "start": timebase.to_seconds(v.start), "end": timebase.to_seconds(v.end)}
                for v in outcome.verdicts]
    report = {"title": scenario.title, "held": outcome.held, "added_ms": outcome.added_ms, "verdicts": verdicts,
              "model": model, "seed": seed, "scenario": config.to_plain(scenario),
              "fingerprint": config.fingerprint(scenario)}
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


def plan(args, model: Callable[[], str] | None) -> Work:
    """The conversations that the flags ask for.

    Args:
        model: tells who holds them, by which --resume knows those that are there; asked once the scripts are right.
            None if nothing is to be run.

    Raises:
        ScriptError: a script is wrong, or something that it needs to be run is missing; ConfigError: a flag is wrong.
    """
    scripts = [(resolve_script(name), load_scenario(resolve_script(name))) for name in args.scripts]
    out = Path(args.out)
    alone = len(scripts) == 1 and scripts[0][1].variants == 1
    todo: list[tuple[Path, Task]] = []
    if model is not None:
        for script, scenario in scripts:
            check(scenario, script, args.seed)
            _added_ms(args, scenario)
    holder = model() if model is not None and args.resume else None
    for script, scenario in scripts:
        for variant in range(scenario.variants):
            folder = out if alone else out / script.stem / f"{variant:03d}"
            task = Task(concrete(scenario, variant, args.seed), script, args.seed + variant)
            if holder is None or not already(folder, task, holder, _added_ms(args, scenario)):
                todo.append((folder, task))
    return Work(scripts, alone, todo, sum(scenario.variants for _, scenario in scripts) - len(todo))


def model_identity(model: str) -> tuple[str, str]:
    """Fingerprints of a model's weights and of its configuration: the tensors alone do not say how far attention
    reaches.

    Raises:
        WeightsError: there are no such weights.
    """
    from omni.model.weights import config_fingerprint, fingerprint

    return fingerprint(model), config_fingerprint(model)


def main(args) -> int:
    """The command: 0 if every expectation was met, 1 if not; a wrong script raises."""
    work = plan(args, lambda: " ".join(model_identity(args.model)))     # what is missing is told before anything runs
    model = " ".join(model_identity(args.model))
    folders, tasks = {id(task): folder for folder, task in work.todo}, [task for _, task in work.todo]
    engine, _ = load_engine(args.model, args.device, args.threads, capacity=min(args.batch or BATCH, len(tasks) or 1))
    size = engine.timebase.block_samples / engine.timebase.sample_rate_hz
    total = sum(-(-task.scenario.length_s // size) for task in tasks)
    outcomes: list[tuple[Task, Outcome]] = []
    with tqdm(total=int(total), unit="block", desc="conversations", disable=work.alone, leave=False) as bar:
        for task, outcome in simulate_all(engine, tasks, bar.update):
            folder, outcome = folders[id(task)], delayed(outcome, task.scenario, _added_ms(args, task.scenario))
            write_outcome(folder, task.scenario, outcome, seed=task.seed, model=model)
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
        added = sorted({outcome.added_ms for task, outcome in outcomes if task.script == script})
        told = f", its times with {' or '.join(map(str, added))} ms added" if any(added) else ""
        print(f"{scenario.title}: {met} of {len(verdicts)} expectations held{told}", file=sys.stderr)
    if work.skipped:
        print(f"{work.skipped} conversations were there already", file=sys.stderr)
    return 0 if all(outcome.held for _, outcome in outcomes) else 1


def check(scenario: Scenario, script: Path, seed: int = 0, times: int = 1) -> None:
    """Find everything a script needs.

    How long a text is once it is spoken is known when it is: a part of one is not looked at.

    Args:
        seed: the command's, by which voices are drawn.
        times: as many of its variants are held.

    Raises:
        ScriptError: a file, a set, something that a set draws from, a voice or the synthesizer that has it is not
            there, cannot be used, or is shorter than the part that is played. It names file, line and what is nearest.
    """
    needs = _Needs(scenario, script, seed, times)
    needs.files()
    needs.machine()


def check_files(scenario: Scenario, script: Path) -> None:
    """The part of `check` that is the same on every machine: recordings and sets beside the script or of the project.

    Raises:
        ScriptError: see `check`.
    """
    _Needs(scenario, script).files()


class _Needs:
    """What a script needs, found or told as missing at its line."""

    def __init__(self, scenario: Scenario, script: Path, seed: int = 0, times: int = 1):
        self._scenario, self._script, self._lines = scenario, script, Lines(script)
        self._seed, self._num_variants = seed, times * scenario.variants
        self._read: dict[Path, np.ndarray] = {}
        self._sets: dict[str, ItemSet] = {}
        self._seeds: list[int] | None = None    # of the variants

    def files(self) -> None:
        for i, turn in enumerate(self._scenario.user):
            where = f"user[{i}]"
            if turn.play is not None:
                size = len(self._recording(turn.play, self._lines, f"{where}.play"))
                self._part(turn, where, turn.play, size / RATE_HZ)
            if turn.pick is not None:
                for name, samples in self._set_files(turn.pick):
                    self._part(turn, where, name, len(samples) / RATE_HZ)
            if turn.room is not None:
                self._recording(turn.room, self._lines, f"{where}.room")
            if turn.voice not in _DRAWN:
                self._voices(turn, where)
        if self._scenario.noise.file is not None:
            self._bed(self._recording(self._scenario.noise.file, self._lines, "noise.file"), "noise.file")
        if (name := self._scenario.noise.pick) is not None:
            for _, samples in self._set_files(name):
                self._bed(samples, "noise.pick")
            if _spoken(self._set(name)):
                raise self._lines.error("noise.pick", f"a bed is made of recordings, and the set {name!r} has texts")
        if self._scenario.echo is not None and (name := self._scenario.echo.response) is not None:
            response = self._recording(name, self._lines, "echo.response")
            try:
                Echo(0.0, 0, response)
            except ValueError as error:
                raise self._lines.error("echo.response", str(error)) from error

    def machine(self) -> None:
        """What lies below OMNI_DATA_DIR, and synthesizers."""
        for i, turn in enumerate(self._scenario.user):
            if turn.pick is not None:
                for name, seconds in self._data(turn.pick, f"user[{i}].pick", turn):
                    self._part(turn, f"user[{i}]", name, seconds)
            for voice in self._voices(turn, f"user[{i}]"):
                try:
                    _try_voice(voice.engine, voice.name)
                except OmniError as error:
                    raise self._lines.error(f"user[{i}].voice", str(error)) from error
        if (name := self._scenario.noise.pick) is not None:
            self._data(name, "noise.pick")

    def _set(self, name: str) -> ItemSet:
        if name not in self._sets:
            self._sets[name] = read_strict(ItemSet, resolve_set(name, self._script))
        return self._sets[name]

    def _set_files(self, name: str) -> list[tuple[str, np.ndarray]]:
        """The recordings that a set names, float32 (N,) at 16 kHz."""
        path, found = resolve_set(name, self._script), self._set(name)
        return [(file, self._recording(file, Lines(path), f"files[{k}]", path)) for k, file in enumerate(found.files)]

    def _recording(self, name: str, lines: Lines, where: str, written_in: Path | None = None) -> np.ndarray:
        path = resolve_recording(name, self._script, written_in)
        if path not in self._read:
            try:
                self._read[path] = resample(*read_mono(path), RATE_HZ)
            except MediaError as error:
                raise lines.error(where, str(error)) from error
        return self._read[path]

    def _part(self, turn: Turn, where: str, name: str, seconds: float) -> None:
        """Whether a recording holds the part that a turn plays, as `User` counts it."""
        end_s = seconds if turn.to_s is None else turn.to_s
        if not round(turn.from_s * RATE_HZ) < round(end_s * RATE_HZ) <= round(seconds * RATE_HZ):
            key = "from_s" if turn.to_s is None or turn.from_s >= seconds else "to_s"
            raise self._lines.error(f"{where}.{key}", f"{name} has {seconds:.2f} s, so there is no part from "
                                                      f"{turn.from_s:g} to {end_s:g} s")

    def _bed(self, samples: np.ndarray, where: str) -> None:
        try:
            bed(samples, 1)
        except ValueError as error:
            raise self._lines.error(where, str(error)) from error

    def _voices(self, turn: Turn, where: str) -> list[voices.Voice]:
        """Who speaks a turn's texts, over all variants; of those that espeak-ng makes up from one voice, one."""
        if turn.say is None and (turn.pick is None or not _spoken(self._set(turn.pick))):
            return []
        if self._seeds is None:
            self._seeds = [concrete(self._scenario, k, self._seed).seed for k in range(self._num_variants)]
        try:
            found = [choose_voice(turn.voice, seed) for seed in self._seeds]
        except OmniError as error:
            raise self._lines.error(f"{where}.voice", str(error)) from error
        return list({v.engine if v.engine == "espeak" else (v.engine, v.name): v for v in found}.values())

    def _data(self, name: str, where: str, turn: Turn | None = None) -> list[tuple[str, float]]:
        """Look for all of a set that lies below OMNI_DATA_DIR; name and seconds of each recording if a turn plays only
        a part of it."""
        path, found = resolve_set(name, self._script), self._set(name)
        if not (found.recordings or found.sounds or found.beds):
            return []
        try:
            root = recordings.data_dir()
            speech = [r for r in recordings.speech(root) if r.dev] if found.recordings else []
            sounds = [r for r in recordings.sounds(root) if r.dev] if found.sounds else []
        except (OmniError, OSError) as error:
            problem = str(error) if isinstance(error, OmniError) else "OMNI_DATA_DIR holds no such recordings"
            raise self._lines.error(where, f"the set {name!r} is not here: {problem}") from error
        beds = {file.stem: file for file in (root / "noise").glob("*.flac")}
        wanted = [("recordings", found.recordings, {r.source for r in speech})] if found.recordings else []
        wanted += [(f"sounds[{k}]", sound, {r.text for r in sounds}) for k, sound in enumerate(found.sounds)]
        wanted += [(f"beds[{k}]", bed, set(beds)) for k, bed in enumerate(found.beds)]
        for key, item, known in wanted:
            if item not in known:
                raise Lines(path).error(key, f"no {item!r} below OMNI_DATA_DIR; {config.nearest(item, known)}")
        if turn is None or not (turn.from_s or turn.to_s):
            return []
        files = [r.path for r in speech if r.source == found.recordings] + [beds[bed] for bed in found.beds]
        cut = [r.path for r in sounds if r.text in found.sounds]
        return ([(file.name, soundfile.info(file).duration) for file in files]
                + [(file.name, min(soundfile.info(file).duration, found.longest_s)) for file in cut])


@lru_cache(maxsize=64)
def _try_voice(engine: str, name: str) -> None:
    """Raises:
        OmniError: the synthesizer or the voice is not there.
    """
    voices.speak("a", choose_voice(f"{engine}:{name}", 0))


def _spoken(found: ItemSet) -> bool:
    return bool(found.texts or found.lines or found.skills)


def _added_ms(args, scenario: Scenario) -> int:
    """What the verdicts add; nothing to a live run, whose delays are real."""
    return 0 if args.server else added_ms(scenario, args.add_ms)


def already(folder: Path, task: Task, model: str, added_ms: int | None = None) -> bool:
    """Whether this very conversation lies in a folder, and with `added_ms`, judged with that."""
    try:
        report = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if added_ms is not None and report.get("added_ms", 0) != added_ms:
        return False
    return (report.get("fingerprint"), report.get("seed"), report.get("model")) == (
        config.fingerprint(task.scenario), task.seed, model)
