"""The vectors of protocol/vectors, for the tests that read them."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from omni.base.config import data_path


@dataclass(frozen=True)
class Vector:
    """One file: an event, and for an invalid one what is wrong with it.

    Attributes:
        state: None if the codec refuses it; else the state ("new", "started") in which a session refuses it.
    """

    name: str
    direction: str
    message: str | bytes
    event: Any
    code: str | None
    param: str | None
    state: str | None

    def __str__(self) -> str:
        return self.name


def load(kind: str) -> list[Vector]:
    """All vectors of kind "valid" or "invalid", in order of name."""
    vectors = []
    for path in sorted(data_path("protocol", "vectors", kind).glob("*.json")):
        body = json.loads(path.read_text(encoding="utf-8"))
        if "base64" in body:
            message: str | bytes = base64.b64decode(body["base64"])
        else:
            message = body["text"] if "text" in body else json.dumps(body["event"])
        expect = body.get("expect", {})
        vectors.append(Vector(path.stem, body["direction"], message, body.get("event"), expect.get("code"),
                              expect.get("param"), body.get("state")))
    return vectors
