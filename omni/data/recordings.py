"""Real recordings: where they lie, what is said in them, and which of them training never touches."""

import csv
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import yaml

from omni.audio.files import read_audio
from omni.base.config import data_path
from omni.base.errors import MediaError, OmniError
from omni.data.skills import orders

# development speakers: never in training
AN4_DEV_SPEAKERS = 8
COFFEE_DEV_VOICES = {"voice08", "voice29", "voice31", "voice10", "voice05", "voice12", "voice28", "voice30"}
SOUND_DEV_SHARE = 5  # every fifth clip


@dataclass(frozen=True, slots=True)
class Recording:
    """One file.

    Attributes:
        path: file, 16 kHz mono.
        source: folder it comes from.
        speaker: who speaks, "" if unknown.
        text: words in the conventions of `omni.data.skills`, or None if not transcribed.
        slots: the labelled slots of a coffee order.
        dev: kept out of training.
    """

    path: Path
    source: str
    speaker: str
    text: str | None
    slots: dict[str, str] = field(default_factory=dict)
    dev: bool = False


def data_dir() -> Path:
    """The folder named by OMNI_DATA_DIR.

    Raises:
        OmniError: it is not set or does not exist.
    """
    name = os.environ.get("OMNI_DATA_DIR", "")
    if not name or not Path(name).is_dir():
        raise OmniError("set OMNI_DATA_DIR to the folder that holds an4/, coffee_orders/ and the other recordings")
    return Path(name)


def held_out_sources() -> set[str]:
    """Relative paths of recordings that ship with the project's scripts; training skips them."""
    path = data_path("configs", "data", "held_out.yaml")
    return set(yaml.safe_load(path.read_text())["held_out"]) if path.exists() else set()


def read(path: Path) -> np.ndarray:
    """Samples as float32 (N,) at 16 kHz.

    Raises:
        MediaError: not 16 kHz mono, or a file that cannot be decoded.
    """
    samples, rate = read_audio(path)
    if rate != 16_000 or len(samples) != 1:
        raise MediaError(f"{path.name}: expected 16 kHz mono")
    return samples[0]


def _rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "transcripts.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _letters(text: str) -> str:
    return " ".join(w.upper() if len(w) == 1 else w.lower() for w in text.replace("-", " ").split())


def _stable(name: str, modulus: int) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % modulus


def speech(root: Path) -> list[Recording]:
    """Every spoken recording below `root`, training and development."""
    held, found = held_out_sources(), []
    an4 = _rows(root / "an4")
    dev_speakers = set(sorted({r["speaker"] for r in an4}, key=lambda s: _stable(s, 1 << 31))[:AN4_DEV_SPEAKERS])
    for row in an4:
        found.append(Recording(root / "an4" / row["path"], "an4", row["speaker"], _letters(row["text"]),
                               dev=row["speaker"] in dev_speakers))
    for row in _rows(root / "alphanumeric"):
        found.append(Recording(root / "alphanumeric" / row["path"], "alphanumeric", row["speaker"],
                               _letters(row["text"]), dev=_stable(row["speaker"], 8) == 0))
    for source in ("phrases", "speech_commands"):
        for row in _rows(root / source):
            if row["path"] == "path":
                continue
            found.append(Recording(root / source / row["path"], source, row["speaker"], row["text"].lower(),
                                   dev=_stable(row["speaker"], 16) == 0))
    for i, row in enumerate(_rows(root / "read_sentences")):
        text = "".join(c if c.isalpha() or c in " '" else " " for c in row["text"].lower())
        readable = not any(c.isdigit() for c in row["text"])
        found.append(Recording(root / "read_sentences" / row["path"], "read_sentences", "reader",
                               " ".join(text.split()) if readable else None, dev=i % 5 == 0))
    slots = json.loads((root / "coffee_orders" / "slots.json").read_text())
    voices = json.loads((root / "coffee_orders" / "voices.json").read_text())
    for name, values in slots.items():
        clean = {k: " ".join(v.split()) for k, v in values.items()}
        found.append(Recording(root / "coffee_orders" / name, "coffee_orders", voices[name], None, clean,
                               dev=voices[name] in COFFEE_DEV_VOICES))
    return [r if str(r.path.relative_to(root)) not in held
            else Recording(r.path, r.source, r.speaker, r.text, r.slots, True) for r in found if r.path.exists()]


def sounds(root: Path) -> list[Recording]:
    """Sound events; `text` is the class name."""
    paths = sorted((root / "sound_events").glob("*/*.ogg"))
    return [Recording(p, "sound_events", "", p.parent.name, dev=i % SOUND_DEV_SHARE == 0) for i, p in enumerate(paths)]


def noises(root: Path, dev: bool = False) -> list[np.ndarray]:
    """Noise beds as float32: the first three quarters of each recording, or for development the rest."""
    beds = [read(p) for p in sorted((root / "noise").glob("*.flac"))]
    return [bed[len(bed) * 3 // 4:] if dev else bed[:len(bed) * 3 // 4] for bed in beds]


def rooms(root: Path) -> list[np.ndarray]:
    """Room responses at 16 kHz as float32 (N,), peak moved to the first 2 ms and scaled to unit energy."""
    found = [r.astype(np.float32) / 32768 for r in np.load(root / "rooms" / "surrey_room_a.npy", allow_pickle=False)]
    for path in sorted((root / "rooms").glob("*.flac")):
        samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
        found.append(samples[:, 0])
    ready = []
    for response in found:
        start = max(int(np.argmax(np.abs(response))) - 16, 0)
        response = response[start:start + 12_000]
        ready.append((response / np.sqrt((response**2).sum() + 1e-9)).astype(np.float32))
    return ready


def training_orders(root: Path) -> list[Recording]:
    """Labelled coffee orders for training; drinks are checked against the skill's own values."""
    found = [r for r in speech(root) if r.source == "coffee_orders" and not r.dev]
    for record in found:
        assert record.slots["coffeeDrink"] in orders.DRINKS, record.path.name
    return found


def active_span(x: np.ndarray) -> tuple[int, int]:
    """First and one past the last sample of the speech in a recording, by 20 ms frames well above its floor."""
    frames = x[:len(x) // 320 * 320].reshape(-1, 320).astype(np.float32)
    level = np.sqrt((frames**2).mean(1)) if len(frames) else np.zeros(1, np.float32)
    loud = np.flatnonzero(level > max(0.04 * float(level.max()), 2.5 * float(np.quantile(level, 0.1))))
    return (int(loud[0]) * 320, int(loud[-1] + 1) * 320) if len(loud) else (0, len(x))
