"""The full-duplex session protocol: text to commands and session events to text, without I/O.

    client ── text ──► LiveAdapter.receive ──► commands ──► transport and session
    client ◄── text ── LiveAdapter.send    ◄── session events

The adapter keeps the order rules of the protocol and nothing else: whether a session has been asked for, has started,
has been closed, and which optional events the client wants. It never decides when the agent speaks.
"""

from typing import Literal

import msgspec

from omni.base import events as base
from omni.base.errors import OmniError, WireError
from omni.base.timebase import Timebase
from omni.serve.commands import (
    AppendAudio,
    Close,
    Command,
    Hangup,
    Mute,
    Reply,
    ReportPlayed,
    StartSession,
    Unmute,
)
from omni.wire import client_events as client
from omni.wire import server_events as server
from omni.wire.audio import decode_audio, encode_audio
from omni.wire.codec import EventIds, decode_client, encode_server, error_body
from omni.wire.session import (
    DEFAULT_FORMAT,
    Audio,
    AudioFormat,
    AudioOutput,
    ClientDelegation,
    SessionConfig,
    SessionResource,
)

MAX_REFUSALS = 100
"""Refused client events in one connection before it is closed: a peer that keeps sending noise is let go."""

USAGE_INTERVAL_S = 10
"""Seconds of the session's audio between two `session.usage.updated`."""


ANY_MODEL = "omni"
"""`session.model` of a client that takes whichever model the server has."""

_EXTENSION = {base.SpeechStarted: "omni.floor", base.SpeechEnded: "omni.floor", base.SpeechHeard: "omni.heard",
              base.BlockPlayed: "omni.block"}


class LiveAdapter:
    """One client's side of the protocol.

    Args:
        timebase: grid of the session's clock.
        model: name of the model that answers.
        voice: name of its voice.
        follows_instructions: whether the engine can follow instructions and history.
        transport: "webrtc" sessions are created by POST (`create`), carry audio outside of the channel, and may be
            limited by `client.data_channel`.
        new_id: makes the `event_id` of server events.
    """

    def __init__(self, timebase: Timebase, *, model: str, voice: str = "default", follows_instructions: bool = False,
                 transport: Literal["websocket", "webrtc"] = "websocket", new_id: EventIds | None = None):
        self._timebase = timebase
        self._model = model
        self._voice = voice
        self._follows_instructions = follows_instructions
        self._transport = transport
        self._new_id = new_id or EventIds()
        self._state: Literal["new", "starting", "live", "closed"] = "new"
        self._closing = False
        self._config: SessionConfig | None = None
        self._resource: SessionResource | None = None
        self._format: AudioFormat = DEFAULT_FORMAT
        self._start_event_id: str | None = None
        self._close_event_id: str | None = None
        self._refusals = 0
        self._end_at = 0              # one past the last sample of the session's timeline that is known, for usage
        self._next_usage_at = USAGE_INTERVAL_S * timebase.sample_rate_hz

    @property
    def format(self) -> AudioFormat:
        """Audio on a WebSocket, both ways; known once a `StartSession` has been given."""
        return self._format

    @property
    def state(self) -> str:
        """"new", "starting", "live" or "closed"."""
        return self._state

    # ---- client to session ---------------------------------------------------------------------------------------

    def create(self, config: SessionConfig) -> StartSession:
        """Ask for a session over WebRTC, with the `session` of the POST.

        Raises:
            WireError: a setting cannot be had.
        """
        assert self._transport == "webrtc" and self._state == "new"
        return self._begin(config, None)

    def receive(self, message: str | bytes) -> list[Command]:
        """Take one message of the client. Never raises for what a client can send.

        Returns:
            Commands to be carried out in order; empty once the session is closed or closing.
        """
        if self._state == "closed" or self._closing:
            return []   # audio that was on its way when the session ended is no mistake
        try:
            event = decode_client(message)
            self._check_order(event)
            return self._accept(event)
        except WireError as error:
            self._refusals += 1
            commands: list[Command] = [Reply(self._error(error))]
            if self._refusals >= MAX_REFUSALS:
                self._closing = True
                commands.append(Hangup("too_many_errors", f"{MAX_REFUSALS} events were refused"))
            return commands

    def refuse(self, error: OmniError) -> list[str]:
        """The session that was asked for cannot be had (server full, say). A later start may succeed."""
        if self._state == "starting":
            self._state = "new"
        return [self._error(error, self._start_event_id)]

    def fail(self, error: OmniError) -> list[str]:
        """Tell the client of an error that is not about a particular event."""
        return [] if self._state == "closed" else [self._error(error)]

    def _check_order(self, event: client.ClientEvent) -> None:
        kind, event_id = event.__struct_config__.tag, event.event_id
        starts = isinstance(event, client.SessionStart)
        if starts and (self._transport == "webrtc" or self._state != "new"):
            raise WireError("the session has been started already", code="session_already_started", param="type",
                            client_event_id=event_id)
        if not starts and self._state == "new":
            raise WireError(f"send session.start before {kind}", code="session_not_started", param="type",
                            client_event_id=event_id)
        if self._state == "starting" and not isinstance(event, client.SessionClose):
            raise WireError(f"wait for session.started before {kind}", code="session_not_started", param="type",
                            client_event_id=event_id)
        if self._transport == "webrtc" and not self._may_send(kind):
            raise WireError(f"this data channel may not send {kind}", code="event_not_allowed", param="type",
                            client_event_id=event_id)

    def _accept(self, event: client.ClientEvent) -> list[Command]:
        event_id = event.event_id
        match event:
            case client.SessionStart():
                return [self._begin(event.session, event_id)]
            case client.InputAudioAppend():
                return self._accept_audio(event)
            case client.InputAudioMute():
                return [Mute(event_id)]
            case client.InputAudioUnmute():
                return [Unmute(event_id)]
            case client.OmniPlayback():
                if self._omni is None:
                    raise WireError("ask for session.client.omni to report playback", code="extension_not_enabled",
                                    param="type", client_event_id=event_id)
                return [ReportPlayed(event.played_ms, event.rtp_timestamp, event.buffered_ms)]
            case client.SessionUpdate():
                _check_delegation(event.session.delegation, event.session.triggers, event_id)
                return self._replies(server.SessionUpdated(
                    event_id=self._new_id(), client_event_id=event_id, session=self._resource))
            case client.InstructionsAppend() | client.ThinkingAppend() | client.CommentaryAppend():
                if event.delegation_id is not None:
                    raise WireError("there is no such delegation", code="unknown_delegation", param="delegation_id",
                                    client_event_id=event_id)
                return self._replies(server.Info(
                    event_id=self._new_id(), client_event_id=event_id, code="context_not_followed",
                    message="this model takes in nothing but sound while it runs; the text was not added"))
            case client.SessionClose():
                self._closing = True
                self._close_event_id = event_id
                return [Close()]
        raise AssertionError(event)

    def _accept_audio(self, event: client.InputAudioAppend) -> list[Command]:
        if self._transport == "webrtc":
            raise WireError("audio comes by the media track of this session", code="unsupported_on_webrtc",
                            param="type", client_event_id=event.event_id)
        try:
            samples = decode_audio(event.audio, self._format)
        except WireError as error:
            error.client_event_id = event.event_id
            raise
        return [AppendAudio(samples, self._format.rate)] if samples.size else []

    def _begin(self, config: SessionConfig, event_id: str | None) -> StartSession:
        _check_delegation(config.delegation, config.triggers, event_id)
        asked_format = config.audio.format if config.audio else None
        if self._transport == "webrtc" and asked_format is not None:
            raise WireError("WebRTC negotiates its own audio format", code="unsupported_parameter",
                            param="session.audio.format", client_event_id=event_id)
        self._format = asked_format or DEFAULT_FORMAT
        self._config = config
        self._start_event_id = event_id
        self._state = "starting"
        instructions = config.instructions or ""
        return StartSession(
            instructions=instructions if instructions.strip() else "",
            history=tuple((item.__struct_config__.tag, item.content[0].text) for item in config.input or ()),
            format=self._format if self._transport == "websocket" else None,
            client_event_id=event_id)

    # ---- session to client ---------------------------------------------------------------------------------------

    def send(self, event: base.SessionEvent) -> list[str]:
        """Put one session event into words of the protocol.

        `AudioReady.samples` are at the rate of `format` (the transport resamples); `at` and `tail` stay on the
        session's clock. Over WebRTC an `AudioReady` gives no text.

        Returns:
            Texts to be sent in order; empty for what the client did not ask for and after `session.closed`.
        """
        if self._state == "closed" or (self._resource is None and not isinstance(event, base.SessionStarted)):
            return []
        extension = _EXTENSION.get(type(event))
        if extension is None or self._may_receive(extension):
            out = self._translate(event)
        else:
            out = self._usage(self._timebase.block_at(event.block + 1)) if isinstance(event, base.BlockPlayed) else []
        return [encode_server(item) for item in out if self._may_receive(item.__struct_config__.tag)]

    def place(self, epoch: int, at: int, rtp_timestamp: int) -> list[str]:
        """Over WebRTC: sample `at` of the session is sent with this RTP timestamp, and what follows it behind. Texts as
        from `send`."""
        if self._state != "live" or not self._may_receive("omni.audio"):
            return []
        return [encode_server(server.OmniAudio(epoch=epoch, start_ms=self._timebase.to_ms(at), tail_ms=0,
                                               rtp_timestamp=rtp_timestamp))]

    def _translate(self, event: base.SessionEvent) -> list[server.ServerEvent]:
        ms = self._timebase.to_ms
        match event:
            case base.AudioReady():
                return self._audio(event)
            case base.AgentText():
                return [server.OutputTranscriptDelta(event_id=self._new_id(), delta=event.text,
                                                     start_ms=ms(event.start), end_ms=ms(event.end))]
            case base.UserText():
                return [server.InputTranscriptDelta(event_id=self._new_id(), delta=event.text,
                                                    start_ms=ms(event.start), end_ms=ms(event.end))]
            case base.SpeechStarted():
                return [server.OmniFloor(event_id=self._new_id(), state="speaking", epoch=event.epoch,
                                         at_ms=ms(event.at))]
            case base.SpeechEnded():
                return [server.OmniFloor(event_id=self._new_id(), state="listening", epoch=event.epoch,
                                         at_ms=ms(event.at), reason=event.reason,
                                         unheard=event.unheard if event.reason == "interrupted" else None)]
            case base.SpeechHeard():
                return [server.OmniHeard(event_id=self._new_id(), epoch=event.epoch, text=event.text,
                                         estimated=event.estimated, final=event.final)]
            case base.BlockPlayed():
                return [server.OmniBlock(event_id=self._new_id(), block=event.block, speaking=event.speaking,
                                         agent_level=_level(event.agent_level), user_level=_level(event.user_level),
                                         late_blocks=event.late_blocks, compute_us=event.compute_us),
                        *self._usage(self._timebase.block_at(event.block + 1))]
            case base.MuteChanged():
                kind = server.InputAudioMuted if event.muted else server.InputAudioUnmuted
                return [kind(event_id=self._new_id(), client_event_id=event.client_event_id)]
            case base.Notice():
                return [self._info(event.code, event.message)]
            case base.Refused():
                return [server.Error(event_id=self._new_id(), client_event_id=event.client_event_id,
                                     error=error_body(WireError(event.message, code=event.code, param=event.param,
                                                                client_event_id=event.client_event_id)))]
            case base.SessionStarted():
                return self._started(event)
            case base.SessionClosed():
                return self._closed(event)
        raise AssertionError(event)

    def _audio(self, event: base.AudioReady) -> list[server.ServerEvent]:
        usage = self._usage(event.at)   # what came before this block has been given out
        if self._transport == "webrtc" or not event.samples.size:
            return usage
        delta = server.OutputAudioDelta(delta=encode_audio(event.samples, self._format))
        if self._omni is None or not self._omni.wants("omni.audio"):
            return [*usage, delta]
        return [*usage, server.OmniAudio(epoch=event.epoch, start_ms=self._timebase.to_ms(event.at),
                                         tail_ms=self._timebase.to_ms(event.tail)), delta]

    def _started(self, event: base.SessionStarted) -> list[server.ServerEvent]:
        assert self._config is not None, "a session started that nobody asked for"
        config, self._state = self._config, "live"
        self._resource = SessionResource(
            id=event.session_id, expires_at=event.expires_at_s, model=self._model, status="active",
            instructions=config.instructions,
            audio=Audio(format=self._format if self._transport == "websocket" else None,
                        output=AudioOutput(voice=self._voice)),
            input=config.input, delegation=config.delegation, store=False, client=config.client)
        started = server.SessionStarted(event_id=self._new_id(), client_event_id=self._start_event_id,
                                        session=self._resource)
        return [started, *self._shortcomings(config)]

    def _shortcomings(self, config: SessionConfig) -> list[server.ServerEvent]:
        """What was asked for, is accepted, and has no effect: said aloud, so that nobody builds on it."""
        infos = []
        if config.model not in (self._model, ANY_MODEL):
            infos.append(self._info("model_substituted", f"the model that answers is {self._model}"))
        if not self._follows_instructions and (config.instructions or "").strip():
            infos.append(self._info("instructions_not_followed", f"{self._model} does not follow instructions"))
        if config.input:
            infos.append(self._info("input_not_followed", f"{self._model} starts without the messages of input"))
        output = config.audio.output if config.audio else None
        if output and output.voice not in (None, self._voice):
            infos.append(self._info("voice_substituted", f"the only voice is {self._voice}"))
        if config.store:
            infos.append(self._info("store_not_supported", "this server stores no sessions"))
        if self._transport == "webrtc" and config.client and config.client.data_channel:
            infos.append(self._info("data_channel_permissions", "the permissions of client.data_channel are in force"))
        return infos

    def _closed(self, event: base.SessionClosed) -> list[server.ServerEvent]:
        self._state = "closed"
        closed = server.SessionClosed(
            event_id=self._new_id(), client_event_id=self._close_event_id, reason=event.reason,
            session=self._resource, usage=server.Usage(seconds=self._timebase.to_seconds(self._end_at)))
        return [self._info("session_closing", event.detail), closed] if event.detail else [closed]

    def _usage(self, end_at: int) -> list[server.ServerEvent]:
        self._end_at = max(self._end_at, end_at)
        if self._end_at < self._next_usage_at:
            return []
        interval = USAGE_INTERVAL_S * self._timebase.sample_rate_hz
        self._next_usage_at = (self._end_at // interval + 1) * interval
        return [server.UsageUpdated(event_id=self._new_id(),
                                    usage=server.Usage(seconds=self._timebase.to_seconds(self._end_at)))]

    # ---- what this client may send and wants to hear -------------------------------------------------------------

    @property
    def _omni(self):
        return self._config.client.omni if self._config and self._config.client else None

    def _may_send(self, kind: str) -> bool:
        channel = self._config.client.data_channel if self._config and self._config.client else None
        allowed = channel.allowed_client_events if channel else None
        return allowed is None or allowed == "all" or kind in allowed

    def _may_receive(self, kind: str) -> bool:
        if kind.startswith("omni.") and not (self._omni and self._omni.wants(kind)):
            return False
        channel = self._config.client.data_channel if self._config and self._config.client else None
        allowed = channel.allowed_server_events if channel and self._transport == "webrtc" else None
        return allowed is None or allowed == "all" or any(selector.type == kind for selector in allowed)

    def _info(self, code: str, message: str) -> server.Info:
        return server.Info(event_id=self._new_id(), code=code, message=message)

    def _error(self, error: OmniError, client_event_id: str | None = None) -> str:
        body = error_body(error)
        if body.client_event_id is None and client_event_id is not None:
            body = msgspec.structs.replace(body, client_event_id=client_event_id)
        return encode_server(server.Error(event_id=self._new_id(), client_event_id=body.client_event_id, error=body))

    def _replies(self, event: server.ServerEvent) -> list[Command]:
        return [Reply(encode_server(event))] if self._may_receive(event.__struct_config__.tag) else []


def _check_delegation(delegation, triggers, event_id: str | None) -> None:
    if delegation is not None and not isinstance(delegation, ClientDelegation):
        raise WireError("this server delegates to no backend", code="unsupported_parameter",
                        param="session.delegation", client_event_id=event_id)
    if triggers:
        raise WireError("this server has no triggers", code="unsupported_parameter", param="session.triggers",
                        client_event_id=event_id)


def _level(level: float) -> float:
    """Within 0 to 1, in steps of 1e-4: a meter shows no more."""
    return round(min(max(float(level), 0.0), 1.0), 4)
