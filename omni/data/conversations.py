"""Whole conversations on the block grid: who says what when, and what the agent should decide in every block.

A lesson is a partner (`omni.data.partner`) and an agent that decides what is right, in its own voice. One builder
serves both kinds of lesson: on text alone (characters at times) and on sound.

Some lessons take the decision late, as a model that hesitated would: until it is taken, every block's target is the
decision that is due. Otherwise a model that missed the one block it was taught would never find its way back. Answers
begin late in every manner of talk, and by more than any pause inside of a sentence takes: a silence that lasts so long
is followed by an answer and by nothing else, however much what was said looked like a part.
"""

import random
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from omni.data.partner import DECISIVE, START_AFTER, Partner, Turn
from omni.data.speaker import BLOCK, Rendered
from omni.data.user import DRILL, LISTENING, QUIZ, RATE_HZ, REMEMBER, TALK, Heard, Line, Manners, Source, preview
from omni.model.tokens import END_SPEAK, START_SPEAK, THINK, Pieces

LATE_STARTS, LATE_ENDS = 0.25, 0.5  # shares of decisions taken late; where it is as dense as it goes, of starts alone
DENSE = (DRILL, LISTENING, QUIZ, REMEMBER)
LATEST = 28                         # one past the most blocks by which a start is late


class Speaker(Protocol):
    """Who renders the agent's replies."""

    pieces: Pieces

    def render(self, text: str) -> Rendered:
        """The reply block by block."""


@dataclass(slots=True)
class Conversation:
    """`num_blocks` blocks with targets.

    Attributes:
        heard: what sounds in the room.
        turns: what was asked of the agent.
        target: (T,) int64 token to decide; `fed`: token fed into each block; `waiting`, `sounding`: the queue.
        said: (first block, reply) pairs.
    """

    num_blocks: int
    heard: list[Heard] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    said: list[tuple[int, Rendered]] = field(default_factory=list)
    target: np.ndarray = field(init=False)
    fed: np.ndarray = field(init=False)
    waiting: np.ndarray = field(init=False)
    sounding: np.ndarray = field(init=False)

    def __post_init__(self):
        self.target = np.full(self.num_blocks, THINK)
        self.fed = np.full(self.num_blocks, THINK)
        self.waiting = np.zeros(self.num_blocks, np.int64)
        self.sounding = np.zeros(self.num_blocks, np.int64)

    def say(self, block: int, reply: Rendered, fed_after: int = END_SPEAK) -> None:
        """Put a reply on the grid from `block` on, cut off at the conversation's end."""
        n = min(len(reply.tokens), self.num_blocks - block)
        if n <= 0:
            return
        self.target[block:block + n] = reply.tokens[:n]
        self.waiting[block:block + n] = reply.waiting[:n]
        self.sounding[block:block + n] = reply.sounding[:n]
        fed = [*reply.tokens[:-1], fed_after]
        m = min(len(fed), self.num_blocks - block - 1)
        self.fed[block + 1:block + 1 + m] = fed[:m]
        self.said.append((block, reply))

    def own_audio(self) -> np.ndarray:
        """The agent's voice on the room's clock: the output of step i sounds in block i + 1."""
        own = np.zeros((self.num_blocks + 1) * BLOCK, np.float32)
        for block, reply in self.said:
            at = (block + 1) * BLOCK
            sound = reply.audio[:len(own) - at]
            own[at:at + len(sound)] = sound
        return own[:self.num_blocks * BLOCK]


def build(rng: random.Random, num_blocks: int, source: Source, speaker: Speaker,
          manners: Manners = TALK, floor_every: int = 1) -> Conversation:
    """A random conversation of `num_blocks` blocks; drills, `DENSE`, are as dense as it goes.

    Args:
        floor_every: the floor changes hands in every so many-th block alone (`DuplexConfig.floor_every`).
    """
    partner, talk = Partner(rng, source, speaker.pieces, manners), Conversation(num_blocks)
    agent, due = _Agent(talk, rng, speaker, manners not in DENSE, manners.early, floor_every), []
    for block in range(num_blocks):
        partner.begin(block)
        queue = agent.queue
        right = partner.due(*queue)
        if block % floor_every and right in (START_SPEAK, END_SPEAK):   # it is due, and has to wait for its block
            right = agent.next
        due.append(right)
        partner.did(agent.decide(block, right, partner), *queue)
    agent.leave()
    talk.target[:], talk.heard, talk.turns = due, partner.heard, partner.turns
    return talk


class _Agent:
    """Decides what is due, now and then later than it is due, and plays replies as they were rendered.

    Args:
        late: it ends later at times, as it begins later; early: share of questions into which it begins to answer.
        floor_every: as of `build`.
    """

    def __init__(self, talk: Conversation, rng: random.Random, speaker: Speaker, late: bool, early: float = 0.0,
                 floor_every: int = 1):
        self._every = floor_every
        self._talk, self._rng, self._speaker, self._late = talk, rng, speaker, late
        self._reply: Rendered | None = None
        self._first = self._at = 0      # the block in which the reply began, and how far it is
        self._wait: int | None = None   # blocks until what is due is decided
        self._early, self._turn = early, None
        self._begins: int | None = None     # block in which it begins to answer `_turn` too early

    @property
    def queue(self) -> tuple[int, int]:
        """Pieces waiting, and whether one sounds, at the next block's begin."""
        if self._reply is None:
            return 0, 0
        return int(self._reply.waiting[self._at]), int(self._reply.sounding[self._at])

    @property
    def next(self) -> int:
        """What it says next if nothing hinders it."""
        return THINK if self._reply is None else int(self._reply.tokens[self._at])

    def decide(self, block: int, right: int, partner: Partner) -> int:
        """The token of this block; what it says goes into the conversation."""
        if self._reply is None:
            text = self._hasty(block, partner) if block % self._every == 0 else ""
            if not text and (right != START_SPEAK or not self._waited(LATE_STARTS, LATEST)):
                return THINK
            self._reply, self._first, self._at = self._rendered(text or partner.reply), block, 1
            return START_SPEAK
        token = int(self._reply.tokens[self._at])
        last = self._at == len(self._reply.tokens) - 1
        if right != token:
            assert right == END_SPEAK and partner.unanswered is not None
            if self._waited(LATE_ENDS * self._late, 11, len(self._reply.tokens) - 2 - self._at):
                token = END_SPEAK
        if token == END_SPEAK:
            self._talk.say(self._first, *((self._reply,) if last else self._reply.cut(self._at)))
            self._reply, self._wait = None, None
        self._at += 1
        return token

    def _rendered(self, text: str) -> Rendered:
        """The reply; its end waits for a block in which it may be."""
        reply = self._speaker.render(text)
        return reply.held((1 - len(reply.tokens)) % self._every)

    def _hasty(self, block: int, partner: Partner) -> str:
        """What it says if it takes the floor too early here, inside of what it is asked: once a question at most."""
        turn = partner.unanswered
        if not self._early or turn is None or turn is self._turn and self._begins is None:
            return ""
        if turn is not self._turn:
            first, last = turn.heard.at // BLOCK + 3, turn.due - 3
            self._turn, self._begins = turn, None
            if first < last and self._rng.random() < self._early:
                self._begins = self._rng.randrange(first, last)
        if self._begins is None or block < self._begins:
            return ""
        self._begins = None
        # who is only a little early is right, and says what is due
        return preview(turn.heard.line.ask, partner.memory) if block + START_AFTER < turn.due else ""

    def leave(self) -> None:
        """What is still being said goes into the conversation too."""
        if self._reply is not None:
            self._talk.say(self._first, self._reply)

    def _waited(self, share: float, end: int, limit: int = 1000) -> bool:
        """Whether a decision that is due is taken now: with this chance up to `end` - 1 blocks late."""
        if self._wait is None:
            late = self._rng.randrange(1, end) if self._rng.random() < share else 0
            self._wait = max(min(late, limit), 0)
        self._wait -= 1
        if self._wait >= 0:
            return False
        self._wait = None
        return True


__all__ = ["BLOCK", "DECISIVE", "DRILL", "RATE_HZ", "START_AFTER", "TALK", "Conversation", "Heard", "Line", "Manners",
           "Source", "Speaker", "build"]
