"""SALMONN's ears behind the face of `streaming`: each encoder, both of them, and whole models."""

from dataclasses import replace

import tiny
from streaming import Ears, Plain, Whole
from torch import nn

from omni.model.salmonn_ears import (
    EventEncoder,
    QFormerConfig,
    SalmonnConfig,
    SalmonnEncoder,
    SpeechEncoder,
    TransformerConfig,
)

EARS = SalmonnConfig("salmonn", tiny.MELS, TransformerConfig(8, 1, 2, window=4), TransformerConfig(8, 1, 2, window=8),
                     QFormerConfig(dim=8, num_layers=1, num_heads=2))
MELS = {"units": 9, "shape": (8, 2 * tiny.MELS)}  # 36 frames, past two wraps of both rings


def _model(layout: str, num_queries: int, seed: int) -> nn.Module:
    ears = replace(EARS, qformer=replace(EARS.qformer, num_queries=num_queries))
    return tiny.duplex(layout, seed=seed, encoder=ears)


# as `streaming.MODULES`
MODULES = {
    "SpeechEncoder": lambda: Plain(tiny.randomise(SpeechEncoder(EARS)), **MELS),
    "EventEncoder": lambda: Plain(tiny.randomise(EventEncoder(EARS)), **MELS),
    "SalmonnEncoder": lambda: Ears(tiny.randomise(SalmonnEncoder(EARS)), **MELS),
    "DuplexModel, SALMONN's ears": lambda: Whole(_model("summed", 1, seed=10), units=16),
    "DuplexModel, SALMONN's ears, two queries": lambda: Whole(_model("interleaved", 2, seed=21), units=16),
}
