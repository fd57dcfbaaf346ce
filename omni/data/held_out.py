"""Wordings that are kept for evaluation: training checks that it has the very files, and draws none of their texts."""

import hashlib
from functools import lru_cache

import yaml

from omni.base.config import data_path
from omni.base.errors import OmniError


@lru_cache(maxsize=1)
def wordings() -> frozenset[str]:
    """Every held-out text, in lower case.

    They are the texts and lines of the sets that configs/data/held_out.yaml names with their SHA-256.

    Raises:
        OmniError: a set is not the one that was held out.
    """
    found: set[str] = set()
    for entry in yaml.safe_load(data_path("configs", "data", "held_out.yaml").read_text())["wordings"]:
        content = data_path("configs", "evaluate", "sets", entry["file"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise OmniError(f"{entry['file']} is not the set that was held out; a changed one needs its new SHA-256 in "
                            "configs/data/held_out.yaml and training anew")
        items = yaml.safe_load(content)
        found.update(text.lower() for text in items.get("texts", []))
        found.update(line["text"].lower() for line in items.get("lines", []))
    return frozenset(found)


def check(text: str | None) -> None:
    """Refuse a text of a lesson that is held out.

    Raises:
        OmniError: it is.
    """
    if text is not None and text.lower() in wordings():
        raise OmniError(f"held out for evaluation, but among the lessons: {text!r}")
