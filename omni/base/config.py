"""Strict configuration: YAML into frozen dataclasses.

An unknown key, a missing key or a value of the wrong type fails at once, naming the file, the key and the nearest
valid one. The resolved configuration and its hash are stored with every run.
"""

import dataclasses
import difflib
import hashlib
import json
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from omni.base.errors import ConfigError

T = TypeVar("T")

LATER = {"later": True}  # metadata of a field: `to_plain` leaves it out while it has its default

_PACKAGE = Path(__file__).resolve().parent.parent


def data_path(*parts: str) -> Path:
    """A file of client/, protocol/ or configs/: inside the wheel (omni/_data), or beside the package in a checkout."""
    packed = _PACKAGE.joinpath("_data", *parts)
    return packed if packed.exists() else _PACKAGE.parent.joinpath(*parts)


def build(kind: type[T], values: Any, where: str = "config") -> T:
    """Build dataclass `kind` from plain values, checking every key and type.

    Raises:
        ConfigError: naming the key and, for an unknown one, the nearest valid key.
    """
    return _convert(kind, values, where)


def load(kind: type[T], path: str | Path, overrides: typing.Sequence[str] = ()) -> T:
    """Read a YAML file into dataclass `kind`; `overrides` are "a.b=value" strings as given by --set.

    A name without a suffix that is no file is looked up among the project's own configs.
    """
    path = Path(path)
    if not path.exists():
        packaged = data_path("configs").joinpath(*path.with_suffix(".yaml").parts)
        if not packaged.exists():
            raise ConfigError(f"no configuration {path}; {_siblings(packaged)}")
        path = packaged
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path.name}{line}: not YAML ({getattr(error, 'problem', error)})") from error
    for override in overrides:
        values = _override(values, override)
    return build(kind, values, path.name)


def to_plain(config: Any) -> Any:
    """The configuration as nested dicts, lists and scalars.

    A field that came to a class when results already named its configurations by their hash is marked `LATER` and is
    there only where it is not what it was before it could be chosen: those hashes stay, and runs go on.
    """
    return json.loads(json.dumps(_plain(config)))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        told = {f: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {f.name: _plain(v) for f, v in told.items() if not (f.metadata.get("later") and v == _default(f))}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _default(f: dataclasses.Field) -> Any:
    return f.default if f.default_factory is dataclasses.MISSING else f.default_factory()


def fingerprint(config: Any) -> str:
    """First 16 hex digits of the SHA-256 over the resolved configuration."""
    text = json.dumps(to_plain(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def nearest(name: str, valid: typing.Iterable[str]) -> str:
    """", did you mean 'x'?" or a list of the valid names."""
    valid = sorted(valid)
    close = difflib.get_close_matches(name, valid, n=1)
    return f"did you mean {close[0]!r}?" if close else "valid: " + ", ".join(valid)


def _siblings(path: Path) -> str:
    names = sorted(p.stem for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
    return nearest(path.stem, names) if names else "there are none of that kind"


def _override(values: dict, override: str) -> dict:
    key, sep, text = override.partition("=")
    if not sep or not key:
        raise ConfigError(f"--set takes a.b=value, not {override!r}")
    node = values
    *parents, last = key.split(".")
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise ConfigError(f"--set {key}: {parent} is no section")
    node[last] = yaml.safe_load(text)
    return values


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _convert_dataclass(kind, value, where)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(kind, value, where)
    if origin is typing.Literal:
        if value not in typing.get_args(kind):
            hint = nearest(str(value), map(str, typing.get_args(kind)))
            raise ConfigError(f"{where}: {value!r} is not allowed; {hint}")
        return value
    if origin in (tuple, list):
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: expected a list, got {value!r}")
        args = typing.get_args(kind)
        item = args[0]
        if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
            if len(args) != len(value):
                raise ConfigError(f"{where}: expected {len(args)} values, got {len(value)}")
            return tuple(_convert(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(args, value, strict=True)))
        return origin(_convert(item, v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a mapping, got {value!r}")
        _, item = typing.get_args(kind)
        return {str(k): _convert(item, v, f"{where}.{k}") for k, v in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {kind.__name__}, got {value!r}")
    return value


def _convert_union(kind: Any, value: Any, where: str) -> Any:
    errors = []
    for option in _of_kind(typing.get_args(kind), value, where):
        if option is type(None):
            if value is None:
                return None
            continue
        try:
            return _convert(option, value, where)
        except ConfigError as error:
            errors.append(error)
    raise errors[-1] if errors else ConfigError(f"{where}: {value!r} is not allowed")


def _of_kind(options: tuple, value: Any, where: str) -> tuple:
    """The options, or the one dataclass among them whose field `kind` allows the value's."""
    if not isinstance(value, dict) or "kind" not in value:
        return options
    named = {name: option for option in options if dataclasses.is_dataclass(option)
             for name in typing.get_args(typing.get_type_hints(option).get("kind"))}
    if named and value["kind"] not in named:
        raise ConfigError(f"{where}.kind: {value['kind']!r} is not allowed; {nearest(str(value['kind']), named)}")
    return (named[value["kind"]],) if named else options


def _convert_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a mapping for {kind.__name__}, got {value!r}")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}
    for key in value:
        if key not in fields:
            raise ConfigError(f"{where}: unknown key {key!r}; {nearest(str(key), fields)}")
    missing = [f.name for f in fields.values() if f.name not in value
               and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    if missing:
        raise ConfigError(f"{where}: missing key {missing[0]!r}")
    try:
        return kind(**{k: _convert(hints[k], v, f"{where}.{k}") for k, v in value.items()})
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
