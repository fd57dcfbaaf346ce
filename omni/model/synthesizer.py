"""The mouth's first half: driving vectors of text pieces to acoustic frames, by a pointer that stays or advances.

A piece's vector is read twice. It is spelled: a small network names the piece's phones, once, when the piece enters
the queue; so any piece can follow any other, and a new piece needs a pronunciation and no new speech. And it colours:
a projection of the vector tells the other networks what the phones leave open (stress, melody, mood).

Time runs in frames of 10 ms, eight to a block of 80 ms. In each, the pointer stays on its phone until the phone's time
is up, then advances, to the next piece if the phone was the last:

    queue      previous | current | waiting 0 | waiting 1
    frame      0    1    2    3    4    5    6    7   |
    piece      so   so   so   a    a    a    latte         "a" and "latte" begin to sound in this block
    phone      ow   ow   ow   ax   ax   ax   l    l
    elapsed    5    6    7    0    1    2    0    1

A phone is seen with two phones on each side, over the borders of pieces. Those of the next piece are absent while
nobody knows it, as at the first piece of a reply. The acoustic network is causal and takes all frames of a block at
once. An acoustic frame is a log-mel of `omni.model.features`, log2(pitch / 200 Hz), and a voicing logit.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.model.phones import PHONES
from omni.nn.activation import Gelu, gelu
from omni.nn.conv import CausalConv1d
from omni.nn.state import State, write

FRAMES = 8           # per block
ABSENT = 0           # in place of a phone
CONTEXT = 2          # phones seen on each side
PREVIOUS, CURRENT, NEXT, AFTER, NOTHING = range(5)  # places in the queue, and none
# where each place of the queue is filled from when the pointer stays, starts after silence, advances, or has ended a
# piece that nothing follows
_MOVES = [[PREVIOUS, CURRENT, NEXT, AFTER], [PREVIOUS, NEXT, AFTER, NOTHING], [CURRENT, NEXT, AFTER, NOTHING],
          [CURRENT, NOTHING, NEXT, AFTER]]


@dataclass(frozen=True, slots=True)
class SynthesizerConfig:
    """Sizes of the synthesizer; `drive_dim` is the language model's width.

    Attributes:
        max_phones: of a piece.
        max_frames: of a phone.
        colour_dim: of what a vector tells besides its phones.
    """

    drive_dim: int = 256
    dim: int = 256
    num_layers: int = 5
    kernel: int = 5
    phone_dim: int = 48
    colour_dim: int = 64
    hidden_dim: int = 384
    num_mels: int = 80
    max_phones: int = 16
    max_frames: int = 60


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
        return self._run(x_BTD, self.depthwise(x_BTD))

    def step(self, x_BTD: Tensor, state: State, active: Tensor) -> Tensor:
        """The next frames."""
        return self._run(x_BTD, self.depthwise.step(x_BTD, state, active))

    def _run(self, x: Tensor, y: Tensor) -> Tensor:
        return x + self.down(gelu(self.up(self.norm(y))))


@dataclass(frozen=True, slots=True)
class Course:
    """Where the pointer is in each frame of a known course, (B, T) each.

    Attributes:
        window: (B, T, 2 * CONTEXT + 1) the phone that sounds and those around it, `ABSENT` where there is none.
        token: the piece that sounds, -1 for none.
        place: 1 on the first phone of a piece, 2 on the last, 3 on one that is both, 0 elsewhere.
        elapsed: frames the phone has sounded before this one.
        due: frames the phone is to sound.
    """

    window: Tensor
    token: Tensor
    place: Tensor
    elapsed: Tensor
    due: Tensor


class Synthesizer(nn.Module):
    """Spelling, pointer and acoustic network.

    `forward` is time-parallel over a known course of the pointer. `step` moves its own. State: `token` (B, 4) int64
    pieces in the queue (-1 none), `drive` (B, 4, D) their vectors, `phones` (B, 4, max_phones) int64 (`ABSENT` after
    the last), `pointer` (B,) int64 the phone of the current piece, `elapsed` and `due` (B,) int64 frames of it,
    `window` (B, 2 * CONTEXT + 1) and `place` (B,) int64 as of `Course`, `rate` (B,) at which `due` was told for them (0
    when they may have changed since), and the contexts of the blocks.
    """

    def __init__(self, config: SynthesizerConfig):
        super().__init__()
        self.config = c = config
        seen, count = (2 * CONTEXT + 1) * c.phone_dim, len(PHONES) + 1
        self.spell_in, self.spell_out = nn.Linear(c.drive_dim, c.hidden_dim), nn.Linear(c.hidden_dim,
                                                                                       c.max_phones * count)
        self.colour = nn.Linear(c.drive_dim, c.colour_dim)
        self.phone = nn.Embedding(count, c.phone_dim)
        self.timing = nn.Sequential(nn.Linear(seen + c.colour_dim + 2, c.hidden_dim), Gelu(),
                                    nn.Linear(c.hidden_dim, c.hidden_dim // 2), Gelu(),
                                    nn.Linear(c.hidden_dim // 2, 1))
        self.enter = nn.Sequential(nn.Linear(seen + c.colour_dim + 7, 2 * c.dim), Gelu(),
                                   nn.Linear(2 * c.dim, c.dim))
        self.blocks = nn.ModuleList(CausalBlock(c.dim, c.kernel) for _ in range(c.num_layers))
        self.norm = nn.LayerNorm(c.dim)
        self.leave = nn.Linear(c.dim, c.num_mels + 2)
        self.register_buffer("moves", torch.tensor(_MOVES), persistent=False)

    def init_state(self, num_rows: int) -> State:
        """An empty queue."""
        device, zeros = self.leave.weight.device, self.leave.weight.new_zeros
        integers = {k: torch.zeros(num_rows, dtype=torch.int64, device=device)
                    for k in ("pointer", "elapsed", "due", "place")}
        return {"token": torch.full((num_rows, 4), -1, dtype=torch.int64, device=device),
                "drive": zeros(num_rows, 4, self.config.drive_dim),
                "phones": torch.full((num_rows, 4, self.config.max_phones), ABSENT, dtype=torch.int64, device=device),
                "window": torch.full((num_rows, 2 * CONTEXT + 1), ABSENT, dtype=torch.int64, device=device),
                "rate": zeros(num_rows), **integers,
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
    def unfinished(state: State) -> Tensor:
        """The piece that sounds now and those that wait, (B, 3), each below 0 where there is none."""
        return state["token"][:, CURRENT:]

    def push(self, state: State, token_B: Tensor, drive_BD: Tensor, rows: Tensor) -> None:
        """Append one piece in the rows of the mask, which the grammar has made sure have room."""
        place = NEXT + (state["token"][:, NEXT] >= 0).long()
        here = (torch.arange(4, device=place.device)[None] == place[:, None]) & rows[:, None]
        for key, value in (("token", token_B), ("drive", drive_BD), ("phones", self.spelled(drive_BD))):
            mask = here.view(*here.shape, *([1] * (value.dim() - 1)))
            state[key].copy_(torch.where(mask, value[:, None], state[key]))
        state["rate"].mul_(~rows)

    # ---- networks ------------------------------------------------------------------------------------------------

    def spelling(self, drive: Tensor) -> Tensor:
        """Logits (..., max_phones, phones + 1) of the phones of driving vectors (..., D); `ABSENT` after the last."""
        return self.spell_out(gelu(self.spell_in(drive))).unflatten(-1, (self.config.max_phones, -1))

    def spelled(self, drive: Tensor) -> Tensor:
        """Phones (..., max_phones) int64 of driving vectors, at least one."""
        logits = self.spelling(drive)
        first = logits[..., :1, ABSENT + 1:].argmax(-1) + ABSENT + 1
        phones = torch.cat([first, logits[..., 1:, :].argmax(-1)], -1)
        return phones * ((phones != ABSENT).cumprod(-1))

    def log_frames(self, window: Tensor, drive: Tensor, place: Tensor) -> Tensor:
        """Log of the frames that a phone lasts; (..., 5), (..., D), (...) -> (...)."""
        told = [self.phone(window).flatten(-2), self.colour(drive), _flags(place)]
        return self.timing(torch.cat(told, -1)).squeeze(-1)

    def frames(self, window: Tensor, drive: Tensor, place: Tensor, rate: Tensor) -> Tensor:
        """The same in whole frames at a speaking rate, int64, at least one."""
        time = torch.exp(self.log_frames(window, drive, place).clamp(-2, 6)) / rate
        return torch.round(time).long().clamp(1, self.config.max_frames)

    def condition(self, window: Tensor, drive: Tensor, place: Tensor, elapsed: Tensor, due: Tensor,
                  speaking: Tensor) -> Tensor:
        """Input of the acoustic network, (..., dim); `speaking` False where no piece sounds."""
        done, whole = elapsed.float(), due.float().clamp(min=1)
        clock = torch.stack([done / 10, whole / 10, ((done + 0.5) / whole).clamp(max=1.2), 1 / (done + 1)], -1)
        told = torch.cat([self.colour(drive), _flags(place), clock], -1) * speaking[..., None]
        return self.enter(torch.cat([self.phone(window).flatten(-2), told, speaking[..., None].to(told.dtype)], -1))

    def forward(self, course: Course, drive_BTD: Tensor) -> Tensor:
        """Acoustic frames (B, T, num_mels + 2) of a course, with the vectors of its pieces."""
        x = self.condition(course.window, drive_BTD, course.place, course.elapsed, course.due, course.token >= 0)
        for block in self.blocks:
            x = block(x)
        return self.leave(self.norm(x))

    def step(self, state: State, active: Tensor, rate: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One block: moves the pointer, gives acoustic frames (B, FRAMES, num_mels + 2) and the record of pieces.

        `rate` (B,) is how many times faster than its teacher a row speaks. The record holds `begun_token`,
        `begun_frame`, `ended_frame` (B, FRAMES) int64, -1 where nothing happened, and `token` (B, FRAMES) int64, the
        piece that sounds, -1 for none.
        """
        record = torch.full((len(active), FRAMES, 3), -1, device=active.device)
        token, elapsed = state["token"].select(1, CURRENT), state["elapsed"]
        seen, drives, at = [], [], 0
        while at < FRAMES:
            moved = self._advance(state, active, record, at)
            self._look(state, active, rate, moved)
            passing = (token >= 0) & active
            run = self._run(state, passing, FRAMES - at)
            told = torch.stack([state["place"], state["due"], token, elapsed - at * passing, passing], 1)
            seen.append(torch.cat([state["window"], told], 1).unsqueeze(1).expand(-1, run, -1))
            drives.append(state["drive"].narrow(1, CURRENT, 1).clone().expand(-1, run, -1))
            elapsed.add_(run * passing)
            at += run
        window, told = torch.cat(seen, 1).split([2 * CONTEXT + 1, 5], 2)
        place, due, token, elapsed, passing = told.unbind(2)
        elapsed = elapsed + torch.arange(FRAMES, device=active.device) * passing
        x = self.condition(window, torch.cat(drives, 1), place, elapsed, due, token >= 0)
        for i, block in enumerate(self.blocks):
            x = block.step(x, state[f"block_{i}"], active)
        begun_token, begun_frame, ended_frame = record.unbind(2)
        return self.leave(self.norm(x)), {
            "begun_token": begun_token, "begun_frame": begun_frame, "ended_frame": ended_frame, "token": token}

    @staticmethod
    def _run(state: State, passing: Tensor, most: int) -> int:
        """How many frames, one at least, go by before time is up for a phone of the rows where any time passes; one on
        a device, which would have to be waited for."""
        if passing.is_cuda:
            return 1
        left = (state["due"] - state["elapsed"]).tolist()
        return min([most, *(max(frames, 1) for frames, passes in zip(left, passing.tolist(), strict=True) if passes)])

    def _advance(self, state: State, active: Tensor, record_BF3: Tensor, frame: int) -> Tensor:
        """Stay on the phone, or go on to the next one: whether it has moved, (B,). In the record go the piece that
        begins, the frame if one begins and the frame if one ends."""
        token, follows = state["token"].select(1, CURRENT), state["token"].select(1, NEXT) >= 0
        sounds = token >= 0
        up, starts = sounds & (state["elapsed"] >= state["due"]) & active, follows & ~sounds & active
        moved = up | starts
        if moved.is_cuda or moved.any():
            over = up & (state["place"] >= 2)
            fresh = over | starts
            if fresh.is_cuda or fresh.any():
                self._move(state, self.moves[starts + over * (3 - follows.long())])
            state["pointer"].add_(up).mul_(~fresh)
            state["elapsed"].mul_(~moved)
            happens = torch.stack([fresh & follows, fresh & follows, over], 1)
            told = F.pad(token.unsqueeze(1), (0, 2), value=frame)
            record_BF3.select(1, frame).copy_(torch.where(happens, told, -1))
        return moved

    def _look(self, state: State, active: Tensor, rate: Tensor, moved: Tensor) -> None:
        """Write what the pointer sees and when its phone is due, unless all of that is known."""
        sounds = state["token"].select(1, CURRENT) >= 0
        anew = moved | (state["rate"] != rate) & sounds & active
        if anew.is_cuda or anew.any():
            window, place = self._window(state, sounds)
            due = self.frames(window, state["drive"].select(1, CURRENT), place, rate) * sounds
            for key, value in (("window", window), ("place", place), ("due", due), ("rate", rate)):
                write(state[key], value, active)

    @staticmethod
    def _move(state: State, places_B4: Tensor) -> None:
        """Fill each place of the queue from another one, or from nothing."""
        for key, empty in (("token", -1), ("drive", 0), ("phones", ABSENT)):
            value = state[key]
            padded = torch.cat([value, torch.full_like(value[:, :1], empty)], 1)
            index = places_B4.view(*places_B4.shape, *([1] * (value.dim() - 2))).expand(-1, -1, *value.shape[2:])
            value.copy_(padded.gather(1, index))

    @staticmethod
    def _window(state: State, sounds: Tensor) -> tuple[Tensor, Tensor]:
        """Phones around the pointer, (B, 2 * CONTEXT + 1), and its place in the piece (B,); see `Course`."""
        phones, pointer = state["phones"], state["pointer"]
        counts, size = (phones != ABSENT).sum(2), phones.shape[2]
        before, count = counts[:, PREVIOUS, None], counts[:, CURRENT, None]
        at = pointer[:, None] + torch.arange(-CONTEXT, CONTEXT + 1, device=phones.device)
        # places in [absent | previous | current | next]
        start = torch.where(at < 0, before, torch.where(at < count, size, 2 * size - count)) + CONTEXT
        line = F.pad(phones[:, :AFTER].flatten(1), (CONTEXT, 0), value=ABSENT)
        window = line.gather(1, (at + start).clamp(max=line.shape[1] - 1))
        place = (pointer == 0).long() + 2 * (pointer + 1 == counts[:, CURRENT])
        return window * sounds[:, None], place * sounds


def _flags(place: Tensor) -> Tensor:
    """(..., 2) whether a phone is the first of its piece, and whether it is the last."""
    return torch.stack([place % 2, place // 2], -1).float()
