"""The whole table: from folders of weights and runs to text, JSON and page; real rows over a few made recordings."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
import torch
import yaml
from safetensors.torch import save_file

from omni import cli
from omni.base import config
from omni.base.errors import ConfigError, WeightsError
from omni.data import recordings
from omni.data.hearing import SOUNDS
from omni.evaluate.senses import command, table
from omni.evaluate.senses.goals import GOALS, Row
from omni.evaluate.senses.subject import EARS, MIND, VOICE, load_subject
from omni.model.weights import fingerprint, save_model


@pytest.fixture
def weights(tmp_path) -> Path:
    save_model(tiny.duplex(encoder=tiny.SENSES), tmp_path / "weights", int8=False)
    return tmp_path / "weights"


def _run(folder: Path, stage: str, section: str, sizes: dict, tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({"stage": stage, "out": "elsewhere", section: sizes}))
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / "model.safetensors")
    return folder


@pytest.fixture
def ears_run(tmp_path) -> Path:
    """As stage "ears" leaves it: with a head for phones, and more pieces asked for than there turned out to be."""
    model = tiny.duplex(encoder=tiny.SENSES)
    sizes = {**config.to_plain(tiny.SENSES), "caption_pieces": 1000}
    tensors = {f"encoder.{n}": t for n, t in model.encoder.state_dict().items()} | {"phone.bias": torch.zeros(3)}
    folder = _run(tmp_path / "ears", "ears", "encoder", sizes, tensors)
    tiny.VOCABULARY.save(folder / "captions.json")
    return folder


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """OMNI_DATA_DIR with two recordings of each kind that nobody trains on."""
    root, rng = tmp_path / "data", np.random.default_rng(0)

    def record(name: str) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, 0.1 * rng.standard_normal(12_000), 16_000)

    dev = next(f"p{i}" for i in range(99) if recordings._stable(f"p{i}", 16) == 0)
    for source, texts in (("an4", ["A B", "yes"]), ("alphanumeric", []), ("phrases", []), ("read_sentences", []),
                          ("speech_commands", ["go", "stop"])):
        (root / source).mkdir(parents=True)
        with open(root / source / "transcripts.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["path", "speaker", "text"])
            for i, text in enumerate(texts):
                rows.writerow([f"{i}.flac", dev, text])
                record(f"{source}/{i}.flac")
    names = [f"coffee_orders/{i}.flac" for i in range(2)]
    for name in [*names, "noise/tap.flac", f"sound_events/{SOUNDS[0]}/0.ogg"]:
        record(name)
    files = [Path(name).name for name in names]
    (root / "coffee_orders" / "slots.json").write_text(json.dumps({n: {"size": "large"} for n in files}))
    (root / "coffee_orders" / "voices.json").write_text(json.dumps({n: "voice08" for n in files}))
    monkeypatch.setenv("OMNI_DATA_DIR", str(root))
    return root


def test_weights_have_everything_and_a_run_what_it_trained(weights, ears_run, tmp_path):
    whole = load_subject(str(weights))
    assert whole.has == {EARS, MIND, VOICE} and whole.identity["weights"] == fingerprint(weights)
    ears = load_subject(str(ears_run))
    assert ears.has == {EARS} and ears.model.vocabulary.pieces == tiny.VOCABULARY.pieces
    mel = torch.randn(2, 1, 16, tiny.MELS)
    with torch.no_grad():
        assert torch.equal(ears.model.encoder(*mel), whole.model.encoder(*mel))
    mouth = tiny.duplex().mouth
    for stage in ("voice", "adversary"):  # the second one's judges are left aside
        voice = _run(tmp_path / stage, stage, "mouth", config.to_plain(tiny.MOUTH),
                     {"judges.0.x": torch.zeros(1), **{f"mouth.{n}": t for n, t in mouth.state_dict().items()}})
        whole.model.pieces.save(voice / "pieces.json")
        found = load_subject(str(voice))
        assert found.has == {VOICE} and torch.equal(found.model.mouth.embedding.weight, mouth.embedding.weight)


def test_a_run_that_is_no_ears_and_no_voice_is_refused(tmp_path, ears_run):
    words = _run(tmp_path / "words", "words", "model", {}, {"x": torch.zeros(1)})
    with pytest.raises(WeightsError, match="stage words"):
        load_subject(str(words))
    save_file({"encoder.stem_1.bias": torch.zeros(16)}, ears_run / "model.safetensors")
    with pytest.raises(WeightsError, match="cannot be used"):
        load_subject(str(ears_run))
    with pytest.raises(WeightsError, match="no weights at nowhere"):
        load_subject("nowhere")


def test_rows_are_chosen_by_row_task_or_group():
    assert command.chosen([]) == list(command.TASKS)
    assert command.chosen(["delay_p95", "compute"]) == ["unseen_engine", "compute"]
    assert command.chosen(["captions"]) == ["an4", "words", "orders", "unseen_engine"]
    assert {name for task in command.TASKS.values() for name in task.rows} == set(GOALS)
    with pytest.raises(ConfigError, match="did you mean 'vocoder'"):
        command.chosen(["vocader"])


def test_weights_and_a_run_stand_side_by_side(weights, ears_run, data, tmp_path, capsys):
    out = tmp_path / "out"
    only = [part for name in ("an4", "words", "orders", "sounds", "seams", "compute") for part in ("--only", name)]
    assert cli.main(["evaluate", "senses", "--runs", str(weights), str(ears_run), "--most", "2", "--out", str(out),
                     *only]) == 0
    report = json.loads((out / "senses.json").read_text())
    assert report["header"]["seed"] == 0 and report["header"]["processor"] and report["header"]["torch"]
    whole, ears = (report["subjects"][str(name)] for name in (weights, ears_run))
    assert re.fullmatch("[0-9a-f]{16}", ears["identity"]["weights"]) and whole["config"]["encoder"]["sounds"] == 3
    rows, others = ({row["name"]: row for row in subject["rows"]} for subject in (whole, ears))
    assert list(rows) == list(others) == ["an4", "words", "words_clean", "orders", "orders_12db", "sounds", "seams",
                                          "starts", "cuts", "compute"]
    assert rows["an4"]["count"] == 3 and rows["words"]["count"] == rows["orders"]["count"] == 2
    assert rows["orders"]["value"] == 0.0 and rows["orders"]["reached"] == "no"
    assert set(rows["orders"]["detail"]["orders"]) == {"clean", "24 dB", "18 dB", "12 dB", "6 dB"}
    assert rows["sounds"]["count"] == 1 and rows["compute"]["value"] > 0
    for name in ("an4", "words", "orders", "sounds"):
        assert others[name]["value"] == rows[name]["value"]     # the same ears on the same sounds
    assert others["seams"]["value"] is None and others["compute"]["note"] == "no voice"
    printed = capsys.readouterr().out
    assert printed.count("real coffee orders") == 2 and "no voice" in printed and "12.0 %" in printed
    page = (out / "senses.html").read_text()
    assert whole["identity"]["weights"] in page and ears["identity"]["weights"] in page
    assert "<svg" in page and "Real orders in noise" in page and "src=" not in page and "http" not in page


def test_what_is_missing_is_told_before_anything_is_measured(weights, monkeypatch, capsys):
    monkeypatch.delenv("OMNI_DATA_DIR", raising=False)
    assert cli.main(["evaluate", "senses", "--model", str(weights), "--only", "compute", "--only", "an4"]) == 2
    assert "OMNI_DATA_DIR" in capsys.readouterr().err
    assert cli.main(["evaluate", "senses", "--only", "nothing"]) == 2
    assert cli.main(["evaluate", "senses", "--most", "0"]) == 2
    assert cli.main(["evaluate", "senses", "--server", "http://127.0.0.1:1"]) == 2


def test_values_are_shown_as_a_reader_wants_them():
    rows = [Row("an4", 0.3071, 0.25, 0.4, 99, "words", 8, "8 speakers"), Row("delay_p50", 0.0875, 0.08, 0.1, 9),
            Row("echo_plus_6db", 1.204, None, None, 5), Row("stoi", 0.98), Row("sounds", None, note="no head")]
    text = table.as_text({"mine": rows})
    assert text.startswith("mine\n")
    for part in ("30.7 %", "[25.0, 40.0]", "99 words", "88 ms", "[80, 100]", "1.20 x", "0.980", "no head"):
        assert part in text
    page = table.as_page({"omni": "1", "a": {}}, {"<mine>": rows})
    assert "&lt;mine&gt;" in page and "<b>no</b>" in page and "<mine>" not in page


def test_a_line_goes_through_its_values():
    """Two places, 0 and 1: from the lower left corner of the axes to the upper right one."""
    picture = table.lines_picture([0, 2], {"a": [0.0, 1.0]}, {0: "first"})
    left, top, right, bottom = table._MARGIN, table._MARGIN, table._WIDTH - table._MARGIN, table._HEIGHT - table._MARGIN
    assert f"points='{left:.1f},{bottom:.1f} {right:.1f},{top:.1f}'" in picture and ">first<" in picture
