"""Worlds grow: what is known of a piece goes with the piece, and only what is new begins anew."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
import yaml
from safetensors.torch import load_file, save_file

from omni.base.config import to_plain
from omni.cli import main
from omni.data import skills
from omni.model.captions import CAPTIONS_FILE
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.mouth import Mouth
from omni.model.tokens import Pieces
from omni.model.weights import load_model, save_model
from omni.train import growing, voice, words

NOW = Pieces(skills.vocabulary())
BEFORE = Pieces([*reversed(NOW.words[::2]), "farewell"])  # half of the words, in another order, and one that is gone
MOUTH = replace(tiny.MOUTH, synthesizer=replace(tiny.MOUTH.synthesizer, num_mels=80),
                vocoder=replace(tiny.MOUTH.vocoder, num_mels=80))  # the teacher's
OUTPUTS = "mind.model.lm_head.weight"


def _model(pieces: Pieces, seed: int = 0) -> DuplexModel:
    torch.manual_seed(seed)
    config = DuplexConfig(encoder=tiny.SENSES, language_model=tiny.language_model(window=32), mouth=MOUTH,
                          read_pieces=True)
    return tiny.randomise(DuplexModel(config, pieces, tiny.VOCABULARY), seed)


def _both() -> list[str]:
    return [NOW.symbol(i) for i in range(len(NOW)) if NOW.symbol(i) in BEFORE]


def _rows(pieces: Pieces, table: torch.Tensor, symbols: list[str]) -> torch.Tensor:
    places = {pieces.symbol(i): i for i in range(len(pieces))}
    return table[[places[s] for s in symbols]]


def test_rows_go_with_their_pieces():
    old, fresh = torch.randn(len(BEFORE), 3), torch.randn(len(NOW), 3)
    brought = growing.bring_rows(old, BEFORE, fresh, NOW)
    assert torch.equal(_rows(NOW, brought, _both()), _rows(BEFORE, old, _both()))
    new = [NOW.symbol(i) for i in range(len(NOW)) if NOW.symbol(i) not in BEFORE]
    assert len(new) > 100 and torch.equal(_rows(NOW, brought, new), _rows(NOW, fresh, new))


def test_a_model_says_old_pieces_as_before(tmp_path):
    """A grown model scores the pieces that it knew, and those alone, as the model it comes from."""
    save_model(_model(BEFORE), tmp_path / "old", int8=False)
    before, lesson = load_model(tmp_path / "old"), words.Reader(_model(NOW, seed=1))
    growing.take_all(lesson, tmp_path / "old", ())
    blocks = torch.randn(1, 3 * 1280) * 0.1, torch.zeros(1, 3 * 1280)
    said = ["<think>", *_both()[:3]]
    fed = {pieces: torch.tensor([[next(i for i in range(len(pieces)) if pieces.symbol(i) == s) for s in said[:3]]])
           for pieces in (BEFORE, NOW)}
    with torch.inference_mode():
        old = before(*blocks, fed[BEFORE], torch.zeros(1, 3, dtype=torch.int64))[0][0]
        now = lesson.model.eval()(*blocks, fed[NOW], torch.zeros(1, 3, dtype=torch.int64))[0][0]
    assert torch.allclose(_rows(NOW, now.T, _both()), _rows(BEFORE, old.T, _both()), atol=1e-5)
    assert old.std() > 0.05, "random weights say something"


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Runs a stage by its settings, in a folder with weights of `BEFORE` ("old")."""
    monkeypatch.chdir(tmp_path)
    for module in (words, voice):
        monkeypatch.setattr(module.stages.provenance, "data_hash", lambda path: "0" * 16)
    save_model(_model(BEFORE), tmp_path / "old", int8=False)

    def run(**settings) -> int:
        (tmp_path / "stage.yaml").write_text(yaml.safe_dump(
            {"workers": 0, "loop": {"steps": 2, "threads": 1, "warmup": 1}, **settings}))
        return main(["train", "stage.yaml"])

    return run


def _lessons(path) -> None:
    """Teacher's speech of two pieces that were known and one that was not, each of one phone: a buzz."""
    new = next(w for w in NOW.words if w not in BEFORE)
    known = [w for w in NOW.words if w in BEFORE][:2]
    count = 20
    np.savez(path, words=np.array("[]"), samples=np.tile(np.sin(np.arange(3 * count * voice.FRAME) / 17) * 9000, 2)
             .astype(np.int16), f0=np.full(6 * count, 150, np.float32),
             tokens=np.tile(NOW.encode(" ".join([known[0], new, known[1]])), 2), counts=np.ones(6, int),
             phones=np.tile([3, 4, 5], 2), starts=np.tile(np.arange(4) * count, 2), num_frames=[3 * count] * 2,
             num_tokens=[3] * 2, num_phones=[3] * 2)


def test_a_voice_grows_from_weights(stage, tmp_path, capsys):
    _lessons(tmp_path / "lessons.npz")
    settings = {"stage": "voice", "lessons": "lessons.npz", "init": "old", "out": "voice", "blocks": 4, "batch": 2,
                "mouth": to_plain(MOUTH)}
    assert stage(**settings, vocoder=False) == 0
    before, after = load_model(tmp_path / "old"), load_file(tmp_path / "voice" / "model.safetensors")
    table = after["mouth.embedding.weight"]
    assert torch.equal(_rows(NOW, table, _both()), _rows(BEFORE, before.mouth.embedding.weight, _both()))
    for name, tensor in before.mouth.vocoder.state_dict().items():
        assert torch.equal(after[f"mouth.vocoder.{name}"], tensor), "the vocoder stays as it was"
    spelled = "mouth.synthesizer.spell_out.weight"
    assert not torch.equal(after[spelled], before.state_dict()[spelled]), "the spelling goes on"
    assert Pieces.load(tmp_path / "voice" / "pieces.json").words == NOW.words

    assert stage(**settings | {"out": "sounded"}) == 0
    after = load_file(tmp_path / "sounded" / "model.safetensors")
    changed = [n for n, t in before.mouth.vocoder.state_dict().items()
               if not torch.equal(after[f"mouth.vocoder.{n}"], t)]
    assert changed, "it learns if it is not told to stay"
    assert stage(**settings | {"out": "fresh", "init": None}, vocoder=False) == 2
    assert "vocoder: can only stay" in capsys.readouterr().err
    wide = to_plain(MOUTH)
    wide["vocoder"]["dim"] *= 2
    assert stage(**settings | {"out": "wide", "mouth": wide}) == 2
    assert "the mouth of old is another" in capsys.readouterr().err


def test_a_mind_grows_from_weights_by_reading(stage, tmp_path, capsys):
    before, mouth = load_model(tmp_path / "old"), tiny.randomise(Mouth(MOUTH, len(NOW)), seed=3)
    (tmp_path / "voice").mkdir()

    def keep(mouth: Mouth) -> None:
        save_file({f"mouth.{n}": t.contiguous() for n, t in mouth.state_dict().items()},
                  tmp_path / "voice" / "model.safetensors")

    keep(mouth)
    sizes = {k: v for k, v in to_plain(before.config).items() if k != "encoder"}
    settings = {"stage": "words", "voice": "voice", "captions": "old", "init": "old", "out": "run", "blocks": 60,
                "batch": 2, "drills": 1, "model": sizes}
    assert stage(**settings) == 2
    assert "other embeddings than the mind" in capsys.readouterr().err
    with torch.no_grad():
        mouth.embedding.weight.copy_(growing.bring_rows(before.mouth.embedding.weight, BEFORE, mouth.embedding.weight,
                                                        NOW))
    keep(mouth)
    assert stage(**settings) == 0
    after = load_file(tmp_path / "run" / "model.safetensors")
    assert torch.equal(after["model.mouth.embedding.weight"], mouth.embedding.weight)
    assert torch.equal(after["model.encoder.caption.weight"], before.encoder.caption.weight), "its ears come with it"
    moved = _rows(NOW, after[f"model.{OUTPUTS}"], _both()) - _rows(BEFORE, before.state_dict()[OUTPUTS], _both())
    assert 0 < moved.abs().max() < 0.05, "two steps from where it was"
    assert (tmp_path / "run" / CAPTIONS_FILE).exists()
