"""The contract names what the code has: every event, every code, every bound."""

import re
from pathlib import Path

import pytest

import omni
from omni.base import errors
from omni.base.config import data_path
from omni.wire import CLIENT_EVENT_TYPES, SERVER_EVENT_TYPES, limits
from omni.wire.client_events import UNSUPPORTED_CLIENT_EVENTS
from omni.wire.session import OMNI_EVENT_TYPES

README = (data_path("protocol") / "README.md").read_text(encoding="utf-8")
PACKAGE = Path(omni.__file__).parent


def _sources() -> str:
    """What may put a code on the wire; errors of our own commands and clients stay on their machine."""
    paths = [*(PACKAGE / "wire").glob("*.py"), *(PACKAGE / "serve").glob("*.py")]
    paths += [PACKAGE / "transport" / f"{name}.py" for name in ("webrtc", "websocket", "sdp")]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths if path.name != "command.py")


@pytest.mark.parametrize("kind", sorted(CLIENT_EVENT_TYPES | SERVER_EVENT_TYPES | UNSUPPORTED_CLIENT_EVENTS))
def test_every_event_is_in_the_contract(kind):
    assert f"`{kind}`" in README or f"`.{kind.rsplit('.', 1)[1]}`" in README


def test_the_extension_is_what_the_server_has():
    assert set(OMNI_EVENT_TYPES) == {kind for kind in SERVER_EVENT_TYPES if kind.startswith("omni.")}


def test_every_code_is_in_the_contract():
    sources = _sources()
    codes = set(re.findall(r'\bcode ?= ?"([a-z_0-9]+)"', sources))
    codes |= set(re.findall(r'self\._info\("([a-z_]+)"', sources))
    codes |= set(re.findall(r'AccessError\(\d+, "([a-z_]+)"', sources))
    codes |= {errors.CapacityError.code, errors.OmniError.code, errors.WireError.code}
    assert len(codes) > 20
    assert not {code for code in codes if f"`{code}`" not in README}


@pytest.mark.parametrize("bound", [
    limits.MAX_INSTRUCTIONS_CHARACTERS, limits.MAX_INPUT_MESSAGES, limits.MAX_INPUT_CHARACTERS,
    limits.MAX_CONTEXT_CHARACTERS, limits.MAX_NAME_CHARACTERS, limits.MAX_PERMISSIONS, limits.MAX_APPEND_S,
])
def test_every_bound_is_in_the_contract(bound):
    assert re.search(rf"\b{bound:,}\b", README[README.index("## 10."):])
