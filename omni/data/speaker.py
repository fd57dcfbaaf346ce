"""The agent's side of a conversation: what it emits in each block and how it sounds, as in use.

The schedule follows the mouth's own pointer: a piece comes as soon as fewer than two wait, so that text is paced by
speech. The sound is the mouth's own, errors and all, never the teacher's.
"""

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch

from omni.model.mouth import RAMP, Mouth
from omni.model.synthesizer import ABSENT, CONTEXT, CURRENT, FRAMES, NEXT, PREVIOUS, Course
from omni.model.tokens import CUT_0, END_SPEAK, FIRST_PIECE, MAX_WAITING, START_SPEAK, THINK, Pieces
from omni.model.vocoder import HOP

BLOCK = FRAMES * HOP


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

    def held(self, blocks: int) -> "Rendered":
        """The reply with so many blocks of silence before its `<end_speak>`."""
        if not blocks:
            return self
        silence = np.zeros(blocks * BLOCK if len(self.audio) else 0, np.float32)
        audio = np.concatenate([self.audio[:-BLOCK], silence, self.audio[-BLOCK:]])
        parts = (np.concatenate([x[:-1], np.full(blocks, fill, x.dtype), x[-1:]])
                 for x, fill in ((self.tokens, THINK), (self.waiting, 0), (self.sounding, 0)))
        return Rendered(*parts, audio)


class Timing(Protocol):
    """What a mouth would do with its pieces."""

    def phones(self, token: int) -> tuple[int, ...]:
        """A piece's phones, at least one."""

    def due(self, window: tuple[int, ...], token: int, place: int) -> int:
        """Frames that a phone sounds; see `omni.model.synthesizer.Course`."""


def schedule(ids: list[int], timing: Timing) -> tuple[Rendered, np.ndarray]:
    """Run queue and pointer over a reply, as `Synthesizer.step` does.

    Returns:
        the reply without sound, and (n * 8, 9) int64 of each frame: the window of phones, the piece that sounds (-1
        none), its place, the frames it has sounded and those it is due (see `Course`).
    """
    queue, pointer, elapsed, due, todo = [-1, -1, -1, -1], 0, 0, 0, list(ids)
    tokens, waiting, sounding, course = [START_SPEAK], [0], [0], []
    course.extend([[*_SILENT, -1, 0, 0, 0]] * FRAMES)
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
        for _ in range(FRAMES):
            up = queue[CURRENT] >= 0 and elapsed >= due
            over = up and pointer + 1 >= len(timing.phones(queue[CURRENT]))
            if up:
                pointer, elapsed = pointer + 1, 0
            if (over or queue[CURRENT] < 0) and queue[NEXT] >= 0:
                queue = [queue[CURRENT] if over else queue[PREVIOUS], queue[NEXT], queue[NEXT + 1], -1]
                pointer = elapsed = 0
            elif over:
                queue, pointer, elapsed = [queue[CURRENT], -1, queue[NEXT], queue[NEXT + 1]], 0, 0
            current = queue[CURRENT]
            if current < 0:
                course.append([*_SILENT, -1, 0, 0, 0])
                continue
            window, place = _window(queue, pointer, timing)
            due = timing.due(window, current, place)
            course.append([*window, current, place, elapsed, due])
            elapsed += 1
        if tokens[-1] == END_SPEAK:
            break
    as_array = np.asarray
    return (Rendered(as_array(tokens), as_array(waiting), as_array(sounding), np.zeros(0, np.float32)),
            as_array(course))


_SILENT = (ABSENT,) * (2 * CONTEXT + 1)


def _window(queue: list[int], pointer: int, timing: Timing) -> tuple[tuple[int, ...], int]:
    before, phones, after = (timing.phones(queue[place]) if queue[place] >= 0 else ()
                             for place in (PREVIOUS, CURRENT, NEXT))
    window = tuple(phones[at] if 0 <= at < len(phones) else
                   before[at] if at < 0 and len(before) >= -at else
                   after[at - len(phones)] if 0 <= at - len(phones) < len(after) else ABSENT
                   for at in range(pointer - CONTEXT, pointer + CONTEXT + 1))
    return window, (pointer == 0) + 2 * (pointer + 1 == len(phones))


class TextSpeaker:
    """Replies without sound, with durations guessed from spelling: for learning from text alone.

    Args:
        pace: how many times faster than speech.
    """

    def __init__(self, pieces: Pieces, pace: float = 1.0):
        self.pieces, self.pace = pieces, pace
        self._scheduled = lru_cache(maxsize=6_000)(lambda text: schedule(pieces.encode(text), self)[0])

    def render(self, text: str) -> Rendered:
        """The schedule of a reply."""
        return self._scheduled(text)

    def phones(self, token: int) -> tuple[int, ...]:
        """See `Timing`: one for the whole piece."""
        return (1,)

    def due(self, window: tuple[int, ...], token: int, place: int) -> int:
        """See `Timing`."""
        symbol = self.pieces.symbol(token)
        length = {",": 18, ".": 32, "?": 32}.get(symbol, 24 if len(symbol) == 1 else 10 + 4.6 * len(symbol))
        return max(1, round(length / self.pace))


class VoiceSpeaker:
    """Replies in the agent's own voice.

    Args:
        mouth: a trained mouth in eval mode.
        cached: how many replies to keep.
        hidden: (len(pieces), D) a hidden state of the language model for each piece; without, embeddings drive alone.
    """

    def __init__(self, mouth: Mouth, pieces: Pieces, cached: int = 6000, hidden: torch.Tensor | None = None):
        self.mouth, self.pieces = mouth, pieces
        with torch.no_grad():
            self._drives = mouth.drive(torch.arange(len(pieces)), hidden)
        self._spelled: dict[int, tuple[int, ...]] = {}
        self._due: dict[tuple[tuple[int, ...], int, int], int] = {}
        self._replies: OrderedDict[str, Rendered] = OrderedDict()
        self._cached = cached

    @torch.no_grad()
    def render(self, text: str) -> Rendered:
        """The reply as it would be emitted and heard."""
        if text not in self._replies:
            plan, course = schedule(self.pieces.encode(text), self)
            self._replies[text] = Rendered(plan.tokens, plan.waiting, plan.sounding, self._sound(course))
            if len(self._replies) > self._cached:
                self._replies.popitem(last=False)
        return self._replies[text]

    @torch.no_grad()
    def phones(self, token: int) -> tuple[int, ...]:
        """See `Timing`."""
        if token not in self._spelled:
            phones = self.mouth.synthesizer.spelled(self._drives[token])
            self._spelled[token] = tuple(phones[phones != ABSENT].tolist())
        return self._spelled[token]

    @torch.no_grad()
    def due(self, window: tuple[int, ...], token: int, place: int) -> int:
        """See `Timing`."""
        key = (window, token, place)
        if key not in self._due:
            rate = torch.tensor([self.mouth.config.rate])
            self._due[key] = int(self.mouth.synthesizer.frames(
                torch.tensor([window]), self._drives[token][None], torch.tensor([place]), rate))
        return self._due[key]

    def _sound(self, course: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(course)[None]
        course = Course(x[..., :-4], *x[..., -4:].unbind(-1))
        drive = self._drives[course.token.clamp(min=0)] * (course.token >= 0)[..., None]
        return self.mouth(course, drive)[0].numpy().copy()


__all__ = ["BLOCK", "FIRST_PIECE", "Rendered", "TextSpeaker", "VoiceSpeaker", "schedule"]
