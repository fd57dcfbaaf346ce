"""The vocoder against its judges: each side learns from its own terms, and nothing else moves."""

import pytest
import tiny
import torch
import yaml
from learning import learn
from safetensors.torch import load_file, save_file

from omni.base.config import to_plain
from omni.cli import main
from omni.model.mouth import Mouth, MouthConfig
from omni.model.synthesizer import SynthesizerConfig
from omni.model.tokens import FIRST_PIECE, Pieces
from omni.model.vocoder import VocoderConfig
from omni.train import adversary

WORDS = ["yes", "no", "okay"]
FRAMES = 64
SMALL = MouthConfig(SynthesizerConfig(drive_dim=16, dim=24, num_layers=1, kernel=3, hidden_dim=16),
                    VocoderConfig(dim=16, num_layers=1, kernel=3))


def _batch() -> dict:
    """Two rows in which one piece sounds, and a buzz that it should be."""
    torch.manual_seed(1)
    t = torch.arange(FRAMES * 160) / 16_000
    buzz = 0.1 * sum(torch.sin(2 * torch.pi * 150 * k * t) / k for k in range(1, 12))
    ones = torch.ones(2, FRAMES, dtype=torch.int64)
    return {"window": ones[..., None].expand(-1, -1, 5) * 3, "token": ones * FIRST_PIECE, "place": ones * 3,
            "elapsed": torch.arange(FRAMES).expand(2, -1), "due": ones * FRAMES, "f0": ones * 150.0,
            "audio": torch.stack([buzz, buzz + 0.01 * torch.randn(len(buzz))])}


def _contest(**settings) -> adversary.Contest:
    torch.manual_seed(0)
    mouth = tiny.randomise(Mouth(SMALL, 40))
    return adversary.Contest(mouth, 4, **{"weight": 0.1, "matching": 0.1, **settings}).train()


def test_judges_learn_to_tell_and_nothing_but_the_vocoder_is_moved():
    contest, batch = _contest(), _batch()
    before = {n: t.clone() for n, t in contest.mouth.state_dict().items()}
    parts = contest.losses(batch)[1]
    losses = learn(contest.parameters(), lambda: contest.losses(batch), 30)
    after = contest.losses(batch)[1]
    assert losses[-1] < losses[0] and after["told"] < 0.6 * parts["told"], "two chances in three at the start"
    moved = {n.split(".")[0] for n, t in contest.mouth.state_dict().items() if not torch.equal(t, before[n])}
    assert moved == {"vocoder"}


def test_what_is_asked_of_the_vocoder_does_not_teach_the_judges():
    gradients = []
    for weight in (0.0, 10.0):
        contest = _contest(weight=weight, matching=weight)
        torch.manual_seed(0)
        contest.losses(_batch())[0].backward()
        gradients.append(({n: p.grad for n, p in contest.judges.named_parameters()},
                          {n: p.grad for n, p in contest.mouth.vocoder.named_parameters()}))
    (judges, vocoder), (same, other) = gradients
    assert all(torch.equal(judges[n], same[n]) and judges[n].abs().sum() for n in judges)
    assert any(not torch.allclose(vocoder[n], other[n]) for n in vocoder)


def test_what_the_verdicts_ask_of_the_vocoder_fools_the_judges():
    """A small step along what they add to its gradient, and they believe it more."""
    contest, batch = _contest(weight=0.0, matching=0.0), _batch()
    learn(contest.judges.parameters(), lambda: contest.losses(batch), 20)
    vocoder = list(contest.mouth.vocoder.parameters())

    def gradient(weight: float) -> list[torch.Tensor]:
        contest.weight = weight
        contest.zero_grad()
        contest.losses(batch)[0].backward()
        return [p.grad.clone() for p in vocoder]

    added = [a - b for a, b in zip(gradient(10.0), gradient(0.0), strict=True)]
    before, size = contest.losses(batch)[1]["fooled"], torch.cat([g.flatten() for g in added]).norm()
    with torch.no_grad():
        for p, g in zip(vocoder, added, strict=True):
            p -= 0.05 * g / size
    assert contest.losses(batch)[1]["fooled"] < before - 1e-4


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A finished voice with its lessons, and what runs the stage on them."""
    monkeypatch.chdir(tmp_path)
    pieces = Pieces(WORDS)
    (tmp_path / "voice").mkdir()
    pieces.save(tmp_path / "voice" / "pieces.json")
    mouth = tiny.randomise(Mouth(SMALL, len(pieces)))
    save_file({f"mouth.{n}": t for n, t in mouth.state_dict().items()}, tmp_path / "voice" / "model.safetensors")
    (tmp_path / "lessons.npz").write_bytes(b"")
    monkeypatch.setattr(adversary, "loader", lambda lessons, workers: lambda first, every: iter(_batch, None))
    monkeypatch.setattr(adversary.stages.provenance, "data_hash", lambda path: "0" * 16)

    def run(**settings) -> int:
        stage = {"stage": "adversary", "lessons": "lessons.npz", "init": "voice", "out": "last", "channels": 4,
                 "mouth": to_plain(SMALL), "loop": {"steps": 2, "threads": 1, "warmup": 1, "ema": 0.0}, **settings}
        (tmp_path / "stage.yaml").write_text(yaml.safe_dump(stage))
        return main(["train", "stage.yaml"])

    return run


def test_the_result_takes_the_place_of_the_voice(runs, tmp_path):
    assert runs() == 0
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("voice", "last"))
    assert before.keys() <= after.keys() and (tmp_path / "last" / "pieces.json").exists()
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert changed and all(n.startswith("mouth.vocoder.") for n in changed)


def test_a_stage_without_lessons_or_with_another_mouth_is_refused(runs, tmp_path, capsys):
    assert runs(lessons="none.npz") == 2
    assert "no file none.npz" in capsys.readouterr().err
    other = to_plain(SMALL)
    other["vocoder"]["dim"] += 8
    assert runs(mouth=other, out="other") == 2
    assert "of this shape" in capsys.readouterr().err
