"""What sound goes through: a room, a loudspeaker, the telephone network, Opus with lost packets, another clock.

All but the room take float32 (n,) at 16 kHz and give float32 (n,) on the same time; how far speech may move is said at
each. Everything random comes from the `random.Random` that is handed in.
"""

import random
from fractions import Fraction
from functools import cache

import av
import numpy as np
import soxr
from scipy.signal import butter, firwin, lfilter, oaconvolve, sosfilt

RATE_HZ = 16_000
PACKET = 320  # samples in a packet of 20 ms
OPUS_DELAY = 312  # samples at 48 kHz: the look-ahead of libopus for "voip"
DIRECT = 16  # sample of a room response at which the direct sound arrives: 1 ms
_SOUND_M_S = 343.0
_EARLY_S = 0.05  # reflections up to here are images, the rest is diffuse
_TAPS = 255  # of the telephone's filters: 8 ms to either side, edges 60 Hz wide


def simulated_room(rng: random.Random) -> tuple[np.ndarray, dict]:
    """A room that nobody has heard: its response (unit energy, direct sound at `DIRECT`, at most 1 s), and its facts.

    Images of the source in the six walls (Allen and Berkley, J. Acoust. Soc. Am. 65, 1979) up to 50 ms, then noise that
    decays by 60 dB in T60, its highs faster. Direct and other sound are as strong as diffuse-field theory says for the
    distance and the room: equal at 0.057 sqrt(V / T60) metres. T60 is 0.1 to 1.2 s, the distance 0.3 to 4 m.
    """
    size = np.array([rng.uniform(2.5, 9), rng.uniform(2.5, 7), rng.uniform(2.2, 3.6)])
    t60_s = rng.uniform(0.1, 1.2)
    ear, mouth = _two_places(size, rng)
    distance_m = float(np.linalg.norm(mouth - ear))
    volume, surface = size.prod(), 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    # the walls reflect what Eyring's formula asks for, so that images and tail decay alike
    wall = float(np.exp(-0.5 * min(0.161 * volume / (surface * t60_s), 4.0)))
    random_noise = np.random.default_rng(rng.getrandbits(64))
    at_s, amplitude = _images(size, ear, mouth, wall)
    amplitude *= random_noise.choice([1.0, 1.0, 1.0, -1.0], len(amplitude))  # walls that are no mirrors
    amplitude[at_s == 0] = 1 / distance_m
    count = DIRECT + 1 + int(min(0.9 * t60_s, 1.0) * RATE_HZ)
    reflected = np.zeros(count, np.float64)
    place = DIRECT + at_s * RATE_HZ
    index, part = place.astype(int), place % 1
    inside = (at_s > 0) & (at_s < _EARLY_S) & (index + 1 < count)
    fade = np.clip(2 - 2 * at_s / _EARLY_S, 0, 1)
    np.add.at(reflected, index[inside], (amplitude * fade * (1 - part))[inside])
    np.add.at(reflected, index[inside] + 1, (amplitude * fade * part)[inside])
    time_s = np.arange(count - DIRECT) / RATE_HZ
    white = random_noise.standard_normal(len(time_s))
    dull = lfilter([0.4], [1, -0.6], white)
    tail = dull * 10 ** (-3 * time_s / t60_s) + (white - dull) * 10 ** (-3 * time_s / (0.65 * t60_s))
    tail *= np.clip(2 * time_s / _EARLY_S, 0.03, 1)
    wanted = (distance_m / 0.057) ** 2 * t60_s / volume / distance_m**2  # energy of all that is not direct
    early, late = float((reflected**2).sum()), float((tail**2).sum())
    reflected[DIRECT:] += tail * np.sqrt(max(wanted - early, 0.1 * wanted) / late)
    reflected[DIRECT] += 1 / distance_m
    return ((reflected / np.sqrt((reflected**2).sum())).astype(np.float32),
            {"t60_s": round(t60_s, 2), "distance_m": round(distance_m, 1)})


def _two_places(size: np.ndarray, rng: random.Random) -> tuple[np.ndarray, np.ndarray]:
    """Two points of a room, 0.3 to 4 m apart and 0.3 m off the walls."""
    while True:
        ear = np.array([rng.uniform(0.3, s - 0.3) for s in size])
        around, up, far_m = rng.uniform(0, 6.2832), rng.uniform(-0.4, 0.4), 0.3 * (4 / 0.3) ** rng.random()
        mouth = ear + far_m * np.array([np.cos(around) * np.cos(up), np.sin(around) * np.cos(up), np.sin(up)])
        if (mouth > 0.3).all() and (mouth < size - 0.3).all():
            return ear, mouth


def _images(size: np.ndarray, ear: np.ndarray, mouth: np.ndarray, wall: float) -> tuple[np.ndarray, np.ndarray]:
    """Times in s after the direct sound and amplitudes of the source and its images, up to three reflections a side."""
    n = np.arange(-3, 4)
    # along one side of length L the images of s are n L + s for even n, n L + (L - s) for odd n, after |n| reflections
    lines = [np.where(n % 2 == 0, n * L + s, n * L + L - s) - e for L, s, e in zip(size, mouth, ear, strict=True)]
    far_m = np.sqrt(sum(d**2 for d in np.meshgrid(*lines, indexing="ij"))).ravel()
    bounces = sum(np.meshgrid(*[np.abs(n)] * 3, indexing="ij")).ravel()
    direct_m = float(np.linalg.norm(mouth - ear))
    at_s = (far_m - direct_m) / _SOUND_M_S
    at_s[bounces == 0] = 0.0
    return at_s, wall**bounces / np.maximum(far_m, 0.1)


@cache
def _mulaw() -> np.ndarray:
    """int16 (65536,): what is left of each sample, indexed by the sample plus 32,768, after G.711 (11/1988) mu-law."""
    sample = np.arange(-32_768, 32_768, dtype=np.int32)
    magnitude = np.minimum(np.abs(sample), 32_635) + 132
    step = np.floor(np.log2(magnitude)).astype(np.int32) - 4
    magnitude = ((magnitude >> step) << step) + (1 << step - 1) - 132
    return np.where(sample < 0, -magnitude, magnitude).astype(np.int16)


@cache
def _telephone_bands() -> tuple[np.ndarray, np.ndarray]:
    band = firwin(_TAPS, [300, 3400], pass_zero=False, fs=RATE_HZ)
    return band.astype(np.float32), (2 * firwin(_TAPS, 3700, fs=RATE_HZ)).astype(np.float32)


def telephone(x: np.ndarray) -> np.ndarray:
    """300 to 3400 Hz, 8,000 samples a second, mu-law: a call over the telephone network. Moves nothing."""
    band, between = _telephone_bands()
    narrow = oaconvolve(x, band, "same")[::2]
    coded = _mulaw()[np.clip(narrow * 32_768, -32_768, 32_767).astype(np.int32) + 32_768]
    y = np.zeros(len(x), np.float32)
    y[::2] = coded / np.float32(32_768)
    return oaconvolve(y, between, "same").astype(np.float32, copy=False)


def lost_packets(count: int, share: float, burst: float, rng: random.Random) -> np.ndarray:
    """bool (count,), whether each packet is lost: a Gilbert chain (Bell Syst. Tech. J. 39, 1960) of two states.

    Args:
        share: of the packets that are lost in the long run, below 1.
        burst: mean number of packets lost in a row, at least 1.
    """
    mends, breaks = 1 / burst, share / (1 - share) / burst
    lost, bad = np.zeros(count, bool), rng.random() < share
    for i in range(count):
        lost[i] = bad
        bad = rng.random() >= mends if bad else rng.random() < breaks
    return lost


def drop(x: np.ndarray, lost: np.ndarray, fades: bool) -> np.ndarray:
    """Put silence where packets of 20 ms are missing, as the input timeline does. Moves nothing.

    Args:
        lost: bool (at least ceil(n / 320),).
        fades: the last packet is heard once more, fading out, as in receivers that conceal; then silence.
    """
    y = x.copy()
    for i in np.flatnonzero(lost[:-(-len(x) // PACKET)]):
        at = int(i) * PACKET
        hole = y[at:at + PACKET]
        if fades and i and not lost[i - 1]:
            hole[:] = y[at - PACKET:at][:len(hole)] * np.linspace(1, 0, PACKET, dtype=np.float32)[:len(hole)]
        else:
            hole[:] = 0
    return y


def opus(x: np.ndarray, bits_per_s: int = 16_000, rate_hz: int = RATE_HZ, lost: np.ndarray | None = None,
         fades: bool = False) -> np.ndarray:
    """Through libopus (RFC 6716) in packets of 20 ms, as from a browser, and back. Moves speech by 1 sample at most.

    Args:
        bits_per_s: 8,000 to 32,000 for speech.
        rate_hz: of the encoder, 16,000 or 48,000.
        lost: packets that the decoder never sees (bool, at least ceil((n + 104) / 320)), see `drop`.
    """
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.format, encoder.layout, encoder.bit_rate = rate_hz, "flt", "mono", bits_per_s
    # Of the ten grades of effort the lowest costs a third of a browser's; at these rates few can hear the difference.
    encoder.options = {"application": "voip", "frame_duration": "20", "compression_level": "1"}
    padded = np.concatenate([x, np.zeros(2 * PACKET - len(x) % PACKET, np.float32)])
    if rate_hz != RATE_HZ:
        padded = soxr.resample(padded, RATE_HZ, rate_hz, quality="MQ")
    frame = av.AudioFrame.from_ndarray(padded[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
    packets = [bytes(p) for p in encoder.encode(frame) + encoder.encode(None)]
    decoder = av.CodecContext.create("libopus", "r")  # as aiortc's; always gives 48 kHz, band-limited by the coder
    decoder.layout = "mono"
    decoded = np.zeros((len(packets), PACKET), np.float32)
    kept = np.ones(len(packets), bool)
    if lost is not None:
        kept[:len(lost)] = ~lost[:len(packets)]
    for i in np.flatnonzero(kept):
        for part in decoder.decode(av.Packet(packets[i])):
            decoded[i] = part.to_ndarray()[0, ::3] / np.float32(32_768)
    return drop(decoded.reshape(-1), ~kept, fades)[OPUS_DELAY // 3:][:len(x)]


def drift(x: np.ndarray, ppm: float) -> np.ndarray:
    """The signal by a clock that is `ppm` millionths fast: in step in the middle, off by n * ppm / 2e6 at the ends."""
    y = soxr.resample(x, RATE_HZ, RATE_HZ * (1 + ppm * 1e-6), quality="MQ")
    more = len(y) - len(x)
    if more >= 0:
        return y[more // 2:more // 2 + len(x)]
    return np.pad(y, (-more // 2, -more - -more // 2))


def loudspeaker(x: np.ndarray, rng: random.Random) -> np.ndarray:
    """A small loudspeaker near its limits: no bass, few highs, saturation, and a cone that goes out farther than in.

    Peaks as high as the input's; may move speech by 0.5 ms, as such filters do.
    """
    loud = float(np.abs(x).max(initial=0.0))
    if not loud:
        return x.copy()
    band = butter(2, [rng.uniform(120, 400), rng.uniform(4500, 7500)], "bandpass", fs=RATE_HZ, output="sos")
    drive, even = rng.uniform(0.3, 3.0), rng.uniform(0.0, 0.2)
    y = x / loud
    y = np.tanh(drive * (y + even * y * y)) / np.tanh(drive)
    y = sosfilt(band, y)
    return (y * (loud / max(float(np.abs(y).max()), 1e-9))).astype(np.float32)
