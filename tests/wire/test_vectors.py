"""The vectors of protocol/vectors against the codec, against the exported schema, and against a session's adapter."""

import json

import jsonschema
import pytest
from vectors import Vector, load

from omni.base.config import data_path
from omni.base.errors import WireError
from omni.wire import (
    CLIENT_EVENT_TYPES,
    SERVER_EVENT_TYPES,
    decode_client,
    decode_server,
    encode_client,
    encode_server,
    schema,
)

VALID, INVALID = load("valid"), load("invalid")
REFUSED_BY_CODEC = [vector for vector in INVALID if vector.state is None]
CODEC = {"client": (decode_client, encode_client), "server": (decode_server, encode_server)}


def _validator(direction: str) -> jsonschema.Draft202012Validator:
    body = json.loads((data_path("protocol", "schema") / f"{direction}-event.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(body)
    return jsonschema.Draft202012Validator(body)


VALIDATORS = {direction: _validator(direction) for direction in CODEC}


def _told(value):
    """Without nulls: a field left out and a null say the same."""
    if isinstance(value, dict):
        return {key: _told(item) for key, item in value.items() if item is not None}
    return [_told(item) for item in value] if isinstance(value, list) else value


def _holds(part, whole) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and _holds(part[key], whole[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(_holds, part, whole))
    return part == whole


@pytest.mark.parametrize("vector", VALID, ids=str)
def test_a_valid_vector_survives_decoding_and_encoding(vector: Vector):
    decode, encode = CODEC[vector.direction]
    event = decode(vector.message)
    again = json.loads(encode(event))
    assert decode(encode(event)) == event
    if vector.direction == "client":
        assert _holds(_told(vector.event), again)
    else:
        assert _holds(again, vector.event)   # a reader drops fields that it does not know


@pytest.mark.parametrize("vector", VALID, ids=str)
def test_a_valid_vector_fits_the_schema(vector: Vector):
    VALIDATORS[vector.direction].validate(vector.event)


@pytest.mark.parametrize("vector", REFUSED_BY_CODEC, ids=str)
def test_an_invalid_vector_is_refused_with_its_code(vector: Vector):
    with pytest.raises(WireError) as refused:
        CODEC[vector.direction][0](vector.message)
    assert (refused.value.code, refused.value.param) == (vector.code, vector.param), str(refused.value)


@pytest.mark.parametrize("vector", [v for v in REFUSED_BY_CODEC if v.code != "invalid_json"], ids=str)
def test_an_invalid_vector_does_not_fit_the_schema(vector: Vector):
    assert not VALIDATORS[vector.direction].is_valid(vector.event)


def test_every_event_type_has_a_valid_vector():
    for direction, types in (("client", CLIENT_EVENT_TYPES), ("server", SERVER_EVENT_TYPES)):
        assert types == {vector.event["type"] for vector in VALID if vector.direction == direction}


def test_the_committed_schema_is_current(capsys):
    assert schema.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_schema_is_named(tmp_path, capsys):
    assert schema.main(["--out", str(tmp_path)]) == 0
    (tmp_path / "http-error.json").write_text("{}")
    assert schema.main(["--check", "--out", str(tmp_path)]) == 1
    assert "http-error.json" in capsys.readouterr().err
