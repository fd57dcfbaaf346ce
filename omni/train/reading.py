"""The table by which a mind reads captions, from run to run: vocabularies grow, and some minds read none yet."""

from pathlib import Path

import torch
from torch import Tensor

from omni.model.captions import CAPTIONS_FILE, Vocabulary
from omni.model.duplex import DuplexModel

TABLE = "model.reader.table"


def bring_table(known: dict[str, Tensor], folder: Path, model: DuplexModel) -> dict[str, Tensor]:
    """The tensors of a run, with its table in the order of the model's vocabulary.

    A mind that has read no captions begins with a table of zeros, so that it goes on as it was and learns to.

    Raises:
        WeightsError: the run has a table, and does not tell of which pieces.
    """
    if model.reader is None:
        return known
    if TABLE not in known:
        return {**known, TABLE: torch.zeros_like(model.reader.table, requires_grad=False)}
    model.reader.take(known[TABLE], Vocabulary.load(folder / CAPTIONS_FILE), model.vocabulary)
    return {**known, TABLE: model.reader.table.detach().clone()}
