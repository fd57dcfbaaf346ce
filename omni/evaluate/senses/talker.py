"""The voice alone, streamed: pieces in, sound out, block by block, without a mind. The vocoder can be fed by itself.

What `DuplexModel.step` does after the language model has decided, with one difference: which piece comes next is given.
A piece comes as soon as fewer than two wait, as in use.

    piece ──► queue ──► synthesizer ──► frames ──► vocoder ──► block of sound
                        a teacher's speech ─┘
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omni.model.duplex import DuplexModel
from omni.model.features import LogMel
from omni.model.tokens import MAX_WAITING
from omni.model.vocoder import DELAY, HOP

AFTER = 4               # blocks that are listened to after the last piece, or after a cut
_LONGEST = 1_500        # blocks: two minutes, longer than any text
_REFERENCE_HZ = 200.0   # of the pitch in a frame


@dataclass(frozen=True, slots=True)
class Said:
    """What the voice made of some pieces.

    Attributes:
        audio: float32 (blocks * block samples,); the first block is the one whose step was given the first piece.
        cut_in: block of the cut, None if there was none.
    """

    audio: np.ndarray
    cut_in: int | None = None


class Talker:
    """The voice of a model.

    Args:
        model: in eval mode.
    """

    def __init__(self, model: DuplexModel):
        self.model, self.block = model, model.timebase.block_samples
        self.device = next(model.parameters()).device
        self._features = LogMel().to(self.device)      # what the voice was taught with; ears have another floor
        self._one = torch.ones(1, dtype=torch.bool, device=self.device)

    @torch.inference_mode()
    def say(self, pieces: Sequence[int], cut_in: int | None = None) -> Said:
        """Speak pieces from a fresh state until nothing of them is left.

        Args:
            pieces: their tokens.
            cut_in: block in which the reply is cut, if it is not over by then.
        """
        mouth = self.model.mouth
        state, fresh, todo, left, audio = mouth.init_state(1), mouth.init_state(1), list(pieces), AFTER, []
        cut = None
        self.step([], state, fresh)     # the block of `<start_speak>`, in which no piece is decided
        for block in range(_LONGEST):
            busy = bool(todo) or self._busy(state)
            if busy and block == cut_in:
                cut, todo, busy = block, [], False
            elif not busy:
                left -= 1
            sound = self.step(todo, state, fresh, cut=cut == block)
            audio.append(sound[0].cpu().numpy())
            if left == 0:
                break
        return Said(np.concatenate(audio), cut)

    def step(self, todo: list[int], state: dict, fresh: dict, cut: bool = False) -> Tensor:
        """One block of one voice, (1, samples): the first piece of `todo` is taken if there is room for it."""
        mouth = self.model.mouth
        queue = state["queue"]
        if todo and not cut and int(mouth.synthesizer.waiting(queue)) < MAX_WAITING:
            token = torch.tensor([todo.pop(0)], device=self.device)
            mouth.synthesizer.push(queue, token, mouth.drive(token), self._one)
        return mouth.step(self._one & cut, state, fresh, self._one)[0]

    def _busy(self, state: dict) -> bool:
        synthesizer, queue = self.model.mouth.synthesizer, state["queue"]
        return bool(synthesizer.waiting(queue)) or bool(synthesizer.sounding(queue))

    @torch.inference_mode()
    def vocode(self, samples: np.ndarray, pitch_hz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The vocoder, block by block, on the frames of somebody's speech.

        Args:
            samples: float32 (N,) at 16 kHz.
            pitch_hz: float32 of every 10 ms, 0 where unvoiced; at least N / HOP of them.

        Returns:
            the speech and what the vocoder made of it, of equal length and on one time.
        """
        vocoder, per_block = self.model.mouth.vocoder, self.block // HOP
        samples = np.pad(samples, (0, -len(samples) % self.block + self.block)).astype(np.float32)
        mel = self._features(torch.from_numpy(samples)[None].to(self.device))
        pitch = np.pad(pitch_hz, (0, max(mel.shape[1] - len(pitch_hz), 0)))[:mel.shape[1]]
        pitch = torch.from_numpy(pitch.astype(np.float32)).to(self.device)
        voiced = (pitch > 0).float() * 2 - 1
        frames = torch.cat([mel, torch.stack([torch.log2(pitch.clamp(min=50) / _REFERENCE_HZ), voiced], 1)[None]], 2)
        state = vocoder.init_state(1)
        made = [vocoder.step(part, state, self._one) for part in frames.split(per_block, 1)]
        heard = torch.cat(made, 1)[0].clamp(-1, 1).cpu().numpy()
        return samples[:-DELAY], heard[DELAY:]
