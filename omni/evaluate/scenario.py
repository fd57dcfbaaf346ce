"""Scripts of simulated conversations: what the user does and when, and what the agent is expected to do.

    title: Stop, while it tells a story
    length_s: 16
    user:
      - {play: story.flac, when: {at_s: 1.0}}
      - {play: stop.flac, when: {start_speak: 1, plus_s: 2.5}}
    expect:
      - answers: {to: story, within_s: 1.5}
      - yields: {to: stop, within_s: 1.0}

One script is many conversations: `variants: 40` with `pick: stops` (a set of recordings or texts, see
`omni.evaluate.sets`), with `say: what is two plus three` (spoken by a synthetic voice that training never heard) or
with `gain_db: [-12, 0]` (a range) draws everything anew for each, from the script's seed.

Instants in a script are seconds, for people; they become samples once, when they are resolved.
"""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from omni.base import config

Range = float | tuple[float, float]  # a number, or two between which each variant draws its own
Kind = Literal["turn", "pause", "stop", "backchannel", "tic", "noise", "other"]


@dataclass(frozen=True, slots=True)
class When:
    """The moment a turn begins: exactly one of the first six, and `plus_s` seconds after it.

    A moment that has passed when it becomes known means the next block.

    Attributes:
        at_s: seconds from the start.
        after: the end of the recording of the turn with this name.
        start_speak, end_speak: the agent takes, or gives up, the floor for the n-th time (1 is the first).
        word: the n-th word of the agent has been heard to its end.
        silent_s: the agent has not had the floor for so long since it, or the user's last turn, ended. A turn that
            waits for this need not come.
    """

    at_s: Range | None = None
    after: str | None = None
    start_speak: int | None = None
    end_speak: int | None = None
    word: int | None = None
    silent_s: float | None = None
    plus_s: Range = 0.0

    def __post_init__(self):
        _exactly_one(self, "at_s", "after", "start_speak", "end_speak", "word", "silent_s")
        for name in ("start_speak", "end_speak", "word"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} counts from 1")
        _not_negative(self, "at_s", "silent_s", "plus_s")


@dataclass(frozen=True, slots=True)
class Turn:
    """Something the user says, or that sounds on the user's side: exactly one of `play`, `say` and `pick`.

    Attributes:
        when: its beginning.
        play: a recording, beside the script or among the project's own.
        say: a text, spoken by `voice`.
        pick: a set, of which each variant draws one item.
        name: how expectations call it; the recording's name without suffix, or the set's, if empty.
        each: a variant takes the set's item of its own number instead of drawing one, so that all come equally often.
        kind: what it is to the agent. "turn" is for it and wants an answer, "pause" is the beginning of one that goes
            on, "stop" is a command; "backchannel", "tic" (a cough), "noise" and "other" (somebody else's talk) are no
            reason to do anything. A set knows its own.
        text, answer: what is said, and phrases that a right answer holds; a set's items know their own.
        decisive_s: end of the earliest word from which its meaning is clear, from the recording's start.
        voice: of `say` and of a set's texts; "unseen" is the conversation's own, which training never heard, and
            "another" a second one. See `omni.evaluate.sets`.
        gain_db: change of its level.
        level_db: root mean square of its speech below full scale, instead of the recording's own level.
        from_s, to_s: the part of the recording that is played; all of it by default.
        room: a recording of a room's response that it is heard through.
        band_hz: lowest and highest frequency that comes through, e.g. [300, 3400] for a telephone.
    """

    when: When
    play: str | None = None
    say: str | None = None
    pick: str | None = None
    each: bool = False
    name: str = ""
    kind: Kind | None = None
    text: str | None = None
    answer: tuple[str, ...] = ()
    decisive_s: float | None = None
    voice: str = "unseen"
    gain_db: Range = 0.0
    level_db: Range | None = None
    from_s: float = 0.0
    to_s: float | None = None
    room: str | None = None
    band_hz: tuple[float, float] | None = None

    def __post_init__(self):
        _exactly_one(self, "play", "say", "pick")
        if not self.name:
            words = "_".join(normal(self.say or "")[:4])
            object.__setattr__(self, "name", self.pick or words or Path(self.play or "").stem)
        if self.band_hz and not 0 <= self.band_hz[0] < self.band_hz[1] <= 8000:
            raise ValueError("band_hz is a lowest and a highest frequency, at most 8000")
        if self.from_s < 0 or (self.to_s is not None and self.to_s <= self.from_s):
            raise ValueError("from_s and to_s are no part of a recording")
        for gain_db in _ends(self.gain_db):
            if not -80 <= gain_db <= 40:
                raise ValueError(f"a gain of {gain_db:g} dB makes no sense")


@dataclass(frozen=True, slots=True)
class Noise:
    """A bed under the whole conversation.

    Attributes:
        level_db: root mean square below full scale.
        snr_db: level of the first turn's speech above the bed, instead of `level_db`.
        file, pick: a recording, or a set of them, to make it from; pink noise by the script's seed if neither.
        loudest: levels for `snr_db` are those of the loudest 128 ms, as in Picovoice's speech-to-intent benchmark,
            instead of the mean ones of speech and noise.
    """

    level_db: Range = -65.0
    snr_db: Range | None = None
    file: str | None = None
    pick: str | None = None
    loudest: bool = False


@dataclass(frozen=True, slots=True)
class EchoPath:
    """From the agent's speaker into its microphone. See `omni.audio.mixing.Echo`."""

    gain_db: Range
    delay_ms: Range
    response: str | None = None

    def __post_init__(self):
        if not all(0 <= d <= 5_000 for d in _ends(self.delay_ms)) or max(_ends(self.gain_db)) > 40:
            raise ValueError("an echo has a delay from 0 to 5000 ms and a gain of at most 40 dB")


@dataclass(frozen=True, slots=True)
class NetworkPath:
    """Between the user and the agent, each way on its own: frames of 20 ms, in virtual time.

    Attributes:
        loss: share of frames that never arrive, 0 to 1.
        delay_ms: of every frame.
        jitter_ms: more delay, uniform from 0 to this; what is late holds up what follows.
    """

    loss: Range = 0.0
    delay_ms: Range = 20.0
    jitter_ms: Range = 0.0

    def __post_init__(self):
        if not all(0 <= share < 1 for share in _ends(self.loss)):
            raise ValueError("loss is a share, from 0 to less than 1")
        if not all(0 <= ms <= 5_000 for ms in (*_ends(self.delay_ms), *_ends(self.jitter_ms))):
            raise ValueError("delay_ms and jitter_ms go from 0 to 5000")


@dataclass(frozen=True, slots=True)
class Answers:
    """The agent's voice is heard within `within_s` of the end of a turn's speech, and `early_s` before it at most."""

    to: str
    within_s: float
    early_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Says:
    """All of `words` (words or phrases) are heard, none of `never`, from the end of turn `after` on if it is named."""

    words: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    after: str | None = None

    def __post_init__(self):
        if not self.words and not self.never:
            raise ValueError("says needs words, or words that are never said")


@dataclass(frozen=True, slots=True)
class Yields:
    """The agent has the floor when the turn's speech begins, and is interrupted by it within `within_s`."""

    to: str
    within_s: float


@dataclass(frozen=True, slots=True)
class Holds:
    """The agent has the floor when the turn's speech begins, and is not interrupted until `for_s` after its end."""

    through: str
    for_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Silent:
    """The agent does not have the floor in a span: from `from_s` or the start of turn `since`, to `to_s` or the end of
    the speech of turn `until`. A missing end means the end of the conversation."""

    from_s: float | None = None
    since: str | None = None
    to_s: float | None = None
    until: str | None = None

    def __post_init__(self):
        if self.from_s is not None and self.since is not None or self.to_s is not None and self.until is not None:
            raise ValueError("give a span's start, and its end, either in seconds or by a turn")


@dataclass(frozen=True, slots=True)
class Right:
    """All phrases that the turn's answer must hold are heard after it, and before the next turn for the agent."""

    to: str


@dataclass(frozen=True, slots=True)
class Heard:
    """The agent's heard text equals `text`, words only: all of it, or that of its n-th reply."""

    text: str
    reply: int | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing the agent must do: exactly one of these."""

    answers: Answers | None = None
    right: Right | None = None
    says: Says | None = None
    heard: Heard | None = None
    yields: Yields | None = None
    holds: Holds | None = None
    silent: Silent | None = None

    def __post_init__(self):
        _exactly_one(self, "answers", "right", "says", "heard", "yields", "holds", "silent")

    @property
    def kind(self) -> str:
        """Name of the one that is set."""
        return next(field.name for field in fields(self) if getattr(self, field.name) is not None)

    @property
    def turns(self) -> list[str]:
        """Names of the turns it speaks of."""
        body = getattr(self, self.kind)
        names = (getattr(body, name, None) for name in ("to", "after", "through", "since", "until"))
        return [name for name in names if name]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scripted conversation.

    Attributes:
        title: one line for the picture.
        length_s: how long it runs.
        user: what happens on the user's side.
        expect: what the agent must do.
        noise: bed under everything; recordings never end in digital silence.
        echo: None for headphones.
        network: None if the agent is in the same room; a live run takes the network that is there.
        instructions: what the agent is asked to be.
        repeat_s: all turns and expectations come again so many seconds later, as often as the length holds it whole;
            the copies' names end in _2, _3 and so on, and each draws anew. For turns at a time or after another.
        seed: of the noise and of all that variants draw; the model's own is given on the command line.
        variants: how many conversations the script stands for.
        variant: which of them this is; for `concrete` to fill in.
    """

    title: str
    length_s: float
    user: tuple[Turn, ...]
    expect: tuple[Expectation, ...] = ()
    noise: Noise = field(default_factory=Noise)
    echo: EchoPath | None = None
    network: NetworkPath | None = None
    instructions: str = ""
    repeat_s: float | None = None
    seed: int = 0
    variants: int = 1
    variant: int = 0

    def __post_init__(self):
        if not 1 <= self.variants <= 10_000:
            raise ValueError("variants must be from 1 to 10000")
        if not 0 < self.length_s <= 3_600:
            raise ValueError("length_s must be over 0 and at most 3600")
        if self.repeat_s is not None and not 1 <= self.repeat_s <= self.length_s:
            raise ValueError("repeat_s must be from 1 to length_s")
        if self.repeat_s and any(t.when.at_s is None and t.when.after is None for t in self.user):
            raise ValueError("repeat_s is for turns that come at_s a time or after another turn")
        names = [turn.name for turn in self.user]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two turns are called {name!r}; give one of them another name")
        mentioned = [t.when.after for t in self.user if t.when.after] + [n for e in self.expect for n in e.turns]
        for name in mentioned:
            if name not in names:
                raise ValueError(f"there is no turn {name!r}; {config.nearest(name, names)}")
        for turn in self.user:
            chain = [turn.name]
            while (turn := next((t for t in self.user if t.name == turn.when.after), None)) is not None:
                if turn.name in chain:
                    raise ValueError(f"turns wait for each other: {' after '.join([*chain, turn.name])}")
                chain.append(turn.name)
            first = self.user[names.index(chain[0])].when.at_s
            if first is not None and min(_ends(first)) >= self.length_s:
                raise ValueError(f"the turn {chain[0]!r} comes at {min(_ends(first)):g} s, after the end")


def _exactly_one(body, *names: str) -> None:
    given = [name for name in names if getattr(body, name) is not None]
    if len(given) != 1:
        raise ValueError(f"give exactly one of {', '.join(names)}" + (f", not {' and '.join(given)}" if given else ""))


def _not_negative(body, *names: str) -> None:
    for name in names:
        if (value := getattr(body, name)) is not None and min(_ends(value)) < 0:
            raise ValueError(f"{name} must not be negative")


def _ends(value: Range) -> tuple[float, ...]:
    """A range's two ends, or the number itself."""
    if isinstance(value, tuple):
        if value[0] > value[1]:
            raise ValueError(f"{list(value)} is no range from low to high")
        return value
    return (value,)


def normal(text: str) -> list[str]:
    """Words in lower case without punctuation, to compare what was said with what was expected."""
    return re.findall(r"[a-z0-9']+", text.lower())
