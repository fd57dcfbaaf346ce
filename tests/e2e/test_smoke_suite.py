"""The smoke suite over the shipped weights: they take part in conversations, and the same weights without ears do not."""

import importlib.resources
import json

import pytest

from omni import cli

WEIGHTS = importlib.resources.files("omni") / "weights" / "tiny"
pytestmark = [pytest.mark.skipif(not WEIGHTS.is_dir(), reason="no weights are shipped yet"), pytest.mark.timeout(240)]


def test_who_hears_answers_and_who_does_not_is_silent(tmp_path, capsys):
    assert cli.main(["evaluate", "smoke", "--out", str(tmp_path), "--most", "2", "--control", "deaf"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    omni, deaf = (report["agents"][name]["metrics"] for name in ("omni", "deaf"))
    with capsys.disabled():
        print("\n" + "\n".join(f"{name}: omni {omni[name]['value']}, deaf {deaf[name]['value']} (n={omni[name]['count']})"
                               for name in ("response_rate", "latency_p50", "answers_right", "yield_rate")))
    assert omni["response_rate"]["value"] > 0.5 and omni["answers_right"]["value"] > 0 and omni["latency_p50"]["value"] < 1
    assert deaf["response_rate"]["value"] == 0 and deaf["answers_right"]["value"] == 0 and deaf["yield_rate"]["count"] == 0
    assert {line["model"] for line in report["agents"]["omni"]["conversations"]} == {report["header"]["weights"]}
