"""The connector: one block of ear frames to one embedding of the language model's width.

Two paths are added. One is an MLP over the block's frames. The other passes a softmax over characters in each caption
slot, a bottleneck that starts as a copy of the caption head and of the character embeddings learned on text alone, so
that a mind that has read streams of characters hears from its first step. It is the connector's own: the caption head
can be changed or randomised without moving a token.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.model.encoder import CAPTION_CHARACTERS, CAPTION_SLOTS

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
        return characters + self.down(F.gelu(self.up(y)))

    @staticmethod
    def silence_free(posterior: Tensor) -> Tensor:
        """Posteriors (..., characters) with the blank set to zero: what is silent adds nothing."""
        keep = torch.ones(posterior.shape[-1], device=posterior.device)
        keep[0] = 0
        return posterior * keep
