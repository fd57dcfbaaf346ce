"""Files: what is not whole audio is refused in one line, and nothing half-written is left."""

import numpy as np
import pytest
import soundfile

from omni.audio.files import read_audio, read_mono, replacing, to_int16, write_wav
from omni.base.errors import MediaError

RATE = 22_050


@pytest.fixture
def stereo() -> np.ndarray:
    return 0.3 * np.random.default_rng(1).standard_normal((2, RATE)).clip(-3, 3).astype(np.float32)


@pytest.mark.parametrize(("suffix", "kind", "subtype"), [
    (".wav", "WAV", "PCM_16"), (".wav", "WAV", "FLOAT"), (".wav", "WAV", "PCM_24"), (".flac", "FLAC", "PCM_16"),
    (".ogg", "OGG", "VORBIS"), (".opus", "OGG", "OPUS")])
def test_reads_the_usual_formats_and_refuses_their_first_half(tmp_path, stereo, suffix, kind, subtype):
    path = tmp_path / f"in{suffix}"
    rate = 24_000 if subtype == "OPUS" else RATE
    soundfile.write(path, stereo.T, rate, format=kind, subtype=subtype)
    samples, found = read_audio(path)
    assert samples.dtype == np.float32 and samples.shape[0] == 2 and found == rate
    assert abs(samples.shape[1] - RATE) <= 1
    whole = path.read_bytes()
    for share in (0.5, 0.9, 0.02):
        path.write_bytes(whole[:int(len(whole) * share)])
        with pytest.raises(MediaError, match=r"truncated|not audio"):
            read_audio(path)


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "empty"), (b"hello, this is no audio\n" * 50, "not audio"), (bytes(4000), "not audio")])
def test_refuses_what_is_no_audio(tmp_path, content, reason):
    path = tmp_path / "in.wav"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=reason):
        read_audio(path)


def test_refuses_missing_files_folders_no_samples_and_nan(tmp_path):
    for path in (tmp_path / "absent.wav", tmp_path):
        with pytest.raises(MediaError):
            read_audio(path)
    none = tmp_path / "none.wav"
    soundfile.write(none, np.zeros(0, np.float32), RATE)
    with pytest.raises(MediaError, match="no samples"):
        read_audio(none)
    for value in (np.nan, np.inf):
        bad = np.zeros(100, np.float32)
        bad[50] = value
        soundfile.write(tmp_path / "nan.wav", bad, RATE, subtype="FLOAT")
        with pytest.raises(MediaError, match="no numbers"):
            read_audio(tmp_path / "nan.wav")


def test_a_wav_from_a_pipe_has_no_size_and_is_read(tmp_path, stereo):
    path = tmp_path / "pipe.wav"
    soundfile.write(path, stereo.T, RATE)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at:at + 4] = content[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert read_audio(path)[0].shape == (2, RATE)


def test_sixteen_bits_survive_a_round_trip(tmp_path):
    values = np.arange(-32768, 32768, 7).astype(np.int16)
    write_wav(tmp_path / "out.wav", values / np.float32(32768), RATE)
    samples, _ = read_mono(tmp_path / "out.wav")
    np.testing.assert_array_equal(to_int16(samples), values)


def test_a_failed_write_leaves_nothing(tmp_path, stereo):
    path = tmp_path / "out.wav"
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MediaError, match="cannot be written"):
        write_wav(tmp_path / "no" / "out.wav", stereo, RATE)
