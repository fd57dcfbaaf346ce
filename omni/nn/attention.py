"""Windowed causal self-attention with rotary positions and a ring of keys and values.

Frames come in blocks of `block` frames that see each other; beyond its own block a frame sees the `window` frames
before the block. Rotary embedding follows RoFormer (arXiv 2104.09864).

    window 4, block 2     keys     0 1 | 2 3 | 4 5 | 6 7
                          query 6      ^-------^ | ^-^      frames 2..5 before the block, 6 and 7 of the block
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.nn.state import State, everyone, expand_mask


def rotary(x_BHTD: Tensor, positions_BT: Tensor, base: float = 10_000.0) -> Tensor:
    """Rotate channel pairs by position; float64 angles keep hour-long positions exact."""
    half = x_BHTD.shape[-1] // 2
    angles = _angles(positions_BT, half, base)[:, None]
    cos, sin = angles.cos().to(x_BHTD.dtype), angles.sin().to(x_BHTD.dtype)
    a, b = x_BHTD[..., :half], x_BHTD[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _angles(positions_BT: Tensor, half: int, base: float = 10_000.0) -> Tensor:
    """float64 (B, T, half)."""
    return positions_BT[..., None].double() * _frequencies(half, base, positions_BT.device)


@lru_cache
def _frequencies(half: int, base: float, device: torch.device) -> Tensor:
    """float64 (half,), never written to."""
    return base ** (-torch.arange(half, device=device, dtype=torch.float64) / half)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next block of every row goes; one for all rings of one size that are stepped together.

    Attributes:
        cos, sin: (B, T, 1, 1, d) what rotates a channel and what rotates its partner into it.
        slots: int64 (B * T,) places in the rings of all rows, one after the other.
        mask: (B, 1, 1, slots) 0 where a slot has been written once this block is in, else minus infinity.
    """

    cos: Tensor
    sin: Tensor
    slots: Tensor
    mask: Tensor


class RingAttention(nn.Module):
    """Self-attention over (B, T, D) with T a multiple of `block`.

    State: `ring` (B, window + block, 2, H, D / H), rotated keys and values at slot position % (window + block), so that
    a block that has been written stands beside all it sees and nothing else; `count` (B,) int64, frames written so far.
    `window` is a multiple of `block`.
    """

    def __init__(self, dim: int, num_heads: int, window: int, block: int):
        super().__init__()
        if window % block or dim % num_heads:
            raise ValueError(f"window {window} must be a multiple of {block}, dim {dim} of {num_heads}")
        self.num_heads, self.window, self.block = num_heads, window, block
        self.slots = window + block
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def init_state(self, num_rows: int) -> State:
        """An empty ring."""
        shape = (num_rows, self.slots, 2, self.num_heads, self.qkv.in_features // self.num_heads)
        return {"ring": self.qkv.weight.new_zeros(shape),
                "count": torch.zeros(num_rows, dtype=torch.int64, device=self.qkv.weight.device)}

    def _project(self, x_BTD: Tensor, positions_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        B, T, D = x_BTD.shape
        q, k, v = self.qkv(x_BTD).view(B, T, 3, self.num_heads, D // self.num_heads).permute(2, 0, 3, 1, 4)
        q, k = rotary(torch.cat([q, k], 1), positions_BT).chunk(2, dim=1)
        return q, k, v

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The whole sequence from a fresh state."""
        B, T, D = x_BTD.shape
        q, k, v = self._project(x_BTD, torch.arange(T, device=x_BTD.device)[None])
        # in chunks, twice the window is looked at for each chunk: a short sequence is cheaper as a whole
        short = T <= 2 * self.window
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=self._band(T, x_BTD)) if short else self._chunked(q, k, v)
        return self.out(y.transpose(1, 2).reshape(B, T, D))

    def _chunked(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of (B, H, T, d) in chunks of `window` that see the chunk before them."""
        (B, H, T, _), W = q.shape, self.window
        N = -(-T // W)

        def chunks(t: Tensor) -> Tensor:  # (B, H, T, d) -> (B, N, H, W, d)
            return F.pad(t, (0, 0, 0, N * W - T)).view(B, H, N, W, -1).transpose(1, 2)

        def with_past(t: Tensor) -> Tensor:  # each chunk behind the one before it
            return torch.cat([F.pad(t, (0, 0, 0, 0, 0, 0, 1, 0))[:, :-1], t], dim=3)

        band = self._band(2 * W, q)[W:]
        first = band.clone()
        first[:, :W] = float("-inf")  # nothing was before the first chunk
        mask = torch.stack([first] + [band] * (N - 1)).repeat(B, 1, 1)[:, None]
        q, k, v = chunks(q), with_past(chunks(k)), with_past(chunks(v))
        y = F.scaled_dot_product_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), attn_mask=mask)
        return y.view(B, N, H, W, -1).transpose(1, 2).reshape(B, H, N * W, -1)[:, :, :T]

    def _band(self, num_frames: int, like: Tensor) -> Tensor:
        """(T, T), added to the scores: 0 where a query sees a key, else minus infinity."""
        query = torch.arange(num_frames, device=like.device)[:, None]
        key = torch.arange(num_frames, device=like.device)[None]
        start = query - query % self.block
        seen = (key >= start - self.window) & (key < start + self.block)
        return torch.zeros_like(seen, dtype=like.dtype).masked_fill(~seen, float("-inf"))

    def place(self, state: State) -> Place:
        """Where the next block goes."""
        count, weight = state["count"], self.qkv.weight
        device = count.device
        positions = count[:, None] + torch.arange(self.block, device=device)
        angles = _angles(positions, self.qkv.in_features // self.num_heads // 2)
        angles = torch.cat([-angles, angles], -1)[:, :, None, None]
        before = torch.arange(len(count), device=device)[:, None] * self.slots
        seen = torch.arange(self.slots, device=device)[None] < count[:, None] + self.block
        mask = torch.zeros_like(seen, dtype=weight.dtype).masked_fill(~seen, float("-inf"))
        return Place(angles.cos().to(weight.dtype), angles.sin().to(weight.dtype),
                     (positions % self.slots + before).flatten(), mask[:, None, None])

    def step(self, x_BTD: Tensor, state: State, active: Tensor, place: Place | None = None) -> Tensor:
        """The next block of every row: T == block. `place` is what `place` says, where the caller knows it already."""
        B, T, D = x_BTD.shape
        if T != self.block:
            raise ValueError(f"step takes {self.block} frames, got {T}")
        place = self.place(state) if place is None else place
        half = D // self.num_heads // 2
        qkv = self.qkv(x_BTD).view(B, T, 3, self.num_heads, 2 * half)
        turning = qkv.narrow(2, 0, 2)  # queries and keys, in place
        partner = turning.roll(half, -1)
        turning.mul_(place.cos).addcmul_(partner, place.sin)
        new, ring = qkv.narrow(2, 1, 2).flatten(0, 1), state["ring"].flatten(0, 1)
        if not everyone(active):
            keep = expand_mask(active.repeat_interleave(T), new)
            new = torch.where(keep, new, ring.index_select(0, place.slots))
        ring.index_copy_(0, place.slots, new)
        state["count"].add_(T * active)
        q, (k, v) = qkv.select(2, 0).transpose(1, 2), state["ring"].transpose(1, 3).unbind(2)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=place.mask)
        return self.out(y.transpose(1, 2).reshape(B, T, D))
