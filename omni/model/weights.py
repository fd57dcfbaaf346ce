"""Weights on disk: safetensors, a YAML configuration, the list of pieces. Nothing is ever unpickled.

Matrices are stored as int8 with one scale a row (symmetric, round to nearest) and come back as float32; vectors stay
float32. Missing, extra and mis-shaped tensors are errors that name the tensor.

    weights/tiny/
        model.safetensors   tensors; for a quantised `w` also `w.scale`
        config.yaml         DuplexConfig
        pieces.json         the vocabulary's words
        captions.json       what captions are made of, where they come by pieces of words
        README.md           the model card
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from omni.base import config as base_config
from omni.base.errors import WeightsError
from omni.model.captions import CAPTIONS_FILE, Vocabulary
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.tokens import Pieces
from omni.nn.conv import turn
from omni.nn.packed import pack

_SHIPPED = Path(__file__).resolve().parent.parent / "weights"
_SCALE = ".scale"


def quantise(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values and float32 scales (rows, 1, ...) of a matrix, one scale for each row of its first dimension."""
    flat = tensor.detach().float().flatten(1)
    scale = (flat.abs().amax(1) / 127).clamp(min=1e-12)
    values = torch.round(flat / scale[:, None]).clamp(-127, 127).to(torch.int8)
    return values.view(tensor.shape).contiguous(), scale


def save_model(model: DuplexModel, folder: Path, int8: bool = True) -> None:
    """Write the model into `folder`, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for name, value in _unique(model).items():
        if int8 and value.dim() >= 2 and value.is_floating_point():
            tensors[name], tensors[name + _SCALE] = quantise(value)
        else:
            tensors[name] = value.detach().contiguous().clone()
    save_file(tensors, folder / "model.safetensors")
    text = yaml.safe_dump(base_config.to_plain(replace(model.config, eagerness=0.0)), sort_keys=False)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    model.pieces.save(folder / "pieces.json")
    if model.vocabulary is not None:
        model.vocabulary.save(folder / CAPTIONS_FILE)


def load_model(name: str | Path = "tiny", device: str = "cpu", packed: bool = False) -> DuplexModel:
    """Load weights by the name of a shipped model or by folder, in eval mode.

    Args:
        packed: for whoever only steps it, with matrices in half precision where the CPU is faster with them
            (`omni.nn.packed`), and depthwise convolutions turned (`omni.nn.conv`); not for training.

    Raises:
        WeightsError: there are no such weights, a file of theirs is missing, a tensor does not fit, or they are biased
            (`eagerness`), which nothing that is served may be.
    """
    folder = folder_of(name)
    config = base_config.load(DuplexConfig, folder / "config.yaml")
    if config.eagerness:
        raise WeightsError(f"config.yaml of {folder.name} has an eagerness; only an evaluation gives a model one")
    model = DuplexModel(config, Pieces.load(folder / "pieces.json"), _vocabulary(config, folder))
    try:
        stored = load_file(folder / "model.safetensors")
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"model.safetensors of {folder.name} cannot be read ({error})") from error
    _fill(model, stored)
    model = model.eval().to(device)
    return pack(turn(model)) if packed else model


def fingerprint(name: str | Path = "tiny") -> str:
    """First 16 hex digits of the SHA-256 of the tensors' file.

    Raises:
        WeightsError: there are no such weights.
    """
    return hashlib.sha256((folder_of(name) / "model.safetensors").read_bytes()).hexdigest()[:16]


def config_fingerprint(name: str | Path = "tiny") -> str:
    """The same of what else makes the model: its resolved configuration, its vocabulary and that of its captions."""
    folder = folder_of(name)
    config = base_config.load(DuplexConfig, folder / "config.yaml")
    files = ["pieces.json"] + [CAPTIONS_FILE] * bool(config.encoder.caption_pieces)
    told = base_config.fingerprint(config).encode() + b"".join((folder / file).read_bytes() for file in files)
    return hashlib.sha256(told).hexdigest()[:16]


def _vocabulary(config: DuplexConfig, folder: Path) -> Vocabulary | None:
    """What the captions of these weights are made of; None where they come by characters.

    Raises:
        WeightsError: it is missing, or of another length than the caption head.
    """
    if not (wanted := config.encoder.caption_pieces):
        return None
    vocabulary = Vocabulary.load(folder / CAPTIONS_FILE)
    if len(vocabulary) != wanted:
        raise WeightsError(f"{CAPTIONS_FILE} of {folder.name} has {len(vocabulary)} pieces, the caption head {wanted}")
    return vocabulary


def folder_of(name: str | Path) -> Path:
    """Of weights by name of a shipped model, or by folder.

    Raises:
        WeightsError: there are none.
    """
    for folder in (Path(name), _SHIPPED / str(name)):
        if (folder / "config.yaml").exists():
            return folder
    shipped = sorted(p.parent.name for p in _SHIPPED.glob("*/config.yaml"))
    raise WeightsError(f"no weights at {name}; shipped: {', '.join(shipped) or 'none'}")


def _unique(model: DuplexModel) -> dict[str, Tensor]:
    """The model's tensors without second names of shared ones."""
    seen, found = set(), {}
    for name, value in model.state_dict(keep_vars=True).items():
        if value.data_ptr() in seen and value.numel():
            continue
        seen.add(value.data_ptr())
        found[name] = value
    return found


def _fill(model: DuplexModel, stored: dict[str, Tensor]) -> None:
    wanted = _unique(model)
    scales = {n.removesuffix(_SCALE) for n in stored if n.endswith(_SCALE) and n not in wanted}
    plain = {n for n in stored if n in wanted or not n.endswith(_SCALE)}
    for name in sorted(wanted.keys() - plain):
        raise WeightsError(f"tensor {name} is missing")
    for name in sorted((plain | scales) - wanted.keys()):
        raise WeightsError(f"tensor {name} is not part of the model")
    with torch.no_grad():
        for name, target in wanted.items():
            value = stored[name]
            if value.shape != target.shape:
                raise WeightsError(f"tensor {name} has shape {tuple(value.shape)}, expected {tuple(target.shape)}")
            if (value.dtype == torch.int8) != (name in scales):
                raise WeightsError(f"tensor {name} is {value.dtype}, which does not go with its scale")
            if name in scales:
                scale = stored[name + _SCALE]
                if scale.shape != value.shape[:1]:
                    raise WeightsError(f"tensor {name}{_SCALE} has shape {tuple(scale.shape)}")
                value = value.float() * scale.view(-1, *([1] * (value.dim() - 1)))
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise WeightsError(f"tensor {name} is not finite")
            target.copy_(value)
