"""Echoes and rooms: streaming equals the whole, and levels are what they say."""

import numpy as np
import pytest

from omni.audio.mixing import Convolver, Echo, active_level, bed, mix_at_snr


def _split(process, signal: np.ndarray, seed: int) -> np.ndarray:
    rng, at, out = np.random.default_rng(seed), 0, []
    while at < len(signal):
        count = int(rng.integers(0, 2000))
        out.append(process(signal[at:at + count]))
        at += count
    return np.concatenate(out)


def test_streaming_convolution_equals_the_whole():
    rng = np.random.default_rng(5)
    signal = rng.standard_normal(20_000).astype(np.float32)
    response = (rng.standard_normal(3000) * np.exp(-np.arange(3000) / 500)).astype(np.float32)
    expected = np.convolve(signal, response)[:len(signal)]
    np.testing.assert_allclose(_split(Convolver(response).process, signal, 1), expected, atol=1e-3)


def test_echo_is_delayed_and_attenuated_across_blocks():
    rng = np.random.default_rng(6)
    signal = rng.standard_normal(10_000).astype(np.float32)
    out = _split(Echo(-20.0, 2_720).process, signal, 2)
    np.testing.assert_allclose(out[2_720:], 0.1 * signal[:-2_720], rtol=1e-5)
    assert not out[:2_720].any()


def test_echo_through_a_room_keeps_its_level_whatever_the_room():
    noise = np.random.default_rng(7).standard_normal(64_000).astype(np.float32)
    for scale in (0.01, 1.0, 50.0):
        response = scale * np.random.default_rng(8).standard_normal(800) * np.exp(-np.arange(800) / 100)
        out = Echo(-12.0, 100, response).process(noise)
        assert 20 * np.log10(np.std(out[2000:]) / np.std(noise)) == pytest.approx(-12.0, abs=0.5)


def test_snr_is_kept_whatever_the_pauses():
    rng = np.random.default_rng(9)
    speech = np.zeros(32_000, np.float32)
    speech[8_000:16_000] = rng.standard_normal(8_000)
    noise = 0.3 * rng.standard_normal(32_000).astype(np.float32)
    mixed = mix_at_snr(speech, noise, 10.0)
    assert 20 * np.log10(active_level(speech) / active_level(mixed - speech)) == pytest.approx(10.0, abs=0.3)


def test_a_bed_has_no_seams():
    tone = np.sin(2 * np.pi * 50 * np.arange(16_000) / 16_000).astype(np.float32)
    long = bed(tone, 100_000)
    assert len(long) == 100_000
    assert np.abs(np.diff(long)).max() < 0.05


def test_bad_echoes_are_refused():
    with pytest.raises(ValueError, match="before its sound"):
        Echo(0.0, -1)
    with pytest.raises(ValueError, match="silent response"):
        Echo(0.0, 0, np.zeros(10))
