"""Streaming log-mel: 80 bands, 25 ms window, 10 ms hop; frame t sees samples up to (t + 1) * hop and none after.

Bands follow the Slaney scale as in librosa and Whisper; the logarithm is floored and moved to about -1..1 by a
constant, never by the utterance, so that a frame never changes when more is heard.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from omni.base.timebase import exact_div
from omni.nn.state import State, write

EAR_FLOOR = 1e-7


def mel_filters(sample_rate_hz: int, n_fft: int, num_mels: int, low_hz: float = 40.0) -> np.ndarray:
    """Triangular Slaney filters of unit area, float32 (num_mels, n_fft // 2 + 1)."""

    def to_mel(hz):
        hz = np.asarray(hz, np.float64)
        return np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1e-9) / 1000) / math.log(6.4))

    def to_hz(mel):
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * math.log(6.4) / 27))

    edges = to_hz(np.linspace(to_mel(low_hz), to_mel(sample_rate_hz / 2), num_mels + 2))
    bins = np.linspace(0, sample_rate_hz / 2, n_fft // 2 + 1)
    rising = (bins[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins[None]) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return filters.astype(np.float32)


class LogMel(nn.Module):
    """Samples (B, ..., N), N a multiple of the hop, to log-mel (B, ..., N / hop, num_mels).

    `floor` is the least mel power: 1e-5 lies under all of the agent's own voice, ears take EAR_FLOOR, since a quiet
    talker's consonants lie lower.

    State: `tail` (B, ..., window - hop), the samples before, zeros at the start.
    """

    def __init__(self, sample_rate_hz: int = 16_000, num_mels: int = 80, window_ms: int = 25, hop_ms: int = 10,
                 n_fft: int = 512, floor: float = 1e-5):
        super().__init__()
        self.hop = exact_div(sample_rate_hz * hop_ms, 1000)
        self.window = exact_div(sample_rate_hz * window_ms, 1000)
        self.n_fft, self.num_mels, self.floor = n_fft, num_mels, floor
        self.register_buffer("taper", torch.hann_window(self.window), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filters(sample_rate_hz, n_fft, num_mels)).T.contiguous(),
                             persistent=False)

    def init_state(self, num_rows: int, *streams: int) -> State:
        """Silence, in so many streams a row."""
        return {"tail": self.taper.new_zeros(num_rows, *streams, self.window - self.hop)}

    def forward(self, x: Tensor) -> Tensor:
        """The whole signal, silence before it."""
        return self._frames(torch.nn.functional.pad(x, (self.window - self.hop, 0)))

    def step(self, x: Tensor, state: State, active: Tensor) -> Tensor:
        """The next samples of every row."""
        x = torch.cat([state["tail"], x], dim=-1)
        write(state["tail"], x[..., -(self.window - self.hop):], active)
        return self._frames(x)

    def _frames(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(x.unfold(-1, self.window, self.hop) * self.taper, self.n_fft)
        power = spectrum.real.square() + spectrum.imag.square()
        return (torch.clamp(power @ self.filters, min=self.floor).log10() + 2.0) / 3.0
