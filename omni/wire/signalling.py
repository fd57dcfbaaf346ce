"""The HTTP bodies that create a WebRTC session: offer in, answer or error out."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from omni.wire import limits
from omni.wire.server_events import ErrorBody
from omni.wire.session import SessionConfig


class Offer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The browser's side of the transport."""

    type: Literal["webrtc"]
    sdp: Annotated[str, Meta(min_length=1, max_length=limits.MAX_SDP_BYTES)]


class CreateSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /v1/live/sessions`."""

    session: SessionConfig
    transport: Offer


class CreatedName(msgspec.Struct, frozen=True, kw_only=True):
    """The new session by its opaque identifier."""

    id: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The server's side of the transport."""

    type: Literal["webrtc"]
    sdp: str


class CreatedSession(msgspec.Struct, frozen=True, kw_only=True):
    """Body of the answer, status 201."""

    session: CreatedName
    transport: Answer


class HttpError(msgspec.Struct, frozen=True, kw_only=True):
    """Body of every HTTP refusal."""

    error: ErrorBody
