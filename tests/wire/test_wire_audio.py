"""Audio on the wire: PCM and G.711."""

import base64

import numpy as np
import pytest

from omni.base.errors import WireError
from omni.wire import g711, limits
from omni.wire.audio import decode_audio, encode_audio
from omni.wire.session import AudioPcm, AudioPcma, AudioPcmu

PCM, MU, A = AudioPcm(rate=16000), AudioPcmu(), AudioPcma()
LINEAR = np.arange(-32_768, 32_768)


def test_pcm_is_exact_in_both_directions():
    raw = LINEAR.astype("<i2").tobytes()
    samples = decode_audio(base64.b64encode(raw).decode(), PCM)
    assert samples.dtype == np.float32 and samples[0] == -1.0 and samples[32_768] == 0.0
    assert base64.b64decode(encode_audio(samples, PCM)) == raw


def test_loud_samples_are_clipped():
    loud = np.array([2.0, 1.0, -1.0, -2.0], dtype=np.float32)
    linear = np.frombuffer(base64.b64decode(encode_audio(loud, PCM)), "<i2")
    assert linear.tolist() == [32767, 32767, -32768, -32768]
    for law in (MU, A):
        assert np.abs(decode_audio(encode_audio(loud, law), law)).min() > 0.95


@pytest.mark.parametrize("bad", [np.zeros((2, 3), np.float32), np.array([np.nan], np.float32), np.array([np.inf])])
def test_what_is_no_audio_is_a_callers_mistake(bad):
    with pytest.raises(ValueError):
        encode_audio(bad, PCM)


@pytest.mark.parametrize("table, codes", [
    # code: sample, from the tables of ITU-T G.711 in 16 bits
    (g711.mulaw_to_linear(), {0x00: -32124, 0x80: 32124, 0x7F: 0, 0xFF: 0, 0xFE: 8, 0x7E: -8, 0x8F: 16764, 0xF0: 120}),
    (g711.alaw_to_linear(), {0xD5: 8, 0x55: -8, 0x2A: -32256, 0xAA: 32256, 0xD4: 24, 0x85: 4224, 0xC5: 264}),
])
def test_g711_tables_hold_the_values_of_the_standard(table, codes):
    assert {code: int(table[code]) for code in codes} == codes


@pytest.mark.parametrize("to_linear, to_code", [(g711.mulaw_to_linear(), g711.linear_to_mulaw()),
                                                (g711.alaw_to_linear(), g711.linear_to_alaw())])
def test_g711_codes_every_sample_within_half_a_step(to_linear, to_code):
    """Sixteen steps an octave: the error is at most a 32nd of the sample, counted from the law's own offset."""
    decoded = to_linear[to_code].astype(int)
    unclipped = np.abs(LINEAR) <= 32_000
    assert (np.abs(decoded - LINEAR) <= (np.abs(LINEAR) + 256) / 32 + 4)[unclipped].all()
    assert (np.diff(decoded) >= 0).all()
    assert np.array_equal(to_linear[to_code[to_linear.astype(int) + 32_768]], to_linear)


@pytest.mark.parametrize("law", [MU, A])
def test_g711_is_close(law):
    tone = (0.5 * np.sin(np.arange(800) * 0.3)).astype(np.float32)
    error = decode_audio(encode_audio(tone, law), law) - tone
    assert 10 * np.log10((tone ** 2).mean() / (error ** 2).mean()) > 35   # about 38 dB by the standard


@pytest.mark.parametrize("text", ["####", "AAA", "AAAA AAAA", "AAAA\n", "__8=", "é", "AA==AA=="])
def test_what_is_not_base64(text):
    with pytest.raises(WireError) as refused:
        decode_audio(text, MU)
    assert (refused.value.code, refused.value.param) == ("invalid_audio", "audio")


def test_half_a_sample_is_refused():
    with pytest.raises(WireError, match="middle"):
        decode_audio(base64.b64encode(b"\0" * 3).decode(), PCM)


@pytest.mark.parametrize("audio_format, width", [(PCM, 2), (AudioPcm(rate=24000), 2), (MU, 1), (A, 1)])
def test_an_append_may_hold_thirty_seconds(audio_format, width):
    most = limits.MAX_APPEND_S * audio_format.rate * width
    assert decode_audio(base64.b64encode(bytes(most)).decode(), audio_format).size == most // width
    with pytest.raises(WireError) as refused:
        decode_audio(base64.b64encode(bytes(most + width)).decode(), audio_format)
    assert refused.value.code == "limit_exceeded"


def test_no_samples_are_no_samples():
    assert decode_audio("", PCM).shape == (0,) and encode_audio(np.zeros(0, np.float32), PCM) == ""
