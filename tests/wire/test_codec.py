"""The codec: bounds, codes, and that nothing but a WireError ever comes out."""

import json
import random

import pytest
from vectors import load

from omni.base.errors import CapacityError, WireError
from omni.wire import (
    EventIds,
    decode_client,
    decode_create,
    decode_created,
    decode_server,
    encode_create,
    encode_created,
    encode_http_error,
    limits,
)


def _start(**session) -> str:
    return json.dumps({"type": "session.start", "event_id": "s1", "session": {"model": "omni-tiny", **session}})


def _refused(message, decode=decode_client) -> WireError:
    with pytest.raises(WireError) as refused:
        decode(message)
    return refused.value


def _message(text: str) -> dict:
    return {"role": "user", "content": [{"type": "input_text", "text": text}]}


def test_an_error_names_the_client_event():
    assert _refused('{"type":"session.close","event_id":"c","x":1}').client_event_id == "c"
    assert _refused('{"type":"nonsense","event_id":"c"}').client_event_id == "c"
    assert _refused('{"type":"nonsense","event_id":7}').client_event_id is None


def test_an_unknown_type_names_the_nearest():
    assert "session.start" in str(_refused('{"type":"session.strat"}'))


def test_what_a_client_sent_is_not_echoed_at_length():
    for message in ('{"type":"%s"}' % ("x" * 100_000), '{"type":"session.close","%s":1}' % ("x" * 100_000)):
        error = _refused(message)
        assert len(str(error)) < 250 and len(error.param or "") < 250


@pytest.mark.parametrize("session, param", [
    ({"instructions": "x" * (limits.MAX_INSTRUCTIONS_CHARACTERS + 1)}, "session.instructions"),
    ({"input": [_message("x")] * (limits.MAX_INPUT_MESSAGES + 1)}, "session.input"),
    ({"input": [_message("x" * (limits.MAX_INPUT_CHARACTERS // 2 + 1))] * 2}, "session.input"),
    ({"model": "x" * (limits.MAX_NAME_CHARACTERS + 1)}, "session.model"),
])
def test_a_bound_is_an_error_that_names_the_field(session, param):
    error = _refused(_start(**session))
    assert (error.code, error.param, error.client_event_id) == ("limit_exceeded", param, "s1")


def test_the_bounds_themselves_are_allowed():
    decode_client(_start(instructions="é" * limits.MAX_INSTRUCTIONS_CHARACTERS,
                         input=[_message("x" * (limits.MAX_INPUT_CHARACTERS // 128))] * limits.MAX_INPUT_MESSAGES))


@pytest.mark.parametrize("message", [
    "x" * (limits.MAX_MESSAGE_BYTES + 1), b"x" * (limits.MAX_MESSAGE_BYTES + 1),
    "é" * (limits.MAX_MESSAGE_BYTES // 2 + 1),
])
def test_a_message_that_is_too_large(message):
    assert _refused(message).code == "message_too_large"


@pytest.mark.parametrize("decode", [decode_client, decode_server, decode_create, decode_created])
@pytest.mark.parametrize("message", [
    "[" * 500_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000,
    '{"type":"session.start","session":{"model":"x","triggers":[{"a":' + "[" * 100_000 + "]" * 100_000 + "}]}}",
    '{"type":"session.close","event_id":' + "9" * 10_000 + "}", '{"type":"omni.playback","played_ms":1e400}',
    "\ud800", b"\xff\xfe\x00", b"\x00" * 100, '"text"', "true", '{"type":{"a":1}}', '{"type":"\\u0000"}',
], ids=range(13))
def test_hostile_text_is_refused(decode, message):
    assert _refused(message, decode).code


def _mutate_text(draw: random.Random, seeds: list[bytes]) -> bytes:
    """A vector with a few bytes cut, flipped, put in, or continued by another vector."""
    tokens = [b"null", b"NaN", b"1e999", b"-1", b"[]", b"{}", b'""', b'"\\ud800"', b"\xff", b"\x00", b'"type":',
              b"9" * 400]
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(4):
            case 0:
                del data[at:at + draw.randint(1, 20)]
            case 1:
                data[at:at + 1] = bytes([draw.randrange(256)])
            case 2:
                data[at:at + draw.randint(0, 8)] = draw.choice(tokens)
            case 3:
                other = draw.choice(seeds)
                data[at:] = other[draw.randrange(len(other) + 1):]
    return bytes(data)


def _mutate_value(draw: random.Random, value, depth: int = 0):
    """The same JSON with values of other types, fields missing, doubled or renamed."""
    if draw.random() < 0.12:
        return draw.choice([None, True, -1, 0, 1.5, 2**53, 2**70, 1e308, "", "all", "é" * 600, [], {}, [[]],
                            {"type": "client"}, {"events": "all"}, value, [value], {"session": value}])
    if isinstance(value, dict):
        return {draw.choice([key, key, key, key, key + "x", "type"]) if draw.random() < 0.1 else key:
                _mutate_value(draw, item, depth + 1) for key, item in value.items() if draw.random() > 0.05}
    return [_mutate_value(draw, item, depth + 1) for item in value] if isinstance(value, list) else value


def test_mutated_events_give_an_event_or_a_wire_error():
    """Whatever is done to a vector, the codec raises nothing of its own (seeded)."""
    draw = random.Random(20260912)
    vectors = load("valid") + load("invalid")
    seeds = [v.message.encode() if isinstance(v.message, str) else v.message for v in vectors]
    outcomes = {True: 0, False: 0}
    for number in range(6000):
        if number % 2:
            data = _mutate_text(draw, seeds)
        else:
            data = json.dumps(_mutate_value(draw, draw.choice(vectors).event)).encode()
        for decode in (decode_client, decode_server, decode_create):
            try:
                decode(data)
                outcomes[True] += 1
            except WireError as error:
                assert error.code and str(error)
                outcomes[False] += 1
    assert outcomes[True] > 500 and outcomes[False] > 5000, outcomes


def test_noise_is_refused():
    draw = random.Random(5)
    for length in (1, 10, 1000, 100_000):
        assert _refused(draw.randbytes(length)).code in ("invalid_json", "invalid_event")


def test_creating_a_session_by_post():
    body = {"session": {"model": "gpt-live-1"}, "transport": {"type": "webrtc", "sdp": "v=0\r\n"}}
    create = decode_create(json.dumps(body).encode())
    assert create.transport.sdp == "v=0\r\n" and decode_create(encode_create(create)) == create
    created = decode_created(encode_created("live_1", "v=0\r\n"))
    assert (created.session.id, created.transport.type, created.transport.sdp) == ("live_1", "webrtc", "v=0\r\n")


@pytest.mark.parametrize("change, code, param", [
    ({"transport": None}, "invalid_type", "transport"),
    ({"transport": {"type": "sip", "sdp": "v=0"}}, "invalid_value", "transport.type"),
    ({"transport": {"type": "webrtc"}}, "missing_parameter", "transport.sdp"),
    ({"transport": {"type": "webrtc", "sdp": ""}}, "invalid_value", "transport.sdp"),
    ({"transport": {"type": "webrtc", "sdp": "x" * (limits.MAX_SDP_BYTES + 1)}}, "limit_exceeded", "transport.sdp"),
    ({"session": {}}, "missing_parameter", "session.model"),
    ({"extra": 1}, "unknown_parameter", "extra"),
])
def test_a_post_that_is_wrong(change, code, param):
    body = {"session": {"model": "x"}, "transport": {"type": "webrtc", "sdp": "v=0"}, **change}
    error = _refused(json.dumps(body), decode_create)
    assert (error.code, error.param) == (code, param)


def test_http_refusals_have_the_shape_of_errors():
    assert json.loads(encode_http_error(CapacityError("all places are taken"))) == {
        "error": {"type": "server_error", "code": "session_limit_reached", "message": "all places are taken"}}
    assert json.loads(encode_http_error(WireError("no", code="invalid_value", param="transport.sdp"))) == {
        "error": {"type": "invalid_request_error", "code": "invalid_value", "message": "no", "param": "transport.sdp"}}


def test_event_ids_count():
    ids = EventIds("e7")
    assert [ids(), ids()] == ["e7_1", "e7_2"]
