"""The mouth's second half: acoustic frames to samples, by a source and a learned filter.

A pulse train at the frame's pitch and a bed of noise are cut into frames, each is shaped by a minimum-phase filter
whose log magnitudes a causal network gives, and the frames are added up (harmonic-plus-noise synthesis with an
inverse-STFT head; compare arXiv 2309.09493). Phase comes from the source, so that the network only learns magnitudes.

    frame t       excitation [(t - 1) * 160, (t + 1) * 160), Hann, 50 % overlap
    output t      samples    [(t - 1) * 160, t * 160)           complete once frame t is in: 10 ms of delay
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.model.features import mel_filters
from omni.model.synthesizer import CausalBlock
from omni.nn.state import State, write

HOP, FFT = 160, 512
BINS = FFT // 2 + 1
DELAY = HOP  # samples between a frame and its sound
_REFERENCE_HZ = 200.0


@dataclass(frozen=True, slots=True)
class VocoderConfig:
    """Sizes of the vocoder; audio is 16 kHz with 10 ms frames."""

    num_mels: int = 80
    dim: int = 192
    num_layers: int = 4
    kernel: int = 5
    sample_rate_hz: int = 16_000
    noise_samples: int = 32_000


class Vocoder(nn.Module):
    """Acoustic frames (B, T, num_mels + 2) to samples (B, T * 160).

    State: contexts of the blocks; `frame` (B, 2) last pitch in Hz and voicing; `phase` (B,) float64 of the pulses in
    turns; `noise` (B,) int64 place in the noise table; `source` (B, 2, 160) last pulses and noise; `overlap`
    (B, FFT - 160) sound not yet complete.
    """

    def __init__(self, config: VocoderConfig):
        super().__init__()
        self.config = config
        self.enter = nn.Linear(config.num_mels + 2, config.dim)
        self.blocks = nn.ModuleList(CausalBlock(config.dim, config.kernel) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.dim)
        self.leave = nn.Linear(config.dim, 2 * BINS)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        generator = torch.Generator().manual_seed(20_251)
        self.register_buffer("table", torch.randn(config.noise_samples, generator=generator), persistent=False)
        self.register_buffer("window", torch.hann_window(2 * HOP), persistent=False)
        self.register_buffer("ramp", torch.arange(1, HOP + 1) / HOP, persistent=False)
        self.register_buffer("spread", self._spread(), persistent=False)
        fold = torch.zeros(FFT)
        fold[0] = fold[FFT // 2] = 1
        fold[1:FFT // 2] = 2
        self.register_buffer("fold", fold, persistent=False)

    def _spread(self) -> Tensor:
        """(num_mels, BINS): each bin takes the log-mel of the bands around it."""
        filters = torch.from_numpy(mel_filters(self.config.sample_rate_hz, FFT, self.config.num_mels))
        peak = filters / filters.amax(1, keepdim=True).clamp(min=1e-9)
        peak[0, :2] = 1
        peak[-1, -2:] = 1
        return peak / peak.sum(0, keepdim=True).clamp(min=1e-9)

    def init_state(self, num_rows: int) -> State:
        """Silence."""
        zeros, device = self.window.new_zeros, self.window.device
        return {"frame": zeros(num_rows, 2), "phase": torch.zeros(num_rows, dtype=torch.float64, device=device),
                "noise": torch.zeros(num_rows, dtype=torch.int64, device=device),
                "source": zeros(num_rows, 2, HOP), "overlap": zeros(num_rows, FFT - HOP),
                **{f"block_{i}": b.init_state(num_rows) for i, b in enumerate(self.blocks)}}

    def forward(self, frames_BTC: Tensor) -> Tensor:
        """All frames from a fresh state."""
        state = self.init_state(len(frames_BTC))
        active = torch.ones(len(frames_BTC), dtype=torch.bool, device=frames_BTC.device)
        return self._run(frames_BTC, state, active, lambda i, x: self.blocks[i](x))

    def step(self, frames_BTC: Tensor, state: State, active: Tensor) -> Tensor:
        """The next frames of every row."""
        return self._run(frames_BTC, state, active, lambda i, x: self.blocks[i].step(x, state[f"block_{i}"], active))

    def _run(self, frames: Tensor, state: State, active: Tensor, block) -> Tensor:
        x = self.enter(frames)
        for i in range(len(self.blocks)):
            x = block(i, x)
        mel = frames[..., :self.config.num_mels]
        base = ((mel * 3 - 2) @ self.spread) * (math.log(10) / 2)
        log_magnitude = base[:, :, None] + self.leave(self.norm(x)).unflatten(2, (2, BINS)) - 2.0
        source = self._source(frames, state, active)                              # (B, 2, (T + 1) * HOP)
        cut = source.unfold(2, 2 * HOP, HOP).transpose(1, 2) * self.window        # (B, T, 2, 2 * HOP)
        shaped = torch.fft.irfft((torch.fft.rfft(cut, FFT) * self._minimum_phase(log_magnitude)).sum(2), FFT)
        return self._overlap_add(shaped, state, active)

    def _source(self, frames: Tensor, state: State, active: Tensor) -> Tensor:
        """Pulses and noise for T frames behind the 160 samples before them, and their new state."""
        T = frames.shape[1]
        octaves, sounding = frames.narrow(2, self.config.num_mels, 2).unbind(2)
        pitch = _REFERENCE_HZ * torch.exp2(octaves.clamp(-2.5, 2.0))
        voiced = (sounding > 0).to(pitch.dtype)
        now = torch.stack([pitch, voiced], 2)
        last_pitch, last_voiced = torch.cat([state["frame"][:, None], now[:, :-1]], 1).unbind(2)
        # glide from the last pitch, but not from an unvoiced frame's
        start = torch.stack([torch.where(last_voiced > 0, last_pitch, pitch), last_voiced], 2)
        line = start.unsqueeze(3) + (now - start).unsqueeze(3) * self.ramp
        hz, gain = line.transpose(1, 2).flatten(2).unbind(1)
        turns = (hz.double() / self.config.sample_rate_hz).cumsum(1) + state["phase"].unsqueeze(1)
        pulses = _pulse_train(turns, hz, self.config.sample_rate_hz) * gain
        place = (state["noise"][:, None] + torch.arange(T * HOP + 1, device=frames.device)) % len(self.table)
        source = torch.cat([state["source"], torch.stack([pulses, self.table[place[:, :-1]]], 1)], 2)
        write(state["frame"], now[:, -1], active)
        write(state["phase"], turns[:, -1] % 1.0, active)
        write(state["noise"], place[:, -1], active)
        write(state["source"], source[:, :, -HOP:], active)
        return source

    def _minimum_phase(self, log_magnitude: Tensor) -> Tensor:
        """Complex response of the causal filter with these log magnitudes, by folding the cepstrum."""
        cepstrum = torch.fft.irfft(log_magnitude.clamp(-16, 8), FFT) * self.fold
        log = torch.fft.rfft(cepstrum, FFT)
        size = torch.exp(log.real)  # the complex exponential in two: torch's own takes ten times as long on a CPU
        return torch.complex(size * torch.cos(log.imag), size * torch.sin(log.imag))

    def _overlap_add(self, shaped_BTN: Tensor, state: State, active: Tensor) -> Tensor:
        B, T, _ = shaped_BTN.shape
        length = (T - 1) * HOP + FFT
        total = F.fold(shaped_BTN.transpose(1, 2), (1, length), (1, FFT), stride=(1, HOP)).view(B, length)
        total = torch.cat([total[:, :FFT - HOP] + state["overlap"], total[:, FFT - HOP:]], 1)
        write(state["overlap"], total[:, T * HOP:], active)
        return total[:, :T * HOP]


def _pulse_train(turns: Tensor, hz: Tensor, sample_rate_hz: int) -> Tensor:
    """Sum of all harmonics below 7.6 kHz in closed form (the Dirichlet kernel), of unit power; turns in float64."""
    even = 2 * torch.floor(0.475 * sample_rate_hz / hz.clamp(min=20.0))
    odd, half = even.double() + 1, turns.frac() * math.pi
    sine = torch.sin(half)
    small = sine.abs() < 1e-6
    kernel = torch.where(small, odd, torch.sin(odd * half) / sine.masked_fill(small, 1.0))
    return ((kernel - 1) * even.rsqrt()).to(hz.dtype)
