"""`omni converse` with the shipped weights: an order is read back, twice the same, and an empty room is left alone."""

import importlib.resources
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from omni import cli
from omni.audio.files import read_audio, write_wav
from omni.base.config import data_path

WEIGHTS = importlib.resources.files("omni") / "weights" / "tiny"
pytestmark = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="no weights are shipped yet")
RATE_HZ = 16_000
ROOM_DB = -62


def room(path, seconds: float, at_s: float = 0.0, name: str = ""):
    """A recording of a quiet room of one length that is no whole number of blocks, with one of the scripts' recordings
    in it. Its noise floor goes on behind the last word: an answer comes while the microphone is open."""
    samples = np.random.default_rng(5).normal(0, 10 ** (ROOM_DB / 20), int(seconds * RATE_HZ) + 77)
    if name:
        sound, rate_hz = read_audio(data_path("configs") / "evaluate" / "recordings" / name)
        assert rate_hz == RATE_HZ
        samples[int(at_s * RATE_HZ):][:sound.shape[1]] += sound[0]
    write_wav(path, samples.astype(np.float32), RATE_HZ)
    return path


def arguments(source, folder) -> list[str]:
    folder.mkdir()
    return ["converse", str(source), "--out", str(folder / "out.wav"), "--events", str(folder / "events.jsonl"),
            "--threads", "1"]


def test_an_order_is_read_back_and_a_second_process_gives_the_same_files(tmp_path):
    source = room(tmp_path / "in.wav", 8.0, 0.1, "order_cappuccino.flac")
    assert cli.main(arguments(source, tmp_path / "one")) == 0
    subprocess.run([sys.executable, "-m", "omni", *arguments(source, tmp_path / "two")], check=True, timeout=100)
    for name in ("out.wav", "events.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    given, out = soundfile.info(source), soundfile.info(tmp_path / "one" / "out.wav")
    assert (out.frames, out.samplerate, out.channels) == (given.frames, RATE_HZ, 1)
    summary = json.loads((tmp_path / "one" / "events.jsonl").read_text().splitlines()[-1])
    assert summary["type"] == "summary" and "cappuccino" in summary["agent_text"], summary


def test_nothing_is_said_into_an_empty_room(tmp_path):
    source = room(tmp_path / "in.wav", 6.0)
    assert cli.main(arguments(source, tmp_path / "one")) == 0
    events = [json.loads(line) for line in (tmp_path / "one" / "events.jsonl").read_text().splitlines()]
    assert [event["type"] for event in events] == ["summary"] and events[0]["agent_text"] == "", events
    out, _ = soundfile.read(tmp_path / "one" / "out.wav")
    assert np.abs(out).max() < 1e-3
