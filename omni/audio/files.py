"""Reading recordings with every doubt cleared first, and writing files that are whole or not there."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import soundfile

from omni.base.errors import MediaError

_UNKNOWN_SIZES = (0, 0xFFFFFFFF, 0x7FFFFFFF)    # what programs that write WAV into a pipe put for a size


def read_audio(path: str | Path) -> tuple[np.ndarray, int]:
    """Read a whole WAV, FLAC or Ogg file (or whatever else libsndfile knows).

    Returns:
        float32 (channels, samples) in [-1, 1], and the rate in Hz.

    Raises:
        MediaError: the file is missing, empty, truncated, not audio, or holds values that are no numbers. The message
            is one line with the file's name.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise MediaError(f"{path.name}: not a file")
        if not size:
            raise MediaError(f"{path.name}: the file is empty")
        with soundfile.SoundFile(path) as file:
            expected, rate = file.frames, file.samplerate
            opus = file.subtype == "OPUS"
            samples = _decode_opus(path, rate) if opus else file.read(dtype="float32", always_2d=True).T
    except OSError as error:
        raise MediaError(f"{path.name}: {(error.strerror or 'cannot be read').lower()}") from error
    except soundfile.SoundFileError as error:
        raise MediaError(f"{path.name}: not audio, or truncated at its start") from error
    if _truncated(path, size) or (not opus and 0 < expected < 1 << 62 and samples.shape[1] < expected):
        raise MediaError(f"{path.name}: the file is truncated")
    if not samples.shape[1]:
        raise MediaError(f"{path.name}: there are no samples in it")
    if not np.isfinite(samples).all():
        raise MediaError(f"{path.name}: holds values that are no numbers (NaN or infinite)")
    return np.ascontiguousarray(samples), rate


def _decode_opus(path: Path, rate_hz: int) -> np.ndarray:
    """Ogg Opus by FFmpeg, float32 (channels, samples) at `rate_hz`, the rate that the file names.

    libsndfile 1.2 calls some sound Opus files of less than 48 kHz malformed close to their end.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            resampler = av.AudioResampler("fltp", stream.layout, rate_hz)
            frames = [f.to_ndarray() for frame in container.decode(stream) for f in resampler.resample(frame)]
            frames += [f.to_ndarray() for f in resampler.resample(None)]
    except av.FFmpegError as error:
        raise MediaError(f"{path.name}: not audio, or truncated at its start") from error
    return np.concatenate(frames, axis=1) if frames else np.zeros((1, 0), np.float32)


def read_mono(path: str | Path) -> tuple[np.ndarray, int]:
    """As `read_audio`, the channels averaged: float32 (samples,) and the rate."""
    samples, rate = read_audio(path)
    return samples.mean(axis=0, dtype=np.float32), rate


def to_int16(samples: np.ndarray) -> np.ndarray:
    """float32 in [-1, 1] as int16 of the same shape; louder is clipped."""
    return np.clip(np.rint(np.asarray(samples, np.float64) * 32768.0), -32768, 32767).astype(np.int16)


def write_wav(path: str | Path, samples: np.ndarray, rate: int) -> None:
    """Write float32 (samples,) or (channels, samples) as 16-bit PCM; equal input gives equal bytes.

    The format follows the suffix: .flac and .ogg are written as such, anything else as WAV. The file appears whole
    or not at all.

    Raises:
        MediaError: the folder cannot be written to.
    """
    kinds = {".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
    kind, subtype = kinds.get(Path(path).suffix.lower(), ("WAV", "PCM_16"))
    with replacing(path) as temporary:
        soundfile.write(temporary, to_int16(samples).T, rate, format=kind, subtype=subtype)


def made_folder(path: str | Path) -> Path:
    """The folder, made with those above it if it is not there.

    Raises:
        MediaError: it cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{path}: cannot be made ({(error.strerror or 'no access').lower()})") from error
    return Path(path)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends, and vanishes if the block fails.

    Raises:
        MediaError: the folder is not there or cannot be written to.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent or ".")
    except OSError as error:
        raise MediaError(f"{path}: cannot be written ({(error.strerror or 'no access').lower()})") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)     # mkstemp gives 0600; a file should be as readable as any other
        temporary.replace(path)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written ({(error.strerror or 'no access').lower()})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _truncated(path: Path, size: int) -> bool:
    """Whether the container says that more should follow. libsndfile reads cut WAV and Ogg files without a word."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            return _wav_truncated(file, size)
        if head[:4] == b"OggS":
            return _ogg_truncated(file, size)
    return False


def _wav_truncated(file, size: int) -> bool:
    at = 12
    while at + 8 <= size:
        file.seek(at)
        header = file.read(8)
        length = int.from_bytes(header[4:], "little")
        if header[:4] == b"data":
            return length not in _UNKNOWN_SIZES and at + 8 + length > size
        at += 8 + length + length % 2
    return True     # no data chunk before the end


def _ogg_truncated(file, size: int) -> bool:
    """RFC 3533: the last page carries the end-of-stream flag (0x04) and all the bytes its lacing values announce."""
    window = min(size, 2 * 65_307)     # a page has at most 65,307 bytes
    file.seek(size - window)
    tail = file.read(window)
    at = tail.rfind(b"OggS")
    if at < 0 or at + 27 > len(tail):
        return True
    num_segments = tail[at + 26]
    table = tail[at + 27:at + 27 + num_segments]
    whole = len(table) == num_segments and at + 27 + num_segments + sum(table) <= len(tail)
    return not (whole and tail[at + 5] & 0x04)
