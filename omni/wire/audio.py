"""Audio on the wire: base64 of raw mono samples to float32 and back. Resampling is not done here."""

import base64
import binascii

import numpy as np

from omni.base.errors import WireError
from omni.wire import g711, limits
from omni.wire.session import AudioFormat, AudioPcm, AudioPcma


def rate_hz(audio_format: AudioFormat) -> int:
    """Samples a second."""
    return audio_format.rate


def decode_audio(text: str, audio_format: AudioFormat) -> np.ndarray:
    """Decode one append.

    Returns:
        float32 (N,) in [-1, 1), at the format's rate; N may be 0.

    Raises:
        WireError: code "invalid_audio" for what is not base64 or ends within a sample, "limit_exceeded" for more than
            `limits.MAX_APPEND_S` seconds.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise WireError("audio is not base64", code="invalid_audio", param="audio") from None
    width = 2 if isinstance(audio_format, AudioPcm) else 1
    if len(raw) % width:
        raise WireError("audio ends in the middle of a 16-bit sample", code="invalid_audio", param="audio")
    if len(raw) // width > limits.MAX_APPEND_S * audio_format.rate:
        raise WireError(f"one append may hold {limits.MAX_APPEND_S} s of audio", code="limit_exceeded", param="audio")
    return bytes_to_samples(raw, audio_format)


def encode_audio(samples: np.ndarray, audio_format: AudioFormat) -> str:
    """Encode float32 (N,) at the format's rate; what lies outside [-1, 1) is clipped.

    Raises:
        ValueError: if the samples are not one-dimensional or not finite.
    """
    return base64.b64encode(samples_to_bytes(samples, audio_format)).decode("ascii")


def bytes_to_samples(raw: bytes, audio_format: AudioFormat) -> np.ndarray:
    """Raw wire samples as float32 (N,); `raw` holds whole samples."""
    if isinstance(audio_format, AudioPcm):
        linear = np.frombuffer(raw, dtype="<i2")
    else:
        table = g711.alaw_to_linear() if isinstance(audio_format, AudioPcma) else g711.mulaw_to_linear()
        linear = table[np.frombuffer(raw, dtype=np.uint8)]
    return linear.astype(np.float32) / np.float32(32_768)


def samples_to_bytes(samples: np.ndarray, audio_format: AudioFormat) -> bytes:
    """float32 (N,) as raw wire samples.

    Raises:
        ValueError: as `encode_audio`.
    """
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 1:
        raise ValueError(f"expected mono samples (N,), got shape {samples.shape}")
    if not np.isfinite(samples).all():
        raise ValueError("samples are not finite")
    linear = np.clip(np.rint(samples * np.float32(32_768)), -32_768, 32_767).astype(np.int32)
    if isinstance(audio_format, AudioPcm):
        return linear.astype("<i2").tobytes()
    table = g711.linear_to_alaw() if isinstance(audio_format, AudioPcma) else g711.linear_to_mulaw()
    return table[linear + 32_768].tobytes()
