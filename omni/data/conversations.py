"""Whole conversations on the block grid: who says what when, and what the agent should decide in every block.

One builder serves both kinds of lesson: on text alone (characters at times) and on sound. Events while the agent
speaks are commands to stop, new questions, backchannels, other people and sounds; only the first two are reasons to
yield. Times of decisions: `<start_speak>` in the second block after the one that ends the user's words; `<end_speak>`
one block after the earliest decisive word, which for a question is taken to end 0.8 s after its onset.

Some lessons take the decision late, as a model that hesitated would: until it is taken, every block's target is the
decision that is due. Otherwise a model that missed the one block it was taught would never find its way back.
"""

import random
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from omni.data.speaker import BLOCK, Rendered
from omni.model.tokens import END_SPEAK, START_SPEAK, THINK

RATE_HZ = 16_000
START_AFTER = 2       # blocks from the end of the user's words to <start_speak>
DECISIVE = int(0.8 * RATE_HZ)
LATE_STARTS, LATE_ENDS = 0.2, 0.5  # shares of decisions taken late


class Line(Protocol):
    """Something a person says or a thing sounds; `num_samples` long."""

    text: str | None
    reply: str
    skill: str
    num_samples: int


class Source(Protocol):
    """Where lines come from: `kind` is "turn", "stop", "backchannel", "other", "word" or "sound"."""

    def draw(self, kind: str, rng: random.Random) -> "Line | None":
        """A line of that kind, None if the source has none."""


class Speaker(Protocol):
    """Who renders the agent's replies."""

    def render(self, text: str) -> Rendered:
        """The reply block by block."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A line in the room, from sample `at` on."""

    line: Line
    at: int
    role: str  # as in Source.draw


@dataclass(slots=True)
class Conversation:
    """`num_blocks` blocks with targets.

    Attributes:
        heard: what sounds in the room.
        target: (T,) int64 token to decide; `fed`: token fed into each block; `waiting`, `sounding`: the queue.
        said: (first block, reply) pairs.
    """

    num_blocks: int
    heard: list[Heard] = field(default_factory=list)
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


# what happens between turns, and during a reply that is long enough
_BETWEEN = {"turn": 0.56, "sound": 0.07, "other": 0.24, "backchannel": 0.03, "word": 0.03, "stop": 0.02,
            "silence": 0.05}
_DURING = {"none": 0.3, "stop": 0.18, "turn": 0.14, "backchannel": 0.13, "other": 0.13, "sound": 0.12}


def build(rng: random.Random, num_blocks: int, source: Source, speaker: Speaker) -> Conversation:
    """A random conversation of `num_blocks` blocks."""
    talk, end = Conversation(num_blocks), num_blocks * BLOCK
    at = rng.randrange(1600, 2 * RATE_HZ)
    while at < end:
        kind = rng.choices(list(_BETWEEN), list(_BETWEEN.values()))[0]
        if kind == "silence":
            at += rng.randrange(2 * RATE_HZ, 9 * RATE_HZ)
            continue
        line = source.draw(kind, rng)
        if line is None:
            continue
        if kind == "turn":
            at = _turn(talk, line, at, rng, source, speaker)
        else:
            talk.heard.append(Heard(line, at, kind))
            at += line.num_samples
        at += int(rng.uniform(0.25, 1.0) * RATE_HZ if rng.random() < 0.5 else rng.uniform(1.0, 3.5) * RATE_HZ)
    return talk


def drill(rng: random.Random, num_blocks: int, source: Source, speaker: Speaker) -> Conversation:
    """Turn upon turn with short gaps and nothing in between, as densely as it goes."""
    talk, at = Conversation(num_blocks), rng.randrange(1600, RATE_HZ // 2)
    while at < num_blocks * BLOCK:
        line = source.draw("turn", rng)
        if line is None:
            continue
        talk.heard.append(Heard(line, at, "turn"))
        start = (at + line.num_samples) // BLOCK + START_AFTER
        reply = speaker.render(line.reply)
        talk.say(start, reply)
        at = (start + len(reply.tokens)) * BLOCK + rng.randrange(800, RATE_HZ // 2)
    return talk


def _turn(talk: Conversation, line: Line, at: int, rng: random.Random, source: Source, speaker: Speaker) -> int:
    """A user's turn and its reply, with whatever happens during the reply; the sample at which all is quiet again."""
    while True:
        talk.heard.append(Heard(line, at, "turn"))
        ended = at + line.num_samples
        due = ended // BLOCK + START_AFTER
        start = due + (rng.randrange(1, 6) if rng.random() < LATE_STARTS else 0)
        talk.target[due:start] = START_SPEAK
        reply = speaker.render(line.reply)
        stop = (start + len(reply.tokens)) * BLOCK
        speech = (start + 2) * BLOCK
        room = stop - speech - RATE_HZ // 2
        kind = rng.choices(list(_DURING), list(_DURING.values()))[0] if room > RATE_HZ // 2 else "none"
        if kind == "none":
            talk.say(start, reply)
            return stop
        onset = speech + rng.randrange(room)
        if room > 8 * RATE_HZ and rng.random() < 0.7:
            onset = speech + rng.randrange(8 * RATE_HZ)
        event = source.draw(kind, rng)
        if event is None:
            talk.say(start, reply)
            return stop
        if kind in ("stop", "turn"):
            decisive = onset + (min(event.num_samples, DECISIVE) if kind == "turn" else event.num_samples)
            block = decisive // BLOCK + 1 - start
            late = rng.randrange(1, 11) if rng.random() < LATE_ENDS else 0
            if kind == "turn":  # its own reply may be due as soon as it ends
                late = min(late, (onset + event.num_samples) // BLOCK + START_AFTER - 1 - start - block)
            late = max(min(late, len(reply.tokens) - 2 - block), 0)
            if block < len(reply.tokens) - 1:
                cut, fed = reply.cut(block + late)
                talk.say(start, cut, fed)
                talk.target[start + block:start + block + late] = END_SPEAK
            else:
                talk.say(start, reply)
            if kind == "turn" and block < len(reply.tokens) - 1:
                line, at = event, onset
                continue
            talk.heard.append(Heard(event, onset, kind))
            if kind == "turn":  # the reply was over before the question had said anything
                talk.heard.pop()
            return max(onset + event.num_samples, (start + min(block + late, len(reply.tokens))) * BLOCK)
        talk.say(start, reply)
        while event is not None and onset + event.num_samples < stop:
            talk.heard.append(Heard(event, onset, kind))
            onset += event.num_samples + rng.randrange(RATE_HZ, 6 * RATE_HZ)
            event = source.draw(kind, rng)
        return stop
