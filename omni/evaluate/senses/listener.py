"""Ears alone, streamed: features, encoder and heads of a model over given rooms, block by block, without its mind.

What `DuplexModel.step` does before the language model is asked, with one difference: what the agent says is given, not
decided, so that no row depends on when it takes the floor.

    room[i], own[i] ──► log-mel ──► encoder ──► captions of block i     out when block i has ended
                                          └───► sounds of block i
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from omni.evaluate.scenario import normal
from omni.model.duplex import DuplexModel
from omni.nn.state import State

BATCH = 16


@dataclass(frozen=True, slots=True)
class Heard:
    """What the ears made of one stretch.

    Attributes:
        captions: (text, sample at which it was out) in order; texts carry their own spaces.
        sounds: float32 (blocks, classes) logits of the sound head; None if the model has none.
    """

    captions: tuple[tuple[str, int], ...]
    sounds: np.ndarray | None = None

    @property
    def words(self) -> list[str]:
        """All words, lower case, without punctuation."""
        return normal(self.text)

    @property
    def text(self) -> str:
        """All captions together."""
        return "".join(text for text, _ in self.captions)

    def completed(self) -> list[tuple[str, int]]:
        """Every word with the sample at which its last character was out."""
        lengths = list(accumulate(len(text) for text, _ in self.captions))
        return [(match[0], self.captions[bisect_left(lengths, match.end())][1])
                for match in re.finditer(r"[a-z0-9']+", self.text.lower())]


class Listener:
    """The ears of a model.

    Args:
        model: in eval mode.
        batch: stretches that are heard at once; each is heard as if it were alone.
    """

    def __init__(self, model: DuplexModel, batch: int = BATCH):
        self.model, self.batch = model, batch
        self.block = model.timebase.block_samples

    def hear(self, rooms: Sequence[np.ndarray], owns: Sequence[np.ndarray | None] | None = None,
             what: str = "hearing") -> list[Heard]:
        """Listen to stretches of rooms.

        Args:
            rooms: float32 (n,) each, what the microphone picks up; what is left of a last block is filled with zeros.
            owns: float32 (n,) each, what the agent's own voice sounds like meanwhile; None for silence.
            what: for the progress bar.
        """
        order = sorted(range(len(rooms)), key=lambda i: len(rooms[i]))     # rows of about the same length
        found: dict[int, Heard] = {}
        seconds = round(sum(map(len, rooms)) / self.model.timebase.sample_rate_hz)
        with tqdm(total=seconds, desc=what, unit="s of sound", leave=False, disable=None) as bar:
            for at in range(0, len(order), self.batch):
                some = order[at:at + self.batch]
                heard = self._hear([rooms[i] for i in some], [owns[i] if owns else None for i in some])
                found.update(zip(some, heard, strict=True))
                bar.update(round(sum(len(rooms[i]) for i in some) / self.model.timebase.sample_rate_hz))
        return [found[i] for i in range(len(rooms))]

    @torch.inference_mode()
    def _hear(self, rooms: list[np.ndarray], owns: list[np.ndarray | None]) -> list[Heard]:
        model, num_rows = self.model, len(rooms)
        blocks = [-(-len(room) // self.block) for room in rooms]
        room_BN = _stacked(rooms, max(blocks) * self.block, model)
        own_BN = _stacked([np.zeros(0, np.float32) if own is None else own for own in owns], room_BN.shape[1], model)
        state = self.init_state(num_rows)
        captions: list[list[tuple[str, int]]] = [[] for _ in rooms]
        sounds: list[list[np.ndarray]] = [[] for _ in rooms]
        lasts = torch.tensor(blocks, device=room_BN.device)
        for i in range(max(blocks)):
            active, now = lasts > i, slice(i * self.block, (i + 1) * self.block)
            frames, ids = self.step(room_BN[:, now], own_BN[:, now], state, active)
            named = model.encoder.sounds(frames)[:, -1].cpu().numpy() if _has_sounds(model) else None
            for row, new in enumerate(ids.tolist()):
                if i >= blocks[row]:
                    continue
                if text := model.caption_text([k for k in new if k >= 0]):
                    captions[row].append((text, (i + 1) * self.block))
                if named is not None:
                    sounds[row].append(named[row])
        return [Heard(tuple(c), np.stack(s) if s else None) for c, s in zip(captions, sounds, strict=True)]

    def init_state(self, num_rows: int) -> State:
        """The part of the model's state that the ears have."""
        whole = self.model.init_state(num_rows)
        return {key: whole[key] for key in ("mel", "encoder", "caption")}

    def step(self, room_BN: Tensor, own_BN: Tensor, state: State, active: Tensor) -> tuple[Tensor, Tensor]:
        """One block: encoder frames (B, T, dim), and ids of new captions (B, slots), -1 where there are none."""
        frames, _, said = self.model.hear_next(room_BN, own_BN, state, active)
        return frames, self.model.captions(said, state, active)


def _has_sounds(model: DuplexModel) -> bool:
    return getattr(model.encoder, "sounds", None) is not None      # not every kind of ears knows of such a head


def _stacked(parts: list[np.ndarray], count: int, model: DuplexModel) -> Tensor:
    rows = np.stack([np.pad(part[:count].astype(np.float32), (0, max(count - len(part), 0))) for part in parts])
    return torch.from_numpy(rows).to(next(model.parameters()).device)
