"""What the agent says in its whole world, for measures of its voice alone: conversations without interruptions."""

import random
from collections.abc import Iterator

from omni.base.errors import OmniError
from omni.data import skills
from omni.data.skills import sounds
from omni.data.skills.talk import Memory
from omni.model.tokens import Pieces

_ASKS = 12          # of a conversation
_TRIES = 2000       # replies without one that can be said
_SAY_AGAIN = {("floor", "go on"), ("floor", "again"), ("recall", "user said"), ("recall", "agent said")}


def replies(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Replies without end, each with its skill; not silence, nor what only says an earlier text again."""
    while True:
        memory = Memory(sounds=tuple(rng.sample(list(sounds.NAMES), rng.choice([0, 0, 1, 1, 2]))))
        for _ in range(_ASKS):
            said = skills.ask(rng, memory)
            skills.take(said, memory)
            text = skills.answer(said, memory, rng).text
            memory.said(text)
            if text and (said.skill, said.kind) not in _SAY_AGAIN:
                yield text, said.skill


def sayable(rng: random.Random, pieces: Pieces) -> Iterator[str]:
    """Of these, those of which every word has a piece.

    Raises:
        OmniError: there are none.
    """
    tries = 0
    for text, _ in replies(rng):
        tries += 1
        if pieces.knows(text):
            tries = 0
            yield text
        elif tries == _TRIES:
            raise OmniError("the voice has pieces for none of the world's replies")
