"""The partner of a conversation, block by block: a user who reacts, and an oracle who says what the agent should do.

    begin(i) ──► what begins to sound in block i ──► room
    due(i)   ──► the token that is right in block i       (target)
    did(i)   ◄── the token that was really decided        (a lesson's perfect agent, the model itself, any agent)

Everything follows from what really happened: memory holds what was heard, an answer is planned when it is due, an agent
that says another piece than planned goes on from there. So one partner writes lessons, plays rollouts and examines.

Times of decisions: `<start_speak>` in the second block after the one that ends the user's words, in the tenth where
people often go on; never inside a pause. `<end_speak>` one block after the one in which the decisive word ends, which
is taken to be 0.8 s after the onset where the times of words are not known; at once where nothing was asked.
"""

import random
from copy import deepcopy
from dataclasses import dataclass

from omni.data import skills
from omni.data.skills.talk import Answer, Memory
from omni.data.user import BLOCK, RATE_HZ, TALK, Heard, Line, Manners, Situation, Source, User
from omni.model.tokens import END_SPEAK, FIRST_PIECE, MAX_WAITING, PAUSES, START_SPEAK, THINK, Pieces

START_AFTER, OPEN_AFTER = 2, 10     # blocks from the end of what is complete, and of what may go on, to the answer
DECISIVE = int(0.8 * RATE_HZ)
JUST = 3 * RATE_HZ                  # samples after its end for which a sound is there to be asked about
PATIENCE = 8                        # blocks for which what is due can be known from what was just heard
_OTHERS = 24                        # answers that are drawn to find the one that the agent gives


@dataclass(slots=True)
class Turn:
    """Something asked of the agent, and what came of it. Blocks count from the conversation's begin.

    Attributes:
        heard: what was said, and when.
        decisive: block from which on an agent that speaks of something else should yield.
        due: block from which on the answer should begin.
        answer: what is right to say, once that is known.
        started, ended: blocks in which the agent took the floor for it and gave it back, if it did.
        said: what was heard of its answer; rest: what was not, beginning with the word that was cut.
        yielded: it was right to end the answer before it was whole.
        before: memory as it was before it was asked, once that is known.
    """

    heard: Heard
    decisive: int
    due: int
    answer: Answer | None = None
    started: int | None = None
    ended: int | None = None
    said: str = ""
    rest: str = ""
    yielded: bool = False
    before: Memory | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the agent said from `<start_speak>` to `<end_speak>`, as far as it was heard; `turn` is None if nobody asked
    for it."""

    started: int
    ended: int
    said: str
    turn: Turn | None


class Partner:
    """User and oracle of one conversation. In each block, in this order: `begin`, `due`, `did`.

    Attributes:
        memory: what an attentive listener knows.
        heard: everything that has begun to sound; turns: what was asked of the agent; replies: what it said.
        speaking: the agent has the floor.
        reply: what the agent is to say, or is saying.
    """

    def __init__(self, rng: random.Random, source: Source, pieces: Pieces, manners: Manners = TALK,
                 user: User | None = None):
        """Args:
            rng: decides everything that is random.
            user: in place of one with these manners.
        """
        self.rng, self.pieces = rng, pieces
        self.user = user or User(rng, source, manners)
        self.memory = Memory()
        self.heard: list[Heard] = []
        self.turns: list[Turn] = []
        self.replies: list[Reply] = []
        self.block, self.speaking, self.reply = -1, False, ""
        self._since = 0                 # block of the last change of floor
        self._length_s = 0.0            # of the reply, as it is thought to be
        self._open: Turn | None = None  # asked, and the answer has not begun
        self._now: Turn | None = None   # being answered
        self._plan: list[int] = []      # pieces still to come
        self._said: list[int] = []      # pieces that have come
        self._strayed = False           # one of them is in no right answer
        self._asked_with = Memory()     # what the answer in question was drawn from

    @property
    def unanswered(self) -> Turn | None:
        """What was asked and has no answer yet that has begun."""
        return self._open

    @property
    def answering(self) -> Turn | None:
        """What the agent is answering now."""
        return self._now

    def begin(self, block: int) -> list[Heard]:
        """What begins to sound in this block, given what happened until now. Blocks come one after the other."""
        assert block == self.block + 1
        self.block = block
        waited = self._open.heard if self._open else None
        lines = self.user.act(Situation(block, self.speaking, self._since, self._length_s, waited, self._recall))
        for heard in lines:
            self.heard.append(heard)
            if heard.line.ask is not None:
                self._ask(heard)
        return lines

    def due(self, waiting: int, sounding: int) -> int:
        """The token that is right in this block, with the queue as it is at the block's begin."""
        self._settle()
        if not self.speaking:
            answered = self._open is not None and self._open.answer is not None
            return START_SPEAK if answered else THINK
        if self._now is None or self.should_yield:
            return END_SPEAK
        if self._plan and waiting < MAX_WAITING:
            return self._plan[0]
        return THINK if self._plan or waiting or sounding else END_SPEAK

    def close(self) -> None:
        """Nothing more is to come: what would have been right to say to what was asked last is known too."""
        if self._open is not None and self._open.answer is None:
            self._take(self._open)

    @property
    def should_yield(self) -> bool:
        """The agent speaks, and something else is asked of it clearly enough."""
        return self.speaking and self._open is not None and self.block >= self._open.decisive

    @property
    def knowable(self) -> bool:
        """Whether the agent can know what is due in this block from what it heard, and be taught it.

        Who took the floor unasked, or says what no right answer has, heard something else, and to whom that was said
        it is right to go on: nothing but a reason to yield tells otherwise. Who does not do what is due in time has
        not heard that it is, and goes on hearing nothing of it.
        """
        if self.should_yield:
            return self.block <= max(self._open.decisive, self._since) + PATIENCE
        if self.speaking:
            return self._now is not None and not self._strayed
        answered = self._open is not None and self._open.answer is not None
        return not answered or self.block <= self._open.due + PATIENCE

    def did(self, token: int, waiting: int, sounding: int) -> None:
        """What the agent decided in this block."""
        if token == START_SPEAK:
            self._start()
        elif token == END_SPEAK:
            self._end(waiting, sounding)
        elif token >= FIRST_PIECE:
            self._said.append(token)
            if self._plan and self._plan[0] != token:
                self._follow()
            else:
                self._plan = self._plan[1:]

    def _recall(self) -> Memory:
        """What is known now, with what was heard of the reply that is being said."""
        self.memory.sounds = self._sounding(self.block * BLOCK)
        if not self.speaking:
            return self.memory
        known = deepcopy(self.memory)
        known.said(self.pieces.decode(self._said[:-2]), self.pieces.decode([*self._said[-2:], *self._plan]))
        return known

    # ---- what was asked ----------------------------------------------------------------------------------------------

    def _ask(self, heard: Heard) -> None:
        before = self._open
        if before is not None and before.heard.line is heard.line:  # once more
            self.turns.pop()
            if before.before is not None:
                self.memory = before.before
        else:
            self.close()
        ask = heard.line.ask
        self._open = Turn(heard, (heard.at + decisive_after(heard.line)) // BLOCK + 1,
                          heard.end // BLOCK + (OPEN_AFTER if ask.open else START_AFTER))
        self.turns.append(self._open)

    def _settle(self, early: int = 0) -> None:
        """Know what is right to say once it is due, or will be in so many blocks, and the agent listens."""
        turn = self._open
        if turn is None or self.speaking or self.block + early < turn.due or turn.answer is not None:
            return
        self._take(turn)
        self.reply = turn.answer.text
        if not self.reply:
            self._open = None

    def _take(self, turn: Turn) -> None:
        self.memory.sounds = self._sounding(turn.heard.at)
        turn.before = deepcopy(self.memory)
        skills.take(turn.heard.line.ask, self.memory)
        self._asked_with = deepcopy(self.memory)
        turn.answer = skills.answer(turn.heard.line.ask, self.memory, self.rng)

    def _sounding(self, at: int) -> tuple[str, ...]:
        """Names of what sounds at a sample or did so just before, or has since been heard; the latest last."""
        until = self.block * BLOCK - RATE_HZ // 2
        return tuple(dict.fromkeys(h.line.sound for h in self.heard[-20:]
                                   if h.line.sound and h.end > at - JUST and h.at <= until))

    # ---- what is said ------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._open is not None and not self._open.heard.line.ask.open:  # whoever is a moment early is right too
            self._settle(early=START_AFTER)
        self.speaking, self._since = True, self.block
        self._now = None
        self._said, self._plan, self._strayed = [], [], False
        if self._open is not None and self._open.answer is not None:
            self._now, self._open = self._open, None
            self._now.started = self.block
            self._plan = self.pieces.encode(self.reply)
        self._length_s = sum(_seconds(self.pieces.symbol(token)) for token in self._plan) or 4.0

    def _follow(self) -> None:
        """The agent said another piece: go on with another right answer that begins so, or with the next piece."""
        turn = self._now
        for _ in range(_OTHERS):
            other = skills.answer(turn.heard.line.ask, self._asked_with, self.rng)
            ids = self.pieces.encode(other.text)
            if ids[:len(self._said)] == self._said:
                turn.answer, self.reply, self._plan = other, other.text, ids[len(self._said):]
                return
        self._strayed = True
        self._plan = self._plan[1:]

    def _end(self, waiting: int, sounding: int) -> None:
        def is_pause(token: int) -> bool:
            return self.pieces.symbol(token) in PAUSES

        count, said = len(self._said) - waiting - sounding, self._said
        while count < len(said) and is_pause(said[count]):  # what goes on begins with a word
            count += 1
        left = [*said[count:], *self._plan]
        while left and is_pause(left[0]):
            left.pop(0)
        said, rest = self.pieces.decode(said[:count]), self.pieces.decode(left)
        turn = self._now
        if turn is not None:
            turn.ended, turn.said, turn.rest, turn.yielded = self.block, said, rest, self.should_yield
        if turn is not None or said:
            self.memory.said(said, rest)
        self.replies.append(Reply(self._since, self.block, said, turn))
        self.speaking, self._since, self._now, self._plan, self._said = False, self.block, None, [], []


def decisive_after(line: Line) -> int:
    """Samples from a line's begin to the end of its decisive word."""
    count, known = line.ask.decisive, len(line.words)
    if known and known >= len((line.text or "").split()):
        return line.words[min(count, known) - 1][2]
    if line.text and count >= len(line.text.split()):
        return line.num_samples
    return min(line.num_samples, DECISIVE)


def _seconds(symbol: str) -> float:
    """How long a piece sounds, about."""
    return {",": 0.18, ".": 0.32, "?": 0.32}.get(symbol, 0.24 if len(symbol) == 1 else 0.1 + 0.046 * len(symbol))


__all__ = ["BLOCK", "DECISIVE", "OPEN_AFTER", "RATE_HZ", "START_AFTER", "Heard", "Manners", "Partner", "Turn"]
