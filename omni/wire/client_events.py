"""Events a client sends. An unknown field is an error here: a setting that is misspelt must not be lost in silence."""

from typing import Annotated

import msgspec
from msgspec import Meta

from omni.wire import limits
from omni.wire.session import Name, SessionConfig, SessionUpdateConfig

Context = Annotated[str, Meta(max_length=limits.MAX_CONTEXT_CHARACTERS)]
Milliseconds = Annotated[int, Meta(ge=0, le=limits.MAX_WIRE_MS)]


class _ClientEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True,
                   omit_defaults=True):
    """Attributes:
        event_id: the client's own name for this event, echoed as `client_event_id` in what answers it.
    """

    event_id: Name | None = None


class SessionStart(_ClientEvent, tag="session.start", kw_only=True):
    """First event on a WebSocket, and only there."""

    session: SessionConfig


class SessionUpdate(_ClientEvent, tag="session.update", kw_only=True):
    """Changes what may change while a session runs."""

    session: SessionUpdateConfig


class SessionClose(_ClientEvent, tag="session.close", kw_only=True):
    """Ends the session; `session.closed` answers."""


class InputAudioAppend(_ClientEvent, tag="session.input_audio.append", kw_only=True):
    """Audio of the room in the session's format; never acknowledged. WebSocket only.

    Attributes:
        audio: base64 of raw samples, no container.
    """

    audio: str


class InputAudioMute(_ClientEvent, tag="session.input_audio.mute", kw_only=True):
    """From now on the model hears silence; time goes on."""


class InputAudioUnmute(_ClientEvent, tag="session.input_audio.unmute", kw_only=True):
    """The model hears the room again."""


class InstructionsAppend(_ClientEvent, tag="session.instructions.append", kw_only=True):
    """Developer's text for a running conversation; `delegation_id` must be there and may be null."""

    content: Context
    delegation_id: Name | None


class ThinkingAppend(_ClientEvent, tag="session.thinking.append", kw_only=True):
    """Silent context for a running conversation; `delegation_id` must be there and may be null."""

    content: Context
    delegation_id: Name | None


class CommentaryAppend(_ClientEvent, tag="session.commentary.append", kw_only=True):
    """Speakable context for a running conversation; `delegation_id` must be there and may be null."""

    content: Context
    delegation_id: Name | None


class OmniPlayback(_ClientEvent, tag="omni.playback", kw_only=True):
    """How far the agent's audio has been played. Needs `client.omni` at the start.

    Attributes:
        played_ms: position on the session's timeline up to which audio has left the loudspeaker. Over WebRTC, where
            the client does not know that timeline: milliseconds of the remote track that were played.
        rtp_timestamp: of the last packet that was played (WebRTC, where the browser tells it); it is exact, so
            the server uses it instead of `played_ms`.
        buffered_ms: audio received and not yet played.
    """

    played_ms: Milliseconds
    rtp_timestamp: Annotated[int, Meta(ge=0, le=2**32 - 1)] | None = None
    buffered_ms: Milliseconds | None = None


ClientEvent = (SessionStart | SessionUpdate | SessionClose | InputAudioAppend | InputAudioMute | InputAudioUnmute
               | InstructionsAppend | ThinkingAppend | CommentaryAppend | OmniPlayback)

UNSUPPORTED_CLIENT_EVENTS = frozenset({
    "session.output_audio.fixture.play", "response.item.create", "response.create",
    "decision.create", "decision.item.create", "decision.item.delete", "transport.dtmf.send",
})
"""Upstream client events that this server knows and refuses with `unsupported_event`."""
