"""Given texts in use: the whole model runs block by block, hears itself, and is told what to say.

What `DuplexModel.step` does, with one difference: the token of each block is given. So each piece is driven by the
language model's state of the very block in which it is decided, whatever that language model would have said. A piece
comes as soon as fewer than two wait.

    room: silence -+
    own last block +-> ears -> language model -> state -+
    given token ------------------------------------+---+-> gated projection -> queue -> block of sound
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omni.model.duplex import DuplexModel
from omni.model.tokens import END_SPEAK, FIRST_PIECE, MAX_WAITING, START_SPEAK, THINK
from omni.nn.state import State


@dataclass(frozen=True, slots=True)
class Recital:
    """One text as it was said.

    Attributes:
        audio: float32 (blocks * block samples,), from the block of `<start_speak>` to that of `<end_speak>`.
        pieces: (n,) int64 tokens.
        begun, ended: (n,) int64 samples of `audio` at which each piece begins and ends.
    """

    audio: np.ndarray
    pieces: np.ndarray
    begun: np.ndarray
    ended: np.ndarray

    @property
    def lasts(self) -> np.ndarray:
        """(n,) samples of each piece."""
        return self.ended - self.begun


class Reciter:
    """A model that says what it is given.

    Args:
        model: in eval mode, on the CPU.
        states: drive the mouth with the language model's states too; without, neither ears nor language model run.
        rate: how many times faster than its teacher it speaks; the configured one by default.
        batch: texts said at once.
    """

    def __init__(self, model: DuplexModel, states: bool = True, rate: float | None = None, batch: int = 24):
        self.model, self.states, self.rate, self.batch = model, states, rate, batch

    def say(self, texts: Sequence[str]) -> list[Recital]:
        """Each text from a fresh state; one with pieces at least."""
        return [said for i in range(0, len(texts), self.batch) for said in self._say(texts[i:i + self.batch])]

    @torch.inference_mode()
    def _say(self, texts: Sequence[str]) -> list[Recital]:
        ids = [self.model.pieces.encode(text) for text in texts]
        state, todo = self.model.init_state(len(ids)), [list(row) for row in ids]
        token, active = torch.full((len(ids),), START_SPEAK), torch.ones(len(ids), dtype=torch.bool)
        audio, length, begun, ended = [], [0] * len(ids), [[] for _ in ids], [[] for _ in ids]
        while active.any():
            record = self._step(token, state, active)
            for key, found in (("begun_at", begun), ("ended_at", ended)):
                for row, frame in (record[key] >= 0).nonzero().tolist():
                    found[row].append(len(audio) * self.model.timebase.block_samples + int(record[key][row, frame]))
            audio.append(state["own"].numpy().copy())
            length = [n + here for n, here in zip(length, active.tolist(), strict=True)]
            active = active & (token != END_SPEAK)
            token = self._next(todo, state)
        whole = np.stack(audio, 1)
        return [Recital(whole[row, :length[row]].ravel(), *map(np.array, (ids[row], begun[row], ended[row])))
                for row in range(len(ids))]

    def _next(self, todo: list[list[int]], state: State) -> Tensor:
        """What each row is to emit, (B,); takes it from `todo`."""
        synthesizer, queue = self.model.mouth.synthesizer, state["mouth"]["queue"]
        waiting, sounding = synthesizer.waiting(queue).tolist(), synthesizer.sounding(queue).tolist()
        return torch.tensor([left.pop(0) if left and n < MAX_WAITING else THINK if left or n or sounds else END_SPEAK
                             for left, n, sounds in zip(todo, waiting, sounding, strict=True)])

    def _step(self, token: Tensor, state: State, active: Tensor) -> dict[str, Tensor]:
        """One block; the mouth's record. `state["own"]` holds its sound then."""
        mouth, queue = self.model.mouth, state["mouth"]["queue"]
        hidden = self._think(state, active) if self.states else None
        mouth.synthesizer.push(queue, token, mouth.drive(token, hidden), (token >= FIRST_PIECE) & active)
        rate = None if self.rate is None else torch.full((len(active),), self.rate)
        sound, record = mouth.step(torch.zeros_like(active), state["mouth"], {}, active, rate)
        state["own"].copy_(sound)
        state["fed"].copy_(token)
        return {key: torch.where(active[:, None], record[key], -1) for key in ("begun_at", "ended_at")}

    def _think(self, state: State, active: Tensor) -> Tensor:
        """The language model's states of this block, (B, D)."""
        model, synthesizer, queue = self.model, self.model.mouth.synthesizer, state["mouth"]["queue"]
        frames, own_mel, said = model.hear_next(torch.zeros_like(state["own"]), state["own"], state, active)
        ears, own = model.listen(frames, own_mel, said, model.sounds_next(frames, state, active))
        backlog = synthesizer.waiting(queue) + (MAX_WAITING + 1) * synthesizer.sounding(queue)
        x = model.arrange(ears, own, model.think_of(state["fed"][:, None], backlog[:, None], state["cut"][:, None]))
        return model.mind.step(x, state["mind"], active)[:, -1]
