"""The smoke suite over the shipped weights: they take part in conversations; with somebody else in their ears they do
not."""

import importlib.resources
import json

import pytest

from omni import cli

WEIGHTS = importlib.resources.files("omni") / "weights" / "tiny"
SHOWN = ("response_rate", "latency_p50", "answers_right", "yield_rate", "yield_selectivity")
CONTROLS = ("swapped",)     # the others, "deaf" and "random_weights", on request: each takes as long again
pytestmark = [pytest.mark.skipif(not WEIGHTS.is_dir(), reason="no weights are shipped yet"), pytest.mark.timeout(240)]


def test_who_hears_answers_and_who_does_not_is_silent(tmp_path, capsys):
    controls = [word for name in CONTROLS for word in ("--control", name)]
    assert cli.main(["evaluate", "smoke", "--out", str(tmp_path), "--most", "2", "--threads", "2", *controls]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    omni, swapped = ({name: (m["value"], m["count"]) for name, m in report["agents"][agent]["metrics"].items()}
                     for agent in ("omni", *CONTROLS))
    with capsys.disabled():
        print("\n" + "\n".join(f"{name}: omni {omni[name]}, swapped {swapped[name]}" for name in SHOWN))
    assert omni["response_rate"][0] > 0.5 and omni["answers_right"][0] > 0 and omni["latency_p50"][0] < 1
    assert swapped["answers_right"][0] < 0.5 * omni["answers_right"][0]
    assert (swapped["yield_selectivity"][0] or 0) < 0.5 * omni["yield_selectivity"][0]
    identity = f"{report['header']['weights']} {report['header']['config']}"
    assert {line["model"] for line in report["agents"]["omni"]["conversations"]} == {identity}
