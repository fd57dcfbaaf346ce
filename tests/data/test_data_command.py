"""`omni data`: labels a person can read, and errors before anything is loaded."""

import pytest
import torch

from omni.cli import main
from omni.data import skills
from omni.data.command import labels
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


@pytest.mark.parametrize("arguments, told", [
    (["listen", "1", "--out", "x", "--blocks", "3"], "at least 50"),
    (["speed", "--bank", "nowhere"], "omni train tiny/bank")])
def test_what_is_missing_is_said_first(arguments, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", *arguments]) == 2
    assert told in capsys.readouterr().err and not list(tmp_path.iterdir())
