"""The agent's side of a conversation: what it emits in each block and how it sounds, as in use.

The schedule follows the mouth's own pointer: a piece comes as soon as fewer than two wait, so that text is paced by
speech. The sound is the mouth's own, errors and all, never the teacher's.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from omni.model.mouth import RAMP, SUB_SAMPLES, Mouth
from omni.model.synthesizer import CURRENT, NEXT, PREVIOUS, SUBFRAMES
from omni.model.tokens import CUT_0, END_SPEAK, FIRST_PIECE, MAX_WAITING, START_SPEAK, THINK, Pieces

BLOCK = SUBFRAMES * SUB_SAMPLES


@dataclass(frozen=True, slots=True)
class Rendered:
    """One reply, block by block from `<start_speak>` to `<end_speak>`.

    Attributes:
        tokens: (n,) token of each block.
        waiting, sounding: (n,) the queue at the start of each block.
        audio: float32 (n * 1280,), output of each block's step; empty if not asked for.
    """

    tokens: np.ndarray
    waiting: np.ndarray
    sounding: np.ndarray
    audio: np.ndarray

    def cut(self, block: int) -> tuple["Rendered", int]:
        """The reply cut by `<end_speak>` in `block`, and the token that is fed back."""
        tokens = self.tokens[:block + 1].copy()
        tokens[block] = END_SPEAK
        busy = self.waiting[block] + self.sounding[block] > 0
        audio = self.audio[:(block + 1) * BLOCK].copy()
        if len(audio):
            audio[block * BLOCK:block * BLOCK + RAMP] *= np.linspace(1, 0, RAMP + 1, dtype=np.float32)[1:]
            audio[block * BLOCK + RAMP:] = 0
        cut = Rendered(tokens, self.waiting[:block + 1], self.sounding[:block + 1], audio)
        return cut, int(CUT_0 + self.waiting[block]) if busy else END_SPEAK


class Durations(Protocol):
    """When a piece has ended: age in sub-frames -> bool, for a piece and what follows it (-1 unknown)."""

    def __call__(self, current: int, following: int) -> np.ndarray:
        """(max age + 1,) bool, whether the piece has ended at each age."""


def schedule(ids: list[int], durations: Durations) -> tuple[Rendered, np.ndarray]:
    """Run queue and pointer over a reply.

    Returns:
        the reply without sound, and (n * 4, 4) int64 of each sub-frame: previous, current and next piece (-1 none),
        and the age of the current one.
    """
    queue, age, todo = [-1, -1, -1, -1], 0, list(ids)
    tokens, waiting, sounding, subs = [START_SPEAK], [0], [0], []
    subs.extend([[-1, -1, -1, 0]] * SUBFRAMES)
    while True:
        num_waiting = (queue[NEXT] >= 0) + (queue[NEXT + 1] >= 0)
        waiting.append(num_waiting)
        sounding.append(int(queue[CURRENT] >= 0))
        if todo and num_waiting < MAX_WAITING:
            tokens.append(todo.pop(0))
            queue[NEXT + num_waiting] = tokens[-1]
        elif not todo and num_waiting == 0 and queue[CURRENT] < 0:
            tokens.append(END_SPEAK)
        else:
            tokens.append(THINK)
        for _ in range(SUBFRAMES):
            ends = durations(queue[CURRENT], queue[NEXT]) if queue[CURRENT] >= 0 else None
            over = ends is not None and age > 0 and bool(ends[min(age, len(ends) - 1)])
            if (over or ends is None) and queue[NEXT] >= 0:
                queue = [queue[CURRENT] if over else queue[PREVIOUS], queue[NEXT], queue[NEXT + 1], -1]
                age = 0
            elif over:
                queue, age = [queue[CURRENT], -1, queue[NEXT], queue[NEXT + 1]], 0
            subs.append([queue[PREVIOUS], queue[CURRENT], queue[NEXT], age])
            age += queue[CURRENT] >= 0
        if tokens[-1] == END_SPEAK:
            break
    as_array = np.asarray
    return (Rendered(as_array(tokens), as_array(waiting), as_array(sounding), np.zeros(0, np.float32)),
            as_array(subs))


class TextSpeaker:
    """Replies without sound, with durations guessed from spelling: for learning from text alone.

    Args:
        pace: how many times faster than speech.
    """

    def __init__(self, pieces: Pieces, pace: float = 1.0):
        self.pieces, self.pace = pieces, pace

    def render(self, text: str) -> Rendered:
        """The schedule of a reply."""
        return schedule(self.pieces.encode(text), self._durations)[0]

    def _durations(self, current: int, following: int) -> np.ndarray:
        symbol = self.pieces.symbol(current)
        length = {",": 9, ".": 16, "?": 16}.get(symbol, 12 if len(symbol) == 1 else 5 + int(2.3 * len(symbol)))
        return np.arange(101) >= length / self.pace


class VoiceSpeaker:
    """Replies in the agent's own voice.

    Args:
        mouth: a trained mouth in eval mode.
        cached: how many replies to keep.
    """

    def __init__(self, mouth: Mouth, pieces: Pieces, cached: int = 6000):
        self.mouth, self.pieces = mouth, pieces
        self._pairs: dict[tuple[int, int], np.ndarray] = {}
        self._replies: OrderedDict[str, Rendered] = OrderedDict()
        self._cached = cached

    @torch.no_grad()
    def render(self, text: str) -> Rendered:
        """The reply as it would be emitted and heard."""
        if text not in self._replies:
            plan, subs = schedule(self.pieces.encode(text), self._durations)
            self._replies[text] = Rendered(plan.tokens, plan.waiting, plan.sounding, self._sound(subs))
            if len(self._replies) > self._cached:
                self._replies.popitem(last=False)
        return self._replies[text]

    @torch.no_grad()
    def _durations(self, current: int, following: int) -> np.ndarray:
        key = (current, following)
        if key not in self._pairs:
            ages = torch.arange(self.mouth.config.synthesizer.max_subframes + 1)
            now = self.mouth.drive(torch.tensor(current)).expand(len(ages), -1)
            then = self.mouth.drive(torch.tensor(following)) if following >= 0 else self.mouth.synthesizer.none[2]
            position = self.mouth.synthesizer.position(ages)
            over = self.mouth.synthesizer.ended(now, then.expand(len(ages), -1), position) > 0
            over[-1] = True
            self._pairs[key] = over.numpy()
        return self._pairs[key]

    def _sound(self, subs: np.ndarray) -> np.ndarray:
        previous, current, following, age = torch.from_numpy(subs)[None].unbind(-1)
        return self.mouth(previous, current, following, age)[0].numpy().copy()


__all__ = ["BLOCK", "FIRST_PIECE", "Rendered", "TextSpeaker", "VoiceSpeaker", "schedule"]
