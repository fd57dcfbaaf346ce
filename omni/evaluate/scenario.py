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

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from omni.base import config

Range = float | tuple[float, float]  # a number, or two between which each variant draws its own
Kind = Literal["turn", "pause", "stop", "backchannel", "tic", "noise", "other"]


class Misplaced(ValueError):
    """A value that cannot be.

    Attributes:
        key: its path below the part of the script that refuses it, e.g. "user[1].when.after".
    """

    def __init__(self, key: str, problem: str):
        super().__init__(problem)
        self.key = key


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
                raise Misplaced(name, "counts from 1")
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
            raise Misplaced("band_hz", "a band is a lowest and a highest frequency, at most 8000")
        _not_negative(self, "from_s", "to_s", "decisive_s")
        if self.to_s is not None and self.to_s <= self.from_s:
            raise Misplaced("to_s", f"a part from {self.from_s:g} to {self.to_s:g} s is no part of a recording")
        for gain_db in _ends(self, "gain_db"):
            if not -80 <= gain_db <= 40:
                raise Misplaced("gain_db", f"a gain of {gain_db:g} dB makes no sense")
        _ends(self, "level_db")


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

    def __post_init__(self):
        _ends(self, "level_db"), _ends(self, "snr_db")
        if self.file is not None and self.pick is not None:
            raise Misplaced("pick", "a bed is made from a file or from a set, not from both")


@dataclass(frozen=True, slots=True)
class EchoPath:
    """From the agent's speaker into its microphone. See `omni.audio.mixing.Echo`."""

    gain_db: Range
    delay_ms: Range
    response: str | None = None

    def __post_init__(self):
        if not all(0 <= ms <= 5_000 for ms in _ends(self, "delay_ms")):
            raise Misplaced("delay_ms", "an echo has a delay from 0 to 5000 ms")
        if max(_ends(self, "gain_db")) > 40:
            raise Misplaced("gain_db", "an echo has a gain of at most 40 dB")


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
        if not all(0 <= share < 1 for share in _ends(self, "loss")):
            raise Misplaced("loss", "a share goes from 0 to less than 1")
        for name in ("delay_ms", "jitter_ms"):
            if not all(0 <= ms <= 5_000 for ms in _ends(self, name)):
                raise Misplaced(name, "goes from 0 to 5000")


@dataclass(frozen=True, slots=True)
class Answers:
    """The agent's voice is heard within `within_s` of the end of a turn's speech, and `early_s` before it at most."""

    to: str
    within_s: float
    early_s: float = 0.2

    def __post_init__(self):
        _not_negative(self, "within_s", "early_s")


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

    def __post_init__(self):
        _not_negative(self, "within_s")


@dataclass(frozen=True, slots=True)
class Holds:
    """The agent has the floor when the turn's speech begins, and is not interrupted until `for_s` after its end."""

    through: str
    for_s: float = 1.0

    def __post_init__(self):
        _not_negative(self, "for_s")


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
        _not_negative(self, "from_s", "to_s")
        if self.from_s is not None and self.to_s is not None and self.to_s <= self.from_s:
            raise Misplaced("to_s", f"a span from {self.from_s:g} to {self.to_s:g} s is none")


@dataclass(frozen=True, slots=True)
class Right:
    """All phrases that the turn's answer must hold are heard after it, and before the next turn for the agent."""

    to: str


@dataclass(frozen=True, slots=True)
class Heard:
    """The agent's heard text equals `text`, words only: all of it, or that of its n-th reply."""

    text: str
    reply: int | None = None

    def __post_init__(self):
        if self.reply is not None and self.reply < 1:
            raise Misplaced("reply", "counts from 1")


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
        return list(self.mentioned.values())

    @property
    def mentioned(self) -> dict[str, str]:
        """The same by the keys that name them."""
        body = getattr(self, self.kind)
        names = {key: getattr(body, key, None) for key in ("to", "after", "through", "since", "until")}
        return {key: name for key, name in names.items() if name is not None}


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
        seed: of the noise and of all that variants draw.
        variants: how many conversations the script stands for.
        variant: which of them this is; for `concrete` to fill in.
        draw_seed: the command's --seed, by which all is drawn that is drawn; for `concrete` to fill in. The model's
            generator has that seed too.
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
    draw_seed: int = field(default=0, metadata=config.LATER)

    def __post_init__(self):
        if not 1 <= self.variants <= 10_000:
            raise Misplaced("variants", "must be from 1 to 10000")
        if not 0 < self.length_s <= 3_600:
            raise Misplaced("length_s", "must be over 0 and at most 3600")
        if self.repeat_s is not None:
            if not 1 <= self.repeat_s <= self.length_s:
                raise Misplaced("repeat_s", "must be from 1 to length_s")
            if any(t.when.at_s is None and t.when.after is None for t in self.user):
                raise Misplaced("repeat_s", "repeat_s is for turns that come at_s a time or after another turn")
        self._check_names()
        for i, turn in enumerate(self.user):
            self._check_time(i, turn)
        for i, expectation in enumerate(self.expect):
            self._check_span(i, expectation)

    @property
    def num_rounds(self) -> int:
        """How often all turns and expectations come."""
        return 1 if self.repeat_s is None else int(self.length_s // self.repeat_s)

    def _check_names(self) -> None:
        names = [turn.name for turn in self.user]
        own = {f"{name}_{number}" for name in names for number in range(2, self.num_rounds + 1)}
        for i, name in enumerate(names):
            if name in names[:i]:
                raise Misplaced(f"user[{i}].name", f"two turns are called {name!r}; give one of them another name")
            if name in own:
                raise Misplaced(f"user[{i}].name", f"a later round has a turn {name!r} too; give this one another name")
        for key, name in self._mentioned():
            if name not in names:
                raise Misplaced(key, f"there is no turn {name!r}; {config.nearest(name, names)}")

    def _mentioned(self) -> Iterator[tuple[str, str]]:
        """Every key that names a turn, and the name."""
        for i, turn in enumerate(self.user):
            if turn.when.after is not None:
                yield f"user[{i}].when.after", turn.when.after
        for i, expectation in enumerate(self.expect):
            for key, name in expectation.mentioned.items():
                yield f"expect[{i}].{expectation.kind}.{key}", name

    def _check_time(self, i: int, turn: Turn) -> None:
        """Turns wait for each other in no circle, and none can come after the end, whatever its variant draws."""
        numbers = {other.name: k for k, other in enumerate(self.user)}
        chain, latest_s, ranged = [], self._last_round_s, False
        here: Turn | None = turn
        while here is not None:
            if here.name in chain:
                circle = [*chain[chain.index(here.name):], here.name]
                raise Misplaced(f"user[{numbers[here.name]}].when.after",
                                f"turns wait for each other: {' after '.join(circle)}")
            chain.append(here.name)
            for name in ("at_s", "silent_s", "plus_s"):
                if ends := _ends(here.when, name):
                    latest_s, ranged = latest_s + ends[-1], ranged or len(ends) > 1
            last, here = here, None if here.when.after is None else self.user[numbers[here.when.after]]
        if latest_s >= self.length_s:
            key = next((name for name in ("at_s", "silent_s") if getattr(turn.when, name) is not None), "plus_s")
            comes = "may come" if ranged else "comes"
            later = "" if last.when.at_s is not None and last is turn else " or later"
            raise Misplaced(f"user[{i}].when.{key}",
                            f"the turn {turn.name!r} {comes} at {latest_s:g} s{later}, after the end")

    def _check_span(self, i: int, expectation: Expectation) -> None:
        if (span := expectation.silent) is None:
            return
        if span.from_s is not None and span.from_s + self._last_round_s >= self.length_s:
            raise Misplaced(f"expect[{i}].silent.from_s", f"{span.from_s + self._last_round_s:g} s is after the end")
        if span.to_s is not None and span.to_s + self._last_round_s > self.length_s:
            raise Misplaced(f"expect[{i}].silent.to_s", f"{span.to_s + self._last_round_s:g} s is after the end")

    @property
    def _last_round_s(self) -> float:
        return (self.num_rounds - 1) * (self.repeat_s or 0.0)


def _exactly_one(body, *names: str) -> None:
    given = [name for name in names if getattr(body, name) is not None]
    if len(given) != 1:
        raise ValueError(f"give exactly one of {', '.join(names)}" + (f", not {' and '.join(given)}" if given else ""))


def _not_negative(body, *names: str) -> None:
    for name in names:
        if any(end < 0 for end in _ends(body, name)):
            raise Misplaced(name, "must not be negative")


def _ends(body, name: str) -> tuple[float, ...]:
    """The two ends of the range of that name, or the number itself; nothing if it is not given."""
    value = getattr(body, name)
    ends = value if isinstance(value, tuple) else () if value is None else (value,)
    if not all(map(math.isfinite, ends)):
        raise Misplaced(name, "must be finite")
    if len(ends) == 2 and ends[0] > ends[1]:
        raise Misplaced(name, f"{list(ends)} is no range from low to high")
    return ends


def normal(text: str) -> list[str]:
    """Words in lower case without punctuation, to compare what was said with what was expected."""
    return re.findall(r"[a-z0-9']+", text.lower())
