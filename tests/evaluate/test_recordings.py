"""What the scripts play is what the manifest says, and training hears none of it."""

import hashlib
import json
import os
from pathlib import Path

import pytest
import soundfile
import yaml

from omni.base.config import data_path

HELD_OUT_VOICES = {"voice05", "voice08", "voice10", "voice12", "voice28", "voice29", "voice30", "voice31"}


def _hash(path: Path) -> str:
    samples, _ = soundfile.read(path, dtype="int16")
    return hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()


@pytest.fixture(scope="module")
def manifest() -> dict:
    return yaml.safe_load(data_path("configs", "data", "held_out.yaml").read_text())


def test_every_recording_is_in_the_manifest_with_its_hash(manifest):
    folder = data_path("configs", "evaluate", "recordings")
    found = {p.name: _hash(p) for p in folder.iterdir() if p.suffix == ".flac"}
    assert found == {r["file"]: r["sha256"] for r in manifest["recordings"]}
    assert sum(p.stat().st_size for p in folder.iterdir()) < 1.5 * 2**20


def test_sources_of_real_recordings_are_held_out(manifest):
    real = [r["source"] for r in manifest["recordings"] if r["source"].endswith(".flac")]
    assert len(real) >= 5 and set(real) <= set(manifest["held_out"])


def test_training_has_none_of_them(manifest):
    """With the data at hand: the listed sources are the recordings' own, and no file that trains equals one of them."""
    if not os.environ.get("OMNI_DATA_DIR"):
        pytest.skip("OMNI_DATA_DIR is not set: without data there is no training to keep them from")
    from omni.data import recordings

    root = recordings.data_dir()
    hashes = {r["sha256"] for r in manifest["recordings"]}
    assert {_hash(root / r["source"]) for r in manifest["recordings"] if r["source"].endswith(".flac")} <= hashes
    training = [r.path for r in recordings.speech(root) if not r.dev]
    assert training and not {str(p.relative_to(root)) for p in training} & set(manifest["held_out"])
    assert not hashes & {_hash(p) for p in training}
    voices = json.loads((root / "coffee_orders" / "voices.json").read_text())
    assert {f"coffee_orders/{f}" for f, v in voices.items() if v in HELD_OUT_VOICES} <= set(manifest["held_out"])
