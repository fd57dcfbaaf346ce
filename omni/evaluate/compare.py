"""`omni evaluate --compare A.json B.json`: what changed beyond noise between two reports, and how they are unlike."""

import json
from pathlib import Path

from omni.base.errors import MediaError
from omni.evaluate.report import cell

ALIKE = ("suite", "scripts", "seed", "times", "most", "added_ms")   # of a header: where they differ, so may any number
_BEFORE = {"times": 1}      # what it was before headers told it
_ORDER = ("better", "worse", "different", "no interval", "within noise")


def compare(before: Path, after: Path) -> str:
    """A warning for each setting in which two reports are unlike, then a line for each metric of the agents in both:
    changed beyond noise if the intervals do not overlap; one without an interval is not judged.

    Raises:
        MediaError: one is no report.
    """
    a, b = (_load(path) for path in (before, after))
    lines = []
    for agent in a["agents"].keys() & b["agents"].keys():
        for name, old in a["agents"][agent]["metrics"].items():
            new = b["agents"][agent]["metrics"].get(name)
            if new is None or old["value"] is None or new["value"] is None:
                continue
            lines.append((_change(old, new), f"{agent} {name}", f"{cell(old)} -> {cell(new)}"))
    width = max((len(name) for _, name, _ in lines), default=0)
    lines.sort(key=lambda line: (_ORDER.index(line[0]), line[1]))
    return "\n".join([*_unlike(a, b), *(f"{change:<13}{name:<{width}}  {values}" for change, name, values in lines)])


def _unlike(a: dict, b: dict) -> list[str]:
    """Warnings: settings of the reports, then of the agents that are in both."""
    heads = a["header"], b["header"]
    pairs = [(key, *(head.get(key, _BEFORE.get(key, "not told")) for head in heads)) for key in ALIKE]
    for name in sorted(a["agents"].keys() & b["agents"].keys()):
        pairs.append((f"{name} in", *("real time" if report["agents"][name].get("real_time") else "virtual time"
                                      for report in (a, b))))
    return [f"WARNING: not alike, so numbers may differ for that alone: {what} {_told(old)} -> {_told(new)}"
            for what, old, new in pairs if old != new]


def _told(value) -> str:
    return "all" if value is None else str(value)       # of each script's conversations


def _change(old: dict, new: dict) -> str:
    if old["low"] is None or new["low"] is None:
        return "no interval"
    if old["low"] <= new["high"] and new["low"] <= old["high"]:
        return "within noise"
    if new["better"] == "neither":
        return "different"
    return "better" if (new["value"] > old["value"]) == (new["better"] == "higher") else "worse"


def _load(path: Path) -> dict:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        report["header"]["scripts"], report["agents"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MediaError(f"{path.name}: no report of omni evaluate") from error
    return report
