"""The smoke suite over the shipped weights: they take part in conversations; with nothing or somebody else in their
ears, or without having learned, they do not."""

import importlib.resources
import json

import pytest

from omni import cli

WEIGHTS = importlib.resources.files("omni") / "weights" / "tiny"
SHOWN = ("response_rate", "latency_p50", "answers_right", "yield_rate", "yield_selectivity")
CONTROLS = ("deaf", "swapped", "random_weights")
pytestmark = [pytest.mark.skipif(not WEIGHTS.is_dir(), reason="no weights are shipped yet"), pytest.mark.timeout(240)]


def test_who_hears_answers_and_who_does_not_is_silent(tmp_path, capsys):
    controls = [word for name in CONTROLS for word in ("--control", name)]
    assert cli.main(["evaluate", "smoke", "--out", str(tmp_path), "--most", "2", "--threads", "2", *controls]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    omni, deaf, swapped, untaught = ({name: (m["value"], m["count"]) for name, m in report["agents"][agent]["metrics"]
                                      .items()} for agent in ("omni", *CONTROLS))
    with capsys.disabled():
        print("\n" + "\n".join(f"{name}: omni {omni[name]}, deaf {deaf[name]}, swapped {swapped[name]}, random weights "
                               f"{untaught[name]}" for name in SHOWN))
    assert omni["response_rate"][0] > 0.5 and omni["answers_right"][0] > 0 and omni["latency_p50"][0] < 1
    assert swapped["answers_right"][0] < 0.5 * omni["answers_right"][0] and untaught["answers_right"][0] == 0
    assert (swapped["yield_selectivity"][0] or 0) < 0.5 * omni["yield_selectivity"][0]
    assert deaf["response_rate"][0] == 0 and deaf["answers_right"][0] == 0 and deaf["yield_rate"] == (None, 0)
    identity = f"{report['header']['weights']} {report['header']['config']}"
    assert {line["model"] for line in report["agents"]["omni"]["conversations"]} == {identity}
