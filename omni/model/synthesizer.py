"""The mouth's first half: driving vectors of text pieces to acoustic frames, by a pointer that stays or advances.

Time runs in sub-frames of 20 ms, four to a block of 80 ms. In each, the pointer asks whether the piece that sounds has
ended (a small network on the piece, the next piece if it is known, and how long it has sounded), and moves to the next
piece if there is one. The acoustic network is causal and takes all sub-frames of a block at once:

    queue        previous | current | waiting 0 | waiting 1
    sub-frame    0    1    2    3   |
    current      so   so   a    a   |   "so" ends, "a" begins to sound in sub-frame 2 of this block
    sounded      0.24 0.26 0    0.02|

An acoustic frame (10 ms) is a log-mel of `omni.model.features`, log2(pitch / 200 Hz), and a voicing logit.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.nn.conv import CausalConv1d
from omni.nn.state import State, expand_mask, write

SUBFRAMES = 4        # per block
PREVIOUS, CURRENT, NEXT, AFTER, NOTHING = range(5)  # places in the queue, and none
# where each place of the queue is filled from when the pointer stays, starts after silence, advances, or has ended a
# piece that nothing follows
_MOVES = [[PREVIOUS, CURRENT, NEXT, AFTER], [PREVIOUS, NEXT, AFTER, NOTHING], [CURRENT, NEXT, AFTER, NOTHING],
          [CURRENT, NOTHING, NEXT, AFTER]]


@dataclass(frozen=True, slots=True)
class SynthesizerConfig:
    """Sizes of the synthesizer; `drive_dim` is the language model's width."""

    drive_dim: int = 256
    dim: int = 256
    num_layers: int = 5
    kernel: int = 5
    pointer_dim: int = 192
    num_mels: int = 80
    max_subframes: int = 100


class CausalBlock(nn.Module):
    """Depthwise causal convolution and a pointwise feed-forward around a residual (ConvNeXt's block, causal)."""

    def __init__(self, dim: int, kernel: int, expand: int = 3):
        super().__init__()
        self.depthwise = CausalConv1d(dim, dim, kernel, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.up, self.down = nn.Linear(dim, expand * dim), nn.Linear(expand * dim, dim)
        nn.init.zeros_(self.down.weight)

    def init_state(self, num_rows: int) -> State:
        """The convolution's context."""
        return self.depthwise.init_state(num_rows)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The whole sequence."""
        return self._run(x_BTD, self.depthwise(x_BTD.transpose(1, 2)))

    def step(self, x_BTD: Tensor, state: State, active: Tensor) -> Tensor:
        """The next frames."""
        return self._run(x_BTD, self.depthwise.step(x_BTD.transpose(1, 2), state, active))

    def _run(self, x: Tensor, y_BDT: Tensor) -> Tensor:
        return x + self.down(F.gelu(self.up(self.norm(y_BDT.transpose(1, 2)))))


class Synthesizer(nn.Module):
    """Pointer and acoustic network.

    `forward` is teacher-forced and time-parallel: it is told which piece sounds in each sub-frame. `step` moves its
    own pointer. State: `token` (B, 4) int64 pieces in the queue (-1 none), `drive` (B, 4, D) their vectors, `sounded`
    (B,) int64 sub-frames of the current piece so far, and the contexts of the blocks.
    """

    def __init__(self, config: SynthesizerConfig):
        super().__init__()
        self.config = config
        self.none = nn.Parameter(torch.randn(3, config.drive_dim) * 0.5)  # no previous, no current, no next piece
        self.pointer = nn.Sequential(
            nn.Linear(2 * config.drive_dim + 16, config.pointer_dim), nn.GELU(),
            nn.Linear(config.pointer_dim, config.pointer_dim), nn.GELU(), nn.Linear(config.pointer_dim, 1))
        self.enter = nn.Sequential(nn.Linear(3 * config.drive_dim + 18, 2 * config.dim), nn.GELU(),
                                   nn.Linear(2 * config.dim, config.dim))
        self.blocks = nn.ModuleList(CausalBlock(config.dim, config.kernel) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.dim)
        self.leave = nn.Linear(config.dim, 2 * (config.num_mels + 2))
        self.register_buffer("freqs", torch.tensor([0.05, 0.1, 0.2, 0.4, 0.8, 1.2, 1.6, 2.2]), persistent=False)
        self.register_buffer("moves", torch.tensor(_MOVES), persistent=False)

    def init_state(self, num_rows: int) -> State:
        """An empty queue."""
        zeros = self.none.new_zeros
        device = self.none.device
        return {"token": torch.full((num_rows, 4), -1, dtype=torch.int64, device=device),
                "drive": zeros(num_rows, 4, self.config.drive_dim),
                "sounded": torch.zeros(num_rows, dtype=torch.int64, device=device),
                **{f"block_{i}": b.init_state(num_rows) for i, b in enumerate(self.blocks)}}

    # ---- queue ---------------------------------------------------------------------------------------------------

    @staticmethod
    def waiting(state: State) -> Tensor:
        """Pieces that were emitted and have not begun to sound, (B,) 0 to 2."""
        return (state["token"][:, NEXT:] >= 0).sum(1)

    @staticmethod
    def sounding(state: State) -> Tensor:
        """Whether a piece sounds now, (B,) bool."""
        return state["token"][:, CURRENT] >= 0

    @staticmethod
    def push(state: State, token_B: Tensor, drive_BD: Tensor, rows: Tensor) -> None:
        """Append one piece in the rows of the mask, which the grammar has made sure have room."""
        place = NEXT + (state["token"][:, NEXT] >= 0).long()
        here = (torch.arange(4, device=place.device)[None] == place[:, None]) & rows[:, None]
        state["token"].copy_(torch.where(here, token_B[:, None], state["token"]))
        state["drive"].copy_(torch.where(here[:, :, None], drive_BD[:, None], state["drive"]))

    # ---- networks ------------------------------------------------------------------------------------------------

    def position(self, sounded: Tensor) -> Tensor:
        """Sub-frames (...) since a piece began, as (..., 17) smooth features."""
        n = sounded.float()[..., None]
        turns = n * self.freqs
        return torch.cat([torch.sin(turns), torch.cos(turns), n / 30], -1)

    def ended(self, current: Tensor, following: Tensor, position: Tensor) -> Tensor:
        """Logit that a piece has ended at a `position`; (..., D), (..., D), (..., 17) -> (...)."""
        return self.pointer(torch.cat([current, following, position[..., :16]], -1)).squeeze(-1)

    def condition(self, previous: Tensor, current: Tensor, following: Tensor, position: Tensor, logit: Tensor,
                  speaking: Tensor) -> Tensor:
        """Input of the acoustic network, (..., dim); `speaking` False where no piece sounds."""
        clock = torch.cat([position, logit.detach().clamp(-8, 8)[..., None] / 4], -1)
        return self.enter(torch.cat([previous, current, following, clock * speaking[..., None]], -1))

    def forward(self, previous_BTD: Tensor, current_BTD: Tensor, following_BTD: Tensor, sounded_BT: Tensor,
                speaking_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Acoustic frames (B, 2 T, num_mels + 2) and pointer logits (B, T) for given vectors in each sub-frame."""
        position = self.position(sounded_BT)
        logit = self.ended(current_BTD, following_BTD, position)
        x = self.condition(previous_BTD, current_BTD, following_BTD, position, logit, speaking_BT)
        for block in self.blocks:
            x = block(x)
        return self._frames(x), logit

    def step(self, state: State, active: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One block: moves the pointer, gives acoustic frames (B, 8, num_mels + 2) and the record of pieces.

        The record holds `begun_token`, `begun_sub`, `ended_sub` (B, SUBFRAMES) int64, -1 where nothing happened, and
        `speaking` (B, SUBFRAMES) bool.
        """
        inputs, begun, ended, speaking = [], [], [], []
        for _ in range(SUBFRAMES):
            row, begun_token, has_ended, sounds = self._subframe(state, active)
            inputs.append(row)
            begun.append(begun_token)
            ended.append(has_ended)
            speaking.append(sounds)
        x = torch.stack(inputs, 1)
        for i, block in enumerate(self.blocks):
            x = block.step(x, state[f"block_{i}"], active)
        begun_token, has_ended = torch.stack(begun, 1), torch.stack(ended, 1)
        index = torch.arange(SUBFRAMES, device=x.device)[None]
        none = torch.full_like(begun_token, -1)
        return self._frames(x), {"begun_token": begun_token, "begun_sub": torch.where(begun_token >= 0, index, none),
                                 "ended_sub": torch.where(has_ended, index, none),
                                 "speaking": torch.stack(speaking, 1)}

    def _subframe(self, state: State, active: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        token, drive, sounded = state["token"], state["drive"], state["sounded"]
        logit = self.ended(drive[:, CURRENT], self._known(state, NEXT, 2), self.position(sounded))
        over = (token[:, CURRENT] >= 0) & (sounded > 0) & (
            (logit > 0) | (sounded >= self.config.max_subframes)) & active
        free = over | (token[:, CURRENT] < 0)
        advance = free & (token[:, NEXT] >= 0) & active
        only_over = over & ~advance
        places = self.moves[advance * (1 + over.long()) + 3 * only_over]
        token.copy_(torch.cat([token, torch.full_like(token[:, :1], -1)], 1).gather(1, places))
        drive.copy_(torch.cat([drive, torch.zeros_like(drive[:, :1])], 1).gather(
            1, places[:, :, None].expand(-1, -1, drive.shape[2])))
        sounded.mul_(~(advance | only_over))
        sounds = token[:, CURRENT] >= 0
        following = self._known(state, NEXT, 2)
        current = self._known(state, CURRENT, 1)
        position = self.position(sounded)
        logit = self.ended(current, following, position)
        row = self.condition(self._known(state, PREVIOUS, 0), current, following, position, logit, sounds)
        begun = torch.where(advance, token[:, CURRENT], -1)
        sounded.add_(sounds & active)
        return row, begun, over, sounds

    def _known(self, state: State, place: int, none: int) -> Tensor:
        known = (state["token"][:, place] >= 0)[:, None]
        return torch.where(known, state["drive"][:, place], self.none[none])

    def _frames(self, x_BTD: Tensor) -> Tensor:
        return self.leave(self.norm(x_BTD)).unflatten(2, (2, -1)).flatten(1, 2)

    @staticmethod
    def drop(state: State, rows: Tensor) -> None:
        """Empty the queue of the rows in the mask; nothing of it sounds any more."""
        state["token"].copy_(torch.where(expand_mask(rows, state["token"]), -1, state["token"]))
        write(state["sounded"], torch.zeros_like(state["sounded"]), rows)

