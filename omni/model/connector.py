"""The connector: one block of ear frames to one embedding of the language model's width.

Two paths are added. One is an MLP over the block's frames. The other passes a softmax over characters in each caption
slot, a bottleneck that starts as a copy of the caption head and of the character embeddings learned on text alone, so
that a mind that has read streams of characters hears from its first step. It is the connector's own: the caption head
can be changed or randomised without moving a token.

Two more paths are choices of the whole model: `PieceReader` reads what the caption head by pieces says (`read_pieces`),
`SoundReader` what the head for sounds says (`read_sounds`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.model.captions import WORD_START, Vocabulary
from omni.model.encoder import CAPTION_CHARACTERS, CAPTION_SLOTS
from omni.nn.activation import gelu
from omni.nn.state import State, write

NUM_CHARACTERS = len(CAPTION_CHARACTERS) + 1  # with the blank


class Connector(nn.Module):
    """Ear frames (B, T * block_frames, dim) to embeddings (B, T, out_dim). Stateless."""

    def __init__(self, dim: int, out_dim: int, block_frames: int):
        super().__init__()
        self.block_frames = block_frames
        self.num_slots = block_frames * CAPTION_SLOTS
        self.spell = nn.Linear(dim, CAPTION_SLOTS * NUM_CHARACTERS)
        self.characters = nn.Linear(self.num_slots * NUM_CHARACTERS, out_dim, bias=False)
        self.norm = nn.LayerNorm(block_frames * dim)
        self.up, self.down = nn.Linear(block_frames * dim, 2 * out_dim), nn.Linear(2 * out_dim, out_dim)
        nn.init.zeros_(self.down.weight)
        nn.init.normal_(self.characters.weight, std=0.3)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Any number of whole blocks."""
        B, T, D = x_BTD.shape
        spelled = self.spell(x_BTD).unflatten(2, (CAPTION_SLOTS, NUM_CHARACTERS)).softmax(-1)
        characters = self.characters(self.silence_free(spelled).reshape(B, T // self.block_frames, -1))
        y = self.norm(x_BTD.reshape(B, T // self.block_frames, self.block_frames * D))
        return characters + self.down(gelu(self.up(y)))

    @staticmethod
    def silence_free(posterior: Tensor) -> Tensor:
        """Posteriors (..., characters) with the blank set to zero: what is silent adds nothing."""
        return F.pad(posterior[..., 1:], (1, 0))


class PieceReader(nn.Module):
    """What captions by pieces say in a block, as an embedding: the same from ears as from text. Stateless.

    A table has an embedding for each piece. They are summed over the posterior of each frame, the blank left out, and
    over the frames of a block. Nothing that the mind learns from it changes what captions say: the posterior is taken
    as it is.
    """

    def __init__(self, num_pieces: int, out_dim: int, block_frames: int):
        super().__init__()
        self.block_frames = block_frames
        self.table = nn.Parameter(torch.randn(num_pieces, out_dim) * 0.3)

    def forward(self, logits_BTC: Tensor) -> Tensor:
        """Embeddings (B, T, out_dim) from the caption head's logits (B, T * block_frames, num_pieces + 1)."""
        said = logits_BTC.detach().softmax(-1)[..., 1:].unflatten(1, (-1, self.block_frames)).sum(2)
        return said @ self.table

    def spelled(self, ids_BT: Tensor, sure: float = 1.0) -> Tensor:
        """The same of a head that is as `sure` of each piece as this at least: ids (B, T * block_frames) of pieces, 0
        for the blank."""
        said = F.embedding((ids_BT - 1).clamp(min=0), self.table) * (ids_BT > 0)[..., None]
        if sure < 1:
            said = said * (sure + (1 - sure) * torch.rand(*ids_BT.shape, 1, device=ids_BT.device))
        return said.unflatten(1, (-1, self.block_frames)).sum(2)

    def take(self, table: Tensor, before: Vocabulary, now: Vocabulary) -> None:
        """Copy what is known of the pieces of another vocabulary; a piece that is new says what its parts said, taken
        apart as a word would be."""
        rows = {piece: row for row, piece in enumerate(before.pieces)}
        with torch.no_grad():
            for row, piece in enumerate(now.pieces):
                if piece in rows:
                    self.table[row] = table[rows[piece]]
                else:
                    parts = [i - 1 for word in before.encode(piece.removeprefix(WORD_START)) for i in word]
                    self.table[row] = table[parts].sum(0)


class SoundReader(nn.Module):
    """What sounds in a block, as an embedding: the same from ears as from text.

    A table has an embedding for each class; they are summed over the probabilities that the head gives. It begins with
    zeros: a mind that has learned without goes on as it was.

    With a half-life there is a second embedding for each class, for what sounded lately: it is multiplied by the
    logarithm of one plus the sum of all probabilities before, each the less the longer ago. So whoever is asked what
    that was can read it where it is asked, and need not look for the blocks in which it sounded. State: `sounded`
    (B, num_sounds), that sum.

    Args:
        half_life: blocks, 0 for what sounds now alone.
    """

    def __init__(self, num_sounds: int, out_dim: int, half_life: float = 0.0):
        super().__init__()
        self.keeps = 0.5 ** (1 / half_life) if half_life else 0.0
        self.table = nn.Parameter(torch.zeros(num_sounds * (2 if half_life else 1), out_dim))

    def forward(self, readings_BTR: Tensor) -> Tensor:
        """Embeddings (B, T, out_dim) of what `readings` or `next_readings` give."""
        return readings_BTR @ self.table

    def readings(self, probability_BTS: Tensor) -> Tensor:
        """What there is to be read of the head's probabilities (B, T, num_sounds), from the first block on: (B, T, R),
        R as many or, with a half-life, twice as many. Nothing that the mind learns from it changes what they say."""
        told = probability_BTS.detach()
        if not self.keeps:
            return told
        ago = torch.arange(told.shape[1], device=told.device)
        ago = ago[:, None] - ago
        kept = (self.keeps ** ago.clamp(min=0)).to(told.dtype).tril()
        return torch.cat([told, torch.log1p(kept @ told)], -1)

    def next_readings(self, probability_BTS: Tensor, state: State, active: Tensor) -> Tensor:
        """`readings` of the next block, T = 1; `state` has `sounded`."""
        if not self.keeps:
            return probability_BTS
        sounded = state["sounded"] * self.keeps + probability_BTS[:, 0]
        write(state["sounded"], sounded, active)
        return torch.cat([probability_BTS, torch.log1p(sounded)[:, None]], -1)
