"""Every streaming module behind one face, so that one test can hold all of them to the same laws.

A unit is the smallest step a module takes: a hop, a block, a position. Inputs and outputs are dicts of tensors with
rows first and units second. `forward` is given what the steps wrote down (`notes`), because some modules choose their
own path: a synthesizer moves its pointer, a duplex model decides its tokens.
"""

from dataclasses import dataclass, field

import tiny
import torch
from torch import Tensor, nn

from omni.model.encoder import Encoder, EncoderBlock
from omni.model.features import LogMel
from omni.model.language_model import RingLanguageModel, build_language_model
from omni.model.mouth import Mouth
from omni.model.synthesizer import FRAMES, CausalBlock, Course, Synthesizer
from omni.model.tokens import FIRST_PIECE, MAX_WAITING, allowed
from omni.model.vocoder import Vocoder
from omni.nn.attention import RingAttention
from omni.nn.conv import CausalConv1d
from omni.nn.state import State, reset_rows

Tensors = dict[str, Tensor]


@dataclass
class Streaming:
    """A module under test. Subclasses say how a chunk of units goes in and comes out.

    Attributes:
        units: length of a test run; past two wraps of every ring in the module.
        longest: most units one step may take.
    """

    module: nn.Module
    units: int = 12
    longest: int = 1
    notes: dict[str, list[Tensor]] = field(default_factory=dict)

    def draw(self, rows: int, generator: torch.Generator) -> Tensors:
        """Random inputs, (rows, units, ...) each."""
        raise NotImplementedError

    def forward(self, inputs: Tensors) -> Tensors:
        """The whole of it at once."""
        raise NotImplementedError

    def step(self, chunk: Tensors, state: State, active: Tensor) -> Tensors:
        """The next units."""
        raise NotImplementedError

    def init_state(self, rows: int) -> State:
        return self.module.init_state(rows)

    def reset(self, state: State, rows: Tensor) -> None:
        reset_rows(state, self.module.init_state(1), rows)

    def note(self, **tensors: Tensor) -> None:
        for name, tensor in tensors.items():
            self.notes.setdefault(name, []).append(tensor.clone())


@dataclass
class Plain(Streaming):
    """One tensor in, one out; `shape` is a unit's. `pack` and `unpack` turn (B, n, *shape) to the module's own."""

    shape: tuple[int, ...] = ()

    def draw(self, rows, generator):
        return {"x": torch.randn(rows, self.units, *self.shape, generator=generator)}

    def forward(self, inputs):
        return {"y": self.unpack(self.module(self.pack(inputs["x"])), inputs["x"].shape[1])}

    def step(self, chunk, state, active):
        return {"y": self.unpack(self.module.step(self.pack(chunk["x"]), state, active), chunk["x"].shape[1])}

    def pack(self, x: Tensor) -> Tensor:
        return x.flatten(1, 2)

    def unpack(self, y: Tensor, units: int) -> Tensor:
        return y.unflatten(1, (units, -1))


class Ears(Plain):
    def forward(self, inputs):
        return self._out(self.module(*self._split(inputs)), inputs)

    def step(self, chunk, state, active):
        return self._out(self.module.step(*self._split(chunk), state, active), chunk)

    def _split(self, inputs):
        return inputs["x"].flatten(1, 2).chunk(2, dim=-1)

    def _out(self, y, inputs):
        units = inputs["x"].shape[1]
        return {"y": self.unpack(y, units), "captions": self.unpack(self.module.captions(y), units)}


class Frames(Plain):
    """A vocoder: acoustic frames with pitch and voicing that change."""

    def draw(self, rows, generator):
        x = super().draw(rows, generator)["x"] * 0.3
        x[..., -1] += 0.5 * torch.randn(rows, self.units, generator=generator).sign()
        return {"x": x.unsqueeze(2)}


class Queue(Streaming):
    """A synthesizer, fed a piece wherever there is room; told its own path afterwards."""

    def draw(self, rows, generator):
        wish = torch.randint(FIRST_PIECE, FIRST_PIECE + 9, (rows, self.units), generator=generator)
        hurry = torch.rand(rows, self.units, generator=generator) < 0.6
        return {"wish": torch.where(hurry, wish, -1),
                "drive": torch.randn(rows, self.units, tiny.WIDTH, generator=generator)}

    def push(self, synthesizer: Synthesizer, chunk: Tensors, queue: State, active: Tensor) -> None:
        token = chunk["wish"][:, 0]
        free = Synthesizer.waiting(queue) < MAX_WAITING
        synthesizer.push(queue, token, chunk["drive"][:, 0], (token >= 0) & free & active)

    def watched(self, synthesizer: Synthesizer, queue: State, run):
        """`run()`, writing down the pointer's path: the pieces, and what `condition` is given in each frame."""
        plain, step = synthesizer.condition, synthesizer.step
        names = ("window", "drive", "place", "elapsed", "due", "speaking")
        given = []

        def condition(*args):
            given.append(args)
            return plain(*args)

        def stepped(*args):
            frames, record = step(*args)
            for frame in range(FRAMES):
                told = {name: value[:, frame] for name, value in zip(names, given[-1], strict=True)}
                self.note(token=record["token"][:, frame], **told)
            return frames, record

        synthesizer.condition, synthesizer.step = condition, stepped
        try:
            return run()
        finally:
            del synthesizer.condition, synthesizer.step

    def course(self) -> Course:
        return Course(*(torch.stack(self.notes[name], 1) for name in ("window", "token", "place", "elapsed", "due")))

    def step(self, chunk, state, active):
        self.push(self.module, chunk, state, active)
        rate = torch.ones(len(active))
        frames, record = self.watched(self.module, state, lambda: self.module.step(state, active, rate))
        return {"frames": frames[:, None], **{k: v[:, None] for k, v in record.items()},
                "due": torch.stack(self.notes["due"][-FRAMES:], 1)[:, None]}

    def forward(self, inputs):
        course, drive = self.course(), torch.stack(self.notes["drive"], 1)
        due = self.module.frames(course.window, drive, course.place, torch.ones(())) * (course.token >= 0)
        return {"frames": self.module(course, drive).unflatten(1, (self.units, -1)),
                "due": due.unflatten(1, (self.units, -1))}


class Voice(Queue):
    """A whole mouth. Cuts are among its inputs for the laws of silence and rebirth; parity runs without."""

    def draw(self, rows, generator):
        cut = torch.rand(rows, self.units, generator=generator) < 0.15
        return {**super().draw(rows, generator), "cut": cut}

    def step(self, chunk, state, active):
        mouth, queue = self.module, state["queue"]
        self.push(mouth.synthesizer, {**chunk, "drive": mouth.drive(chunk["wish"].clamp(min=0))}, queue, active)
        samples, record = self.watched(mouth.synthesizer, queue, lambda: mouth.step(
            chunk["cut"][:, 0], state, mouth.init_state(1), active))
        return {"samples": samples[:, None], **{k: v[:, None] for k, v in record.items()}}

    def forward(self, inputs):
        samples = self.module(self.course())
        return {"samples": samples.unflatten(1, (self.units, -1))}


class Whole(Streaming):
    """A duplex model: `forward` is fed what the steps fed themselves."""

    def draw(self, rows, generator):
        room = torch.randn(rows, self.units, 1280, generator=generator) * 0.1
        return {"room": room * torch.rand(rows, self.units, 1, generator=generator),
                "unplayed": torch.randint(0, 200, (rows, self.units), generator=generator)}

    def reset(self, state, rows):
        self.module.reset_rows(state, rows)

    def step(self, chunk, state, active):
        model, queue = self.module, state["mouth"]["queue"]
        played = torch.arange(1280) < 1280 - chunk["unplayed"]
        waiting, sounding = Synthesizer.waiting(queue), Synthesizer.sounding(queue)
        self.note(own=state["own"] * played, fed=state["fed"], speaking=state["speaking"], waiting=waiting,
                  sounding=sounding, backlog=waiting + 3 * sounding)
        plain = model.mind.logits
        model.mind.logits = lambda hidden: self._logits(plain(hidden))
        try:
            out = model.step(chunk["room"][:, 0], chunk["unplayed"][:, 0], active, state)
        finally:
            model.mind.logits = plain
        return {"logits": self.notes["logits"][-1][:, None],
                **{name: getattr(out, name)[:, None] for name in out.__dataclass_fields__}}

    def _logits(self, scores: Tensor) -> Tensor:
        self.note(logits=scores)
        return scores

    def noted(self, name: str) -> Tensor:
        return torch.stack(self.notes[name], 1)

    def forward(self, inputs):
        logits, captions, _ = self.module(inputs["room"].flatten(1), self.noted("own").flatten(1), self.noted("fed"),
                                          self.noted("backlog"))
        held = (self.noted(name).flatten() for name in ("speaking", "waiting", "sounding"))
        legal = allowed(*held, logits.shape[-1])
        token = logits.masked_fill(~legal.view_as(logits), float("-inf")).argmax(-1)
        return {"logits": logits, "token": token, "caption": self.caption(captions)}

    def caption(self, logits: Tensor) -> Tensor:
        """What is new on the best path, (rows, units, slots); -1 where nothing is."""
        best = logits.argmax(-1)
        before = torch.nn.functional.pad(best, (1, 0))[:, :-1]
        return torch.where((best > 0) & (best != before), best, -1).unflatten(1, (self.units, -1))


def _mind(model_type: str = "llama", positions: int = 1, window: int = 5, pinned: int = 0) -> RingLanguageModel:
    config = tiny.language_model(model_type, window=window, pinned=pinned, num_layers=2)
    return tiny.randomise(RingLanguageModel(build_language_model(config, 9), window, pinned, positions))


def _dim(units: int, *shape: int) -> dict:
    return {"units": units, "shape": shape}


# name -> a fresh module; windows are small, so that a run of `units` goes past two wraps of each ring
MODULES = {
    "LogMel": lambda: Plain(LogMel(num_mels=tiny.MELS), longest=5, **_dim(12, 160)),
    "CausalConv1d": lambda: Plain(tiny.randomise(CausalConv1d(4, 6, 5)), longest=5, **_dim(12, 1, 4)),
    "CausalConv1d, stride": lambda: Plain(tiny.randomise(CausalConv1d(4, 6, 5, stride=2, groups=2)), longest=5,
                                          **_dim(12, 2, 4)),
    "CausalConv1d, no context": lambda: Plain(tiny.randomise(CausalConv1d(4, 6, 2, stride=2)), longest=5,
                                              **_dim(12, 2, 4)),
    "RingAttention": lambda: Plain(tiny.randomise(RingAttention(16, 2, window=4, block=2)), **_dim(9, 2, 16)),
    "RingAttention, block of window": lambda: Plain(tiny.randomise(RingAttention(16, 2, window=2, block=2)),
                                                    **_dim(7, 2, 16)),
    "EncoderBlock": lambda: Plain(tiny.randomise(EncoderBlock(tiny.ENCODER)), **_dim(9, 2, 16)),
    "Encoder": lambda: Ears(tiny.randomise(Encoder(tiny.ENCODER)), **_dim(9, 8, 2 * tiny.MELS)),
    "RingLanguageModel": lambda: Plain(_mind(), **_dim(14, 1, tiny.WIDTH)),
    "RingLanguageModel, pinned": lambda: Plain(_mind("qwen3", pinned=3), **_dim(18, 1, tiny.WIDTH)),
    "RingLanguageModel, three positions": lambda: Plain(_mind("qwen2", 3, window=6), **_dim(9, 3, tiny.WIDTH)),
    "RingLanguageModel, up to three positions": lambda: Plain(_mind("llama", 3, window=6, pinned=2), longest=3,
                                                              **_dim(24, 1, tiny.WIDTH)),
    "CausalBlock": lambda: Plain(tiny.randomise(CausalBlock(8, 5)), longest=5, **_dim(12, 1, 8)),
    "Synthesizer": lambda: Queue(tiny.randomise(Synthesizer(tiny.MOUTH.synthesizer))),
    "Vocoder": lambda: Frames(tiny.randomise(Vocoder(tiny.MOUTH.vocoder), std=0.1), units=12, longest=5,
                              shape=(tiny.MELS + 2,)),
    "Mouth": lambda: Voice(tiny.steady(tiny.randomise(Mouth(tiny.MOUTH, 40)))),
    "DuplexModel, summed": lambda: Whole(tiny.duplex("summed", seed=3), units=16),
    "DuplexModel, interleaved": lambda: Whole(tiny.duplex("interleaved", seed=3, pinned=2), units=16),
    "DuplexModel, told where it was cut": lambda: Whole(tiny.duplex(seed=3, switches={"read_cut": True}), units=16),
    "DuplexModel, drawn tokens": lambda: Whole(tiny.duplex("summed", temperature=1.0, seed=25), units=16),
}

# forward knows nothing of a step's own random numbers
DRAWN = {"DuplexModel, drawn tokens"}
