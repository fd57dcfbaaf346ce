"""A model of a few rules with the interface of `DuplexModel`, for tests of everything from the runner upwards.

It waits until something loud was heard and then three blocks of quiet, takes the floor, says its pieces (3.5 blocks of
tone each) and gives it up; two loud blocks while it speaks interrupt it. That is a detector and a rule, which is what
the product never does: here it makes every sample known in advance. All of it lives in the state tree, row first.
"""

from types import SimpleNamespace

import torch

from omni.base.timebase import TINY

THINK, START, END = 0, 1, 2
WORDS = (" one", " two", " three", " four", " five", " six")
PIECE = 4_480
RAMP = 160


class FakePieces:
    """Token ids 3, 4, ... are the words, over and over."""

    def text(self, token: int) -> str:
        return WORDS[(token - 3) % len(WORDS)]

    def symbol(self, token: int) -> str:
        return ("<think>", "<start_speak>", "<end_speak>")[token] if token < 3 else self.text(token)


class FakeModel:
    """Args:
        words: how many pieces a reply has.
        threshold: root mean square of a loud block.
        deaf: never interrupted.
        unprompted: takes the floor in this block whatever it hears, or None.
    """

    timebase = TINY
    pieces = FakePieces()

    def __init__(self, words: int = 6, threshold: float = 0.02, deaf: bool = False, unprompted: int | None = None):
        self.words, self.threshold, self.deaf, self.unprompted = words, threshold, deaf, unprompted
        self.steps = 0

    def init_state(self, num_rows: int) -> dict[str, torch.Tensor]:
        names = ("clock", "speaking", "armed", "quiet", "loud", "emitted", "at", "seed", "unplayed")
        return {name: torch.zeros(num_rows, dtype=torch.int64) for name in names}

    def reset_rows(self, state, rows, seeds=None) -> None:
        for name in state:
            state[name][rows] = 0
        if seeds is not None:
            state["seed"][rows] = seeds[rows]

    def caption_text(self, ids: list[int]) -> str:
        return "".join(chr(i) for i in ids)

    def step(self, room, unplayed, active, state):
        self.steps += 1
        rows = len(room)
        out = SimpleNamespace(
            token=torch.zeros(rows, dtype=torch.int64), speaking=torch.zeros(rows, dtype=torch.bool),
            audio=torch.zeros(rows, TINY.block_samples), tail=torch.zeros(rows, dtype=torch.int64),
            stopped=torch.zeros(rows, dtype=torch.int64), unheard=torch.zeros(rows, dtype=torch.int64),
            begun_token=torch.full((rows, 4), -1), begun_at=torch.full((rows, 4), -1),
            ended_at=torch.full((rows, 4), -1), ended_cut=torch.zeros(rows, 4, dtype=torch.bool),
            caption=torch.full((rows, 8), -1))
        for row in range(rows):
            if active[row]:
                s = {name: int(value[row]) for name, value in state.items()}
                s["unplayed"] += int(unplayed[row])
                self._step_row(row, float(room[row].square().mean().sqrt()) > self.threshold, s, out)
                s["clock"] += 1
                for name, value in s.items():
                    state[name][row] = value
            else:
                out.token[row] = 99     # whoever looks at an inactive row fails
        return out

    def _step_row(self, row: int, heard: bool, s: dict, out) -> None:
        if heard:
            out.caption[row, 0] = ord("a") + s["clock"] % 26
        s["loud"] = s["loud"] + 1 if heard else 0
        if not s["speaking"]:
            s["armed"], s["quiet"] = (1, 0) if heard else (s["armed"], s["quiet"] + 1)
            if (s["armed"] and s["quiet"] >= 3) or s["clock"] == self.unprompted:
                out.token[row] = START
                s.update(speaking=1, armed=0, emitted=0, at=0)
        elif s["loud"] >= 2 and not self.deaf:
            self._cut(row, s, out)
        elif s["at"] >= self.words * PIECE:
            out.token[row], out.stopped[row] = END, 1
            s["speaking"] = 0
        else:
            self._speak(row, s, out)
        out.speaking[row] = bool(s["speaking"])

    def _speak(self, row: int, s: dict, out) -> None:
        begun = -(-s["at"] // PIECE)
        if s["emitted"] < self.words and s["emitted"] - begun < 2:
            out.token[row] = 3 + s["emitted"]
            s["emitted"] += 1
        count = min(TINY.block_samples, s["emitted"] * PIECE - s["at"])
        self._tone(row, s, out, count)
        end = s["at"] + count
        starts = [k for k in range(s["emitted"]) if s["at"] <= k * PIECE < end]
        ends = [k for k in range(s["emitted"]) if s["at"] < (k + 1) * PIECE <= end]
        for n, k in enumerate(starts):
            out.begun_token[row, n], out.begun_at[row, n] = 3 + k, k * PIECE - s["at"]
        for n, k in enumerate(ends):
            out.ended_at[row, n] = (k + 1) * PIECE - s["at"]
        s["at"] = end

    def _cut(self, row: int, s: dict, out) -> None:
        begun = -(-s["at"] // PIECE)
        out.token[row], out.stopped[row], out.unheard[row] = END, 2, s["emitted"] - begun
        if s["at"] % PIECE:
            self._tone(row, s, out, RAMP)
            out.audio[row, :RAMP] *= torch.linspace(1, 0, RAMP)
            out.tail[row] = out.ended_at[row, 0] = RAMP
            out.ended_cut[row, 0] = True
        s.update(speaking=0, armed=1, quiet=0)

    def _tone(self, row: int, s: dict, out, count: int) -> None:
        time = torch.arange(s["at"], s["at"] + count, dtype=torch.float64)
        out.audio[row, :count] = 0.2 * torch.sin(2 * torch.pi * (300 + 10 * s["seed"]) * time / 16_000).float()
