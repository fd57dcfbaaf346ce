"""A stand-in for the model in a closed loop: it decides what is right, with a queue whose pieces sound for four blocks.

It looks at the loop for what is right, so that what is built around a model can be tested without one that knows
anything.
"""

from collections.abc import Callable
from types import SimpleNamespace

import torch

from omni.data.closed_loop import ClosedLoop
from omni.data.user import BLOCK
from omni.model.tokens import CUT_0, END_SPEAK, FIRST_PIECE, START_SPEAK, THINK, Pieces

SOUNDS_FOR = 4


class Puppet:
    """What `omni.data.closed_loop.ClosedLoop` asks of a model.

    Args:
        decide: (row, block, due token) to the token; None decides what is due.
    """

    training = False

    def __init__(self, pieces: Pieces, decide: Callable[[int, int, int], int | None] | None = None):
        self.pieces, self._decide = pieces, decide or (lambda row, block, due: None)
        self.backlog = SimpleNamespace(weight=torch.zeros(1))
        self.mouth = SimpleNamespace(synthesizer=SimpleNamespace(waiting=lambda queue: queue[:, 0],
                                                                 sounding=lambda queue: queue[:, 1]))
        self.loop = None
        self._speaking: list[bool] = []

    def eval(self) -> "Puppet":
        return self

    def train(self, mode: bool) -> "Puppet":
        return self

    def init_state(self, count: int) -> dict:
        self._speaking, self._left = [False] * count, [0] * count
        return {"mouth": {"queue": torch.zeros(count, 2, dtype=torch.int64)},
                "fed": torch.zeros(count, dtype=torch.int64)}

    def reset_rows(self, state: dict, rows: torch.Tensor, seeds: torch.Tensor) -> None:
        pass

    @torch.inference_mode()
    def step(self, room: torch.Tensor, unplayed: torch.Tensor, active: torch.Tensor, state: dict) -> SimpleNamespace:
        tokens, audio, queue = [], torch.zeros(len(room), BLOCK), state["mouth"]["queue"]
        for row, on in enumerate(active.tolist()):
            if not on:
                tokens.append(THINK)
                continue
            due = self.loop.courses[row].due[-1]
            told = self._decide(row, len(self.loop.courses[row].due) - 1, due)
            token = due if told is None else told
            waiting, sounding = queue[row].tolist()
            cut = token == END_SPEAK and waiting + sounding > 0
            state["fed"][row] = CUT_0 + waiting if cut else token
            if token == END_SPEAK:
                waiting = sounding = self._left[row] = 0
            waiting += token >= FIRST_PIECE
            if sounding:
                self._left[row] -= 1
                sounding = int(self._left[row] > 0)
            if not sounding and waiting:
                waiting, sounding, self._left[row] = waiting - 1, 1, SOUNDS_FOR
            self._speaking[row] = token == START_SPEAK or self._speaking[row] and token != END_SPEAK
            if sounding:
                audio[row] = 0.1
            queue[row] = torch.tensor([waiting, sounding])
            tokens.append(token)
        return SimpleNamespace(token=torch.tensor(tokens), audio=audio)


class Watched(ClosedLoop):
    """Lets a puppet see what is right."""

    def __init__(self, model, *args, **settings):
        super().__init__(model, *args, **settings)
        model.loop = self


def holds_exams(monkeypatch, longest: int) -> None:
    """Exams of `omni.evaluate.world` are held with puppets, in `longest` blocks at most, and voices cost nothing."""
    from omni.evaluate.world import exam, voice

    def silent(self, speaker, held_out=0.5, quiet=True):
        self.voice, self.held_out, self.quiet, self.apart = speaker, held_out, True, {}

    monkeypatch.setattr(exam, "ClosedLoop", Watched)
    monkeypatch.setattr(exam, "_LONGEST", longest)
    monkeypatch.setattr(voice.Voiced, "__init__", silent)
