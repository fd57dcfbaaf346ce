"""Text to events and back. Whatever a peer sends, decoding gives an event or a `WireError`, and nothing else.

An event is decoded in one strict pass. Only when that fails is the text looked at a second time, to name what is wrong:
code, field and the client's own `event_id`.
"""

import difflib
import re
import typing
from typing import Any

import msgspec

from omni.base.errors import OmniError, WireError
from omni.wire import limits
from omni.wire.client_events import UNSUPPORTED_CLIENT_EVENTS, ClientEvent, SessionStart
from omni.wire.server_events import ErrorBody, ServerEvent
from omni.wire.session import SessionConfig
from omni.wire.signalling import Answer, CreatedName, CreatedSession, CreateSession, HttpError

_FAILURES = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OverflowError)

_client = msgspec.json.Decoder(ClientEvent)
_server = msgspec.json.Decoder(ServerEvent)
_create = msgspec.json.Decoder(CreateSession)
_created = msgspec.json.Decoder(CreatedSession)
_http_error = msgspec.json.Decoder(HttpError)
_encoder = msgspec.json.Encoder()

CLIENT_EVENT_TYPES = frozenset(event.__struct_config__.tag for event in typing.get_args(ClientEvent))
SERVER_EVENT_TYPES = frozenset(event.__struct_config__.tag for event in typing.get_args(ServerEvent))


class _Header(msgspec.Struct):
    """What is read of an event that does not decode."""

    type: Any = None
    event_id: Any = None


_header = msgspec.json.Decoder(_Header)


def decode_client(message: str | bytes) -> ClientEvent:
    """Decode what a client sent.

    Raises:
        WireError: with `code`, and `param` and `client_event_id` where they are known.
    """
    data = _to_bytes(message, limits.MAX_MESSAGE_BYTES)
    try:
        event = _client.decode(data)
    except _FAILURES as failure:
        raise _explain(data, failure, CLIENT_EVENT_TYPES, UNSUPPORTED_CLIENT_EVENTS) from None
    if isinstance(event, SessionStart):
        _check_input(event.session, event.event_id)
    return event


def decode_server(message: str | bytes) -> ServerEvent:
    """Decode what a server sent. A client skips an event refused with code "unknown_event": newer servers have more.

    Raises:
        WireError: as `decode_client`.
    """
    data = _to_bytes(message, limits.MAX_MESSAGE_BYTES)
    try:
        return _server.decode(data)
    except _FAILURES as failure:
        raise _explain(data, failure, SERVER_EVENT_TYPES, frozenset()) from None


def encode_client(event: ClientEvent) -> str:
    """One client event as text."""
    return _encoder.encode(event).decode()


def encode_server(event: ServerEvent) -> str:
    """One server event as text."""
    return _encoder.encode(event).decode()


def decode_create(body: str | bytes) -> CreateSession:
    """Decode the body of `POST /v1/live/sessions`.

    Raises:
        WireError: as `decode_client`.
    """
    data = _to_bytes(body, limits.MAX_OFFER_BYTES)
    try:
        create = _create.decode(data)
    except _FAILURES as failure:
        raise _describe(failure, None) from None
    _check_input(create.session, None)
    return create


def encode_create(create: CreateSession) -> str:
    """The body of `POST /v1/live/sessions`."""
    return _encoder.encode(create).decode()


def encode_created(session_id: str, sdp: str) -> str:
    """The body that answers a successful POST."""
    return _encoder.encode(CreatedSession(session=CreatedName(id=session_id),
                                          transport=Answer(type="webrtc", sdp=sdp))).decode()


def decode_created(body: str | bytes) -> CreatedSession:
    """Decode the body that answers a successful POST; fields of other servers are ignored.

    Raises:
        WireError: as `decode_client`.
    """
    try:
        return _created.decode(_to_bytes(body, limits.MAX_OFFER_BYTES))
    except _FAILURES as failure:
        raise _describe(failure, None) from None


def encode_http_error(error: OmniError) -> str:
    """The body of an HTTP refusal."""
    return _encoder.encode(HttpError(error=error_body(error))).decode()


def decode_http_error(body: str | bytes) -> ErrorBody:
    """Decode the body of an HTTP refusal.

    Raises:
        WireError: as `decode_client`.
    """
    try:
        return _http_error.decode(_to_bytes(body, limits.MAX_OFFER_BYTES)).error
    except _FAILURES as failure:
        raise _describe(failure, None) from None


def error_body(error: OmniError) -> ErrorBody:
    """An error of the project as it travels on the wire."""
    return ErrorBody(type="invalid_request_error" if isinstance(error, WireError) else "server_error",
                     code=error.code, message=str(error), param=getattr(error, "param", None),
                     client_event_id=getattr(error, "client_event_id", None))


class EventIds:
    """Makes `event_id`s: a prefix and a running number, so that the same session gives the same text."""

    def __init__(self, prefix: str = "event"):
        self._prefix = prefix
        self._count = 0

    def __call__(self) -> str:
        self._count += 1
        return f"{self._prefix}_{self._count}"


def _to_bytes(message: str | bytes, limit: int) -> bytes:
    if len(message) > limit:
        raise WireError(f"a message may have {limit} bytes", code="message_too_large")
    if isinstance(message, str):
        try:
            message = message.encode()
        except UnicodeEncodeError:
            raise WireError("the message is not valid Unicode", code="invalid_json") from None
        if len(message) > limit:
            raise WireError(f"a message may have {limit} bytes", code="message_too_large")
    return bytes(message)


def _check_input(session: SessionConfig, event_id: str | None) -> None:
    count = sum(len(item.content[0].text) for item in session.input or ())
    if count > limits.MAX_INPUT_CHARACTERS:
        raise WireError(f"input may have {limits.MAX_INPUT_CHARACTERS} characters in all, not {count}",
                        code="limit_exceeded", param="session.input", client_event_id=event_id)


def _explain(data: bytes, failure: Exception, known: frozenset[str], unsupported: frozenset[str]) -> WireError:
    """Why `data` is no event of the `known` types."""
    try:
        header = _header.decode(data)
    except _FAILURES as worse:
        return _describe(worse, None)
    event_id = header.event_id if isinstance(header.event_id, str) else None
    if event_id is not None and len(event_id) > limits.MAX_NAME_CHARACTERS:
        event_id = None
    if header.type is None:
        return WireError("an event needs a type", code="missing_parameter", param="type", client_event_id=event_id)
    if not isinstance(header.type, str):
        return WireError("type must be a string", code="invalid_type", param="type", client_event_id=event_id)
    if header.type in unsupported:
        return WireError(f"this server does not support {header.type}", code="unsupported_event", param="type",
                         client_event_id=event_id)
    if header.type not in known:
        name = _clip(header.type, 64)
        close = difflib.get_close_matches(name, sorted(known), n=1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        return WireError(f"unknown event type {name!r}{hint}", code="unknown_event", param="type",
                         client_event_id=event_id)
    return _describe(failure, event_id)


_AT = re.compile(r"^(?P<what>.*?) - at `(?:key in )?\$(?P<path>[^`]*)`$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>.*)`$", re.DOTALL)


def _describe(failure: Exception, event_id: str | None) -> WireError:
    """A `WireError` for what the decoder said."""
    if isinstance(failure, RecursionError):
        return WireError("the message is nested too deeply", code="invalid_json", client_event_id=event_id)
    if not isinstance(failure, msgspec.ValidationError):
        return WireError("the message is not JSON in UTF-8", code="invalid_json", client_event_id=event_id)
    at = _AT.match(str(failure))
    what, path = (at["what"], at["path"].lstrip(".")) if at else (str(failure), "")
    code, param = "invalid_type", path
    if missing := _MISSING.match(what):
        code, param = "missing_parameter", f"{path}.{missing['name']}".lstrip(".")
        what = f"missing field {param}"
    elif unknown := _UNKNOWN.match(what):
        code, param = "unknown_parameter", f"{path}.{_clip(unknown['name'], 64)}".lstrip(".")
        what = f"unknown field {param}"
    elif re.search(r"of length <=", what):
        code = "limit_exceeded"
    elif what.startswith("Invalid") or re.search(r">=|<=|of length|out of range", what):
        code = "invalid_value"
    elif not path and what.startswith("Expected `object`"):
        code, what = "invalid_event", "an event must be a JSON object"
    return WireError(_clip(what.replace("`", "'"), 200), code=code, param=_clip(param, 200) or None,
                     client_event_id=event_id)


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit - 3] + "..."
