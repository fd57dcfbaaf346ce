"""A model and partners who react to it, many conversations in one batch and in virtual time.

    partner.begin(i) ─► room ─► model.step ─► token ─► partner.did(i)
                         ▲                     │
                         └── echo ◄── sound of block i, heard in block i + 1
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from omni.data.live_room import LiveRoom
from omni.data.partner import Partner
from omni.data.user import BLOCK
from omni.model.duplex import DuplexModel
from omni.model.tokens import MAX_WAITING


@dataclass(slots=True)
class Course:
    """What happened in one conversation, block by block.

    Attributes:
        room, own: (1280,) float32 each, what was heard and what the agent sounded like meanwhile.
        audio: (1280,) float32 each, the output of each step.
        fed, backlog: what each step was given; due: what was right; knowable: whether the agent could know; token: what
            was decided.
    """

    room: list[np.ndarray] = field(default_factory=list)
    own: list[np.ndarray] = field(default_factory=list)
    audio: list[np.ndarray] = field(default_factory=list)
    fed: list[int] = field(default_factory=list)
    backlog: list[int] = field(default_factory=list)
    due: list[int] = field(default_factory=list)
    knowable: list[bool] = field(default_factory=list)
    token: list[int] = field(default_factory=list)


class ClosedLoop:
    """Conversations under way.

    Attributes:
        courses: of each, so far.
    """

    def __init__(self, model: DuplexModel, partners: Sequence[Partner], rooms: Sequence[LiveRoom], seed: int = 0):
        """Args:
            model: in eval mode, on any device.
            partners, rooms: of each conversation.
            seed: of the model's own random numbers, if it draws any.
        """
        self.model, self.partners, self.rooms = model, partners, rooms
        self.device, count = model.backlog.weight.device, len(partners)
        self.courses = [Course() for _ in partners]
        self._own = np.zeros((count, BLOCK), np.float32)
        with torch.inference_mode():
            self._state = model.init_state(count)
            everyone = torch.ones(count, dtype=torch.bool, device=self.device)
            model.reset_rows(self._state, everyone, torch.arange(count, device=self.device) + seed)
            self._unplayed = torch.zeros(count, dtype=torch.int64, device=self.device)
        self._block = 0

    def step(self, active: Sequence[bool] | None = None) -> None:
        """One block of those that are active: all, unless some are left out, who stand still from then on."""
        block, state = self._block, self._state
        active = active or [True] * len(self.partners)
        room = np.zeros_like(self._own)
        queue = state["mouth"]["queue"]
        waiting = self.model.mouth.synthesizer.waiting(queue).tolist()
        sounding = self.model.mouth.synthesizer.sounding(queue).long().tolist()
        fed = state["fed"].tolist()
        for i, (partner, microphone, course) in enumerate(zip(self.partners, self.rooms, self.courses, strict=True)):
            if not active[i]:
                continue
            for heard in partner.begin(block):
                microphone.put(heard)
            room[i] = microphone.block(block, self._own[i])
            course.room.append(room[i])
            course.own.append(self._own[i])
            course.fed.append(fed[i])
            course.backlog.append(waiting[i] + (MAX_WAITING + 1) * sounding[i])
            course.due.append(partner.due(waiting[i], sounding[i]))
            course.knowable.append(partner.knowable)
        out = self.model.step(torch.from_numpy(room).to(self.device), self._unplayed,
                              torch.tensor(active, device=self.device), state)
        self._own = out.audio.float().cpu().numpy()
        for i, token in enumerate(out.token.tolist()):
            if active[i]:
                self.partners[i].did(token, waiting[i], sounding[i])
                self.courses[i].token.append(token)
                self.courses[i].audio.append(self._own[i])
        self._block += 1
