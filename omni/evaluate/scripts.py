"""Scripts on disk: read them, draw their variants, find their recordings."""

import random
import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import yaml

from omni.base import config
from omni.base.errors import ConfigError, ScriptError
from omni.evaluate.scenario import Expectation, Scenario


def load_scenario(path: Path) -> Scenario:
    """Read a script.

    Raises:
        ScriptError: it is not there or is wrong; the message names file and line, and the nearest valid key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(f"{path.name}: cannot be read") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ScriptError(f"{path.name}{line}: not YAML ({getattr(error, 'problem', None) or 'unreadable'})") from error
    lines: dict[str, int] = {"script": 1}
    if root is not None:
        _find_lines(root, "script", lines, path.name)
    try:
        return config.build(Scenario, values, "script")
    except ConfigError as error:
        raise ScriptError(_with_line(str(error), lines, path.name)) from error


def concrete(scenario: Scenario, variant: int) -> Scenario:
    """One variant: every range is a number. What sets and voices it draws depends on its seed alone."""
    rng = random.Random(f"{scenario.seed}/{variant}")

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

    seed = rng.randrange(1 << 31) if scenario.variants > 1 else scenario.seed
    return replace(drawn(_repeated(scenario)), seed=seed, variants=1, variant=variant)


def _repeated(scenario: Scenario) -> Scenario:
    """The script with its rounds written out."""
    if scenario.repeat_s is None:
        return scenario
    users, expectations = list(scenario.user), list(scenario.expect)
    for number in range(1, int(scenario.length_s // scenario.repeat_s)):
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


def resolve_recording(name: str, script: Path) -> Path:
    """A recording beside the script, or one of the project's own.

    Raises:
        ScriptError: there is neither.
    """
    folder = config.data_path("configs", "evaluate", "recordings")
    for path in (script.parent / name, folder / name):
        if path.is_file():
            return path
    have = [p.name for f in (script.parent, folder) for p in f.glob("*") if p.suffix in (".flac", ".wav", ".ogg")]
    raise ScriptError(f"{script.name}: no recording {name!r}; {config.nearest(name, have)}")


def _find_lines(node: yaml.Node, where: str, lines: dict[str, int], file: str) -> None:
    """Line of every key and item, by the path that configuration errors name; a key that comes twice is an error."""
    lines.setdefault(where, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name, line = f"{where}.{key.value}", key.start_mark.line + 1
            if name in lines:
                raise ScriptError(f"{file}:{line}: {key.value!r} is there twice")
            lines[name] = line
            _find_lines(value, name, lines, file)
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            _find_lines(item, f"{where}[{i}]", lines, file)


def _with_line(message: str, lines: dict[str, int], file: str) -> str:
    where, _, problem = message.partition(": ")
    named = re.search(r"unknown key '([^']*)'|no turn '([^']*)'", problem)
    line = lines.get(where, 1)
    if named and named[1]:
        line = lines.get(f"{where}.{named[1]}", line)
    spot = where.removeprefix("script").removeprefix(".")
    return f"{file}:{line}: {spot + ': ' if spot else ''}{problem}"
