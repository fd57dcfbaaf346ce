"""Configuration is strict: what is not understood fails at once, by name."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from omni.base.config import LATER, build, data_path, fingerprint, load, nearest, to_plain
from omni.base.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Inner:
    rate: float = 1.0
    name: str = "x"


@dataclass(frozen=True, slots=True)
class Outer:
    count: int
    inner: Inner = field(default_factory=Inner)
    mode: Literal["fast", "slow"] = "fast"
    ports: tuple[int, ...] = ()
    pair: tuple[int, str] = (1, "a")
    table: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None
    on: bool = False

    def __post_init__(self):
        if self.count < 0:
            raise ValueError("count is negative")


def test_plain_values_become_dataclasses():
    outer = build(Outer, {"count": 3, "inner": {"rate": 2}, "ports": [1, 2], "pair": [5, "b"], "limit": None,
                          "mode": "slow", "table": {"a": [1]}})
    assert outer == Outer(3, Inner(2.0), "slow", (1, 2), (5, "b"), {"a": [1]})
    assert isinstance(outer.inner.rate, float)


@pytest.mark.parametrize(("values", "words"), [
    ({"count": 1, "innr": {}}, "unknown key 'innr'; did you mean 'inner'"),
    ({"count": 1, "inner": {"raet": 2}}, "config.inner: unknown key 'raet'; did you mean 'rate'"),
    ({"count": 1, "zzz": 2}, "valid: count, inner"),
    ({}, "missing key 'count'"),
    ({"count": "3"}, "config.count: expected int, got '3'"),
    ({"count": True}, "config.count: expected int, got True"),
    ({"count": 1.5}, "config.count: expected int"),
    ({"count": 1, "on": 1}, "config.on: expected bool"),
    ({"count": 1, "mode": "fats"}, "'fats' is not allowed; did you mean 'fast'"),
    ({"count": 1, "ports": [1, "2"]}, "config.ports[1]"),
    ({"count": 1, "ports": 7}, "expected a list"),
    ({"count": 1, "pair": [1]}, "expected 2 values, got 1"),
    ({"count": 1, "table": []}, "expected a mapping"),
    ({"count": 1, "inner": 4}, "expected a mapping for Inner"),
    ({"count": 1, "limit": "many"}, "config.limit: expected int"),
    ({"count": -1}, "count is negative"),
    ([1], "expected a mapping for Outer"),
])
def test_what_is_not_understood_is_named(values, words):
    with pytest.raises(ConfigError) as caught:
        build(Outer, values)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_files_and_overrides(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("count: 2\ninner: {rate: 3}\n")
    assert load(Outer, path) == Outer(2, Inner(3.0))
    changed = load(Outer, path, ["inner.name=y", "ports=[8, 9]", "count=5", "inner.rate=0.5"])
    assert changed == Outer(5, Inner(0.5, "y"), ports=(8, 9))
    for override, words in (("count", "a.b=value"), ("=3", "a.b=value"), ("count.x=1", "count is no section"),
                            ("inner.rte=1", "did you mean 'rate'")):
        with pytest.raises(ConfigError, match=words):
            load(Outer, path, [override])


def test_a_file_that_is_no_yaml_says_where(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("count: 1\ninner: [1\n")
    with pytest.raises(ConfigError, match=r"broken\.yaml:\d+: not YAML") as caught:
        load(Outer, path)
    assert str(tmp_path) not in str(caught.value)


def test_a_file_that_is_not_there_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'default'"):
        load(Outer, "serve/defualt")


def test_an_empty_file_is_all_defaults(tmp_path):
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load(Inner, tmp_path / "empty.yaml") == Inner()


def test_the_fingerprint_is_of_the_values_alone(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("inner: {name: x, rate: 1}\ncount: 4\n")
    assert fingerprint(load(Outer, path)) == fingerprint(Outer(4))
    assert fingerprint(Outer(5)) != fingerprint(Outer(4)) and len(fingerprint(Outer(4))) == 16
    assert build(Outer, to_plain(Outer(4, ports=(1, 2)))) == Outer(4, ports=(1, 2))


def test_nearest_lists_what_is_valid_when_nothing_is_near():
    assert nearest("qqq", ["b", "a"]) == "valid: a, b"
    assert nearest("alph", ["alpha", "beta"]) == "did you mean 'alpha'?"


def test_the_projects_own_files_are_found():
    for folder in ("client", "protocol", "configs"):
        assert data_path(folder).is_dir(), folder


def test_a_field_that_came_later_moves_no_hash_until_it_is_used():
    @dataclass(frozen=True)
    class Before:
        count: int = 1

    @dataclass(frozen=True)
    class Now:
        count: int = 1
        rate: float = field(default=0.5, metadata=LATER)
        inner: Before = field(default_factory=Before, metadata=LATER)

    assert to_plain(Now()) == {"count": 1} and fingerprint(Now()) == fingerprint(Before())
    assert fingerprint(Now(rate=0.6)) != fingerprint(Now())
    assert to_plain(Now(inner=Before(2))) == {"count": 1, "inner": {"count": 2}}
    assert build(Now, to_plain(Now(rate=0.6))) == Now(rate=0.6)
