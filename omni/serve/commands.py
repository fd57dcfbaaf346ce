"""What a protocol adapter asks of its transport: small records, to be carried out in order."""

from dataclasses import dataclass

import numpy as np

from omni.base.events import CloseReason
from omni.wire.session import AudioFormat


@dataclass(frozen=True, slots=True)
class StartSession:
    """Open a session; answer with `send(SessionStarted)`, or with `refuse(error)`.

    Attributes:
        instructions: the developer's text, "" if there is none.
        history: (role, text) of the messages before the start.
        format: of the audio in both directions on a WebSocket; None over WebRTC.
    """

    instructions: str
    history: tuple[tuple[str, str], ...]
    format: AudioFormat | None
    client_event_id: str | None = None


@dataclass(frozen=True, slots=True)
class AppendAudio:
    """Room audio: float32 (N,) at `rate_hz`, to be resampled to the model's rate and handed to the session."""

    samples: np.ndarray
    rate_hz: int


@dataclass(frozen=True, slots=True)
class Mute:
    """Let the model hear silence; the session answers with `MuteChanged`."""

    client_event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Unmute:
    """Let the model hear the room again; the session answers with `MuteChanged`."""

    client_event_id: str | None = None


@dataclass(frozen=True, slots=True)
class ReportPlayed:
    """How far the client has played the agent's audio; fields as in `omni.playback`."""

    played_ms: int
    rtp_timestamp: int | None = None
    buffered_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """End the session with this reason; `send(SessionClosed)` follows, then the connection is closed."""

    reason: CloseReason = "close_requested"


@dataclass(frozen=True, slots=True)
class Reply:
    """Send this text to the client."""

    text: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close the connection (and end the session as "connection_lost" if there is one)."""

    code: str
    message: str


Command = StartSession | AppendAudio | Mute | Unmute | ReportPlayed | Close | Reply | Hangup
