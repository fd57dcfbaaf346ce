"""JSON Schema of the protocol, exported from the Python types.

    python -m omni.wire.schema            write protocol/schema/*.json
    python -m omni.wire.schema --check    exit 1 if a file there is missing or out of date
"""

import argparse
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from omni.base.config import data_path
from omni.wire.client_events import ClientEvent
from omni.wire.server_events import ServerEvent
from omni.wire.signalling import CreatedSession, CreateSession, HttpError

_FILES = {
    "client-event": ("An event a client sends", ClientEvent),
    "server-event": ("An event the server sends; unknown fields and unknown types are to be ignored", ServerEvent),
    "create-session": ("Body of POST /v1/live/sessions", CreateSession),
    "created-session": ("Body of the answer to POST /v1/live/sessions", CreatedSession),
    "http-error": ("Body of every HTTP refusal", HttpError),
}


def schemas() -> dict[str, str]:
    """File name to text of every schema."""
    return {f"{name}.json": _export(name, title, kind) for name, (title, kind) in _FILES.items()}


def main(argv: list[str] | None = None) -> int:
    """Write the schemas, or check that they are current."""
    parser = argparse.ArgumentParser(prog="python -m omni.wire.schema", description="Export the JSON Schema.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not current")
    parser.add_argument("--out", type=Path, default=data_path("protocol") / "schema", help="folder of the schemas")
    args = parser.parse_args(argv)
    files = schemas()
    if args.check:
        stale = [name for name, text in files.items()
                 if not (args.out / name).exists() or (args.out / name).read_text(encoding="utf-8") != text]
        for name in stale:
            print(f"{name} is not current; run python -m omni.wire.schema", file=sys.stderr)
        return 1 if stale else 0
    args.out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (args.out / name).write_text(text, encoding="utf-8")
    return 0


def _export(name: str, title: str, kind: Any) -> str:
    (top,), components = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **_plain(top),
              "$defs": _plain(dict(sorted(components.items())))}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _plain(node: Any) -> Any:
    """Tags as `const`, and no `discriminator`: it belongs to OpenAPI and says nothing that the constants do not."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _plain(value) for key, value in node.items() if key != "discriminator"}
    if isinstance(plain.get("enum"), list) and len(plain["enum"]) == 1:
        plain["const"] = plain.pop("enum")[0]
    if isinstance(plain.get("description"), str):
        plain["description"] = inspect.cleandoc(plain["description"])   # Python 3.13 does this when it compiles
    return plain


if __name__ == "__main__":
    sys.exit(main())
