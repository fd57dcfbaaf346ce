"""Which ears: the plain encoder with its connector, or SALMONN's two encoders with a query transformer.

    encoder: {dim: 192, ...}          ──► Encoder         ──► Connector         ──► 1 embedding a block
    encoder: {kind: salmonn, ...}     ──► SalmonnEncoder  ──► QueryConnector    ──► N embeddings a block

Both keep one face: an encoder has `init_state`, `forward`, `step` and `captions`, and heads that may be None; a
connector is stateless and turns the frames of whole blocks to embeddings; both configurations have `num_mels`, `dim`,
`block_frames` and `caption_pieces`.
"""

from dataclasses import replace
from pathlib import Path

import yaml

from omni.base import config as base_config
from omni.base.errors import WeightsError
from omni.model.captions import CAPTIONS_FILE, Vocabulary
from omni.model.connector import Connector
from omni.model.encoder import Encoder, EncoderConfig
from omni.model.salmonn_ears import QueryConnector, SalmonnConfig, SalmonnEncoder

EarsConfig = SalmonnConfig | EncoderConfig


def build_encoder(config: EarsConfig) -> Encoder | SalmonnEncoder:
    """The configured encoder with random weights."""
    return SalmonnEncoder(config) if isinstance(config, SalmonnConfig) else Encoder(config)


def build_connector(config: EarsConfig, out_dim: int) -> Connector | QueryConnector:
    """The connector that goes with it, to embeddings of width `out_dim`."""
    if isinstance(config, SalmonnConfig):
        return QueryConnector(config, out_dim)
    return Connector(config.dim, out_dim, config.block_frames)


def embeddings_per_block(config: EarsConfig) -> int:
    """How many embeddings the connector gives in a block."""
    return config.qformer.num_queries if isinstance(config, SalmonnConfig) else 1


def ears_of_run(folder: Path) -> tuple[EarsConfig, Vocabulary | None]:
    """Sizes of the ears that a stage has trained, and what their captions are made of if they come by pieces.

    Args:
        folder: of a run; its config.yaml has a section `encoder` or `model.encoder`. `caption_pieces` may have been an
            upper bound there: captions.json says how many there are.

    Raises:
        WeightsError: a file is missing, or there are no ears.
        ConfigError: the section is wrong.
    """
    try:
        told = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        encoder = told["encoder"] if "encoder" in told else told["model"]["encoder"]
    except OSError as error:
        raise WeightsError(f"config.yaml is missing in {folder.name}") from error
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise WeightsError(f"config.yaml of {folder.name} tells of no ears") from error
    config = base_config.build(EarsConfig, encoder, f"{folder.name}/config.yaml: encoder")
    if not config.caption_pieces:
        return config, None
    vocabulary = Vocabulary.load(folder / CAPTIONS_FILE)
    return replace(config, caption_pieces=len(vocabulary)), vocabulary
