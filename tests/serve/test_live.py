"""The adapter of the session protocol: order rules, translation, the extension, closing. No I/O, no clock."""

import base64
import json

import msgspec
import numpy as np
import pytest
from vectors import Vector, load

from omni.base import events as base
from omni.base.errors import CapacityError
from omni.base.timebase import TINY
from omni.serve.commands import AppendAudio, Close, Hangup, Mute, Reply, ReportPlayed, StartSession, Unmute
from omni.serve.live import MAX_REFUSALS, LiveAdapter
from omni.wire import decode_server
from omni.wire.session import AudioPcm, AudioPcmu, SessionConfig

BLOCK = np.full(1280, 0.25, dtype=np.float32)


def _adapter(**options) -> LiveAdapter:
    return LiveAdapter(TINY, model="omni-tiny", voice="default", **options)


def _start(**session) -> str:
    return json.dumps({"type": "session.start", "event_id": "s1", "session": {"model": "omni-tiny", **session}})


def _live(adapter: LiveAdapter | None = None, **session) -> LiveAdapter:
    adapter = adapter or _adapter()
    adapter.receive(_start(**session))
    adapter.send(base.SessionStarted("live_1", 1_790_000_000))
    return adapter


def _event(kind: str, **fields) -> str:
    return json.dumps({"type": kind, **fields})


def _told(texts: list[str]) -> list[dict]:
    for text in texts:
        decode_server(text)   # whatever leaves is an event of the protocol
    return [json.loads(text) for text in texts]


def _refusal(commands) -> dict:
    (reply,) = commands
    assert isinstance(reply, Reply)
    (event,) = _told([reply.text])
    assert event["type"] == "error" and event["error"]["type"] == "invalid_request_error"
    return event["error"]


def _audio(at: int, samples=BLOCK, epoch: int = 0, tail: int = 0) -> base.AudioReady:
    return base.AudioReady(at, samples, epoch, tail)


# ---- starting ----------------------------------------------------------------------------------------------------


def test_a_stock_client_starts():
    adapter = _adapter()
    audio = {"format": {"type": "audio/pcm", "rate": 16000}}
    (start,) = adapter.receive(_start(instructions=" Be brief. ", audio=audio))
    assert start == StartSession(" Be brief. ", (), AudioPcm(rate=16000), "s1")
    started, info = _told(adapter.send(base.SessionStarted("live_1", 1_790_000_000)))
    assert started["type"] == "session.started" and started["client_event_id"] == "s1"
    assert started["session"] == {
        "id": "live_1", "expires_at": 1_790_000_000, "model": "omni-tiny", "status": "active", "store": False,
        "instructions": " Be brief. ",
        "audio": {"format": {"type": "audio/pcm", "rate": 16000}, "output": {"voice": "default"}}}
    assert (info["type"], info["code"]) == ("info", "instructions_not_followed")


def test_what_has_no_effect_is_said():
    adapter = _adapter()
    adapter.receive(json.dumps({"type": "session.start", "session": {
        "model": "gpt-live-1", "store": True, "audio": {"output": {"voice": "marin"}},
        "input": [{"role": "user", "content": [{"text": "Hi."}]}], "instructions": "  "}}))
    codes = [event.get("code") for event in _told(adapter.send(base.SessionStarted("live_1", 1)))]
    assert codes == [None, "model_substituted", "input_not_followed", "voice_substituted", "store_not_supported"]


def test_a_client_may_take_whichever_model_there_is():
    adapter = _adapter()
    adapter.receive(json.dumps({"type": "session.start", "session": {"model": "omni"}}))
    (started,) = _told(adapter.send(base.SessionStarted("live_1", 1)))
    assert started["session"]["model"] == "omni-tiny"


def test_an_engine_that_follows_instructions_says_nothing():
    adapter = _adapter(follows_instructions=True)
    (start,) = adapter.receive(_start(instructions="Speak French."))
    assert start.instructions == "Speak French."
    assert len(adapter.send(base.SessionStarted("live_1", 1))) == 1


def test_history_is_handed_on():
    history = [{"role": "developer", "content": [{"text": "a"}]}, {"role": "assistant", "content": [{"text": "b"}]}]
    (start,) = _adapter().receive(_start(input=history, instructions="   "))
    assert start.history == (("developer", "a"), ("assistant", "b")) and start.instructions == ""


@pytest.mark.parametrize("kind, fields", [
    ("session.input_audio.append", {"audio": "AAA="}), ("session.input_audio.mute", {}), ("session.close", {}),
    ("session.update", {"session": {}}), ("omni.playback", {"played_ms": 0}),
])
def test_nothing_comes_before_the_start(kind, fields):
    error = _refusal(_adapter().receive(_event(kind, event_id="x", **fields)))
    assert (error["code"], error["param"], error["client_event_id"]) == ("session_not_started", "type", "x")


def test_between_start_and_started_only_close_is_taken():
    adapter = _adapter()
    adapter.receive(_start())
    error = _refusal(adapter.receive(_event("session.input_audio.append", audio="AAA=")))
    assert error["code"] == "session_not_started"
    assert _refusal(adapter.receive(_start()))["code"] == "session_already_started"
    assert adapter.receive(_event("session.close")) == [Close("close_requested")]


def test_a_second_start_changes_nothing():
    adapter = _live(audio={"format": {"type": "audio/pcm", "rate": 16000}})
    error = _refusal(adapter.receive(_start(audio={"format": {"type": "audio/pcmu"}})))
    assert error["code"] == "session_already_started"
    assert adapter.format == AudioPcm(rate=16000)


def test_a_full_server_refuses_and_a_later_start_may_succeed():
    adapter = _adapter()
    adapter.receive(_start())
    (error,) = _told(adapter.refuse(CapacityError("all 4 places are taken")))
    assert error["error"] == {"type": "server_error", "code": "session_limit_reached",
                              "message": "all 4 places are taken", "client_event_id": "s1"}
    assert isinstance(adapter.receive(_start())[0], StartSession)


@pytest.mark.parametrize("session", [{"delegation": {"type": "decisions", "decisions": {}}}, {"triggers": [{}]}])
def test_a_setting_that_cannot_be_had_refuses_the_start(session):
    adapter = _adapter()
    assert _refusal(adapter.receive(_start(**session)))["code"] == "unsupported_parameter"
    assert isinstance(adapter.receive(_start())[0], StartSession)


# ---- a running session -------------------------------------------------------------------------------------------


def test_audio_comes_in_the_sessions_format():
    adapter = _live()
    (append,) = adapter.receive(_event("session.input_audio.append", audio="AAAAAP9/AIA="))
    assert isinstance(append, AppendAudio) and append.rate_hz == 24000
    assert append.samples.tolist() == [0.0, 0.0, 32767 / 32768, -1.0]
    assert adapter.receive(_event("session.input_audio.append", audio="")) == []
    mulaw = _live(audio={"format": {"type": "audio/pcmu", "rate": 8000}})
    (append,) = mulaw.receive(_event("session.input_audio.append", audio="/38="))
    assert mulaw.format == AudioPcmu() and append.rate_hz == 8000 and append.samples.tolist() == [0.0, 0.0]


def test_bad_audio_names_the_event():
    error = _refusal(_live().receive(_event("session.input_audio.append", audio="?", event_id="a7")))
    assert (error["code"], error["param"], error["client_event_id"]) == ("invalid_audio", "audio", "a7")


def test_mute_is_acknowledged_by_the_session():
    adapter = _live()
    assert adapter.receive(_event("session.input_audio.mute", event_id="m")) == [Mute("m")]
    assert adapter.receive(_event("session.input_audio.unmute")) == [Unmute(None)]
    (muted,) = _told(adapter.send(base.MuteChanged(True, "m")))
    (unmuted,) = _told(adapter.send(base.MuteChanged(False)))
    assert (muted["type"], muted["client_event_id"]) == ("session.input_audio.muted", "m")
    assert unmuted["type"] == "session.input_audio.unmuted" and "client_event_id" not in unmuted


def test_update_is_answered_with_the_session():
    (reply,) = _live().receive(_event("session.update", event_id="u", session={"delegation": {"type": "client"}}))
    (updated,) = _told([reply.text])
    assert (updated["type"], updated["client_event_id"], updated["session"]["id"]) == ("session.updated", "u", "live_1")


@pytest.mark.parametrize("kind", ["instructions", "thinking", "commentary"])
def test_context_for_a_running_model_is_declined_politely(kind):
    (reply,) = _live().receive(_event(f"session.{kind}.append", event_id="c", content="x", delegation_id=None))
    (info,) = _told([reply.text])
    assert (info["type"], info["code"], info["client_event_id"]) == ("info", "context_not_followed", "c")


def test_a_stock_client_sees_the_plain_protocol():
    adapter = _live(audio={"format": {"type": "audio/pcm", "rate": 16000}})
    texts = []
    for event in (base.SpeechStarted(1, 1280), _audio(1280, epoch=1), base.AgentText(" hello", 1280, 2000, 1),
                  base.UserText("hi", 0, 1280), base.BlockPlayed(1, True, 0.1, 0.0, 0, 900),
                  base.SpeechHeard(1, "hello", True, False), base.SpeechEnded(2, 2560, "interrupted", 2),
                  base.Notice("late", "a block was late"), base.Refused("nope", "no", "audio", "a1")):
        texts += adapter.send(event)
    told = _told(texts)
    assert [event["type"] for event in told] == ["session.output_audio.delta", "session.output_transcript.delta",
                                                 "session.input_transcript.delta", "info", "error"]
    assert base64.b64decode(told[0]["delta"]) == (BLOCK * 32768).astype("<i2").tobytes() and len(told[0]) == 2
    assert (told[1]["delta"], told[1]["start_ms"], told[1]["end_ms"]) == (" hello", 80, 125)
    assert told[4]["client_event_id"] == "a1" and told[4]["error"]["param"] == "audio"


def test_the_extension_is_given_when_asked_for():
    adapter = _live(client={"omni": {"events": "all"}})
    assert _told(adapter.send(base.SpeechStarted(1, 1280)))[0] | {"event_id": ""} == {
        "type": "omni.floor", "event_id": "", "state": "speaking", "epoch": 1, "at_ms": 80}
    position, delta = _told(adapter.send(_audio(2560, epoch=2, tail=160)))
    assert position == {"type": "omni.audio", "epoch": 2, "start_ms": 160, "tail_ms": 10}
    assert delta["type"] == "session.output_audio.delta"
    assert _told(adapter.send(base.SpeechEnded(2, 2560, "interrupted", 2)))[0] | {"event_id": ""} == {
        "type": "omni.floor", "event_id": "", "state": "listening", "epoch": 2, "at_ms": 160, "reason": "interrupted",
        "unheard": 2}
    assert "unheard" not in _told(adapter.send(base.SpeechEnded(2, 2560, "finished")))[0]
    assert _told(adapter.send(base.SpeechHeard(2, "a large", False, True)))[0]["text"] == "a large"
    block = _told(adapter.send(base.BlockPlayed(3, True, 0.123456, 1.5, 1, 14_210)))[0]
    assert (block["agent_level"], block["user_level"], block["late_blocks"]) == (0.1235, 1.0, 1)
    assert adapter.receive(_event("omni.playback", played_ms=80, buffered_ms=5)) == [ReportPlayed(80, None, 5)]


def test_part_of_the_extension():
    adapter = _live(client={"omni": {"events": ["omni.floor"]}})
    assert adapter.send(base.SpeechStarted(1, 0)) and not adapter.send(base.BlockPlayed(0, False, 0, 0, 0, 1))
    assert [event["type"] for event in _told(adapter.send(_audio(0)))] == ["session.output_audio.delta"]
    assert adapter.receive(_event("omni.playback", played_ms=0)) == [ReportPlayed(0)]


def test_playback_needs_the_extension():
    assert _refusal(_live().receive(_event("omni.playback", played_ms=0)))["code"] == "extension_not_enabled"


def test_usage_is_told_every_ten_seconds():
    adapter = _live()
    seconds = []
    for block in range(400):
        for text in adapter.send(_audio(block * 1280)) + adapter.send(base.BlockPlayed(block, False, 0, 0, 0, 1)):
            event = json.loads(text)
            if event["type"] == "session.usage.updated":
                seconds.append(event["usage"]["seconds"])
    assert seconds == [10.0, 20.0, 30.0]


# ---- closing -----------------------------------------------------------------------------------------------------


def test_closed_is_told_once_and_last():
    adapter = _live()
    adapter.send(_audio(0))
    adapter.send(base.BlockPlayed(0, False, 0, 0, 0, 1))
    assert adapter.receive(_event("session.close", event_id="bye")) == [Close("close_requested")]
    assert adapter.receive(_event("session.input_audio.append", audio="AAA=")) == []   # was on its way
    (closed,) = _told(adapter.send(base.SessionClosed("close_requested")))
    assert closed | {"event_id": "", "session": None} == {
        "type": "session.closed", "event_id": "", "client_event_id": "bye", "reason": "close_requested",
        "session": None, "usage": {"seconds": 0.08}}
    assert closed["session"]["status"] == "active"
    assert adapter.send(base.SessionClosed("expired")) == [] and adapter.send(_audio(1280)) == []
    assert adapter.receive(_start()) == [] and adapter.fail(CapacityError("x")) == []


def test_why_a_session_ended_is_said_before():
    info, closed = _told(_live().send(base.SessionClosed("expired", "nobody spoke for 300 s")))
    assert (info["code"], info["message"], closed["reason"]) == ("session_closing", "nobody spoke for 300 s", "expired")


def test_a_session_that_never_started_is_not_closed():
    assert _adapter().send(base.SessionClosed("connection_lost")) == []


def test_a_peer_that_sends_only_noise_is_let_go():
    adapter = _live()
    for _ in range(MAX_REFUSALS - 1):
        _refusal(adapter.receive(b"\xff"))
    reply, hangup = adapter.receive(b"\xff")
    assert isinstance(reply, Reply) and isinstance(hangup, Hangup) and hangup.code == "too_many_errors"
    assert adapter.receive(_event("session.close")) == []
    assert _told(adapter.send(base.SessionClosed("connection_lost")))[0]["reason"] == "connection_lost"


# ---- WebRTC ------------------------------------------------------------------------------------------------------


def _webrtc(**session) -> LiveAdapter:
    adapter = _adapter(transport="webrtc")
    start = adapter.create(msgspec.convert({"model": "omni-tiny", **session}, SessionConfig))
    assert start.format is None
    return adapter


def test_over_webrtc_the_post_is_the_start():
    adapter = _webrtc()
    assert _refusal(adapter.receive(_start()))["code"] == "session_already_started"
    (started,) = _told(adapter.send(base.SessionStarted("live_1", 1)))
    assert "format" not in started["session"]["audio"] and "client_event_id" not in started
    assert adapter.send(_audio(0)) == []
    assert _refusal(adapter.receive(_start()))["code"] == "session_already_started"
    error = _refusal(adapter.receive(_event("session.input_audio.append", audio="AAA=")))
    assert error["code"] == "unsupported_on_webrtc"


def test_webrtc_negotiates_its_own_format():
    with pytest.raises(Exception, match="negotiates") as refused:
        _webrtc(audio={"format": {"type": "audio/pcm", "rate": 24000}})
    assert refused.value.param == "session.audio.format"


def test_over_webrtc_the_place_of_audio_is_told_when_it_moves_not_with_every_block():
    adapter = _webrtc(client={"omni": {"events": "all"}})
    assert adapter.place(0, 1280, 7) == [], "not started"
    adapter.send(base.SessionStarted("live_1", 1))
    assert adapter.send(_audio(0)) == [] and adapter.send(base.SpeechStarted(1, 0))
    assert _told(adapter.place(1, 1280, 2**32 - 1)) == [
        {"type": "omni.audio", "epoch": 1, "start_ms": 80, "tail_ms": 0, "rtp_timestamp": 2**32 - 1}]
    for others in ({"omni": {"events": ["omni.floor"]}}, None):
        adapter = _webrtc(client=others)
        adapter.send(base.SessionStarted("live_1", 1))
        assert adapter.place(1, 1280, 7) == [], "not asked for"


def test_permissions_of_a_data_channel():
    channel = {"allowed_client_events": ["session.close"],
               "allowed_server_events": [{"type": "session.started"}, {"type": "info"}, {"type": "error"}]}
    adapter = _webrtc(client={"data_channel": channel})
    types = [event["type"] for event in _told(adapter.send(base.SessionStarted("live_1", 1)))]
    assert types == ["session.started", "info"]
    assert _refusal(adapter.receive(_event("session.input_audio.mute")))["code"] == "event_not_allowed"
    assert adapter.send(base.UserText("hi", 0, 1)) == []
    assert adapter.receive(_event("session.close")) == [Close()]


def test_permissions_mean_nothing_on_a_websocket():
    adapter = _live(client={"data_channel": {"allowed_client_events": [], "allowed_server_events": []}})
    assert adapter.receive(_event("session.input_audio.mute")) == [Mute()] and adapter.send(_audio(0))


# ---- every invalid vector ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", [v for v in load("invalid") if v.direction == "client"], ids=str)
def test_an_invalid_vector_is_answered_and_the_session_goes_on(vector: Vector):
    adapter = _adapter() if vector.state == "new" else _live()
    error = _refusal(adapter.receive(vector.message))
    assert (error["code"], error.get("param")) == (vector.code, vector.param)
    adapter = _live(adapter) if vector.state == "new" else adapter
    assert adapter.receive(_event("session.input_audio.mute")) == [Mute()]


@pytest.mark.parametrize("vector", [v for v in load("valid") if v.direction == "client"], ids=str)
def test_a_valid_vector_is_taken(vector: Vector):
    starts = vector.event["type"] == "session.start"
    adapter = _adapter() if starts else _live(client={"omni": {"events": "all"}})
    for command in adapter.receive(vector.message):
        if isinstance(command, Reply):
            assert _told([command.text])[0]["type"] in ("info", "session.updated")


def test_the_same_session_gives_the_same_text():
    def run() -> list[str]:
        adapter = _adapter()
        adapter.receive(_start(client={"omni": {"events": "all"}}))
        return adapter.send(base.SessionStarted("live_1", 1)) + adapter.send(base.SpeechStarted(1, 0))

    assert run() == run()
