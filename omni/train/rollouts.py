"""The model's own conversations as lessons: in closed loop, own voice and echo fed back, labelled by the oracle.

A model that learns from perfect lessons alone never sees what comes of its own errors (DAgger: Ross et al., AISTATS
2011). So between steps it holds conversations itself, a batch of them at once, with partners who react
(`omni.data.partner`); every block's target is what was right there and then. What the model could not
know, since it heard something else, has no weight (`Partner.knowable`).

    number of a batch   0 1 2 3 4 5 6 7 8 9 ...      share 0.4, uses 2
    lessons             x x   x   x x   x
    rollouts                A   A     B   B ...      made anew, used again
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omni.data import recordings
from omni.data.augment import Augment
from omni.data.closed_loop import ClosedLoop, Course
from omni.data.conversations import Conversation
from omni.data.lines import SoundSource
from omni.data.live_room import LiveRoom
from omni.data.partner import Partner
from omni.data.streams import caption_spans, weights
from omni.model.duplex import DuplexModel
from omni.train.loop import Batches

_CAPTION = "caption"


@dataclass(frozen=True, slots=True)
class RolloutsConfig:
    """Attributes:
        share: of the batches that are rollouts; 0 for none.
        rows, blocks: of a batch.
        uses: how often a batch is used before the next one is made.
    """

    share: float = 0.0
    rows: int = 6
    blocks: int = 250
    uses: int = 2

    def __post_init__(self):
        if not 0 <= self.share < 1:
            raise ValueError(f"share is at least 0 and below 1, not {self.share}")
        if min(self.rows, self.blocks, self.uses) < 1:
            raise ValueError("rows, blocks and uses are at least 1")


class Rollouts:
    """Makes batches as those of `omni.data.streams.SoundConversations` and mixes them into the lessons.

    Batch n of a run is a rollout or not by n alone; a rollout is a function of the model as it is then, of the seed and
    of its own number. The one in use is kept in checkpoints (`omni.train.loop.Also`), so that a run that stopped goes
    on exactly; of several processes only the first one's is, the others make theirs anew.
    """

    def __init__(self, config: RolloutsConfig, bank: Path, seed: int):
        """Args:
            bank: whose lines partners say; it is read when the first rollout is made.
        """
        self.config, self.bank, self.seed = config, bank, seed
        self._kept: tuple[int, dict[str, Any]] | None = None     # number and batch
        self._opened: tuple[SoundSource, Augment] | None = None

    def mixed(self, lessons: Batches, model: DuplexModel) -> Batches:
        """The lessons with rollouts of this model between them. Lessons keep their order and lose none."""

        def batches(first: int, every: int) -> Iterator[Any]:
            turn, rank = divmod(first, every)   # of this process
            source = lessons((turn - self._before(turn)) * every + rank, every)
            while True:
                before = self._before(turn)
                if self._before(turn + 1) > before:
                    yield self.batch(model, before // self.config.uses * every + rank)
                else:
                    yield next(source)
                turn += 1

        return batches

    def _before(self, turn: int) -> int:
        """Rollouts among so many batches."""
        return int(turn * self.config.share + 1e-9)

    def batch(self, model: DuplexModel, number: int) -> dict[str, Any]:
        """Rollout `number`: the one that is kept, or a new one."""
        if self._kept is None or self._kept[0] != number:
            self._kept = number, self.make(model, number)
        return self._kept[1]

    def make(self, model: DuplexModel, number: int) -> dict[str, Any]:
        """A new batch: the model's own conversations, on its device, greedy unless its configuration draws."""
        source, augment = self._open()
        c, seeds = self.config, [f"{self.seed}/rollout/{number}/{row}" for row in range(self.config.rows)]
        was_training = model.training
        model.eval()
        partners = [Partner(random.Random(seed), source, model.pieces) for seed in seeds]
        rooms = [LiveRoom(c.blocks, random.Random(f"{seed}/room"), augment) for seed in seeds]
        loop = ClosedLoop(model, partners, rooms, seed=number)
        for _ in range(c.blocks):
            loop.step()
        model.train(was_training)
        return collated(loop.courses, partners)

    def _open(self) -> tuple[SoundSource, Augment]:
        if self._opened is None:
            root, source = recordings.data_dir(), SoundSource(self.bank)
            babble = [u.samples for u in source.pools["other"]]
            self._opened = source, Augment(recordings.rooms(root), recordings.noises(root), babble)
        return self._opened

    # ---- checkpoints -------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """See `omni.train.loop.Also`."""
        if self._kept is None:
            return {}
        number, batch = self._kept
        found = {name: t for name, t in batch.items() if isinstance(t, Tensor)}
        for row, spans in enumerate(batch["captions"]):
            for i, (first, last, ids, words) in enumerate(spans):
                name = f"{_CAPTION}.{row}.{i}"
                found |= {f"{name}.span": torch.tensor([first, last]), f"{name}.ids": ids, f"{name}.words": words}
        return {**found, "number": torch.tensor(number)}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """See `omni.train.loop.Also`."""
        self._kept = None
        if "number" not in tensors:
            return
        batch: dict[str, Any] = {n: t for n, t in tensors.items() if n != "number" and not n.startswith(_CAPTION)}
        batch["captions"] = [[] for _ in range(len(batch["target"]))]
        places = sorted(tuple(map(int, name.split(".")[1:3])) for name in tensors if name.endswith(".span"))
        for row, i in places:
            first, last = tensors[f"{_CAPTION}.{row}.{i}.span"].tolist()
            ids, words = (tensors[f"{_CAPTION}.{row}.{i}.{what}"] for what in ("ids", "words"))
            batch["captions"][row].append((first, last, ids, words))
        self._kept = int(tensors["number"]), batch


def collated(courses: list[Course], partners: list[Partner]) -> dict[str, Any]:
    """What happened, as a batch: room and own sound, what was fed in, and as target what was right."""
    rows, captions = [], []
    for course, partner in zip(courses, partners, strict=True):
        target = np.array(course.due, np.int64)
        rows.append({"room": np.concatenate(course.room), "own": np.concatenate(course.own), "target": target,
                     "fed": np.array(course.fed, np.int64), "backlog": np.array(course.backlog, np.int64),
                     "weight": weights(target) * np.array(course.knowable)})
        captions.append(caption_spans(Conversation(len(target), partner.heard), partner.pieces))
    return {**{k: torch.from_numpy(np.stack([r[k] for r in rows])) for k in rows[0]}, "captions": captions}
