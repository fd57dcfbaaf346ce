"""`omni converse` over a fake model: exact lengths, causality, one time, the same files twice, one-line refusals."""

import json

import numpy as np
import pytest
import soundfile
from fake_model import PIECE, WORDS, FakeModel

from omni import cli
from omni.audio.files import write_wav
from omni.base.timebase import TINY
from omni.engine.engine import Engine
from omni.evaluate import converse as command

BLOCK = TINY.block_samples


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Runs the command in a folder of its own; gives exit code, OUT (channels, samples), events, standard error."""
    model = {"make": FakeModel}
    monkeypatch.setattr(command, "load_engine", lambda *args, **kw: (Engine(model["make"](), capacity=1), 1))

    def call(source, *options, make=FakeModel, out="out.wav"):
        model["make"] = make
        code = cli.main(["converse", str(source), "--out", str(tmp_path / out), "--events", str(tmp_path / "e.jsonl"),
                         *map(str, options)])
        error = capsys.readouterr().err
        if code:
            return code, None, None, error
        samples, _ = soundfile.read(tmp_path / out, dtype="float32", always_2d=True)
        events = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
        return code, samples.T, events, error

    return call


def _question(seconds: float = 6.0, rate: int = 16_000, until: float = 0.5) -> np.ndarray:
    """Half a second of noise, then nearly nothing."""
    rng = np.random.default_rng(1)
    samples = 0.001 * rng.standard_normal(int(seconds * rate))
    samples[:int(until * rate)] += 0.2 * rng.standard_normal(int(until * rate))
    return samples.astype(np.float32)


@pytest.mark.parametrize(("rate", "channels", "name", "length"), [
    (16_000, 1, "in.wav", 60_001), (8_000, 1, "in.flac", 40_003), (44_100, 2, "in.wav", 200_001),
    (48_000, 3, "in.flac", 240_007), (22_050, 2, "in.ogg", 100_000), (16_000, 1, "in.wav", 100),
    (11_025, 1, "in.wav", 1)])
def test_out_has_the_recordings_rate_and_exact_length(run, tmp_path, rate, channels, name, length):
    source = tmp_path / name
    user = np.resize(_question(length / rate + 1, rate)[:length], (channels, length))
    write_wav(source, user, rate)
    frames = soundfile.info(source).frames
    for options, expected in ((), 1), (("--stereo",), 2):
        code, out, events, _ = run(source, *options)
        assert code == 0 and out.shape == (expected, frames)
        assert soundfile.info(tmp_path / "out.wav").samplerate == rate
        assert events[-1]["type"] == "summary"


def test_events_tell_what_out_holds_and_when(run, tmp_path):
    source = tmp_path / "in.wav"
    write_wav(source, _question(), 16_000)
    _, out, events, _ = run(source, "--stereo")
    np.testing.assert_array_equal(out[0], soundfile.read(source, dtype="float32")[0])
    agent = out[1]
    assert [e["at"] for e in events] == sorted(e["at"] for e in events)
    pieces = [e for e in events if e["type"] == "agent_text"]
    start, = [e for e in events if e["type"] == "start_speak"]
    end, = [e for e in events if e["type"] == "end_speak"]
    assert [p["text"] for p in pieces] == list(WORDS)
    assert end["reason"] == "finished" and end["unheard"] == 0
    assert start["at"] == pytest.approx(10 * 0.08)      # 7 loud blocks, 3 quiet: decided from block 9
    sounding = np.flatnonzero(np.abs(agent) > 1e-3) / 16_000
    assert sounding[0] == pytest.approx(pieces[0]["from"], abs=0.002)
    assert sounding[-1] == pytest.approx(pieces[-1]["to"], abs=0.002)
    for piece, following in zip(pieces, pieces[1:], strict=False):
        assert piece["to"] == following["from"] == pytest.approx(piece["from"] + PIECE / 16_000)
    summary = events[-1]
    assert summary == {"at": 6.0, "type": "summary", "agent_text": "one two three four five six",
                       "user_text": "".join(e["text"] for e in events if e["type"] == "user_text"), "blocks": 75}
    assert summary["user_text"] == "abcdefg"


def test_only_what_sounded_within_out_counts(run, tmp_path):
    source = tmp_path / "in.wav"
    first = 11 * BLOCK                                   # the first piece begins here
    for length, text, spans in [(first + PIECE + 1_279, "one", 1), (first + PIECE + 1_280, "one two", 2),
                                (first + 2 * PIECE, "one two", 2)]:
        write_wav(source, _question()[:length], 16_000)
        _, _, events, _ = run(source)
        assert events[-1]["agent_text"] == text
        pieces = [e for e in events if e["type"] == "agent_text"]
        assert len(pieces) == spans and pieces[-1]["to"] <= length / 16_000
        assert "".join(p["text"] for p in pieces).strip() == text
        assert not any(e["type"] == "end_speak" for e in events)


def test_an_interruption_is_told_with_what_was_never_heard(run, tmp_path):
    source = tmp_path / "in.wav"
    user = _question()
    user[32_000:40_000] += 0.2 * np.random.default_rng(4).standard_normal(8_000).astype(np.float32)
    write_wav(source, user, 16_000)
    _, out, events, _ = run(source)
    end = next(e for e in events if e["type"] == "end_speak")
    assert end["reason"] == "interrupted" and end["unheard"] >= 1
    silent = int(end["at"] * 16_000) + 160
    assert not out[0, silent:silent + 3 * BLOCK].any()


def test_speech_decided_from_a_block_sounds_in_the_next(run, tmp_path):
    """What IN holds from block k on cannot change OUT before block k + 1."""
    user = _question()
    for k in (3, 9, 14, 20):
        changed = user.copy()
        changed[k * BLOCK:] = 0.3 * np.random.default_rng(k).standard_normal(len(user) - k * BLOCK)
        outs = []
        for samples in (user, changed):
            write_wav(tmp_path / "in.wav", samples, 16_000)
            outs.append(run(tmp_path / "in.wav")[1][0])
        np.testing.assert_array_equal(outs[0][:(k + 1) * BLOCK], outs[1][:(k + 1) * BLOCK])
        assert not np.array_equal(*outs)


def test_two_runs_give_identical_files(run, tmp_path):
    write_wav(tmp_path / "in.flac", _question(5.0, 44_100), 44_100)
    files = []
    for _ in range(2):
        run(tmp_path / "in.flac", "--stereo", "--echo", "-10,100")
        files.append([(tmp_path / name).read_bytes() for name in ("out.wav", "e.jsonl")])
    assert files[0] == files[1]


def test_echo_feeds_the_agents_voice_back_after_its_delay(run, tmp_path):
    """The fake takes its own loud echo for an interruption; a faint one, or one that comes too late, it does not."""
    write_wav(tmp_path / "in.wav", _question(), 16_000)
    response = np.zeros(4_000, np.float32)
    response[[0, 500, 3_000]] = 1.0, 0.5, 0.3
    write_wav(tmp_path / "room.wav", response, 24_000)

    def interrupted_at(*options) -> float | None:
        events = run(tmp_path / "in.wav", *options)[2]
        return next((e["at"] for e in events if e.get("reason") == "interrupted"), None)

    assert interrupted_at() is None
    assert interrupted_at("--echo", "-40,0") is None
    near, far = interrupted_at("--echo", "0,0"), interrupted_at("--echo", "0,160")
    assert far - near == pytest.approx(0.16)
    assert interrupted_at("--echo", f"-3,0,{tmp_path / 'room.wav'}") is not None


def test_timings_go_to_standard_error_and_a_file(run, tmp_path):
    write_wav(tmp_path / "in.wav", _question(), 16_000)
    _, _, _, error = run(tmp_path / "in.wav", "--timings", tmp_path / "t.json")
    assert "p50" in error and "p95" in error and "max" in error and "real-time factor" in error
    timings = json.loads((tmp_path / "t.json").read_text())
    assert timings["blocks"] == 75 and timings["audio_s"] == 6.0
    assert 0 < timings["p50_ms"] <= timings["p95_ms"] <= timings["max_ms"]
    assert timings["real_time_factor"] == pytest.approx(timings["compute_s"] / 6.0, abs=1e-4)


@pytest.mark.parametrize("content", [b"", b"no audio at all " * 100, None, "truncated", "nan"])
def test_bad_recordings_get_one_line_and_leave_nothing(run, tmp_path, content):
    source = tmp_path / "in.wav"
    if content == "nan":
        soundfile.write(source, np.full(1000, np.nan, np.float32), 16_000, subtype="FLOAT")
    elif content == "truncated":
        write_wav(source, _question(), 16_000)
        source.write_bytes(source.read_bytes()[:50_000])
    elif content is not None:
        source.write_bytes(content)
    before = sorted(tmp_path.iterdir())
    code, _, _, error = run(source)
    assert code == 2
    assert error.startswith("omni converse: in.wav: ") and error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("options", "reason"), [
    (["--echo", "loud"], "--echo takes"), (["--echo", "-20"], "--echo takes"), (["--echo", "-20,-5"], "delay"),
    (["--echo", "nan,10"], "gain"), (["--echo", "-20,10,absent.wav"], "absent.wav"),
    (["--timings", "no/t.json"], "t.json")])
def test_bad_options_get_one_line(run, tmp_path, options, reason):
    write_wav(tmp_path / "in.wav", _question(1.0), 16_000)
    code, _, _, error = run(tmp_path / "in.wav", *options)
    assert code == 2 and reason in error and error.count("\n") == 1
    assert not (tmp_path / "out.wav").exists()


def test_the_recording_is_never_overwritten(run, tmp_path):
    write_wav(tmp_path / "in.wav", _question(1.0), 16_000)
    code, _, _, error = run(tmp_path / "in.wav", out="in.wav")
    assert code == 2 and "would replace the recording" in error
