"""Scripts on disk: read them, draw their variants, find their recordings."""

import random
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TypeVar

import yaml

from omni.base import config
from omni.base.errors import ConfigError, ScriptError
from omni.evaluate.scenario import Expectation, Misplaced, Scenario

T = TypeVar("T")

_NAMING = ("play", "pick", "room", "file", "files", "response")     # keys whose values are names of files


class Lines:
    """Where everything stands in a YAML file, by paths such as "user[1].when.at_s".

    Attributes:
        root: what was read.
    """

    def __init__(self, path: Path):
        """Raises:
            ScriptError: the file cannot be read, is not YAML, has a key twice or refers to itself.
        """
        self._file = path.name
        self._lines: dict[str, int] = {"": 1}
        self._values: list[tuple[str, str, str]] = []       # path, the path's last key, what is written there
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ScriptError(f"{path.name}: cannot be read") from error
        try:
            if (root := yaml.compose(text, Loader=yaml.SafeLoader)) is not None:
                self._find(root, "", "", ())
            self.root = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError) as error:       # ValueError: a date that is none
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or "unreadable"
            raise ScriptError(f"{path.name}{line}: not YAML ({problem})") from error

    def error(self, where: str, problem: str, line_of: str = "") -> ScriptError:
        """What is wrong at a path; it has the line of the path `line_of` if that is given and written down."""
        where = self._written(where)
        line = self._lines[self._written(line_of) or where]
        return ScriptError(f"{self._file}:{line}: {where + ': ' if where else ''}{problem}")

    def naming(self, name: str) -> str:
        """Path of the first place where a file or set is called so; empty if there is none."""
        return next((where for where, key, value in self._values if key in _NAMING and value == name), "")

    def _written(self, where: str) -> str:
        """The path, or that of what holds it where it is not written down."""
        while where not in self._lines:
            where = where[:max(where.rfind("."), where.rfind("["), 0)]
        return where

    def _find(self, node: yaml.Node, where: str, last: str, around: tuple[yaml.Node, ...]) -> None:
        if any(node is outer for outer in around):
            raise ScriptError(f"{self._file}:{node.start_mark.line + 1}: {where}: an alias of what it stands in")
        self._lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name, line = f"{where}.{key.value}" if where else str(key.value), key.start_mark.line + 1
                if name in self._lines:
                    raise ScriptError(f"{self._file}:{line}: {key.value!r} is there twice")
                self._lines[name] = line
                self._find(value, name, str(key.value), (*around, node))
        elif isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                self._find(item, f"{where}[{i}]", last, (*around, node))
        else:
            self._values.append((where, last, node.value))


def read_strict(kind: type[T], path: Path) -> T:
    """A YAML file as dataclass `kind`.

    Raises:
        ScriptError: it is not there or is wrong; the message names file and line, and the nearest valid key.
    """
    lines = Lines(path)
    try:
        return config.build(kind, lines.root, "script")
    except ConfigError as error:
        where, _, problem = str(error).partition(": ")
        where = where.removeprefix("script").removeprefix(".")
        if isinstance(error.__cause__, Misplaced):
            raise lines.error(f"{where}.{error.__cause__.key}".removeprefix("."), problem) from error
        unknown = re.match(r"unknown key '?([^';]*)", problem)
        raise lines.error(where, problem, f"{where}.{unknown[1]}".removeprefix(".") if unknown else "") from error


def load_scenario(path: Path) -> Scenario:
    """Read a script.

    Raises:
        ScriptError: it is not there or is wrong; the message names file and line, and the nearest valid key.
    """
    return read_strict(Scenario, path)


def concrete(scenario: Scenario, variant: int, seed: int = 0) -> Scenario:
    """One variant: every range is a number. What sets and voices it draws depends on its seed alone.

    Scripts of one seed that say different things draw differently: the same question in the same voice over and over
    would count as many.

    Args:
        variant: from 0; it may be one beyond the script's own, and draws for itself like these.
        seed: the command's; each draws anew, and 0 what was drawn before commands had a say in it.
    """
    rng = random.Random(f"{scenario.title}/{scenario.seed}/{variant}" + (f"/{seed}" if seed else ""))

    def drawn(body):
        if isinstance(body, tuple):
            return tuple(drawn(item) for item in body)
        if not is_dataclass(body):
            return body
        values = {f.name: getattr(body, f.name) for f in fields(body)}
        for name, value in values.items():
            ranged = name in ("at_s", "plus_s", "gain_db", "level_db", "snr_db", "delay_ms", "jitter_ms", "loss")
            values[name] = rng.uniform(*value) if ranged and isinstance(value, tuple) else drawn(value)
        return type(body)(**values)

    own = rng.randrange(1 << 31) if scenario.variants > 1 or variant or seed else scenario.seed
    return replace(drawn(_repeated(scenario)), seed=own, variants=1, variant=variant, draw_seed=seed)


def _repeated(scenario: Scenario) -> Scenario:
    """The script with its rounds written out."""
    if scenario.repeat_s is None:
        return scenario
    users, expectations = list(scenario.user), list(scenario.expect)
    for number in range(1, scenario.num_rounds):
        shift = number * scenario.repeat_s

        def again(name: str, number: int = number) -> str:
            return f"{name}_{number + 1}"

        for turn in scenario.user:
            when = turn.when
            if when.after is not None:
                when = replace(when, after=again(when.after))
            else:
                when = replace(when, at_s=tuple(at + shift for at in when.at_s) if isinstance(when.at_s, tuple)
                               else when.at_s + shift)
            users.append(replace(turn, name=again(turn.name), when=when))
        for expectation in scenario.expect:
            body = getattr(expectation, expectation.kind)
            names = {f.name: again(value) for f in fields(body) if (value := getattr(body, f.name)) is not None
                     and f.name in ("to", "after", "through", "since", "until")}
            times = {f.name: value + shift for f in fields(body) if f.name in ("from_s", "to_s")
                     and (value := getattr(body, f.name)) is not None}
            expectations.append(Expectation(**{expectation.kind: replace(body, **names, **times)}))
    return replace(scenario, user=tuple(users), expect=tuple(expectations), repeat_s=None)


def resolve_script(name: str) -> Path:
    """A script by path, or one of the project's own by name.

    Raises:
        ScriptError: there is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    folder = config.data_path("configs", "evaluate", "scripts")
    own = folder / f"{path.stem}.yaml"
    if own.is_file() and path.parent == Path() and path.suffix in ("", ".yaml"):
        return own
    raise ScriptError(f"no script {name}; {config.nearest(path.stem, [p.stem for p in folder.glob('*.yaml')])}")


def resolve_recording(name: str, script: Path, written_in: Path | None = None) -> Path:
    """A recording beside the script, or one of the project's own.

    Args:
        written_in: the file that names it, if it is not the script itself.

    Raises:
        ScriptError: there is neither.
    """
    folder = config.data_path("configs", "evaluate", "recordings")
    for path in (script.parent / name, folder / name):
        if path.is_file():
            return path
    have = [p.name for f in (script.parent, folder) for p in f.glob("*") if p.suffix in (".flac", ".wav", ".ogg")]
    raise _missing("recording", name, have, written_in or script)


def resolve_set(name: str, script: Path) -> Path:
    """The file of a set, in the folder `sets` beside the script or among the project's own.

    Raises:
        ScriptError: there is neither.
    """
    folders = (script.parent / "sets", config.data_path("configs", "evaluate", "sets"))
    for folder in folders:
        if (path := folder / f"{name}.yaml").is_file():
            return path
    raise _missing("set", name, [p.stem for folder in folders for p in folder.glob("*.yaml")], script)


def _missing(what: str, name: str, have: Iterable[str], file: Path) -> ScriptError:
    problem = f"no {what} {name!r}; {config.nearest(name, set(have))}"
    try:
        lines = Lines(file)
    except ScriptError:     # there is no file: the caller has the script in memory
        return ScriptError(f"{file.name}: {problem}")
    if not (where := lines.naming(name)):
        return ScriptError(f"{file.name}: {problem}")
    return lines.error(where, problem)
