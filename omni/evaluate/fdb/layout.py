"""The benchmark's folders and files: where samples lie, what is annotated, and the words of an agent's output.

    ROOT/[v1_0/]TASK/ID/   input.wav and an annotation come with the benchmark; output.wav and output.json are ours
    ROOT/[v1_5/]TASK/ID/   the same, and clean_input.wav (without the overlap) for clean_output.wav, clean_output.json

What we write of all of them lies above the tasks: fdb.json (scores) and fdb_outputs.json (`omni.evaluate.fdb.made`).
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from omni.audio.files import read_mono, replacing
from omni.base.errors import ConfigError, MediaError

RATE_HZ = 16_000    # of everything we write: the public backchannel script takes every file for that
REFERENCE = "icc_gt_distribution.json"

Kind = Literal["pause", "turn", "backchannel", "interruption", "overlap"]
Span = tuple[float, float]      # seconds from the start of input.wav


@dataclass(frozen=True, slots=True)
class Task:
    """One of the benchmark's sets of samples.

    Attributes:
        name: of its folder.
        kind: what is scored.
        annotation: the file that tells when it happens; None for backchannels, which may come at any time.
    """

    name: str
    kind: Kind
    annotation: str | None

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the names of its recordings begin with."""
        return ("", "clean_") if self.kind == "overlap" else ("",)


TASKS = (
    Task("candor_pause_handling", "pause", "pause.json"),
    Task("synthetic_pause_handling", "pause", "pause.json"),
    Task("candor_turn_taking", "turn", "turn_taking.json"),
    Task("icc_backchannel", "backchannel", None),
    Task("synthetic_user_interruption", "interruption", "interrupt.json"),
    Task("user_interruption", "overlap", "metadata.json"),
    Task("user_backchannel", "overlap", "metadata.json"),
    Task("talking_to_other", "overlap", "metadata.json"),
    Task("background_speech", "overlap", "metadata.json"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One recording and what is annotated in it.

    Attributes:
        folder: named by the sample's ID.
        spans: pauses; the turn's end (from its start on); the interruption; the overlap. Empty for backchannels.
    """

    task: Task
    folder: Path
    spans: tuple[Span, ...]

    @property
    def name(self) -> str:
        """TASK/ID."""
        return f"{self.task.name}/{self.folder.name}"

    def file(self, name: str) -> Path:
        """A file of this sample."""
        return self.folder / name


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the agent, in seconds on the clock of input.wav; recognisers leave some ends open."""

    text: str
    start_s: float
    end_s: float | None


def find_samples(root: Path) -> list[Sample]:
    """Every sample below `root`, in the order of `TASKS`, then by ID.

    Raises:
        ConfigError: there is none, or a task is there twice.
        MediaError: a recording or an annotation is missing or malformed.
    """
    found: list[Sample] = []
    for task in TASKS:
        homes = [p for p in (root / task.name, *sorted(root.glob(f"*/{task.name}"))) if p.is_dir()]
        if len(homes) > 1:
            raise ConfigError(f"{task.name} is in {homes[0].parent} and in {homes[1].parent}: give one as the root")
        found.extend(_sample(task, folder) for home in homes for folder in _sample_folders(task, home))
    if not found:
        raise ConfigError(f"{root}: no samples of Full-Duplex-Bench (such as v1_0/{TASKS[0].name}/1/input.wav)")
    return found


def read_recording(path: Path) -> tuple[np.ndarray, int]:
    """As `omni.audio.files.read_mono`, with the sample's name in the message."""
    try:
        return read_mono(path)
    except MediaError as error:
        raise MediaError(f"{path.parent.parent.name}/{path.parent.name}/{error}") from error


def read_words(path: Path, *, whole: bool = False) -> list[Word]:
    """The words of an output.json.

    Args:
        whole: those before an interruption's end too, where `write_words` has kept them.

    Raises:
        MediaError: the file is missing or malformed.
    """
    data = read_json(path)
    try:
        chunks = data["all_chunks"] if whole and "all_chunks" in data else data["chunks"]
        words = [Word(str(chunk["text"]), *_times(*chunk["timestamp"])) for chunk in chunks]
    except (KeyError, TypeError, ValueError) as error:
        raise MediaError(f'{_label(path)}: wants "chunks" of {{"text", "timestamp": [start, end]}}') from error
    return words


def write_words(path: Path, words: Sequence[Word], since_s: float | None = None) -> None:
    """Write an output.json.

    Args:
        since_s: end of an interruption. The public recogniser is shown the recording from there on, so `chunks` hold
            what it would hear; all words go to `all_chunks`, which the public scripts do not read.
    """
    heard = list(words)
    if since_s is not None:
        heard = [Word(w.text, max(w.start_s, since_s), w.end_s) for w in words if w.end_s > since_s]
    data = {"text": " ".join(w.text for w in heard), "chunks": _chunks(heard)}
    if since_s is not None:
        data["all_chunks"] = _chunks(words)
    write_json(path, data)


def read_reference(samples: Sequence[Sample], root: Path) -> dict[str, np.ndarray] | None:
    """When people gave backchannels, by ID of the sample: a distribution over bins of equal length.

    The file comes with the benchmark's scripts, not with its recordings; it is looked for in `root`, in the folder of
    the task and in the one above it. None if it is nowhere.

    Raises:
        MediaError: it is malformed.
    """
    homes = [root, *(p for s in samples if s.task.kind == "backchannel" for p in s.folder.parents[:2])]
    path = next((home / REFERENCE for home in homes if (home / REFERENCE).is_file()), None)
    if path is None:
        return None
    try:
        found = {name: np.array(bins, np.float64) for name, bins in read_json(path).items()}
        if any(bins.ndim != 1 or not np.isfinite(bins).all() or bins.min() < 0 or bins.sum() <= 0
               for bins in found.values()):
            raise ValueError("not a distribution")
    except (AttributeError, TypeError, ValueError) as error:
        raise MediaError(f"{REFERENCE}: wants a list of shares for every ID") from error
    return found


def read_json(path: Path):
    """What a JSON file holds.

    Raises:
        MediaError: it is missing, or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MediaError(f"{_label(path)}: {(error.strerror or 'cannot be read').lower()}") from error
    except ValueError as error:
        raise MediaError(f"{_label(path)}: not JSON ({error})") from error


def write_json(path: Path, data) -> None:
    """Write a JSON file; it appears whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _sample_folders(task: Task, home: Path) -> list[Path]:
    folders = [p for p in home.iterdir() if p.is_dir() and not p.name.startswith(".")]
    if task.kind == "backchannel":      # as published: the distribution is known by number
        folders = [p for p in folders if p.name.isdigit()]
    return sorted(folders, key=lambda p: (int(p.name) if p.name.isdigit() else math.inf, p.name))


def _sample(task: Task, folder: Path) -> Sample:
    for prefix in task.prefixes:
        if not (folder / f"{prefix}input.wav").is_file():
            raise MediaError(f"{_label(folder / f'{prefix}input.wav')}: no such file")
    return Sample(task, folder, _spans(folder / task.annotation) if task.annotation else ())


def _spans(path: Path) -> tuple[Span, ...]:
    """The spans of pause.json, turn_taking.json, interrupt.json or metadata.json."""
    data = read_json(path)
    try:
        entries = [data["timestamps"]] if isinstance(data, dict) else [entry["timestamp"] for entry in data]
        spans = tuple((float(start), float(end)) for start, end in entries)
    except (KeyError, TypeError, ValueError) as error:
        raise MediaError(f"{_label(path)}: wants a timestamp of two numbers") from error
    if not spans or not all(0 <= start <= end < math.inf for start, end in spans):
        raise MediaError(f"{_label(path)}: wants at least one timestamp, from a start to an end")
    return spans


def _times(start, end) -> tuple[float, float | None]:
    return float(start), None if end is None else float(end)


def _chunks(words: Sequence[Word]) -> list[dict]:
    return [{"text": w.text, "timestamp": [w.start_s, w.end_s]} for w in words]


def _label(path: Path) -> str:
    """TASK/ID/FILE."""
    return "/".join(path.parts[-3:])
