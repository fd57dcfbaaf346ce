"""Log-mel frames that never change when more is heard."""

import pytest
import torch

from omni.model.features import LogMel, mel_filters


def test_a_frame_sees_its_own_hop_and_nothing_after():
    features, x = LogMel(), torch.randn(1, 1600)
    for frame in (0, 3, 9):
        later = x.clone()
        later[:, (frame + 1) * 160:] = 5.0
        assert torch.equal(features(x)[:, :frame + 1], features(later)[:, :frame + 1])


def test_silence_is_the_floor_and_full_scale_stays_near_one():
    features = LogMel()
    assert torch.equal(features(torch.zeros(1, 1280)), torch.full((1, 8, 80), -1.0))
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16_000) / 16_000)[None]
    assert 0.5 < features(tone).max() < 1.5


@pytest.mark.parametrize("hz", [100, 440, 1000, 3000, 7000])
def test_a_tone_is_loudest_in_the_band_around_it(hz):
    features = LogMel()
    tone = 0.1 * torch.sin(2 * torch.pi * hz * torch.arange(3200) / 16_000)[None]
    band = features(tone)[0, -1].argmax()
    response = torch.from_numpy(mel_filters(16_000, 512, 80))[band]
    edges = response.nonzero().flatten() * 16_000 / 512
    assert edges.min() - 32 <= hz <= edges.max() + 32


def test_filters_have_unit_area_and_leave_no_gap():
    filters = mel_filters(16_000, 4096, 80)
    area = filters.sum(1) * 16_000 / 4096
    assert abs(area[10:] - 1).max() < 0.02
    assert (filters.sum(0)[20:-4] > 0).all()


def test_ten_decibels_more_is_a_constant_more():
    """The logarithm is moved by a constant, never by the utterance."""
    features, x = LogMel(), torch.randn(1, 3200)
    torch.testing.assert_close(features(x * 10**0.5) - features(x), torch.full((1, 20, 80), 1 / 3), atol=1e-3, rtol=0)
