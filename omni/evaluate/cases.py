"""Finished conversations as metrics see them: two recordings and what a trace says of them, all in samples at 16 kHz.

    user   ___[  turn  ]________________[stop]____
    agent  ______________[sound ][sound]__________      what is audible, whatever the floor was
                     words  a b    c d                  a sound in which a word sounds is spoken
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np

from omni.audio.files import read_audio
from omni.base.errors import MediaError
from omni.base.events import EndReason
from omni.evaluate.record import Caption
from omni.evaluate.scenario import Kind
from omni.evaluate.verdicts import TurnSpan

RATE_HZ = 16_000
FRAME = 160     # 10 ms
AUDIBLE_DB = -50.0
DIRECTED = ("turn", "pause", "stop")    # kinds of turns that are for the agent

BRIDGE = 8_000     # 500 ms: the pauses within the agent's speech that Full-Duplex-Bench v1.5 (get_timing.py) closes
_LEAST_SOUND = 800      # 50 ms: what is shorter is a click


@dataclass(frozen=True, slots=True)
class Floor:
    """The agent had the floor in [start, end); what is None had not come when the recording ended.

    Attributes:
        silent_at: one past the last sample of a cut reply's ramp; equals `end` for one that finished.
        reason: why it ended; None also where an agent does not tell. "finished" without an `end` if only a delay put
            that behind the recording (see `Case.delayed`).
    """

    start: int
    end: int | None = None
    silent_at: int | None = None
    reason: EndReason | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the agent that was heard in [start, end); `cut` if it was broken off."""

    text: str
    start: int
    end: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Sound:
    """The agent is audible in [start, end), a multiple of 10 ms each; `spoken` if a word of the trace sounds in it."""

    start: int
    end: int
    spoken: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """How the speech ended that a sound is a part of: what follows of the same reply belongs to it.

        agent   ==sound==|       |====|
        floor   [ a reply, with a pause   ]       cut here, or at its own end
                                      silent_at  over_at of a cut

    Attributes:
        silent_at: one past its last sound.
        over_at: the later of `silent_at` and a cut; the end of the recording if the agent still had the floor there.
        cut: whether the reply was cut. None if nobody tells why it ended, so that only the sound can say more.
    """

    silent_at: int
    over_at: int
    cut: bool | None


@dataclass(frozen=True, slots=True)
class Case:
    """One conversation.

    Attributes:
        name: of the conversation, for reports.
        user, agent: float32 (samples,) of equal length at 16 kHz, what both sides sounded.
        turns: of the user's side, in order of their speech.
        replies: when the agent had the floor, in order.
        words: of the agent as far as they were heard, in order.
        captions: what the agent understood, in order; texts are deltas.
        heard: (first sample of a reply, what the server knows was heard of it), where a network lies between.
        echo_db: how loud the agent's own voice came back into its microphone, against what left; None if it did not
            (headphones) or nothing says so.
        late: samples by which all that the agent did was put off, see `delayed`. A window within which an agent must
            not stop is longer by them: a slow way makes nobody steadfast.
        sounds: made from the others. Stretches of 10 ms frames whose root mean square is at least -50 dB of full
            scale; one goes on through a pause of up to 500 ms in which no new reply begins.

    Raises:
        ValueError: recordings of different lengths, or turns out of order.
    """

    name: str
    user: np.ndarray
    agent: np.ndarray
    turns: tuple[TurnSpan, ...] = ()
    replies: tuple[Floor, ...] = ()
    words: tuple[Word, ...] = ()
    captions: tuple[Caption, ...] = ()
    heard: tuple[tuple[int, str], ...] = ()
    late: int = 0
    echo_db: float | None = None
    sounds: tuple[Sound, ...] = field(init=False, repr=False)

    def __post_init__(self):
        if self.user.ndim != 1 or self.user.shape != self.agent.shape:
            raise ValueError(f"{self.name}: recordings of shapes {self.user.shape} and {self.agent.shape}")
        onsets = [turn.speech_start for turn in self.turns]
        if onsets != sorted(onsets):
            raise ValueError(f"{self.name}: the turns are not in order of their speech")
        object.__setattr__(self, "sounds", tuple(_sounds(self.agent, self.replies, self.words)))

    @property
    def num_samples(self) -> int:
        """Length of the recordings."""
        return len(self.agent)

    def delayed(self, by: int) -> "Case":
        """The same conversation with everything that the agent did `by` samples later, and what then lies beyond the
        end of the recording cut off. That a reply came to its own end is known even so."""
        if not by:
            return self
        agent = np.concatenate([np.zeros(by, np.float32), self.agent])[:self.num_samples]

        def later(at: int | None) -> int | None:
            return None if at is None or at + by >= self.num_samples else at + by

        replies = tuple(Floor(r.start + by, later(r.end), later(r.silent_at),
                              r.reason if later(r.end) or r.reason == "finished" else None)
                        for r in self.replies if r.start + by < self.num_samples)
        words = tuple(Word(w.text, w.start + by, min(w.end + by, self.num_samples), w.cut or later(w.end) is None)
                      for w in self.words if w.start + by < self.num_samples)
        captions = tuple(Caption(c.text, c.at + by) for c in self.captions)
        return Case(self.name, self.user, agent, self.turns, replies, words, captions,
                    tuple((at + by, text) for at, text in self.heard), self.late + by, self.echo_db)

    def speaking(self, at: int) -> Sound | None:
        """The spoken sound that the agent makes at a sample."""
        return next((s for s in self.sounds if s.spoken and s.start <= at < s.end), None)

    def following(self, turn: TurnSpan) -> TurnSpan | None:
        """The next turn for the agent after `turn`, of any kind."""
        later = self.turns[self.turns.index(turn) + 1:]
        return next((other for other in later if other.kind in DIRECTED), None)

    def until(self, turn: TurnSpan) -> int:
        """Where the speech of the next turn for the agent begins; the end of the recording if there is none."""
        following = self.following(turn)
        return self.num_samples if following is None else following.speech_start

    def ending(self, sound: Sound) -> Ending:
        """How the speech ended that a sound is a part of.

        What is told of its reply counts: one that still has the floor when the recording ends was not cut, be it in a
        pause or silent for long. Where no reason is told, all that sounds before the next reply is of this one, and it
        is over if that reply or 0.5 s of silence follow. Of a sound before all replies nobody knows how it ended.
        """
        number = next((k for k in reversed(range(len(self.replies))) if self.replies[k].start < sound.end), None)
        if number is None:
            return Ending(sound.end, sound.end, False)
        reply, last = self.replies[number], number == len(self.replies) - 1
        told = reply.reason is not None and reply.end is not None
        next_at = self.num_samples if last else self.replies[number + 1].start
        silent_at = max((s.end for s in self.sounds if sound.end < s.end <= next_at
                         and (not told or s.start < reply.end)), default=sound.end)
        if reply.reason == "finished":
            return Ending(silent_at, silent_at, False)
        if reply.end is None and last:
            return Ending(silent_at, self.num_samples, False)
        if told and reply.reason == "interrupted":
            return Ending(silent_at, max(silent_at, reply.end), True)
        heard_out = not last or silent_at + BRIDGE <= self.num_samples
        return Ending(silent_at, silent_at, None if heard_out else False)


def audible(samples: np.ndarray) -> np.ndarray:
    """Which 10 ms frames are at least as loud as AUDIBLE_DB: float32 (samples,) to bool (frames,), the last filled
    up with zeros."""
    frames = np.pad(samples, (0, -len(samples) % FRAME)).reshape(-1, FRAME)
    return np.mean(np.square(frames, dtype=np.float64), axis=1) >= 10 ** (AUDIBLE_DB / 10)


def load_case(folder: Path) -> Case:
    """The conversation that `omni simulate` wrote into a folder: conversation.wav and trace.jsonl.

    Whether there was an echo stands in the script that verdicts.json keeps, if that is there. Instants of a trace are
    rounded to a tenth of a millisecond, so they may be one sample off.

    Raises:
        MediaError: a file is missing or cannot be used.
    """
    samples, rate = read_audio(folder / "conversation.wav")
    if len(samples) != 2 or rate != RATE_HZ:
        raise MediaError(f"{folder.name}/conversation.wav: not user and agent at {RATE_HZ} Hz")
    try:
        lines = (folder / "trace.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"{folder.name}/trace.jsonl: cannot be read") from error
    trace = _Trace()
    for number, line in enumerate(lines, 1):
        try:
            trace.add(json.loads(line))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise MediaError(f"{folder.name}/trace.jsonl:{number}: no event of a conversation") from error
    turns = sorted(trace.turns, key=lambda turn: turn.speech_start)
    return Case(folder.name, samples[0], samples[1], tuple(turns), tuple(trace.replies), tuple(trace.words),
                tuple(trace.captions), tuple(trace.heard), echo_db=_echo_db(folder))


def _echo_db(folder: Path) -> float | None:
    try:
        gain_db = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))["scenario"]["echo"]["gain_db"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return gain_db if isinstance(gain_db, int | float) else None


class _Trace:
    """Gathers the events of a trace in their order."""

    def __init__(self):
        self.turns: list[TurnSpan] = []
        self.replies: list[Floor] = []
        self.words: list[Word] = []
        self.captions: list[Caption] = []
        self.heard: list[tuple[int, str]] = []
        self._ways = {"user_turn": self._user_turn, "user_text": self._user_text, "start_speak": self._start_speak,
                      "agent_text": self._agent_text, "end_speak": self._end_speak, "server_heard": self._server_heard}
        self._open_word = False

    def add(self, event: dict) -> None:
        if (way := self._ways.get(event["type"])) is not None:
            way(event)

    def _user_turn(self, event: dict) -> None:
        kind, decisive = event.get("kind") or "turn", event.get("decisive")
        if kind not in get_args(Kind):
            raise ValueError(kind)
        spans = (_sample(event[key]) for key in ("from", "to", "speech_from", "speech_to"))
        self.turns.append(TurnSpan(event["name"], *spans, kind=kind, text=event.get("text"),
                                   answer=tuple(event.get("answer") or ()),
                                   decisive=None if decisive is None else _sample(decisive),
                                   words=tuple((str(word), _sample(a), _sample(b))
                                               for word, a, b in event.get("words") or ())))

    def _user_text(self, event: dict) -> None:
        self.captions.append(Caption(event["text"], _sample(event["at"])))

    def _server_heard(self, event: dict) -> None:
        self.heard.append((_sample(event["since"]), str(event["text"])))

    def _start_speak(self, event: dict) -> None:
        self.replies.append(Floor(_sample(event["at"])))
        self._open_word = False

    def _agent_text(self, event: dict) -> None:
        """Pieces become words as in `Record.words`: one with a leading space begins a word."""
        text, start, end = event["text"], _sample(event["from"]), _sample(event["to"])
        if not self._open_word or text.startswith(" "):
            self.words.append(Word(text.strip(), start, end, event["cut"]))
        else:
            last = self.words[-1]
            if any(c.isalnum() for c in text):
                self.words[-1] = Word(last.text + text, last.start, end, event["cut"])
            else:
                self.words[-1] = Word(last.text + text, last.start, last.end, last.cut)
        self._open_word = True

    def _end_speak(self, event: dict) -> None:
        """Where a trace does not tell the end of a cut's ramp, the word that it broke off does."""
        start, end = self.replies[-1].start, _sample(event["at"])
        if "silent" in event:
            silent_at = _sample(event["silent"])
        else:
            silent_at = max((w.end for w in self.words if w.start >= start and w.cut), default=end)
        self.replies[-1] = Floor(start, end, max(end, silent_at), event["reason"])
        self._open_word = False


def _sample(seconds: float) -> int:
    return round(seconds * RATE_HZ)


def _sounds(agent: np.ndarray, replies: tuple[Floor, ...], words: tuple[Word, ...]) -> list[Sound]:
    """Audible stretches in order of time."""
    edges = np.flatnonzero(np.diff(audible(agent).astype(np.int8), prepend=0, append=0)) * FRAME
    begins = [reply.start // FRAME * FRAME for reply in replies]
    stretches: list[list[int]] = []
    for start, end in edges.reshape(-1, 2).tolist():
        last = stretches[-1][1] if stretches else -BRIDGE - 1
        if start - last <= BRIDGE and not any(last <= begin <= start for begin in begins):
            stretches[-1][1] = end
        else:
            stretches.append([start, end])
    return [Sound(start, min(end, len(agent)), _carries(words, start, end)) for start, end in stretches
            if end - start >= _LEAST_SOUND]


def _carries(words: tuple[Word, ...], start: int, end: int) -> bool:
    return any(w.start < end and w.end > start and any(c.isalnum() for c in w.text) for w in words)
