"""Scripts of simulated conversations: what the user does and when, and what the agent is expected to do.

    title: Stop, while it tells a story
    length_s: 16
    user:
      - {play: story.flac, when: {at_s: 1.0}}
      - {play: stop.flac, when: {start_speak: 1, plus_s: 2.5}}
    expect:
      - answers: {to: story, within_s: 1.5}
      - yields: {to: stop, within_s: 1.0}

Instants in a script are seconds, for people; they become samples once, when they are resolved.
"""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from omni.base import config
from omni.base.errors import ConfigError, ScriptError


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

    at_s: float | None = None
    after: str | None = None
    start_speak: int | None = None
    end_speak: int | None = None
    word: int | None = None
    silent_s: float | None = None
    plus_s: float = 0.0

    def __post_init__(self):
        _exactly_one(self, "at_s", "after", "start_speak", "end_speak", "word", "silent_s")
        for name in ("start_speak", "end_speak", "word"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} counts from 1")
        _not_negative(self, "at_s", "silent_s", "plus_s")


@dataclass(frozen=True, slots=True)
class Turn:
    """Something the user says, or that sounds on the user's side.

    Attributes:
        play: a recording, beside the script or among the project's own.
        when: its beginning.
        name: how expectations call it; the recording's name without suffix if empty.
        gain_db: change of its level.
        from_s, to_s: the part of the recording that is played; all of it by default.
    """

    play: str
    when: When
    name: str = ""
    gain_db: float = 0.0
    from_s: float = 0.0
    to_s: float | None = None

    def __post_init__(self):
        if not self.name:
            object.__setattr__(self, "name", Path(self.play).stem)
        if self.from_s < 0 or (self.to_s is not None and self.to_s <= self.from_s):
            raise ValueError("from_s and to_s are no part of a recording")
        if not -80 <= self.gain_db <= 40:
            raise ValueError(f"a gain of {self.gain_db:g} dB makes no sense")


@dataclass(frozen=True, slots=True)
class Noise:
    """A bed under the whole conversation.

    Attributes:
        level_db: root mean square below full scale.
        file: a recording to make it from; pink noise by the script's seed if None.
    """

    level_db: float = -65.0
    file: str | None = None


@dataclass(frozen=True, slots=True)
class EchoPath:
    """From the agent's speaker into its microphone. See `omni.audio.mixing.Echo`."""

    gain_db: float
    delay_ms: float
    response: str | None = None

    def __post_init__(self):
        if not 0 <= self.delay_ms <= 5_000 or self.gain_db > 40:
            raise ValueError("an echo has a delay from 0 to 5000 ms and a gain of at most 40 dB")


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
class Expectation:
    """One thing the agent must do: exactly one of these."""

    answers: Answers | None = None
    says: Says | None = None
    yields: Yields | None = None
    holds: Holds | None = None
    silent: Silent | None = None

    def __post_init__(self):
        _exactly_one(self, "answers", "says", "yields", "holds", "silent")

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
        instructions: what the agent is asked to be.
        seed: of the noise; the model's own is given on the command line.
    """

    title: str
    length_s: float
    user: tuple[Turn, ...]
    expect: tuple[Expectation, ...] = ()
    noise: Noise = field(default_factory=Noise)
    echo: EchoPath | None = None
    instructions: str = ""
    seed: int = 0

    def __post_init__(self):
        if not 0 < self.length_s <= 3_600:
            raise ValueError("length_s must be over 0 and at most 3600")
        names = [turn.name for turn in self.user]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two turns are called {name!r}; give one of them another name")
        mentioned = [t.when.after for t in self.user if t.when.after] + [n for e in self.expect for n in e.turns]
        for name in mentioned:
            if name not in names:
                raise ValueError(f"there is no turn {name!r}; {config.nearest(name, names)}")


def load_scenario(path: Path) -> Scenario:
    """Read a script.

    Raises:
        ScriptError: it is not there or is wrong; the message names file and line, and the nearest valid key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(f"{path.name}: cannot be read") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ScriptError(f"{path.name}{line}: not YAML ({getattr(error, 'problem', None) or 'unreadable'})") from error
    lines: dict[str, int] = {"script": 1}
    if root is not None:
        _find_lines(root, "script", lines, path.name)
    try:
        return config.build(Scenario, values, "script")
    except ConfigError as error:
        raise ScriptError(_with_line(str(error), lines, path.name)) from error


def resolve_script(name: str) -> Path:
    """A script by path, or one of the project's own by name.

    Raises:
        ScriptError: there is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    folder = config.data_path("configs", "evaluate", "scripts")
    own = folder / f"{path.stem}.yaml"
    if own.is_file() and path.parent == Path() and path.suffix in ("", ".yaml"):
        return own
    raise ScriptError(f"no script {name}; {config.nearest(path.stem, [p.stem for p in folder.glob('*.yaml')])}")


def resolve_recording(name: str, script: Path) -> Path:
    """A recording beside the script, or one of the project's own.

    Raises:
        ScriptError: there is neither.
    """
    folder = config.data_path("configs", "evaluate", "recordings")
    for path in (script.parent / name, folder / name):
        if path.is_file():
            return path
    have = [p.name for f in (script.parent, folder) for p in f.glob("*") if p.suffix in (".flac", ".wav", ".ogg")]
    raise ScriptError(f"{script.name}: no recording {name!r}; {config.nearest(name, have)}")


def _find_lines(node: yaml.Node, where: str, lines: dict[str, int], file: str) -> None:
    """Line of every key and item, by the path that configuration errors name; a key that comes twice is an error."""
    lines.setdefault(where, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name, line = f"{where}.{key.value}", key.start_mark.line + 1
            if name in lines:
                raise ScriptError(f"{file}:{line}: {key.value!r} is there twice")
            lines[name] = line
            _find_lines(value, name, lines, file)
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            _find_lines(item, f"{where}[{i}]", lines, file)


def _with_line(message: str, lines: dict[str, int], file: str) -> str:
    where, _, problem = message.partition(": ")
    named = re.search(r"unknown key '([^']*)'|no turn '([^']*)'", problem)
    line = lines.get(where, 1)
    if named and named[1]:
        line = lines.get(f"{where}.{named[1]}", line)
    spot = where.removeprefix("script").removeprefix(".")
    return f"{file}:{line}: {spot + ': ' if spot else ''}{problem}"


def _exactly_one(body, *names: str) -> None:
    given = [name for name in names if getattr(body, name) is not None]
    if len(given) != 1:
        raise ValueError(f"give exactly one of {', '.join(names)}" + (f", not {' and '.join(given)}" if given else ""))


def _not_negative(body, *names: str) -> None:
    for name in names:
        if (value := getattr(body, name)) is not None and value < 0:
            raise ValueError(f"{name} must not be negative")
