"""The vocoder before any learning: pulses at the given pitch, noise where nothing is voiced, nothing in silence."""

import pytest
import torch

from omni.model.vocoder import BINS, DELAY, HOP, Vocoder, VocoderConfig

CONFIG = VocoderConfig(num_mels=16, dim=8, num_layers=1, kernel=3)
VOCODER = Vocoder(CONFIG).eval()  # pulses lie on a bed of noise of their own power, until it has learned how much
PULSES = Vocoder(CONFIG).eval()
with torch.no_grad():
    PULSES.leave.bias[BINS:] = -8.0  # the bed is 70 dB down


def _frames(count: int, hz: float, voiced: bool, level: float = 0.0) -> torch.Tensor:
    frames = torch.full((1, count, 18), level)
    frames[..., -2] = torch.log2(torch.tensor(hz / 200))
    frames[..., -1] = 3.0 if voiced else -3.0
    return frames


def _lag(x: torch.Tensor, low: int, high: int) -> int:
    """Lag of the largest autocorrelation."""
    spectrum = torch.fft.rfft(x - x.mean(), 4 * len(x))
    return int(torch.fft.irfft(spectrum.abs().square())[low:high].argmax()) + low


@pytest.mark.parametrize("hz", [80.0, 123.0, 200.0, 320.0])
@torch.no_grad()
def test_the_output_has_the_pitch_it_is_given(hz):
    sound = PULSES(_frames(60, hz, True))[0, 1600:]
    period = 16_000 / hz
    assert abs(_lag(sound, int(0.6 * period), int(1.6 * period)) - period) <= 1
    # all of its energy lies on harmonics
    spectrum = torch.fft.rfft(sound * torch.hann_window(len(sound))).abs().square()
    freqs = torch.arange(len(spectrum)) * 16_000 / len(sound)
    near = ((freqs / hz - (freqs / hz).round()).abs() * hz) < 6
    assert spectrum[near].sum() > 0.98 * spectrum.sum()


@torch.no_grad()
def test_a_pulse_train_has_one_pulse_a_period():
    sound = PULSES(_frames(60, 100.0, True))[0, 1600:8000]
    peaks = (sound > 0.5 * sound.max()).nonzero().flatten()
    starts = peaks[torch.cat([torch.tensor([True]), peaks.diff() > 80])]
    assert len(starts) == 40 and set(starts.diff().tolist()) <= {159, 160, 161}


@torch.no_grad()
def test_unvoiced_frames_have_no_pitch_and_repeat_for_every_listener():
    frames = _frames(60, 100.0, False)
    sound = VOCODER(frames.expand(2, -1, -1))
    assert torch.equal(sound[0], sound[1])  # the noise is a table: the same run gives the same file
    x = sound[0, 1600:]
    spectrum = torch.fft.rfft(x, 2 * len(x)).abs().square()
    correlation = torch.fft.irfft(spectrum)
    assert correlation[100:250].max() < 0.25 * correlation[0]


@torch.no_grad()
def test_level_follows_the_log_mel():
    """Bands are power in tens of decibels: 0.2 more is 6 dB, twice the amplitude."""
    quiet, loud = (VOCODER(_frames(40, 150.0, True, level))[0, 1600:].std() for level in (0.0, 0.2))
    assert float(loud / quiet) == pytest.approx(10 ** (0.2 * 3 / 2), rel=0.02)
    assert VOCODER(_frames(40, 150.0, False, -1.0)).abs().max() < 0.02


@torch.no_grad()
def test_a_frame_sounds_one_hop_later_and_never_before():
    frames = _frames(20, 150.0, False, -3.0)
    later = frames.clone()
    later[:, 12:, :16] = 0.0
    a, b = VOCODER(frames)[0], VOCODER(later)[0]
    changed = (a != b).nonzero().flatten()
    assert DELAY == HOP and 11 * HOP <= changed.min() <= 12 * HOP


@torch.no_grad()
def test_pitch_glides_without_a_click():
    frames = _frames(60, 100.0, True)
    frames[:, 30:, -2] = torch.log2(torch.tensor(140 / 200))
    sound = PULSES(frames)[0]
    assert sound[4500:5500].abs().max() < 1.3 * sound[1600:4500].abs().max()
