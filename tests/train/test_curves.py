"""Pictures of logs: one run, and several in a row."""

import json

import pytest
from matplotlib.figure import Figure

from omni.train import curves


@pytest.fixture
def runs(tmp_path):
    """Two runs of an hour and of half an hour, the second with a score that the first does not have."""
    for name, lines in {"a": [{"step": 10, "seconds": 1800.0, "loss": 2.0}, {"step": 20, "wer": 0.5},
                              {"step": 20, "seconds": 3600.0, "loss": 1.0}],
                        "b": [{"step": 5, "seconds": 1800.0, "loss": 0.5},
                              {"step": 5, "wer": 0.4, "sounds": 0.7}]}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [tmp_path / "a", tmp_path / "b"]


def test_runs_in_a_row_lie_one_after_the_other_on_a_clock_of_hours(runs, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, out, dpi: figures.append(self))
    curves.joined(runs, tmp_path / "both.png", scores=("wer",))
    below = {line.get_label(): line for line in figures[0].axes[1].lines}
    assert [list(line.get_xdata()) for line in figures[0].axes[0].lines if len(line.get_xdata()) == 2][0] == [0.5, 1.0]
    assert [tuple(line.get_xydata()[0]) for line in figures[0].axes[1].lines[:2]] == [(1.0, 0.5), (1.5, 0.4)]
    assert "wer" in below and "sounds" not in below


def test_a_folder_without_a_log_is_named(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["curves", str(runs[0]), str(tmp_path / "none"), "--out", str(tmp_path / "x.png")])
    with pytest.raises(SystemExit):
        curves.main()
    assert f"no log.jsonl in {tmp_path / 'none'}" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["curves", *map(str, runs), "--out", str(tmp_path / "x.png"), "--score", "wer"])
    assert curves.main() == 0 and (tmp_path / "x.png").stat().st_size > 5_000
