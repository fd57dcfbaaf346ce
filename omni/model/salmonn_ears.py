"""SALMONN's ears, streaming: a speech encoder and an audio-event encoder side by side, a window-level Q-Former behind.

After SALMONN (arXiv 2310.13289, section 3.1): the frames of both encoders are joined one by one, Z = [Whisper(X);
BEATs(X)] at 50 Hz, and one query transformer with N learned queries turns each window of L frames into N embeddings of
the language model's width, with the same weights for every window. LoRA on the language model is `peft`'s affair.

    log-mel, 100 Hz   | 0  1  2  3  4  5  6  7 |    a block of 80 ms
    speech,   50 Hz   |   s0    s1    s2    s3 |    two convolutions over time, transformer (Whisper's parts)
    events,   50 Hz   |   e0    e1    e2    e3 |    patches of 80 ms by a quarter of the bands, transformer (BEATs')
    Z                 |  s0e0  s1e1  s2e2  s3e3|    a norm for each encoder, then one vector a frame
    Q-Former          |     N embeddings       |    self-attention among queries, cross-attention to this window

What differs from the paper:

- Causality. Whisper and BEATs see 30 s at once. Here convolutions are causal, and attention sees its own block and
  `window` frames before it, so a block's frames are final when the block ends. The published weights therefore don't
  fit; stage "distil" teaches the speech encoder to say what Whisper says.
- Window length. The paper has L = 17 frames (0.33 s) and N = 1; here a window is a block: L = 4 frames (80 ms), with no
  window left over to be padded. What is older comes in through the encoders' own left context.
- Own voice. SALMONN hears one stream. Both encoders here see the agent's own log-mel beside the room's from their
  first layer on, as the plain encoder does.
- Patches. BEATs cuts 128 bands into patches of 160 ms by 16 bands, eight at a time; here they are 80 ms by a quarter
  of the bands, four at a time: 50 a second in both. Within a block the order of patches is one of bands, not of time.
- Positions are rotary in place of Whisper's sinusoids and BEATs' convolution with gated relative bias; both are
  pre-norm. Encoders are trained from nothing at toy size; in the paper they are frozen.
- A caption head reads Z, as on the plain encoder; the language model never sees it.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.model.encoder import CAPTION_CHARACTERS
from omni.nn.attention import RingAttention
from omni.nn.conv import CausalConv1d
from omni.nn.state import State

BLOCK_MELS = 8      # log-mel frames (10 ms) in a block
BLOCK_FRAMES = 4    # frames (20 ms) of both encoders in a block; one caption slot each
NUM_STREAMS = 2     # room and own voice


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """Sizes of one encoder.

    Attributes:
        window: frames (20 ms) of left context in attention, beyond the block's own; a multiple of 4.
    """

    dim: int = 96
    num_layers: int = 2
    num_heads: int = 4
    window: int = 200


@dataclass(frozen=True, slots=True)
class QFormerConfig:
    """Sizes of the query transformer.

    Attributes:
        num_queries: N, embeddings a block; more than one need the language model's layout "interleaved".
    """

    num_queries: int = 1
    dim: int = 96
    num_layers: int = 2
    num_heads: int = 4


@dataclass(frozen=True, slots=True)
class SalmonnConfig:
    """Both encoders and the query transformer; stands where `EncoderConfig` stands.

    Attributes:
        kind: says that these are meant.
        dropout: in both encoders and the query transformer.
        room_mean, room_scale, own_silence, own_scale: what centres the log-mels, as in `EncoderConfig`.
    """

    kind: Literal["salmonn"]
    num_mels: int = 80
    speech_encoder: TransformerConfig = field(default_factory=TransformerConfig)
    event_encoder: TransformerConfig = field(default_factory=TransformerConfig)
    qformer: QFormerConfig = field(default_factory=QFormerConfig)
    dropout: float = 0.0
    room_mean: float = -0.8
    room_scale: float = 2.5
    own_silence: float = -1.6666666
    own_scale: float = 1.5

    def __post_init__(self):
        if self.num_mels % BLOCK_FRAMES:
            raise ValueError(f"num_mels {self.num_mels} must be a multiple of {BLOCK_FRAMES}, the patches of a block")

    @property
    def dim(self) -> int:
        """Width of a joined frame."""
        return self.speech_encoder.dim + self.event_encoder.dim

    @property
    def block_frames(self) -> int:
        """Joined frames in one block of the duplex clock."""
        return BLOCK_FRAMES

    @property
    def caption_pieces(self) -> int:
        """No captions by pieces of words."""
        return 0


class TransformerBlock(nn.Module):
    """Windowed attention and feed-forward; each with layer norm before and a residual around."""

    def __init__(self, config: TransformerConfig, dropout: float):
        super().__init__()
        dim = config.dim
        self.norm_attention, self.norm_ff = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = RingAttention(dim, config.num_heads, config.window, BLOCK_FRAMES)
        self.ff_in, self.ff_out = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.dropout = nn.Dropout(dropout)

    def init_state(self, num_rows: int) -> State:
        """Of the attention's ring."""
        return self.attention.init_state(num_rows)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The whole sequence."""
        return self._run(x_BTD, self.attention)

    def step(self, x_BTD: Tensor, state: State, active: Tensor) -> Tensor:
        """The next block."""
        return self._run(x_BTD, lambda x: self.attention.step(x, state, active))

    def _run(self, x: Tensor, attend) -> Tensor:
        x = x + self.dropout(attend(self.norm_attention(x)))
        return x + self.dropout(self.ff_out(F.gelu(self.ff_in(self.norm_ff(x)))))


class Transformer(nn.Module):
    """Blocks and the norm behind them, (B, T, dim) with T a multiple of BLOCK_FRAMES. State: `block_i` of each."""

    def __init__(self, config: TransformerConfig, dropout: float):
        super().__init__()
        self.blocks = nn.ModuleList(TransformerBlock(config, dropout) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.dim)

    def init_state(self, num_rows: int) -> State:
        """Empty rings."""
        return {f"block_{i}": block.init_state(num_rows) for i, block in enumerate(self.blocks)}

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The whole sequence."""
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return self.norm(x_BTD)

    def step(self, x_BTD: Tensor, state: State, active: Tensor) -> Tensor:
        """The next block."""
        for i, block in enumerate(self.blocks):
            x_BTD = block.step(x_BTD, state[f"block_{i}"], active)
        return self.norm(x_BTD)


class SpeechEncoder(nn.Module):
    """Whisper's encoder (arXiv 2212.04356), causal: centred log-mel (B, 2 T, 2 num_mels) to frames (B, T, dim)."""

    def __init__(self, config: SalmonnConfig):
        super().__init__()
        dim = config.speech_encoder.dim
        self.conv_1 = CausalConv1d(NUM_STREAMS * config.num_mels, dim, 3)
        self.conv_2 = CausalConv1d(dim, dim, 3, stride=2)
        self.transformer = Transformer(config.speech_encoder, config.dropout)

    def init_state(self, num_rows: int) -> State:
        """Two convolutions and the transformer."""
        return {"conv_1": self.conv_1.init_state(num_rows), "conv_2": self.conv_2.init_state(num_rows),
                "transformer": self.transformer.init_state(num_rows)}

    def forward(self, x_BTM: Tensor) -> Tensor:
        """The whole signal."""
        x = F.gelu(self.conv_1(x_BTM).mT).mT  # channels first, as convolutions leave them
        return self.transformer(F.gelu(self.conv_2(x).mT).mT)

    def step(self, x_BTM: Tensor, state: State, active: Tensor) -> Tensor:
        """The next block."""
        x = F.gelu(self.conv_1.step(x_BTM, state["conv_1"], active))
        x = F.gelu(self.conv_2.step(x, state["conv_2"], active))
        return self.transformer.step(x, state["transformer"], active)


class EventEncoder(nn.Module):
    """BEATs' encoder (arXiv 2212.09058), block by block: centred log-mel (B, 8 T, 2 num_mels) to patches (B, 4 T, dim).

        one block            bands 0-19   20-39   40-59   60-79         of room and own voice
        8 frames of log-mel   patch 0       1       2       3    --->   e0 e1 e2 e3
    """

    def __init__(self, config: SalmonnConfig):
        super().__init__()
        dim = config.event_encoder.dim
        self.patch = nn.Linear(BLOCK_MELS * NUM_STREAMS * config.num_mels // BLOCK_FRAMES, dim)
        self.band = nn.Embedding(BLOCK_FRAMES, dim)  # which quarter of the bands a patch shows
        self.transformer = Transformer(config.event_encoder, config.dropout)

    def init_state(self, num_rows: int) -> State:
        """Of the transformer: a patch ends with its block."""
        return self.transformer.init_state(num_rows)

    def forward(self, x_BTM: Tensor) -> Tensor:
        """The whole signal."""
        return self.transformer(self._patches(x_BTM))

    def step(self, x_BTM: Tensor, state: State, active: Tensor) -> Tensor:
        """The next block."""
        return self.transformer.step(self._patches(x_BTM), state, active)

    def _patches(self, x_BTM: Tensor) -> Tensor:
        """Embedded patches (B, 4 T, dim), in the order of bands within each block."""
        x = x_BTM.unflatten(2, (NUM_STREAMS, BLOCK_FRAMES, -1)).unflatten(1, (-1, BLOCK_MELS))  # B T 8 stream band mel
        x = self.patch(x.permute(0, 1, 4, 2, 3, 5).flatten(3)) + self.band.weight
        return x.flatten(1, 2)


class SalmonnEncoder(nn.Module):
    """Room and own log-mel (B, 8 T, num_mels) each, to joined frames Z (B, 4 T, speech dim + event dim) at 50 Hz.

    State: `speech_encoder` and `event_encoder`. Of the plain encoder's heads it has the caption head alone; `pieces`,
    `sounds` and `speech` are None.
    """

    def __init__(self, config: SalmonnConfig):
        super().__init__()
        self.config = config
        self.speech_encoder, self.event_encoder = SpeechEncoder(config), EventEncoder(config)
        self.caption = nn.Linear(config.dim, len(CAPTION_CHARACTERS) + 1)
        self.pieces = self.sounds = self.speech = None

    def init_state(self, num_rows: int) -> State:
        """Of both encoders."""
        return {"speech_encoder": self.speech_encoder.init_state(num_rows),
                "event_encoder": self.event_encoder.init_state(num_rows)}

    def _centred(self, room_BTM: Tensor, own_BTM: Tensor) -> Tensor:
        """Both streams (B, T, 2 num_mels), the room about zero with unit variance, own silence zero."""
        c = self.config
        return torch.cat([(room_BTM - c.room_mean) * c.room_scale, (own_BTM - c.own_silence) * c.own_scale], 2)

    def forward(self, room_BTM: Tensor, own_BTM: Tensor) -> Tensor:
        """The whole conversation from a fresh state."""
        x = self._centred(room_BTM, own_BTM)
        return torch.cat([self.speech_encoder(x), self.event_encoder(x)], 2)

    def step(self, room_BTM: Tensor, own_BTM: Tensor, state: State, active: Tensor) -> Tensor:
        """One block: 8 log-mel frames of each stream in, 4 joined frames out."""
        x = self._centred(room_BTM, own_BTM)
        return torch.cat([self.speech_encoder.step(x, state["speech_encoder"], active),
                          self.event_encoder.step(x, state["event_encoder"], active)], 2)

    def captions(self, x_BTD: Tensor) -> Tensor:
        """CTC logits (B, T, characters + 1): a slot a frame, four a block."""
        return self.caption(x_BTD)


class QueryConnector(nn.Module):
    """Joined frames (B, 4 T, dim) to embeddings (B, N T, out_dim), block by block with the same weights. Stateless.

    The Q-Former is the library's (arXiv 2301.12597), with cross-attention in every layer and none of the parts for
    text, as SALMONN has it.
    """

    def __init__(self, config: SalmonnConfig, out_dim: int):
        super().__init__()
        # here, since it takes a second that models with other ears need not wait for
        from transformers import Blip2QFormerConfig, Blip2QFormerModel

        c = config.qformer
        settings = Blip2QFormerConfig(
            hidden_size=c.dim, num_hidden_layers=c.num_layers, num_attention_heads=c.num_heads,
            intermediate_size=4 * c.dim, cross_attention_frequency=1, encoder_hidden_size=config.dim,
            hidden_dropout_prob=config.dropout, attention_probs_dropout_prob=config.dropout)
        self.qformer = Blip2QFormerModel(settings)
        self.queries = nn.Parameter(torch.randn(c.num_queries, c.dim) * settings.initializer_range)
        self.out = nn.Linear(c.dim, out_dim)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Any number of whole blocks."""
        windows = x_BTD.unflatten(1, (-1, BLOCK_FRAMES)).flatten(0, 1)  # (B * T, 4, dim)
        asked = self.qformer(query_embeds=self.queries.expand(len(windows), -1, -1), encoder_hidden_states=windows)
        return self.out(asked.last_hidden_state).view(len(x_BTD), -1, self.out.out_features)
