"""Speech in a row: segments of one length, filled with utterances of a bank or with files of a folder.

    | pause | utterance | pause | utterance | pause |       one level and one noise floor a segment

Nothing else is done to it: what learns from a teacher here hears what the teacher hears.
"""

import random
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from omni.audio.resampling import resample
from omni.base.errors import MediaError, OmniError
from omni.data import bank, recordings
from omni.data.numbered import Numbered

RATE_HZ = 16_000
LONGEST_PAUSE = 8_000   # samples
SHORTEST_CUT = 16_000   # of a file that is cut to what is left of a segment
_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
_DEV_EVERY = 40         # of a folder's files


class BankClips:
    """Whole utterances of a bank, with their words.

    Args:
        most: samples of the longest that is taken.
        dev: those kept for development, or the others.
        transcribed: leave out what nobody has written down.
    """

    def __init__(self, folder: Path, most: int, dev: bool, transcribed: bool):
        self._lines = [u for u in bank.load(folder)
                       if u.dev == dev and len(u.samples) <= most and (u.text or not transcribed)]

    def __len__(self) -> int:
        return len(self._lines)

    def draw(self, rng: random.Random, room: int) -> tuple[np.ndarray, str] | None:
        """Samples and words of one, or None if it is longer than `room`."""
        line = rng.choice(self._lines)
        return (line.samples.astype(np.float32) / 32768, line.text or "") if len(line.samples) <= room else None


class FileClips:
    """Stretches of a folder's audio files, of any rate, without words."""

    def __init__(self, folder: Path, dev: bool):
        self._paths = [path for i, path in enumerate(audio_files(folder)) if (i % _DEV_EVERY == _DEV_EVERY - 1) == dev]

    def __len__(self) -> int:
        return len(self._paths)

    def draw(self, rng: random.Random, room: int) -> tuple[np.ndarray, str] | None:
        """A file, or a random stretch of one that is longer than `room`; None if little room is left.

        Raises:
            MediaError: the file is no audio.
        """
        if room < SHORTEST_CUT:
            return None
        path = rng.choice(self._paths)
        try:
            with soundfile.SoundFile(path) as file:
                count = room * file.samplerate // RATE_HZ
                file.seek(rng.randint(0, max(file.frames - count, 0)))
                samples = file.read(count, dtype="float32", always_2d=True).mean(1)
                return resample(samples, file.samplerate, RATE_HZ)[:room], ""
        except soundfile.SoundFileError as error:
            raise MediaError(f"{path.name}: not audio, or broken") from error


def audio_files(folder: Path) -> list[Path]:
    """Every audio file below a folder, sorted, without those that the project's own scripts are measured with."""
    held = tuple(recordings.held_out_sources())
    return [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _SUFFIXES
            and not (held and path.as_posix().endswith(held))]


def listing(folder: Path) -> str:
    """Size and path of each, a line a file: what tells one folder from another without reading hours of sound."""
    return "".join(f"{path.stat().st_size} {path.relative_to(folder).as_posix()}\n" for path in audio_files(folder))


class Segments(Numbered):
    """Batches of segments: f32 (batch, count) at 16 kHz, and the words of each, "" where they are not known.

    Args:
        source: a bank's folder, or with `files` one of audio files.
        transcribed: of a bank, only what has words.
    """

    def __init__(self, source: Path, files: bool, count: int, batch: int, seed: int, dev: bool = False,
                 transcribed: bool = False):
        self.source, self.files, self.count, self.batch, self.seed = source, files, count, batch, seed
        self.dev, self.transcribed = dev, transcribed

    def clips(self) -> BankClips | FileClips:
        """What segments are filled from."""
        if self.files:
            return FileClips(self.source, self.dev)
        return BankClips(self.source, self.count - LONGEST_PAUSE, self.dev, self.transcribed)

    def open(self) -> Any:
        """See `Numbered`.

        Raises:
            OmniError: there is nothing to hear.
        """
        clips = self.clips()
        if not len(clips):
            raise OmniError(f"{self.source.name} holds no speech that fits into a segment")

        def make(rng: random.Random) -> tuple[torch.Tensor, list[str]]:
            found = [self._segment(clips, rng) for _ in range(self.batch)]
            return torch.from_numpy(np.stack([x for x, _ in found])), [text for _, text in found]

        return make

    def _segment(self, clips: BankClips | FileClips, rng: random.Random) -> tuple[np.ndarray, str]:
        x, texts, at = np.zeros(self.count, np.float32), [], rng.randint(0, LONGEST_PAUSE)
        while drawn := clips.draw(rng, self.count - at):
            samples, text = drawn
            x[at:at + len(samples)] = samples
            texts.append(text)
            at = min(at + len(samples) + rng.randint(LONGEST_PAUSE // 4, LONGEST_PAUSE), self.count)
        x *= 10 ** (rng.uniform(-20, -1) / 20) / max(float(np.abs(x).max()), 1e-4)
        hiss = np.random.default_rng(rng.getrandbits(63)).standard_normal(self.count, np.float32)
        return x + hiss * np.float32(10 ** (rng.uniform(-70, -50) / 20)), " ".join(filter(None, texts))
