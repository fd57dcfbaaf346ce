"""Weights on disk: what is saved is what comes back, and what does not fit is named."""

import pytest
import tiny
import torch
import yaml
from safetensors.torch import load_file, save_file

from omni.base.errors import ConfigError, OmniError, WeightsError
from omni.model import weights
from omni.model.captions import CAPTIONS_FILE, Vocabulary

NAME = "encoder.blocks.0.gate.weight"


@pytest.fixture(scope="module")
def model():
    return tiny.duplex(restless=False)


@pytest.fixture
def folder(model, tmp_path):
    weights.save_model(model, tmp_path, int8=False)
    return tmp_path


def _edit(folder, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_float_weights_come_back_bit_for_bit_with_config_and_pieces(model, folder):
    again = weights.load_model(folder)
    assert again.config == model.config and again.pieces.words == model.pieces.words and not again.training
    for (name, a), b in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert again.mind.model.get_input_embeddings() is again.mouth.embedding  # shared again, and stored once
    assert sum("embed" in n for n in load_file(folder / "model.safetensors")) == 1


def test_loaded_weights_decide_the_same_tokens(model, folder):
    outputs = []
    for m in (model, weights.load_model(folder)):
        state, active = m.init_state(1), torch.ones(1, dtype=torch.bool)
        room = torch.randn(4, 1, 1280, generator=torch.Generator().manual_seed(0))
        outputs.append([m.step(x, torch.zeros(1, dtype=torch.int64), active, state) for x in room])
    for a, b in zip(*outputs, strict=True):
        assert torch.equal(a.token, b.token) and torch.equal(a.audio, b.audio) and torch.equal(a.caption, b.caption)


def test_int8_rounds_each_row_by_at_most_half_its_scale(model, tmp_path):
    weights.save_model(model, tmp_path, int8=True)
    stored, again = load_file(tmp_path / "model.safetensors"), weights.load_model(tmp_path).state_dict()
    quantised = 0
    for name, exact in model.state_dict().items():
        if name + ".scale" in stored:
            quantised += 1
            assert stored[name].dtype == torch.int8
            bound = exact.flatten(1).abs().amax(1) / 127 / 2 * (1 + 1e-4)
            assert ((again[name] - exact).flatten(1).abs().amax(1) <= bound).all(), name
        elif exact.dim() < 2:
            assert torch.equal(again[name], exact), name
    assert quantised > 20
    size = (tmp_path / "model.safetensors").stat().st_size
    assert size < 0.55 * sum(t.numel() * t.element_size() for t in model.state_dict().values())


def test_rows_of_zeros_and_extremes_survive_int8():
    matrix = torch.tensor([[0.0, 0.0], [1e-30, -1e-30], [3.0, -127.0], [1e20, 1.0]])
    values, scale = weights.quantise(matrix)
    back = values.float() * scale[:, None]
    assert torch.isfinite(back).all() and torch.equal(back[0], matrix[0]) and back[2, 1] == -127
    torch.testing.assert_close(back[3], torch.tensor([1e20, 0.0]))


@pytest.mark.parametrize(("change", "words"), [
    (lambda t: t.pop(NAME), f"{NAME} is missing"),
    (lambda t: t.update({"encoder.blocks.9.gate.weight": torch.zeros(2, 2)}), "blocks.9.gate.weight is not part"),
    (lambda t: t.update({"mind.extra.scale": torch.zeros(2)}), "mind.extra is not part"),
    (lambda t: t.update({NAME: t[NAME][:3].clone()}), f"{NAME} has shape"),
    (lambda t: t.update({NAME: t[NAME].T.contiguous()}), f"{NAME} has shape"),
    (lambda t: t[NAME].view(-1)[5:6].fill_(float("nan")), f"{NAME} is not finite"),
    (lambda t: t[NAME].view(-1)[5:6].fill_(float("-inf")), f"{NAME} is not finite"),
    (lambda t: t.update({NAME: t[NAME].to(torch.int8)}), f"{NAME} is torch.int8, which"),
    (lambda t: t.update({NAME + ".scale": torch.ones(len(t[NAME]))}), f"{NAME} is torch.float32, which"),
    (lambda t: t.update({NAME: t[NAME].to(torch.int8), NAME + ".scale": torch.ones(3)}), f"{NAME}.scale has shape"),
    (lambda t: t.update({NAME: t[NAME].to(torch.int8), NAME + ".scale": torch.full((len(t[NAME]),), float("nan"))}),
     f"{NAME} is not finite"),
], ids=["missing", "extra", "stray scale", "short", "transposed", "nan", "inf", "int8 without scale",
        "scale of a float", "short scale", "nan scale"])
def test_tensors_that_do_not_fit_are_named(folder, change, words):
    _edit(folder, change)
    with pytest.raises(WeightsError) as caught:
        weights.load_model(folder)
    assert words in str(caught.value) and str(folder) not in str(caught.value)


def test_files_that_are_no_weights_are_refused(folder):
    (folder / "model.safetensors").write_bytes(b"\x80\x04not a pickle either")
    with pytest.raises(WeightsError, match="model.safetensors"):
        weights.load_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="model.safetensors"):
        weights.load_model(folder)


def test_a_config_of_another_kind_names_its_key(folder):
    text = (folder / "config.yaml").read_text().replace("layout:", "layuot:")
    (folder / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match="did you mean 'layout'"):
        weights.load_model(folder)


def test_an_unknown_name_says_what_is_shipped():
    with pytest.raises(OmniError, match="no weights at nowhere; shipped: "):
        weights.load_model("nowhere")


def test_the_fingerprint_is_of_the_tensors(folder):
    before = weights.fingerprint(folder)
    assert len(before) == 16 and weights.fingerprint(folder) == before
    _edit(folder, lambda t: t[NAME].view(-1)[:1].add_(1))
    assert weights.fingerprint(folder) != before


def test_another_window_is_another_model(folder):
    """The tensors are the same, what the model does is not: once results of both were taken for one model's."""
    before, tensors = weights.config_fingerprint(folder), weights.fingerprint(folder)
    assert len(before) == 16 and weights.config_fingerprint(folder) == before
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["language_model"]["window"] += 8
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert weights.config_fingerprint(folder) != before and weights.fingerprint(folder) == tensors


def test_nothing_is_ever_unpickled():
    """Pickle runs what it reads; no module of the model may open one."""
    from pathlib import Path

    for path in Path(weights.__file__).parent.glob("*.py"):
        text = path.read_text()
        assert "torch.load" not in text and "import pickle" not in text, path.name


# ---- captions by pieces ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sensing():
    return tiny.duplex(restless=False, encoder=tiny.SENSES)


@pytest.mark.parametrize("int8", [False, True])
def test_the_pieces_of_captions_come_back_with_the_weights(sensing, tmp_path, int8):
    weights.save_model(sensing, tmp_path, int8=int8)
    again = weights.load_model(tmp_path)
    assert again.vocabulary.pieces == tiny.VOCABULARY.pieces and again.config == sensing.config
    assert again.caption_text([31, 32]) == sensing.caption_text([31, 32])
    names = set(load_file(tmp_path / "model.safetensors"))
    assert {"encoder.pieces.out.weight", "encoder.sounds.down.weight", "encoder.speech.up.weight"} <= names
    if not int8:
        assert all(torch.equal(a, b) for a, b in zip(sensing.parameters(), again.parameters(), strict=True))


def test_weights_without_the_pieces_of_their_captions_are_refused(sensing, tmp_path):
    weights.save_model(sensing, tmp_path)
    (tmp_path / CAPTIONS_FILE).unlink()
    with pytest.raises(WeightsError, match="captions.json is missing"):
        weights.load_model(tmp_path)


def test_pieces_that_are_not_the_heads_are_refused(sensing, tmp_path):
    weights.save_model(sensing, tmp_path)
    Vocabulary(tiny.VOCABULARY.pieces[:-1]).save(tmp_path / CAPTIONS_FILE)
    count = len(tiny.VOCABULARY)
    with pytest.raises(WeightsError, match=f"has {count - 1} pieces, the caption head {count}"):
        weights.load_model(tmp_path)


def test_captions_of_other_pieces_are_another_models(sensing, model, tmp_path):
    weights.save_model(sensing, tmp_path / "a")
    before = weights.config_fingerprint(tmp_path / "a")
    Vocabulary(tiny.VOCABULARY.pieces[::-1]).save(tmp_path / "a" / CAPTIONS_FILE)
    assert weights.config_fingerprint(tmp_path / "a") != before
    weights.save_model(model, tmp_path / "b")
    assert not (tmp_path / "b" / CAPTIONS_FILE).exists()
