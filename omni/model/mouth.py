"""The mouth: piece embeddings and hidden states to samples, one block at a time."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.model.synthesizer import FRAMES, Course, Synthesizer, SynthesizerConfig
from omni.model.vocoder import DELAY, HOP, Vocoder, VocoderConfig
from omni.nn.state import State, reset_rows, write

RAMP = HOP        # a cut ramps down within 10 ms
_IDLE_FRAMES = 4  # that the vocoder rings on after the last piece


@dataclass(frozen=True, slots=True)
class MouthConfig:
    """Sizes of both halves.

    Attributes:
        rate: how many times faster than its teacher it speaks.
    """

    synthesizer: SynthesizerConfig = field(default_factory=SynthesizerConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    rate: float = 1.0


class Mouth(nn.Module):
    """Embedding table, gate, synthesizer and vocoder.

    The vector that drives a piece is its normalised embedding plus `gate` times a projection of the language model's
    hidden state at the piece. `embedding` is the language model's own input embedding table.

    State: `queue` (synthesizer), `wave` (vocoder), `idle` (B,) frames of silence since the last piece.
    """

    def __init__(self, config: MouthConfig, num_tokens: int):
        super().__init__()
        self.config = config
        dim = config.synthesizer.drive_dim
        self.embedding = nn.Embedding(num_tokens, dim)
        self.project = nn.Linear(dim, dim)
        self.gate = nn.Parameter(torch.tensor(0.1))
        self.synthesizer, self.vocoder = Synthesizer(config.synthesizer), Vocoder(config.vocoder)

    def drive(self, token: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Driving vectors (..., D) of tokens (...), with hidden states (..., D) if the state is to help."""
        vector = F.layer_norm(self.embedding(token), (self.embedding.embedding_dim,))
        if hidden is None:
            return vector
        return vector + self.gate * self.project(F.layer_norm(hidden, (hidden.shape[-1],)))

    def drives(self, token_BT: Tensor) -> Tensor:
        """Training vectors of pieces, zero where there is none (-1).

        The hidden state is noise in half of the rows and absent in the rest.
        """
        known = self.drive(token_BT.clamp(min=0))
        if self.training:
            noise = torch.randn(len(token_BT), len(self.embedding.weight), known.shape[-1], device=known.device)
            noisy = self.drive(token_BT.clamp(min=0), torch.take_along_dim(
                noise, token_BT.clamp(min=0)[..., None], 1))
            use = (torch.rand(len(token_BT), 1, 1, device=known.device) < 0.5)
            known = torch.where(use, noisy, known)
        return known * (token_BT >= 0)[..., None]

    def forward(self, course: Course, drive_BTD: Tensor | None = None) -> Tensor:
        """Samples (B, T * 160) of a known course of the pointer, time-parallel; driven by the pieces' own vectors if no
        others are given."""
        speaking = course.token >= 0
        drive = self.drives(course.token) if drive_BTD is None else drive_BTD
        samples = self.vocoder(self.synthesizer(course, drive))
        # as in `step`: the vocoder rings on for a moment, then the output is exactly zero
        recent = speaking.clone()
        for late in range(1, _IDLE_FRAMES + 1):
            recent[:, late:] |= speaking[:, :-late]
        return (samples * recent.repeat_interleave(HOP, 1)).clamp(-1, 1)

    def init_state(self, num_rows: int) -> State:
        """Silent, with an empty queue."""
        return {"queue": self.synthesizer.init_state(num_rows), "wave": self.vocoder.init_state(num_rows),
                "idle": torch.full((num_rows,), _IDLE_FRAMES, dtype=torch.int64, device=self.gate.device)}

    def step(self, cut_B: Tensor, state: State, fresh: State, active: Tensor,
             rate_B: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """One block of sound from the queue.

        Args:
            cut_B: rows whose reply is cut in this block: what would have followed ramps down within 10 ms, and the
                row becomes `fresh` (a one-row state), so that the next reply starts clean.
            rate_B: speaking rate of each row in place of the configured one.

        Returns:
            samples (B, 1280) and the synthesizer's record, with the frames' samples added as `begun_at` and
            `ended_at` (offsets in this block, DELAY included; an offset may reach into the next block by DELAY).
        """
        queue = state["queue"]
        rate = torch.full_like(self.gate, self.config.rate).expand(len(cut_B)) if rate_B is None else rate_B
        frames, record = self.synthesizer.step(queue, active, rate)
        samples = self.vocoder.step(frames, state["wave"], active)
        # the vocoder rings for a moment after the last piece, then the output is exactly zero
        index = torch.arange(1, FRAMES + 1, device=samples.device)[None]
        last = torch.where(record["token"] >= 0, index, 0).cummax(1).values
        silent = torch.where(last > 0, index - last, state["idle"][:, None] + index)    # frames of it, after each
        before = torch.cat([state["idle"][:, None], silent[:, :-1]], 1)
        write(state["idle"], silent[:, -1].clamp(max=1 << 20), active)
        gate = (before < _IDLE_FRAMES) | (silent < _IDLE_FRAMES)
        samples = (samples.unflatten(1, (FRAMES, HOP)) * gate[..., None]).flatten(1)
        if cut_B.is_cuda or cut_B.any():
            ramp = torch.zeros(samples.shape[1], device=samples.device)
            ramp[:RAMP] = torch.linspace(1, 0, RAMP + 1, device=samples.device)[1:]
            samples = torch.where(cut_B[:, None], samples * ramp, samples)
            reset_rows(state, fresh, cut_B & active)
        for key in ("begun", "ended"):
            frame = record[f"{key}_frame"]
            record[f"{key}_at"] = torch.where(frame >= 0, frame * HOP + DELAY, frame)
        return samples.clamp(-1, 1), record

