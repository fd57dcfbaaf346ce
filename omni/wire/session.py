"""The session object of the protocol: what a client asks for, and what the server answers it has.

Field names are those of the GPT-Live session object (openai-python 3.52.0, `openai.types.live`); `client.omni` is ours.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from omni.wire import limits

Name = Annotated[str, Meta(max_length=limits.MAX_NAME_CHARACTERS)]

OmniEventType = Literal["omni.floor", "omni.block", "omni.heard", "omni.audio"]
OMNI_EVENT_TYPES: tuple[str, ...] = ("omni.floor", "omni.block", "omni.heard", "omni.audio")


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of the session object: an unknown field is an error, a field at its default is left out."""


class AudioPcm(_Record, tag_field="type", tag="audio/pcm", omit_defaults=False, kw_only=True):
    """Raw mono 16-bit little-endian PCM."""

    rate: Literal[16000, 24000]


class AudioPcmu(_Record, tag_field="type", tag="audio/pcmu", omit_defaults=False, kw_only=True):
    """Raw mono G.711 mu-law, 8 bits a sample."""

    rate: Literal[8000] = 8000


class AudioPcma(_Record, tag_field="type", tag="audio/pcma", omit_defaults=False, kw_only=True):
    """Raw mono G.711 A-law, 8 bits a sample."""

    rate: Literal[8000] = 8000


AudioFormat = AudioPcm | AudioPcmu | AudioPcma
DEFAULT_FORMAT = AudioPcm(rate=24000)


class CustomVoice(_Record, kw_only=True):
    """A voice by identifier."""

    id: Name


class AudioOutput(_Record, kw_only=True):
    """How the agent sounds."""

    voice: Name | CustomVoice | None = None


class Audio(_Record, kw_only=True):
    """Audio settings; `format` holds for both directions and exists on a WebSocket only."""

    format: AudioFormat | None = None
    output: AudioOutput | None = None


class InputText(_Record, kw_only=True):
    """The text of a developer's or user's message."""

    text: str
    type: Literal["input_text"] | None = None


class OutputText(_Record, kw_only=True):
    """The text of an assistant's message."""

    text: str
    type: Literal["text", "output_text"] | None = None


class DeveloperMessage(_Record, tag_field="role", tag="developer", kw_only=True):
    """History: a developer's message, one text part."""

    content: Annotated[list[InputText], Meta(min_length=1, max_length=1)]
    id: Name | None = None
    status: Literal["incomplete", "completed"] | None = None
    type: Literal["message"] | None = None


class UserMessage(_Record, tag_field="role", tag="user", kw_only=True):
    """History: a user's message, one text part."""

    content: Annotated[list[InputText], Meta(min_length=1, max_length=1)]
    id: Name | None = None
    status: Literal["incomplete", "completed"] | None = None
    type: Literal["message"] | None = None


class AssistantMessage(_Record, tag_field="role", tag="assistant", kw_only=True):
    """History: a message of the agent, one text part."""

    content: Annotated[list[OutputText], Meta(min_length=1, max_length=1)]
    id: Name | None = None
    status: Literal["incomplete", "completed"] | None = None
    type: Literal["message"] | None = None


InitialItem = DeveloperMessage | UserMessage | AssistantMessage


class ClientDelegation(_Record, tag_field="type", tag="client", kw_only=True):
    """Tasks go to the client's application. The model delegates none, so this has no effect."""

    acknowledgement_delay_ms: int | None = None


class ResponsesDelegation(msgspec.Struct, frozen=True, tag_field="type", tag="responses"):
    """Tasks go to a backend of the upstream service. Recognised, its content unread, and refused."""


class DecisionsDelegation(msgspec.Struct, frozen=True, tag_field="type", tag="decisions"):
    """Tasks go to a backend of the upstream service. Recognised, its content unread, and refused."""


Delegation = ClientDelegation | ResponsesDelegation | DecisionsDelegation


class ServerEventSelector(_Record, kw_only=True):
    """One type of server event that a data channel may carry."""

    type: Name
    response_event: Name | None = None


class DataChannel(_Record, kw_only=True):
    """What an untrusted page may send and receive on a WebRTC data channel; left out or null: everything."""

    allowed_client_events: (
        Literal["all"] | Annotated[list[Name], Meta(max_length=limits.MAX_PERMISSIONS)] | None) = None
    allowed_server_events: (
        Literal["all"] | Annotated[list[ServerEventSelector], Meta(max_length=limits.MAX_PERMISSIONS)] | None) = None


class OmniExtension(_Record, kw_only=True):
    """Asks for the `omni.*` events: all of them, or those listed. An empty list allows `omni.playback` alone."""

    events: Literal["all"] | Annotated[list[OmniEventType], Meta(max_length=len(OMNI_EVENT_TYPES))]

    def wants(self, event_type: str) -> bool:
        """Whether events of this type were asked for."""
        return self.events == "all" or event_type in self.events


class ClientConfig(_Record, kw_only=True):
    """What the client is allowed to and able to handle."""

    data_channel: DataChannel | None = None
    omni: OmniExtension | None = None


class SessionConfig(_Record, kw_only=True):
    """What a client asks for at the start. All of it is fixed for the session's life but delegation and triggers."""

    model: Name
    instructions: Annotated[str, Meta(max_length=limits.MAX_INSTRUCTIONS_CHARACTERS)] | None = None
    audio: Audio | None = None
    input: Annotated[list[InitialItem], Meta(max_length=limits.MAX_INPUT_MESSAGES)] | None = None
    delegation: Delegation | None = None
    triggers: Annotated[list[dict[str, Any]], Meta(max_length=2)] | None = None
    store: bool | None = None
    safety_identifier: Name | None = None
    client: ClientConfig | None = None


class SessionUpdateConfig(_Record, kw_only=True):
    """What may change while a session runs."""

    delegation: Delegation | None = None
    triggers: Annotated[list[dict[str, Any]], Meta(max_length=2)] | None = None


class SessionResource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The session as the server has it. A reader ignores fields that it does not know.

    Attributes:
        id: opaque identifier of the session.
        expires_at: Unix seconds at which the session ends by itself.
        model: name of the model that answers, which may differ from the one that was asked for.
        status: "active", also in the snapshot of `session.closed`.
    """

    id: str
    expires_at: int
    model: str
    status: Literal["active"]
    instructions: str | None = None
    audio: Audio | None = None
    input: list[InitialItem] | None = None
    delegation: Delegation | None = None
    store: bool | None = None
    client: ClientConfig | None = None
