"""The vocabulary that engine, session, transports and evaluation share.

Everything here is plain data: integers, strings and numpy arrays. Instants are counts of samples on the
conversation's own clock, which starts at 0 with its first block; room and output lie on the same clock.

    room block i   [i * 1280, (i + 1) * 1280)      heard by step i
    output block   [(i + 1) * 1280, (i + 2) * 1280) carries what step i decided
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

EndReason = Literal["finished", "interrupted"]


@dataclass(frozen=True, slots=True)
class BlockInput:
    """What the model is given for one block of one conversation.

    Attributes:
        room: float32 (block_samples,), everything the microphone heard; the caller gives up ownership.
        unplayed: trailing samples of the previous output block that were discarded before they were sent (after a
            cut). The engine silences them in the own stream, so that the model hears what really sounded.
    """

    room: np.ndarray
    unplayed: int = 0


@dataclass(frozen=True, slots=True)
class PieceBegun:
    """A text piece has begun to sound.

    Attributes:
        index: running number of the piece within the conversation.
        text: the piece as text, with its leading space where it has one, so that pieces concatenate to a sentence.
        at: first sample of the piece on the conversation's clock.
    """

    index: int
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class PieceEnded:
    """A text piece has sounded to its end, or was cut while it sounded.

    Attributes:
        index: running number of the piece, as in `PieceBegun`.
        at: one past its last sample on the conversation's clock.
        cut: True if it was cut while it sounded.
    """

    index: int
    at: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What one step decided for one conversation.

    Attributes:
        block: index i of the room block that was heard; `audio` sounds in output block i + 1.
        token: the language model's token id.
        symbol: that token as text: a piece, or `<think>`, `<start_speak>`, `<end_speak>`.
        speaking: whether the agent holds the floor after this token.
        epoch: number of the floor state this audio belongs to. It grows by one at each `<start_speak>` and at each
            interrupted `<end_speak>`; every hop drops audio of an older epoch that is still unsent.
        audio: float32 (block_samples,).
        tail: leading samples of `audio` that still belong to the reply that was just cut (its 10 ms ramp to
            silence); a hop that has just ramped down older audio of its own drops them.
        begun, ended: pieces that began or ended to sound in this output block, in order of time. A piece may begin
            with the first sample of the next one: the vocoder is a frame behind.
        started: `<start_speak>` was emitted in this block.
        stopped: why the agent gave up the floor in this block, or None.
        unheard: pieces that were emitted and never sounded, known when `stopped` is "interrupted".
        caption: what the caption head understood of the user in this block (a delta; may be empty).
    """

    block: int
    token: int
    symbol: str
    speaking: bool
    epoch: int
    audio: np.ndarray
    tail: int = 0
    begun: tuple[PieceBegun, ...] = ()
    ended: tuple[PieceEnded, ...] = ()
    started: bool = False
    stopped: EndReason | None = None
    unheard: int = 0
    caption: str = ""


# ---- what a session tells its transport (and its transport the client) -------------------------------------------


@dataclass(frozen=True, slots=True)
class AudioReady:
    """One block of the agent's audio, silence included, to be sent now.

    Attributes:
        at: first sample on the conversation's clock.
        epoch: see `BlockResult.epoch`; a transport ramps down and drops unsent audio of an older epoch.
        tail: see `BlockResult.tail`.
    """

    at: int
    samples: np.ndarray
    epoch: int
    tail: int = 0


@dataclass(frozen=True, slots=True)
class AgentText:
    """A piece of the agent's speech, leaving together with the audio block in which it begins.

    Attributes:
        start, end: its span in samples. A piece that sounds beyond that block ends where the block ends: how long it
            will last is not known yet.
    """

    text: str
    start: int
    end: int
    epoch: int


@dataclass(frozen=True, slots=True)
class UserText:
    """A caption delta of what was heard in the room (span in samples)."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The agent took the floor; `at` is the first sample of the output block that may carry it."""

    epoch: int
    at: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The agent gave up the floor, by itself at the end of its words or because it was interrupted.

    Attributes:
        epoch: of the floor from now on: after an interruption a new one, so that older audio is dropped.
        unheard: pieces that were decided on and never sounded.
    """

    epoch: int
    at: int
    reason: EndReason
    unheard: int = 0


@dataclass(frozen=True, slots=True)
class SpeechHeard:
    """What of one reply has really been heard so far.

    Attributes:
        epoch: of the reply, as in `SpeechStarted`.
        text: the words that were played.
        estimated: True if the client sends no reports and the position was estimated.
        final: True once nothing of the reply is left to be played.
    """

    epoch: int
    text: str
    estimated: bool
    final: bool


@dataclass(frozen=True, slots=True)
class BlockPlayed:
    """The record of one block for a timeline: who sounded, and what the block cost.

    Attributes:
        speaking: the agent holds the floor.
        agent_level, user_level: root mean square of the output and room block, 0 to 1 full scale.
        late_blocks: output blocks replaced by silence so far, because their result came late.
        compute_us: microseconds the engine spent on the tick.
    """

    block: int
    speaking: bool
    agent_level: float
    user_level: float
    late_blocks: int
    compute_us: int


@dataclass(frozen=True, slots=True)
class MuteChanged:
    """Input is replaced by zeros (muted) or listened to again."""

    muted: bool
    client_event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the client should know and need not act on (`info` on the wire)."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A client event was refused (`error` on the wire); the session goes on."""

    code: str
    message: str
    param: str | None = None
    client_event_id: str | None = None


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The session is live; audio may flow."""

    session_id: str
    expires_at_s: int
    details: dict = field(default_factory=dict)


CloseReason = Literal["close_requested", "expired", "content", "remote_hangup", "connection_lost"]


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """The session is over; nothing follows."""

    reason: CloseReason
    detail: str = ""


SessionEvent = (AudioReady | AgentText | UserText | SpeechStarted | SpeechEnded | SpeechHeard | BlockPlayed
                | MuteChanged | Notice | Refused | SessionStarted | SessionClosed)
