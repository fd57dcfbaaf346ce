"""What changed between two reports, what cannot be told, and a warning where they are not alike."""

import json
import re

import pytest

from omni import cli
from omni.base.errors import MediaError
from omni.evaluate.compare import compare

HEADER = {"suite": "mine", "scripts": "s", "seed": 0, "times": 1, "most": None, "added_ms": 125}


def _metric(value, low=None, high=None, better="higher"):
    return {"name": "m", "value": value, "low": low, "high": high, "better": better, "unit": "share", "count": 9,
            "definition": "", "source": "omni"}


@pytest.fixture
def told(tmp_path):
    """What is said of two reports, by line: {agent: metrics} each, and settings of the second one's header."""
    def say(before: dict, after: dict, real_time: bool = False, **settings) -> list[str]:
        paths = tmp_path / "a.json", tmp_path / "b.json"
        for path, agents, header, clock in zip(paths, (before, after), (HEADER, {**HEADER, **settings}),
                                               (False, real_time), strict=True):
            agents = {name: {"metrics": metrics, "real_time": clock} for name, metrics in agents.items()}
            path.write_text(json.dumps({"header": header, "agents": agents}))
        return compare(*paths).splitlines()

    return say


def test_only_what_lies_beyond_noise_has_changed(told):
    lines = told({"omni": {"up": _metric(.5, .4, .6), "down": _metric(.5, .4, .6), "same": _metric(.5, .4, .6),
                           "late": _metric(300, 280, 320, "lower"), "other": _metric(.5, .4, .6, "neither"),
                           "gone": _metric(None)}, "deaf": {"up": _metric(.5, .4, .6)}},
                 {"omni": {"up": _metric(.8, .7, .9), "down": _metric(.2, .1, .3), "same": _metric(.58, .5, .7),
                           "late": _metric(400, 390, 420, "lower"), "other": _metric(.1, .1, .2, "neither"),
                           "gone": _metric(.5, .4, .6)}})
    assert [line.partition("  0.")[0].partition("  3")[0].split() for line in lines] == [
        ["better", "omni", "up"], ["worse", "omni", "down"], ["worse", "omni", "late"], ["different", "omni", "other"],
        ["within", "noise", "omni", "same"]]
    assert lines[0].endswith("0.50 [0.40, 0.60] n=9 -> 0.80 [0.70, 0.90] n=9")


@pytest.mark.parametrize(("old", "new"), [(_metric(.5), _metric(.51)), (_metric(.5, .4, .6), _metric(.9)),
                                          (_metric(.5), _metric(.9, .8, 1.0))])
def test_without_an_interval_nothing_is_better_or_worse(told, old, new):
    """A value without an interval was taken for a point, so that any other value was beyond noise."""
    line, = told({"omni": {"rate": old}}, {"omni": {"rate": new}})
    assert re.match(r"no interval +omni rate +0\.50 .*-> 0\.", line)


@pytest.mark.parametrize(("key", "value", "said"), [
    ("suite", "yours", "suite mine -> yours"), ("scripts", "t", "scripts s -> t"), ("seed", 1, "seed 0 -> 1"),
    ("times", 3, "times 1 -> 3"), ("most", 4, "most all -> 4"), ("added_ms", 0, "added_ms 125 -> 0")])
def test_reports_that_are_not_alike_are_warned_of_and_compared(told, key, value, said):
    metrics = {"omni": {"rate": _metric(.5, .4, .6)}}
    warning, line = told(metrics, metrics, **{key: value})
    assert warning.startswith("WARNING: not alike") and warning.endswith(said) and line.startswith("within noise")


def test_an_agent_in_real_time_is_not_like_one_in_virtual_time(told):
    metrics = {"omni": {"rate": _metric(.5, .4, .6)}}
    warning, _ = told(metrics, metrics, real_time=True)
    assert warning.endswith("omni in virtual time -> real time")
    assert len(told(metrics, metrics)) == 1


def test_a_report_of_before_these_settings_is_warned_of(tmp_path, capsys):
    old, new = tmp_path / "a.json", tmp_path / "b.json"
    old.write_text(json.dumps({"header": {k: v for k, v in HEADER.items() if k not in ("most", "times")},
                               "agents": {}}))      # there was one way to hold a script's variants: once
    new.write_text(json.dumps({"header": HEADER, "agents": {}}))
    assert cli.main(["evaluate", "--compare", str(old), str(new)]) == 0
    warning, = capsys.readouterr().out.splitlines()
    assert warning.endswith("most not told -> all")
    old.write_text("{}")
    with pytest.raises(MediaError, match="a.json: no report of omni evaluate"):
        compare(old, new)
