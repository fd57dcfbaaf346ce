"""Worlds grow from run to run: what a trained model knows by the pieces it says and reads is brought to others.

    pieces before    yes  no  three            Pieces, or the Vocabulary of captions
    pieces now       yes  four  no  three
    rows             0    new   1   2          of each table that has a row a piece
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from omni.base.errors import WeightsError
from omni.model.captions import CAPTIONS_FILE, Vocabulary
from omni.model.duplex import DuplexModel
from omni.model.tokens import Pieces
from omni.model.weights import load_model

TABLE, SOUNDS, CUT = "model.reader.table", "model.sound_reader.table", "model.cut_in.weight"
EMBEDDING = "mouth.embedding.weight"  # what pieces are, to the mind and to the mouth


def bring_rows(table: Tensor, before: Pieces, fresh: Tensor, now: Pieces) -> Tensor:
    """`fresh` (len(now), ...) with the rows of `table` (len(before), ...) where both have the piece."""
    rows = {before.symbol(i): i for i in range(len(before))}
    places = [(i, rows[s]) for i in range(len(now)) if (s := now.symbol(i)) in before]
    brought, (to, of) = fresh.detach().clone(), zip(*places, strict=True)
    brought[list(to)] = table[list(of)]
    return brought


def pieces_of(folder: Path, pieces: Pieces) -> Pieces:
    """What weights, or a run, say; a run that lists nothing says `pieces`."""
    path = folder / "pieces.json"
    return Pieces.load(path) if path.exists() else pieces


def shared_rows(folder: Path, pieces: Pieces) -> list[int]:
    """Rows of a table of `pieces` that those of weights, or of a run, have too."""
    known = pieces_of(folder, pieces)
    return [i for i in range(len(pieces)) if pieces.symbol(i) in known]


def bring_pieces(known: dict[str, Tensor], before: Pieces, model: DuplexModel, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a model that says other pieces, with its embedding and its output weights in the order of this
    one's; a piece that is new has the rows that it has in `model`.

    Args:
        known: with `prefix` before the names that they have in the model.
    """
    if before.words == model.pieces.words:
        return known
    brought = dict(known)
    for output in (model.mouth.embedding.weight, model.mind.model.get_output_embeddings().weight):
        for name, own in model.state_dict(keep_vars=True).items():
            if own is output and prefix + name in known:
                brought[prefix + name] = bring_rows(known[prefix + name], before, own, model.pieces)
    return brought


def bring_table(known: dict[str, Tensor], folder: Path, model: DuplexModel) -> dict[str, Tensor]:
    """The tensors of a run, with its table of what captions say in the order of the model's vocabulary.

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


def bring_sounds(known: dict[str, Tensor], model: DuplexModel) -> dict[str, Tensor]:
    """The tensors of a run, with zeros for what its mind has not read of sounds yet, whether that is all of them or
    what sounded lately: it goes on as it was, and learns to read them.

    Raises:
        WeightsError: it has read more of them than the model can.
    """
    if model.sound_reader is None:
        return known
    table = torch.zeros_like(model.sound_reader.table, requires_grad=False)
    read = known.get(SOUNDS, table[:0])
    if len(read) > len(table):
        raise WeightsError("the run reads what sounded lately (model.sounds_kept_s), and the model does not")
    table[:len(read)] = read
    return {**known, SOUNDS: table}


def take_all(lesson: nn.Module, folder: Path, leave: tuple[str, ...]) -> None:
    """All of a run, or of weights but for the heads, without the tensors whose names begin with one of `leave`, which
    it may have otherwise.

    Args:
        lesson: a model, as `model`, and the heads of its mind, as `heads`.

    Raises:
        WeightsError: a tensor is in one of them alone.
    """
    if (folder / "pieces.json").exists():
        before = load_model(folder)
        known = {f"model.{name}": t for name, t in before.state_dict().items()}
        known = bring_pieces(known, before.pieces, lesson.model, "model.")
        leave = (*leave, "heads.")
    else:
        known = load_file(folder / "model.safetensors")
    known = bring_sounds(bring_table(known, folder, lesson.model), lesson.model)
    if lesson.model.cut_in is not None and CUT not in known:
        zeros = lesson.model.cut_in.weight.detach().clone()  # it goes on as it was, and learns to read it
        known = {**known, CUT: zeros}
    missing, extra = lesson.load_state_dict({n: t for n, t in known.items() if not n.startswith(leave)}, strict=False)
    for name in (*(n for n in missing if not n.startswith(leave)), *extra):
        raise WeightsError(f"tensor {name} is not both in {folder.name} and in the model")
