"""What sound goes through: on its time, of its length, by its seed, and each way as it says."""

import random

import numpy as np
import pytest

from omni.data import augment, channel
from omni.data.augment import Augment
from omni.wire import g711

RATE_HZ = channel.RATE_HZ


def _voice(count: int = 48_000, pitch_hz: float = 130.0) -> np.ndarray:
    """Something that a speech coder takes for a voice: harmonics that glide, in syllables."""
    t = np.arange(count) / RATE_HZ
    phase = 2 * np.pi * pitch_hz * (t + 0.02 * np.sin(2 * np.pi * 0.9 * t))
    x = sum(np.sin(k * phase) / (1 + (k - 5) ** 2 / 6) for k in range(1, 24))
    x *= np.clip(np.sin(2 * np.pi * 2.3 * t), 0.02, 1) + 0.01 * np.random.default_rng(0).standard_normal(count)
    return (0.3 * x / np.abs(x).max()).astype(np.float32)


def _shift(x: np.ndarray, y: np.ndarray) -> int:
    """By how many samples y is later than x."""
    both = np.fft.irfft(np.fft.rfft(y, 2 * len(x)) * np.fft.rfft(x, 2 * len(x)).conj())
    return (int(both.argmax()) + len(x)) % (2 * len(x)) - len(x)


def _level_db(x: np.ndarray, hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x))))
    at = round(hz * len(x) / RATE_HZ)
    return float(20 * np.log10(spectrum[at - 3:at + 4].max() + 1e-9))


def _augment() -> Augment:
    noise = np.random.default_rng(1)
    room = np.zeros(2000, np.float32)
    room[[16, 300, 900]] = [0.9, 0.3, 0.2]
    return Augment([room], [noise.standard_normal(20_000).astype(np.float32)],
                   [(noise.standard_normal(9_000) * 3_000).astype(np.int16)])


def test_mu_law_is_that_of_the_wire():
    assert (channel._mulaw() == g711.mulaw_to_linear()[g711.linear_to_mulaw()]).all()


def test_a_telephone_leaves_300_to_3400_hz():
    t = np.arange(32_000) / RATE_HZ
    tones = {120.0: 0.1, 1000.0: 0.1, 3000.0: 0.1, 4300.0: 0.1, 6000.0: 0.1}
    x = sum(a * np.sin(2 * np.pi * hz * t) for hz, a in tones.items()).astype(np.float32)
    y = channel.telephone(x)
    change = {hz: _level_db(y, hz) - _level_db(x, hz) for hz in tones}
    assert abs(change[1000.0]) < 0.5 and abs(change[3000.0]) < 0.5
    assert max(change[120.0], change[4300.0], change[6000.0]) < -25


@pytest.mark.parametrize("way, most", [
    (channel.telephone, 0),
    (channel.opus, 1),
    (lambda x: channel.opus(x, 32_000, 48_000), 1),
    (lambda x: channel.drift(x, 60.0), 1),
    (lambda x: channel.loudspeaker(x, random.Random(1)), 8),
], ids=["telephone", "opus", "opus 48 kHz", "drift", "loudspeaker"])
def test_speech_stays_where_it_was(way, most):
    x = _voice()
    y = way(x)
    assert y.dtype == np.float32 and y.shape == x.shape
    assert abs(_shift(x, y)) <= most
    for count in (0, 1, 319, 321, 1000):
        assert way(x[20_000:20_000 + count]).shape == (count,)


def test_opus_is_deterministic_and_keeps_the_sound():
    x = _voice()
    y = channel.opus(x, 24_000)
    assert (y == channel.opus(x, 24_000)).all()
    assert np.corrcoef(x, y)[0, 1] > 0.9 and (x != y).any()


def test_lost_packets_leave_holes_where_they_were():
    x = _voice()
    lost = np.zeros(200, bool)
    lost[[40, 41, 90]] = True
    whole, holes = channel.opus(x), channel.opus(x, lost=lost)
    first = 40 * channel.PACKET - channel.OPUS_DELAY // 3
    assert not holes[first:first + 640].any()
    assert holes[first - 100:first].any() and holes[first + 700:first + 900].any()
    assert (holes[:first] == whole[:first]).all()
    fading = channel.drop(x, lost, fades=True)
    at = 40 * channel.PACKET
    assert np.allclose(fading[at:at + 320], x[at - 320:at] * np.linspace(1, 0, 320), atol=1e-6)
    assert not fading[at + 320:at + 640].any() and (fading[at + 640:at + 900] == x[at + 640:at + 900]).all()


def test_packets_are_lost_in_bursts_as_often_as_asked():
    lost = channel.lost_packets(60_000, 0.1, 3.0, random.Random(0))
    bursts = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(int)])) == 1)
    assert lost.mean() == pytest.approx(0.1, rel=0.15)
    assert lost.sum() / len(bursts) == pytest.approx(3.0, rel=0.15)


def test_a_clock_that_is_fast_is_in_step_in_the_middle():
    x = np.zeros(160_000, np.float32)
    x[[1000, 80_000, 159_000]] = 1
    y = channel.drift(x, 100.0)
    assert [int(np.abs(y[at - 40:at + 40]).argmax()) - 40 for at in (1000, 80_000, 159_000)] == [-8, 0, 8]


def test_a_loudspeaker_adds_even_and_odd_harmonics_and_has_no_bass():
    t = np.arange(32_000) / RATE_HZ
    low, tone = 0.3 * np.sin(2 * np.pi * 50 * t), (0.5 * np.sin(2 * np.pi * 800 * t)).astype(np.float32)
    found = [channel.loudspeaker(tone, random.Random(seed)) for seed in range(12)]
    assert max(_level_db(y, 1600) - _level_db(y, 800) for y in found) > -35
    assert max(_level_db(y, 2400) - _level_db(y, 800) for y in found) > -35
    both = channel.loudspeaker((low + tone).astype(np.float32), random.Random(3))
    assert _level_db(both, 50) < _level_db(both, 800) - 15
    assert all(np.abs(y).max() == pytest.approx(0.5, rel=1e-4) for y in found)
    assert not channel.loudspeaker(np.zeros(100, np.float32), random.Random(0)).any()


def test_computed_rooms_may_be_heard_as_they_are():
    """And measured ones never are: all of those have been heard from afar."""
    click = np.zeros(8_000, np.float32)
    click[0] = 1
    for seed in range(5):
        response = channel.simulated_room(random.Random(f"room/{seed}"))[0]
        rng = random.Random(seed)
        maker = Augment([np.ones(1, np.float32)], [click], [], simulated=1.0, wet=True)
        maker._response = lambda rng, r=response: (r.copy(), True)
        heard = maker.room(click, rng, share=1.0)
        assert np.allclose(heard[:len(response)], response[:8_000], atol=1e-5)
        maker.wet = False
        assert not np.allclose(maker.room(click, rng, share=1.0)[:len(response)], response[:8_000], atol=1e-3)
    counts = [Augment([np.ones(1, np.float32)], [], [], simulated=share)._response(random.Random(0))[1]
              for share in (0.0, 1.0)]
    assert counts == [False, True]


def test_simulated_rooms_decay_as_they_say_and_far_mouths_sound_far():
    rng, ratios, direct_db = random.Random(0), [], {"near": [], "far": []}
    for _ in range(60):
        response, facts = channel.simulated_room(rng)
        assert (response**2).sum() == pytest.approx(1, rel=1e-4) and not response[:channel.DIRECT].any()
        other = response.astype(np.float64)
        other[:channel.DIRECT + 1] = 0
        left_db = 10 * np.log10(np.cumsum(other[::-1] ** 2)[::-1] / (other**2).sum() + 1e-12)
        t30_s = 3 * (np.argmax(left_db < -25) - np.argmax(left_db < -5)) / RATE_HZ
        ratios.append(t30_s / facts["t60_s"])
        share = response[channel.DIRECT] ** 2 / (other**2).sum()
        if not 0.6 < facts["distance_m"] < 1.4:
            direct_db["near" if facts["distance_m"] < 1 else "far"].append(10 * np.log10(share))
    assert 0.8 < np.median(ratios) < 1.05 and min(ratios) > 0.6
    assert np.median(direct_db["near"]) > np.median(direct_db["far"]) + 6
    assert all((a == b).all() for a, b in [(channel.simulated_room(random.Random(s))[0],
                                            channel.simulated_room(random.Random(s))[0]) for s in range(3)])


def test_every_way_of_augment_keeps_length_type_and_seed():
    x, maker = _voice(24_000), _augment()
    for name in ("room", "colour", "noise", "gain", "line", "level", "echo"):
        for seed in range(8):
            y = getattr(maker, name)(x, random.Random(seed))
            assert y.dtype == np.float32 and y.shape == x.shape and np.isfinite(y).all(), name
            assert (y == getattr(_augment(), name)(x, random.Random(seed))).all(), name


def test_lines_and_rooms_come_as_often_as_meant():
    x, maker, rng, counts = _voice(800), _augment(), random.Random(2), {}
    with augment.recorded() as notes:
        for _ in range(1500):
            maker.line(x, rng)
            maker.room(x, rng)
    for n in notes:
        counts[n["kind"]] = counts.get(n["kind"], 0) + 1 / 1500
    assert counts["telephone"] == pytest.approx(augment.TELEPHONE, abs=0.02)
    assert counts["opus"] == pytest.approx(augment.OPUS, abs=0.025)
    assert counts["simulated"] == pytest.approx(0.6 / 3, abs=0.035)
    assert counts["measured"] == pytest.approx(0.4, abs=0.04)


def test_what_was_drawn_is_noted_only_while_somebody_keeps_it():
    x, maker = _voice(8_000), _augment()
    maker.noise(x, random.Random(0))
    with augment.recorded() as notes:
        maker.noise(x, random.Random(0), 10, 10)
    maker.noise(x, random.Random(0))
    assert [n["what"] for n in notes] == ["noise", "bed"] and 10 <= notes[0]["snr_db"] <= 55


def test_an_echo_comes_after_its_sound():
    own = np.zeros(40_000, np.float32)
    own[5_000:6_000] = _voice(1_000)
    for seed in range(12):
        with augment.recorded() as notes:
            heard = _augment().echo(own, random.Random(seed), -10, -10)
        said = next(n for n in notes if n["what"] == "echo")
        begin = 5_000 + 16 * said["delay_ms"]
        assert np.abs(heard[:begin - 48]).max() < 1e-3 and heard[begin:begin + 4_000].any()
        assert np.abs(heard).max() < 0.5 * np.abs(own).max() and said["level_db"] == -10


def test_a_hesitation_draws_a_word_out_and_keeps_the_rest():
    x = (_voice() * 20_000).astype(np.int16)
    words = [("a", 2_000, 14_000), ("tall", 14_000, 30_000), ("latte", 30_000, 46_000)]
    for seed in range(10):
        y, moved = augment.hesitate(x, random.Random(seed), words)
        assert y.dtype == np.int16 and [w for w, _, _ in moved] == ["a", "tall", "latte"]
        drawn = [(b - a) - (d - c) for (_, a, b), (_, c, d) in zip(moved, words, strict=True)]
        gaps = [b[1] - a[2] for a, b in zip(moved, moved[1:], strict=False)]
        assert sum(d > 0 for d in drawn) == 1 and drawn[2] == 0, "one word is longer, and never the last"
        assert sum(3_200 <= g <= 19_200 for g in gaps) == 1 and sorted(gaps)[0] == 0
        for (_, a, b), (_, c, d), more in zip(moved, words, drawn, strict=True):
            if not more:
                assert np.abs(y[a + 80:b - 80].astype(int) - x[c + 80:d - 80]).max() <= 1
    longer, none = augment.hesitate(x, random.Random(0))
    assert len(x) + 3_200 < len(longer) < len(x) + 19_200 + 6_000 and none == []
    assert len(augment.hesitate(x[:100], random.Random(0))[0]) > 3_200
