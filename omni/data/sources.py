"""The public sources of real recordings: which files are used, what is said in them, and whether they are the right
ones.

    configs/data/sources.yaml          name, addresses, licence, attribution, checksum
    configs/data/lists/NAME.csv        the files that are used, with their labels and marks
    OMNI_DATA_DIR/NAME/                16 kHz mono, transcripts.csv or the like beside them
"""

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from omni.base import config
from omni.base.errors import ConfigError

RATE_HZ = 16_000
MOST_SHIFT = 800  # samples by which lengths may differ where another coder or resampler made the files


@dataclass(frozen=True, slots=True)
class Origin:
    """One address: a .tar.gz as `archive`, or a `folder` to which paths are added.

    Attributes:
        sha256: of the archive, where its publisher names one; `num_bytes`: its size, where known beforehand.
        strip: leading parts of the paths in the archive that are dropped.
    """

    archive: str | None = None
    folder: str | None = None
    sha256: str | None = None
    num_bytes: int | None = None
    strip: int = 1

    def __post_init__(self):
        if (self.archive is None) == (self.folder is None):
            raise ValueError("an origin is an archive or a folder")


@dataclass(frozen=True, slots=True)
class Source:
    """One source, as configs/data/sources.yaml explains it.

    Attributes:
        form: "speech" is resampled if it must be; "response" is cut to 2 s and scaled to a peak of 0.99 (its first
            channel); "sofa" is all the responses of a SOFA file, each scaled to full range, as one int16 array.
        texts: file here -> path there, of what is no sound.
    """

    name: str
    about: str
    licence: str
    attribution: str
    homepage: str
    origins: list[Origin]
    upstream: str = "{path}.wav"
    into: str = ""
    suffix: str = ".flac"
    dot: str = "."
    speaker: Literal["column", "folder", "prefix", "none"] = "column"
    text: Literal["column", "folder"] = "column"
    labels: Literal["transcripts", "orders", "clips", "none"] = "transcripts"
    form: Literal["speech", "response", "sofa"] = "speech"
    names: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    sha256: str | None = None

    @property
    def folder(self) -> str:
        """Where it lies below OMNI_DATA_DIR."""
        return self.into or self.name

    def there(self, path: str) -> str:
        """The path there of a file of the list."""
        folder, _, stem = path.rpartition("/")
        folder, stem = (self.names.get(part, part) for part in (folder, stem))
        return self.upstream.format(path=path, folder=folder, stem=stem)


@dataclass(frozen=True, slots=True)
class Listed:
    """A file that is used: its path without suffix, its label, and what its samples must be.

    Attributes:
        mark: the first characters of its samples' base64 SHA-256, or None.
        samples: how many there are, or None.
    """

    path: str
    text: str = ""
    person: str = ""
    mark: str | None = None
    samples: int | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """The file sources.yaml."""

    sources: list[Source]


def load(path: Path | None = None) -> list[Source]:
    """All sources, of the project or of another sources.yaml (its lists lie in lists/ beside it).

    Raises:
        ConfigError: the file is wrong.
    """
    return config.load(Sources, path or config.data_path("configs", "data", "sources.yaml")).sources


def chosen(sources: list[Source], names: list[str] | None) -> list[Source]:
    """Those of these names, in the file's order; all without names.

    Raises:
        ConfigError: there is none of a name.
    """
    known = {s.name for s in sources} | {s.folder for s in sources}
    for name in names or []:
        if name not in known:
            raise ConfigError(f"there is no source {name!r}; {config.nearest(name, known)}")
    return [s for s in sources if not names or s.name in names or s.folder in names]


def listed(source: Source, lists: Path | None = None) -> list[Listed]:
    """The files of a source that are used, in the order of its labels."""
    path = (lists or config.data_path("configs", "data", "lists")) / f"{source.name}.csv"
    with open(path, newline="", encoding="utf-8") as file:
        return [entry for row in csv.DictReader(file) for entry in _entries(source, row)]


def _entries(source: Source, row: dict[str, str]) -> Iterator[Listed]:
    if "files" in row:
        for name in row["files"].split():
            stem, _, mark = name.partition(":")
            yield _entry(source, f"{row['folder']}/{stem.replace('.', source.dot)}", mark, {})
    else:
        yield _entry(source, row["path"], row.get("mark") or row["samples"], row)


def _entry(source: Source, path: str, mark: str, row: dict[str, str]) -> Listed:
    folder, _, stem = path.rpartition("/")
    person = {"folder": folder, "prefix": stem.split("_")[0], "none": ""}.get(source.speaker, row.get("speaker", ""))
    text = folder.replace("_", " ") if source.text == "folder" else row.get("text", "")
    samples = None if source.sha256 else int(mark)
    return Listed(path, text, row.get("voice", person), mark if source.sha256 else None, samples)


_LABELS = {"transcripts": ["transcripts.csv"], "orders": ["slots.json", "voices.json"], "clips": ["licences.csv"],
           "none": []}


# ---- labels --------------------------------------------------------------------------------------------------------


def labels(source: Source, entries: list[Listed], texts: dict[str, bytes]) -> dict[str, bytes]:
    """Files of labels beside the sound: name -> content. `texts` are those of the source, by their names here.

    Raises:
        KeyError, ValueError: a text that labels are made from is missing or of another form.
    """
    if source.labels == "transcripts":
        people = source.speaker != "none"
        rows = [[e.path + source.suffix, *([e.person] if people else []), e.text] for e in entries]
        return {"transcripts.csv": _table(["path", *(["speaker"] if people else []), "text"], rows)}
    if source.labels == "orders":
        found = json.loads(texts["label.json"])
        slots = {e.path + source.suffix: found[e.path + ".wav"]["slots"] for e in entries}
        voices = {e.path + source.suffix: e.person for e in entries}
        return {"slots.json": json.dumps(slots, indent=1, sort_keys=True).encode(),
                "voices.json": json.dumps(voices, indent=0).encode()}
    if source.labels == "clips":
        return {"licences.csv": _table(["class", "file", "licence", "freesound_user"],
                                       _clip_licences(texts["ATTRIBUTION.md"].decode()))}
    return {}


def _table(header: list[str], rows: list[list[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue().encode()


def _clip_licences(text: str) -> list[list[str]]:
    """[class, file, licence, Freesound user] of every clip, from ESC-10's own page."""
    rows, kind = [], ""
    for line in text.splitlines():
        if found := re.fullmatch(r"\*\*(\d{3} - .+)\*\*:", line):
            kind = found[1]
        elif found := re.match(r"- \*\*\[([^\]]+\.ogg)\].* by \*(.+)\* \(\[([^\]]+)\]", line):
            rows.append([kind, found[1], found[3], found[2]])
    return rows


# ---- are they the right ones? --------------------------------------------------------------------------------------


def mark(samples: np.ndarray) -> str:
    """The mark of int16 samples, as it stands in the lists."""
    return base64.b64encode(hashlib.sha256(samples.astype("<i2").tobytes()).digest())[:3].decode()


@dataclass(slots=True)
class Found:
    """What of a source is there.

    Attributes:
        wrong: path (with suffix) -> what is wrong with it.
        seconds: of those that are right.
    """

    source: Source
    wrong: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    seconds: float = 0.0
    files: int = 0

    @property
    def whole(self) -> bool:
        """Nothing is missing or wrong."""
        return not self.wrong and not self.missing

    def told(self) -> str:
        """One line for a person."""
        s = self.source
        if self.whole:
            how = ("the very samples" if s.sha256 else
                   "lengths agree (samples depend on the resampler or coder and are not compared)")
            return f"{s.name}: {self.files} files, {self.seconds / 3600:.2f} h, {how}"
        some = [f"{path}: {why}" for path, why in self.wrong.items()] + [f"{path}: missing" for path in self.missing]
        more = f" and {len(some) - 3} more" if len(some) > 3 else ""
        return f"{s.name}: {'; '.join(some[:3])}{more}"


def check(source: Source, entries: list[Listed], root: Path, progress=lambda: None) -> Found:
    """Compare what lies below `root` with the list, file by file and, where the samples are ours, as a whole.

    Args:
        progress: called after each file.
    """
    found, total = Found(source), hashlib.sha256()
    for entry in sorted(entries, key=lambda e: e.path + source.suffix):
        name = entry.path + source.suffix
        path = root / source.folder / name
        if not path.exists():
            found.missing.append(name)
            continue
        try:
            samples, count = _read(path, whole=entry.mark is not None)
        except (soundfile.SoundFileError, ValueError, OSError) as error:
            found.wrong[name] = str(error).splitlines()[0][:80]
            continue
        if entry.mark is not None:
            total.update(name.encode() + b"\0" + samples.astype("<i2").tobytes())
            if mark(samples) != entry.mark:
                found.wrong[name] = "other samples than ours"
        elif abs(count - entry.samples) > MOST_SHIFT:
            found.wrong[name] = f"{count} samples instead of {entry.samples}"
        found.files += 1
        found.seconds += count / RATE_HZ
        progress()
    if found.whole and source.sha256 not in (None, total.hexdigest()):
        found.wrong["all files"] = "their SHA-256 is not ours"
    for name in _LABELS[source.labels]:
        path = root / source.folder / name
        if not path.exists():
            found.missing.append(name)
        elif name == "transcripts.csv" and path.read_bytes().split() != labels(source, entries, {})[name].split():
            found.wrong[name] = "other labels than ours"
    return found


def _read(path: Path, whole: bool) -> tuple[np.ndarray | None, int]:
    """int16 samples, if wanted, and how many there are."""
    if path.suffix == ".npy":
        return None, int(np.load(path, mmap_mode="r", allow_pickle=False).size)
    info = soundfile.info(path)
    if info.samplerate != RATE_HZ or info.channels != 1:
        raise ValueError(f"{info.samplerate} Hz, {info.channels} channels instead of 16 kHz mono")
    return (soundfile.read(path, dtype="int16")[0] if whole else None), info.frames
