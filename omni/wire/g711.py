"""G.711 companding (ITU-T G.711, 11/1988): 8-bit mu-law and A-law codes and 16-bit linear samples, by table.

Both laws are written as tables over all codes and all samples, so coding a stretch of audio is one look-up. Linear
samples are 16 bits wide: the 14 (mu-law) or 13 (A-law) bits of the standard, shifted up.
"""

from functools import cache

import numpy as np

_MU_BIAS = 0x84
_MU_CLIP = 32_635


@cache
def mulaw_to_linear() -> np.ndarray:
    """int16 (256,): the sample of each mu-law code."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + _MU_BIAS << ((code & 0x70) >> 4)) - _MU_BIAS
    return _frozen(np.where(code & 0x80, -magnitude, magnitude).astype(np.int16))


@cache
def alaw_to_linear() -> np.ndarray:
    """int16 (256,): the sample of each A-law code."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code & 0x70) >> 4
    magnitude = ((code & 0x0F) << 4) + 8
    magnitude = np.where(segment > 0, magnitude + 0x100 << np.maximum(segment - 1, 0), magnitude)
    return _frozen(np.where(code & 0x80, magnitude, -magnitude).astype(np.int16))


@cache
def linear_to_mulaw() -> np.ndarray:
    """uint8 (65536,): the mu-law code of each sample, indexed by the sample plus 32,768."""
    sample = np.arange(-32_768, 32_768, dtype=np.int32)
    magnitude = np.minimum(np.abs(sample), _MU_CLIP) + _MU_BIAS
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    code = (segment << 4) | ((magnitude >> segment + 3) & 0x0F) | np.where(sample < 0, 0x80, 0)
    return _frozen((~code & 0xFF).astype(np.uint8))


@cache
def linear_to_alaw() -> np.ndarray:
    """uint8 (65536,): the A-law code of each sample, indexed by the sample plus 32,768."""
    sample = np.arange(-32_768, 32_768, dtype=np.int32)
    magnitude = np.where(sample < 0, -sample - 1, sample) >> 3   # 13 bits; -1 lies in the first negative interval
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 4, 0)
    code = (segment << 4) | ((magnitude >> np.maximum(segment, 1)) & 0x0F) | np.where(sample < 0, 0, 0x80)
    return _frozen((code ^ 0x55).astype(np.uint8))


def _frozen(table: np.ndarray) -> np.ndarray:
    table.flags.writeable = False
    return table
