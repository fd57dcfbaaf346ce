"""The ears: a causal encoder that hears the room with the agent's own voice beside it.

Room and own log-mel (100 Hz) enter together, so that the echo can be subtracted from the first layer on; two causal
convolutions bring them to 25 Hz, then blocks of depthwise convolution, windowed attention and feed-forward follow
(the Conformer's parts, arXiv 2005.08100, made causal). A caption head with two character slots a frame is trained by
CTC; the language model never sees these captions. Where the configuration asks for them there are more heads: captions
by pieces of words (omni.model.captions), the sounds in each block, speech in each block. None of them feeds the mind,
but for captions by pieces where the model is told to read them (`DuplexConfig.read_pieces`).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.model.captions import PieceCaptions
from omni.nn.activation import gelu
from omni.nn.attention import Place, RingAttention
from omni.nn.conv import CausalConv1d
from omni.nn.state import State

CAPTION_CHARACTERS = " abcdefghijklmnopqrstuvwxyz'"  # id 0 is the CTC blank, character i has id i + 1
CAPTION_SLOTS = 2  # per 25 Hz frame: people say up to 29 characters a second


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Sizes of the encoder.

    Attributes:
        dim, num_layers, num_heads, kernel: of each block.
        window: frames (40 ms) of left context in attention, beyond the block's own.
        block_frames: frames in one block of the duplex clock.
        room_mean, room_scale: what centres the room's log-mel (speech in rooms lies about -0.8, deviation 0.4).
        own_silence, own_scale: the same for the own voice, whose digital silence becomes zero.
        caption_pieces: pieces of the caption head by pieces of words, 0 for no such head.
        caption_layers: its own blocks.
        sounds: classes of sound that a head tells in each block, 0 for no such head.
        speech: whether a head tells in each block if somebody speaks.
    """

    num_mels: int = 80
    dim: int = 192
    num_layers: int = 6
    num_heads: int = 4
    kernel: int = 9
    window: int = 100
    block_frames: int = 2
    dropout: float = 0.0
    room_mean: float = -0.8
    room_scale: float = 2.5
    own_silence: float = -1.6666666
    own_scale: float = 1.5
    caption_pieces: int = 0
    caption_layers: int = 2
    sounds: int = 0
    speech: bool = False


class EncoderBlock(nn.Module):
    """Depthwise convolution, attention, feed-forward; each with layer norm before and a residual around."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        dim = config.dim
        self.norm_conv, self.norm_attention, self.norm_ff = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.gate = nn.Linear(dim, 2 * dim)
        self.depthwise = CausalConv1d(dim, dim, config.kernel, groups=dim)
        self.mix = nn.Linear(dim, dim)
        self.attention = RingAttention(dim, config.num_heads, config.window, config.block_frames)
        self.ff_in, self.ff_out = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.dropout = nn.Dropout(config.dropout)

    def init_state(self, num_rows: int) -> State:
        """State of the two parts that remember."""
        return {"conv": self.depthwise.init_state(num_rows), "attention": self.attention.init_state(num_rows)}

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The whole sequence."""
        return self._run(x_BTD, self.depthwise, self.attention)

    def step(self, x_BTD: Tensor, state: State, active: Tensor, place: Place | None = None) -> Tensor:
        """The next block; `place` as of the attention's."""
        return self._run(x_BTD, lambda x: self.depthwise.step(x, state["conv"], active),
                         lambda x: self.attention.step(x, state["attention"], active, place))

    def _run(self, x: Tensor, convolve, attend) -> Tensor:
        y = convolve(F.glu(self.gate(self.norm_conv(x)), dim=-1))
        x = x + self._dropped(self.mix(F.silu(y)))
        x = x + self._dropped(attend(self.norm_attention(x)))
        return x + self._dropped(self.ff_out(F.silu(self.ff_in(self.norm_ff(x)))))

    def _dropped(self, x: Tensor) -> Tensor:
        return self.dropout(x) if self.training else x


class BlockLogits(nn.Module):
    """Encoder frames (B, T * block_frames, dim) to logits of what is there in each block, (B, T, count). Stateless."""

    def __init__(self, config: EncoderConfig, count: int):
        super().__init__()
        self.block_frames = config.block_frames
        self.up, self.down = nn.Linear(config.block_frames * config.dim, config.dim), nn.Linear(config.dim, count)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Any number of whole blocks."""
        return self.down(F.silu(self.up(x_BTD.unflatten(1, (-1, self.block_frames)).flatten(2))))


class Encoder(nn.Module):
    """Room and own log-mel (B, 4 T, num_mels) each, to embeddings (B, T, dim) at 25 Hz.

    Optional heads, None where the configuration has none: `pieces` (PieceCaptions, state `pieces`), `sounds` and
    `speech` (BlockLogits).
    """

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.stem_1 = CausalConv1d(2 * config.num_mels, config.dim, 5, stride=2)
        self.stem_2 = CausalConv1d(config.dim, config.dim, 5, stride=2)
        self.blocks = nn.ModuleList(EncoderBlock(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.dim)
        self.caption = nn.Linear(config.dim, CAPTION_SLOTS * (len(CAPTION_CHARACTERS) + 1))
        self.pieces = self.sounds = self.speech = None
        if config.caption_pieces:
            self.pieces = PieceCaptions(config.dim, config.caption_pieces, config.caption_layers, config.kernel)
        if config.sounds:
            self.sounds = BlockLogits(config, config.sounds)
        if config.speech:
            self.speech = BlockLogits(config, 1)

    def init_state(self, num_rows: int) -> State:
        """Two stems and a state for each block; and `pieces`, which `step` leaves to that head's own."""
        state = {"stem_1": self.stem_1.init_state(num_rows), "stem_2": self.stem_2.init_state(num_rows),
                 **{f"block_{i}": b.init_state(num_rows) for i, b in enumerate(self.blocks)}}
        if self.pieces is not None:
            state["pieces"] = self.pieces.init_state(num_rows)
        return state

    def _centred(self, room_BTM: Tensor, own_BTM: Tensor) -> Tensor:
        """Both streams as channels (B, 4 T, 2 num_mels), the room about zero with unit variance, own silence zero.

        Without it the constant of the silent own stream is most of what the first layer sees.
        """
        c = self.config
        room, own = (room_BTM - c.room_mean) * c.room_scale, (own_BTM - c.own_silence) * c.own_scale
        return torch.cat([room, own], 2)

    def forward(self, room_BTM: Tensor, own_BTM: Tensor) -> Tensor:
        """The whole conversation from a fresh state."""
        # channels first, as convolutions leave them: their backward takes six times as long on gradients that are not
        x = gelu(self.stem_1(self._centred(room_BTM, own_BTM)).mT).mT
        x = gelu(self.stem_2(x).mT).mT
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def step(self, room_BTM: Tensor, own_BTM: Tensor, state: State, active: Tensor) -> Tensor:
        """One block: 4 * block_frames log-mel frames in, block_frames embeddings out."""
        x = gelu(self.stem_1.step(self._centred(room_BTM, own_BTM), state["stem_1"], active))
        x = gelu(self.stem_2.step(x, state["stem_2"], active))
        place = self.blocks[0].attention.place(state["block_0"]["attention"])  # all layers have heard as much
        for i, block in enumerate(self.blocks):
            x = block.step(x, state[f"block_{i}"], active, place)
        return self.norm(x)

    def captions(self, x_BTD: Tensor) -> Tensor:
        """CTC logits (B, CAPTION_SLOTS * T, characters + 1)."""
        return self.caption(x_BTD).unflatten(2, (CAPTION_SLOTS, -1)).flatten(1, 2)


def caption_ids(text: str) -> list[int]:
    """Character ids of a text; what has no character is left out."""
    return [CAPTION_CHARACTERS.index(c) + 1 for c in text.lower() if c in CAPTION_CHARACTERS]


def caption_text(ids: list[int]) -> str:
    """The text of character ids."""
    return "".join(CAPTION_CHARACTERS[i - 1] for i in ids)
