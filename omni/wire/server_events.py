"""Events the server sends. A reader ignores fields that it does not know and skips events of an unknown type."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from omni.base.events import CloseReason, EndReason
from omni.wire import limits
from omni.wire.session import SessionResource

Milliseconds = Annotated[int, Meta(ge=0, le=limits.MAX_WIRE_MS)]
Count = Annotated[int, Meta(ge=0, le=limits.MAX_WIRE_MS)]
Level = Annotated[float, Meta(ge=0, le=1)]


class _AudioEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """An event of the audio path: it carries no `event_id`, since there are many of them."""


class _ServerEvent(_AudioEvent, kw_only=True):
    """Attributes:
        event_id: unique within the session.
        client_event_id: `event_id` of the client event that this one answers, where it had one.
    """

    event_id: str
    client_event_id: str | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Cumulative seconds of the session's audio; totals, not increments."""

    seconds: Annotated[float, Meta(ge=0)]


class ContextWindow(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the model's memory is in use. This server sends none; upstream servers may."""

    usage_ratio: float


class SessionStarted(_ServerEvent, tag="session.started", kw_only=True):
    """The session is live; audio may flow."""

    session: SessionResource


class SessionUpdated(_ServerEvent, tag="session.updated", kw_only=True):
    """Answers `session.update`."""

    session: SessionResource


class SessionClosed(_ServerEvent, tag="session.closed", kw_only=True):
    """The last event of a session. A connection that ends without it did not end properly."""

    reason: CloseReason
    session: SessionResource
    usage: Usage


class OutputAudioDelta(_AudioEvent, tag="session.output_audio.delta", kw_only=True):
    """The next stretch of the agent's audio, silence included, in the session's format. WebSocket only.

    Attributes:
        delta: base64 of raw samples.
    """

    delta: str


class InputTranscriptDelta(_ServerEvent, tag="session.input_transcript.delta", kw_only=True):
    """What was understood of the user, and the span of the session's timeline it was said in."""

    delta: str
    start_ms: Milliseconds
    end_ms: Milliseconds


class OutputTranscriptDelta(_ServerEvent, tag="session.output_transcript.delta", kw_only=True):
    """What the agent says, sent with the audio that carries it, and the span of the timeline it sounds in."""

    delta: str
    start_ms: Milliseconds
    end_ms: Milliseconds


class InputAudioMuted(_ServerEvent, tag="session.input_audio.muted", kw_only=True):
    """Answers `session.input_audio.mute`."""


class InputAudioUnmuted(_ServerEvent, tag="session.input_audio.unmuted", kw_only=True):
    """Answers `session.input_audio.unmute`."""


class UsageUpdated(_ServerEvent, tag="session.usage.updated", kw_only=True):
    """Cumulative usage so far."""

    usage: Usage
    context_window: ContextWindow | None = None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong.

    Attributes:
        type: "invalid_request_error" for a client's mistake, "server_error" for ours.
        code: see the table of codes in protocol/README.md.
        message: one line for a person.
        param: the field at fault, as a path such as "session.audio.format.rate".
        client_event_id: the client event at fault, where it had an `event_id`.
    """

    type: str
    code: str
    message: str
    param: str | None = None
    client_event_id: str | None = None


class Error(_ServerEvent, tag="error", kw_only=True):
    """A client event was refused or something failed. The session goes on unless `session.closed` follows."""

    error: ErrorBody


class Info(_ServerEvent, tag="info", kw_only=True):
    """Something the client should know and need not act on."""

    code: str
    message: str


class OmniFloor(_ServerEvent, tag="omni.floor", kw_only=True):
    """The agent took or gave up the floor, from `at_ms` on the session's timeline.

    Attributes:
        epoch: grows with each reply and each interruption; audio of an older epoch is to be dropped.
        reason: why it gave up the floor; only with state "listening".
        unheard: pieces of text that were planned and never sounded; only after an interruption.
    """

    state: Literal["speaking", "listening"]
    epoch: Count
    at_ms: Milliseconds
    reason: EndReason | None = None
    unheard: Count | None = None


class OmniBlock(_ServerEvent, tag="omni.block", kw_only=True):
    """The record of one block of 80 ms: who sounded, and what it cost.

    Attributes:
        agent_level, user_level: root mean square, full scale is 1.
        late_blocks: blocks of output replaced by silence so far, because their result came late.
        compute_us: microseconds the engine spent on the tick.
    """

    block: Count
    speaking: bool
    agent_level: Level
    user_level: Level
    late_blocks: Count
    compute_us: Count


class OmniHeard(_ServerEvent, tag="omni.heard", kw_only=True):
    """The words of one reply that have really been played so far.

    Attributes:
        estimated: True if the client sends no reports and the position is a guess.
        final: nothing of this reply is left to be played.
    """

    epoch: Count
    text: str
    estimated: bool
    final: bool


class OmniAudio(_AudioEvent, tag="omni.audio", kw_only=True):
    """Where audio lies. On a WebSocket it belongs to the `session.output_audio.delta` that follows it at once. Over
    WebRTC it holds for the track from `rtp_timestamp` on, until the next one.

    Attributes:
        epoch: of the audio.
        start_ms: position of its first sample on the session's timeline.
        tail_ms: leading milliseconds that still belong to the reply that was just cut (its ramp to silence); a
            client that has just ramped down older audio of its own skips them. 0 over WebRTC.
        rtp_timestamp: of that first sample; WebRTC only.
    """

    epoch: Count
    start_ms: Milliseconds
    tail_ms: Milliseconds
    rtp_timestamp: Annotated[int, Meta(ge=0, le=2**32 - 1)] | None = None


ServerEvent = (SessionStarted | SessionUpdated | SessionClosed | OutputAudioDelta | InputTranscriptDelta
               | OutputTranscriptDelta | InputAudioMuted | InputAudioUnmuted | UsageUpdated | Error | Info
               | OmniFloor | OmniBlock | OmniHeard | OmniAudio)
