"""Pure codec between JSON text and the protocol's events; the contract is protocol/README.md.

    decode_client, encode_server      what a server needs
    encode_client, decode_server      what our own clients need
    wire.audio                        base64 and float32
    wire.session, .client_events, .server_events, .signalling    the types
"""

from omni.base.errors import WireError
from omni.wire.client_events import ClientEvent
from omni.wire.codec import (
    CLIENT_EVENT_TYPES,
    SERVER_EVENT_TYPES,
    EventIds,
    decode_client,
    decode_create,
    decode_created,
    decode_http_error,
    decode_server,
    encode_client,
    encode_create,
    encode_created,
    encode_http_error,
    encode_server,
    error_body,
)
from omni.wire.server_events import ServerEvent

__all__ = [
    "CLIENT_EVENT_TYPES", "SERVER_EVENT_TYPES", "ClientEvent", "EventIds", "ServerEvent", "WireError",
    "decode_client", "decode_create", "decode_created", "decode_http_error", "decode_server", "encode_client",
    "encode_create", "encode_created", "encode_http_error", "encode_server", "error_body",
]
