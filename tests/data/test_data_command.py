"""`omni data`: labels a person can read, and errors before anything is loaded."""

import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from omni.cli import main
from omni.data import command, skills
from omni.data.augment import Augment, note, recorded
from omni.data.command import ears_labels, labels
from omni.data.hearing import SOUNDS
from omni.data.user import COPY, INTERRUPTS, LISTENING, QUIZ, TALK
from omni.model.encoder import caption_ids
from omni.model.tokens import END_SPEAK, START_SPEAK, THINK, Pieces


def test_labels_say_who_said_what_and_what_was_decided_when():
    pieces = Pieces(skills.vocabulary())
    latte = pieces.encode("latte")[0]
    batch = {"target": torch.tensor([[THINK, THINK, START_SPEAK, latte, THINK, END_SPEAK]]),
             "captions": [[(1, 3, torch.tensor(caption_ids("a latte")), torch.tensor([latte]))]]}
    assert labels(batch, pieces) == {
        "user": [{"from": 0.08, "to": 0.24, "text": "a latte"}],
        "agent": [{"at": 0.24, "token": "<start_speak>"}, {"at": 0.32, "token": "latte"},
                  {"at": 0.48, "token": "<end_speak>"}]}


def test_labels_say_who_spoke_and_through_what_it_came():
    pieces = Pieces(skills.vocabulary())
    batch = {"target": torch.tensor([[THINK] * 4]), "captions": [[]]}
    maker = Augment([np.eye(1, 200, 16, dtype=np.float32)[0]], [np.ones(4_000, np.float32)], [np.ones(400, np.int16)])
    with recorded() as notes:
        note("said", role="turn", voice="flite:slt", text="a latte", words=[["a", 0.1, 0.2], ["latte", 0.2, 0.6]])
        x = maker.level(maker.noise(maker.room(np.ones(8_000, np.float32), random.Random(0), 1), random.Random(1)),
                        random.Random(2))
        maker.echo(x, random.Random(3))
    found = json.loads(json.dumps(labels(batch, pieces, notes)))
    assert found["said"] == [{"role": "turn", "voice": "flite:slt", "text": "a latte",
                              "words": [["a", 0.1, 0.2], ["latte", 0.2, 0.6]]}]
    kinds = [step["what"] for step in found["through"]]
    assert kinds[0] == "room" and kinds[1:4] == ["noise", "bed", "gain"] and kinds[-2:] == ["echo room", "echo"]
    assert {"snr_db", "peak_db", "delay_ms"} <= {key for step in found["through"] for key in step}


def test_labels_of_the_ears_lessons_say_what_sounds_when():
    sounds = torch.zeros(1, 6, len(SOUNDS), dtype=torch.int8)
    sounds[0, 1:3, 3], sounds[0, 3, 3], sounds[0, 5, 0] = 1, -1, 1
    batch = {"characters": [torch.tensor(caption_ids("a latte"))], "sounds": sounds, "mine": torch.tensor([True]),
             "speech": torch.tensor([[0, -1, 1, 1, -1, 0]], dtype=torch.int8)}
    assert ears_labels(batch) == {
        "text": "a latte", "own": True, "speech": [{"from": 0.16, "to": 0.32}],
        "sounds": [{"sound": "baby_cry", "from": 0.4, "to": 0.48, "sure": True},
                   {"sound": "dog_bark", "from": 0.08, "to": 0.24, "sure": True},
                   {"sound": "dog_bark", "from": 0.24, "to": 0.32, "sure": False}]}


@pytest.mark.parametrize("arguments, told", [
    (["listen", "1", "--of", "ears", "--dev"], "training set alone"),
    (["listen", "1", "--of", "ears", "--bank", "nowhere"], "omni train tiny/bank"),
    (["listen", "1", "--of", "ears", "--bank", "bank", "--config", "tiny/voice"], "tiny/voice is of no stage ears"),
    (["listen", "1", "--bank", "bank", "--config", "tiny/ears"], "tiny/ears is of no stage duplex"),
    (["listen", "1", "--blocks", "3"], "at least 50"),
    (["speed", "--bank", "nowhere"], "omni train tiny/bank")])
def test_what_is_missing_is_said_first(arguments, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "lines.jsonl").touch()
    assert main(["data", arguments[0], *(["--out", "x"] if arguments[0] == "listen" else []), *arguments[1:]]) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_each_row_of_a_stage_is_heard_as_it_is_made(tmp_path, monkeypatch):
    """Of six rows the first has sounds to ask about, the next three silent replies, then talk that is talked into."""
    stage = {"stage": "duplex", "batch": 6, "drills": 4, "listening": 1, "hasty": 3, "copies": 2, "interrupted": 1,
             "pauses": 0.4, "blocks": 100}
    (tmp_path / "stage.yaml").write_text(json.dumps(stage))
    (tmp_path / "lines.jsonl").touch()
    monkeypatch.setattr(command, "load_model", lambda name: SimpleNamespace(mouth=None))
    args = SimpleNamespace(config=str(tmp_path / "stage.yaml"), bank=tmp_path, model="tiny", blocks=None, seed=3,
                           dev=False)
    found = command.streams(args)
    assert [s.rows for s in found] == [[(LISTENING, False)], [(QUIZ, True)], [(COPY, True)], [(COPY, True)],
                                       [(INTERRUPTS, False)], [(TALK, False)]]
    assert {s.pauses for s in found} == {0.4} and found[0].num_blocks == 100 and len({s.seed for s in found}) == 6
    plain, = command.streams(SimpleNamespace(**{**vars(args), "config": None}))
    assert plain.rows == [(TALK, False)] and plain.num_blocks == command.NUM_BLOCKS


def test_speed_counts_all_that_is_made_and_what_of_it_is_speech(capsys, monkeypatch):
    rows = {"room": torch.zeros(2, 32_000), "speech": torch.tensor([[1, 1, -1, 0], [0, 1, 1, 1]], dtype=torch.int8)}
    talk = {"room": torch.zeros(1, 64_000), "captions": [[(1, 6, None, None), (8, 10, None, None)]]}
    assert command.spoken_s(rows) == pytest.approx(0.4) and command.spoken_s(talk) == pytest.approx(0.56)
    now = iter(range(100))
    monkeypatch.setattr(command.time, "monotonic", lambda: next(now) * 1.0)
    monkeypatch.setattr(command, "hearing", lambda args: "lessons")
    monkeypatch.setattr(command, "loader", lambda lessons, workers: lambda first, every: iter([rows] * 100))
    assert main(["data", "speed", "--of", "ears", "--seconds", "4", "--workers", "1"]) == 0
    told = capsys.readouterr().out
    assert "3.0 hours of lessons of the ears an hour with 1 worker processes, 0.3 of them speech" in told
