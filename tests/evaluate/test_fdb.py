"""Full-Duplex-Bench: a hand-made sample of every task goes in, and the files of the public scripts come out."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import tiny
from bench_samples import OUTPUTS, RATE, Bench, detect, tone
from fake_model import PIECE, FakeModel

from omni import cli
from omni.audio.files import write_wav
from omni.base.errors import ConfigError, MediaError
from omni.base.events import BlockResult
from omni.base.timebase import TINY, Timebase
from omni.engine.engine import Engine
from omni.evaluate import converse
from omni.evaluate.conversation import run_pass
from omni.evaluate.fdb import detector
from omni.evaluate.fdb.layout import TASKS, Word, find_samples, read_words
from omni.evaluate.fdb.made import Made
from omni.evaluate.fdb.run import Answer, agent_outputs, run
from omni.evaluate.fdb.score import score


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


# ---- the agent over the folders ----------------------------------------------------------------------------------


def _echoing(batches: list[int]):
    """An agent that says one word over the recording's second half, and repeats the recording half as loud."""
    def make_outputs(users):
        batches.append(len(users))
        return [Answer(user / 2, [Word("so", len(user) / 2 / RATE, len(user) / RATE)]) for user in users]
    return make_outputs


def test_every_task_gets_the_files_that_the_public_scripts_read(bench):
    """Lengths differ, so that an answer in the wrong folder shows; 48 and 44.1 kHz and three channels are in it."""
    kinds = [(16_000, 1), (48_000, 1), (44_100, 2), (8_000, 3), (16_000, 2), (22_050, 1), (16_000, 1), (24_000, 1),
             (16_000, 1)]
    folders = {}
    for i, (task, (rate, channels)) in enumerate(zip(TASKS, kinds, strict=True)):
        seconds = 1.0 + i / 10
        folders[task.name] = bench.add(task.name, seconds=seconds, rate=rate, channels=channels), seconds
    batches = []
    assert bench.run(_echoing(batches), batch_size=4) == 13      # nine, and four of them clean too
    assert batches == [4, 4, 4, 1]
    for task in TASKS:
        folder, seconds = folders[task.name]
        made = {p.name for p in folder.iterdir()} - {"input.wav", "clean_input.wav", task.annotation}
        assert made == {f"{prefix}{name}" for prefix in task.prefixes for name in OUTPUTS}
        for prefix in task.prefixes:
            info = soundfile.info(folder / f"{prefix}output.wav")
            assert (info.samplerate, info.channels, info.frames) == (RATE, 1, round(seconds * RATE))
            agent, _ = soundfile.read(folder / f"{prefix}output.wav", dtype="float32")
            np.testing.assert_allclose(agent, tone(seconds, (0.2, 1.0))[0] / 2, atol=0.04)     # edges ring
            data = json.loads((folder / f"{prefix}output.json").read_text())
            if task.kind == "interruption":     # ended before the interruption did: nothing for the recogniser
                assert data == {"text": "", "chunks": [], "all_chunks": [
                    {"text": "so", "timestamp": [seconds / 2, seconds]}]}
            else:
                assert data == {"text": "so", "chunks": [{"text": "so", "timestamp": [seconds / 2, seconds]}]}


def test_resume_leaves_out_what_has_both_files(bench):
    for name in ("candor_turn_taking", "talking_to_other", "icc_backchannel"):
        bench.add(name, seconds=0.2)
    batches: list[int] = []
    assert bench.run(_echoing(batches), resume=True) == 4
    assert bench.run(_echoing(batches), resume=True) == 0
    other = bench.root / "v1_5" / "talking_to_other" / "1"
    for name in ("clean_output.json", "output.wav"):
        (other / name).unlink()
    assert bench.run(_echoing(batches), resume=True) == 2
    assert bench.run(_echoing(batches), batch_size=9) == 4
    assert batches == [1] * 6 + [4]


def _breaking_off(calls: list[int]):
    """Echoes one batch, and is interrupted in the second; the sizes of the batches are added to `calls`."""

    def agent(users):
        calls.append(len(users))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return _echoing([])(users)

    return agent


def test_resume_does_again_what_another_model_made(bench):
    """Files alone were looked at, so that the outputs of two models lay under the name of the second."""
    for sample in ("1", "2", "3"):
        bench.add("candor_turn_taking", sample, seconds=0.2)
    bench.add("talking_to_other", seconds=0.2)
    batches: list[int] = []
    assert bench.run(_echoing(batches), "old") == 5
    calls: list[int] = []
    break_off = _breaking_off(calls)
    with pytest.raises(KeyboardInterrupt):
        bench.run(break_off, "new", batch_size=2, resume=True)
    assert bench.run(_echoing(batches), "old", resume=True) == 5, "the new model was at work on all of them"
    with pytest.raises(KeyboardInterrupt):
        calls.clear()
        bench.run(break_off, "new", batch_size=2)
    assert bench.run(_echoing(batches), "new", batch_size=2, resume=True) == 3
    elsewhere = find_samples(bench.root / "v1_0")
    assert run(elsewhere, _echoing(batches), Made(elsewhere, "new"), resume=True) == 0, "from any root"
    (bench.root / "v1_5" / "fdb_outputs.json").unlink()
    assert bench.run(_echoing(batches), "new", resume=True) == 2, "of an unknown model"
    (bench.root / "v1_0" / "fdb_outputs.json").write_text("[]")
    with pytest.raises(MediaError, match="fdb_outputs.json: wants the model"):
        bench.run(_echoing(batches), "new", resume=True)


def test_breaking_off_keeps_what_is_done(bench):
    for i in range(5):
        bench.add("candor_pause_handling", str(i), seconds=0.2)
    calls: list[int] = []
    break_off = _breaking_off(calls)
    with pytest.raises(KeyboardInterrupt):
        bench.run(break_off, batch_size=2)
    done = sorted(p.parent.name for p in bench.root.rglob("output.json"))
    assert done == sorted(p.parent.name for p in bench.root.rglob("output.wav")) == ["0", "1"]
    assert not list(bench.root.rglob("*.tmp"))
    assert bench.run(_echoing([]), batch_size=2, resume=True) == 3


@pytest.mark.parametrize("spoil", [lambda answers: answers[:1],
                                   lambda answers: [answers[0], Answer(answers[1].samples[1:], [])]])
def test_an_answer_for_each_recording_and_of_its_length(bench, spoil):
    bench.add("candor_pause_handling", "1", seconds=0.2)
    bench.add("candor_pause_handling", "2", seconds=0.2)
    with pytest.raises(ValueError, match="one answer, as long"):
        bench.run(lambda users: spoil(_echoing([])(users)), batch_size=2)
    assert not list(bench.root.rglob("output.*"))


def test_samples_are_found_at_the_root_or_below_and_sorted_by_number(bench):
    for sample in ("10", "9", "a"):
        bench.add("candor_turn_taking", sample, seconds=0.1)
    (bench.root / "v1_0" / "candor_turn_taking" / ".cache").mkdir()
    (bench.root / "v1_0" / "candor_turn_taking" / "README.md").write_text("no sample")
    for sample in ("3", "notes"):       # the public script takes numbered folders only
        bench.add("icc_backchannel", sample, seconds=0.1)
    names = ["candor_turn_taking/9", "candor_turn_taking/10", "candor_turn_taking/a", "icc_backchannel/3"]
    assert [s.name for s in bench.samples()] == names
    assert [s.name for s in find_samples(bench.root / "v1_0")] == names


def _spoil(folder, what: str) -> None:
    if what == "gone":
        (folder / "pause.json").unlink()
    elif what == "no input":
        (folder / "input.wav").unlink()
    elif what == "twice":
        (folder.parents[2] / "old" / "candor_pause_handling").mkdir(parents=True)
    elif what == "no sample":
        (folder.parent).rename(folder.parents[2] / "other")
    else:
        (folder / "pause.json").write_text(what)


@pytest.mark.parametrize(("what", "error", "message"), [
    ("gone", MediaError, "^candor_pause_handling/7/pause.json: no such file"),
    ("no input", MediaError, "^candor_pause_handling/7/input.wav: no such file"),
    ("[{", MediaError, "^candor_pause_handling/7/pause.json: not JSON"),
    ("[]", MediaError, "^candor_pause_handling/7/pause.json: wants at least one timestamp"),
    ("{}", MediaError, "^candor_pause_handling/7/pause.json: wants a timestamp"),
    ("[1]", MediaError, "^candor_pause_handling/7/pause.json: wants a timestamp"),
    ('[{"timestamp": [1]}]', MediaError, "^candor_pause_handling/7/pause.json: wants a timestamp"),
    ('[{"timestamp": [1, null]}]', MediaError, "^candor_pause_handling/7/pause.json: wants a timestamp"),
    ('[{"timestamp": [2, 1]}]', MediaError, "^candor_pause_handling/7/pause.json: wants at least one timestamp"),
    ('[{"timestamp": [0, NaN]}]', MediaError, "^candor_pause_handling/7/pause.json: wants at least one timestamp"),
    ("twice", ConfigError, "candor_pause_handling is in"), ("no sample", ConfigError, "no samples of Full-Duplex")])
def test_what_is_missing_or_malformed_is_named(bench, what, error, message):
    folder = bench.add("candor_pause_handling", "7", seconds=0.1)
    _spoil(folder, what)
    with pytest.raises(error, match=message):
        bench.samples()


def test_recordings_and_outputs_that_cannot_be_read_are_named(bench):
    folder = bench.answer("candor_pause_handling", "7", [])
    (folder / "input.wav").write_bytes(b"no audio")
    with pytest.raises(MediaError, match="^candor_pause_handling/7/input.wav: not audio"):
        bench.run(_echoing([]))
    for text in ("[]", '{"text": ""}', '{"chunks": [{"text": "a", "timestamp": [1]}]}',
                 '{"chunks": [{"text": "a", "timestamp": [null, 1]}]}'):
        (folder / "output.json").write_text(text)
        with pytest.raises(MediaError, match='^candor_pause_handling/7/output.json: wants "chunks"'):
            bench.score()


# ---- detector, engine, command -----------------------------------------------------------------------------------


def test_a_missing_detector_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    with pytest.raises(ConfigError, match=r"omni-duplex\[bench\]"):
        detector.load_detector()


def test_the_detector_gives_seconds(monkeypatch):
    calls = []

    def get_speech_timestamps(audio, model, sampling_rate):
        calls.append((audio.numpy().tolist(), model, sampling_rate))
        return [{"start": 1_600, "end": 16_400}]

    monkeypatch.setitem(sys.modules, "silero_vad", SimpleNamespace(
        load_silero_vad=lambda: "model", get_speech_timestamps=get_speech_timestamps))
    assert detector.load_detector()(np.zeros(2, np.float32)) == [(0.1, 1.025)]
    assert calls == [([0.0, 0.0], "model", RATE)]


def test_samples_of_detected_speech_are_not_scored_without_a_detector(bench):
    bench.answer("icc_backchannel", "1", [])
    with pytest.raises(ValueError, match="no detector"):
        score(bench.samples())


def _asks(seconds: float, seed: int) -> np.ndarray:
    """Half a second of noise, then nearly nothing."""
    rng = np.random.default_rng(seed)
    user = 0.001 * rng.standard_normal(round(seconds * RATE))
    user[:8_000] += 0.2 * rng.standard_normal(8_000)
    return user.astype(np.float32)


def test_conversations_share_an_engine_and_are_as_if_alone():
    engine = Engine(FakeModel(), capacity=2)
    users = [_asks(seconds, i) for i, seconds in enumerate((3.0, 1.00001, 0.9, 2.5))]
    answers = agent_outputs(engine, seed=5)(users)
    assert engine.num_open == 0
    for user, answer in zip(users, answers, strict=True):
        alone = run_pass(engine, user, seed=5)
        np.testing.assert_array_equal(answer.samples, alone.output(len(user)))
    # 7 loud blocks, 3 quiet: decided from block 9, and the first piece begins with output block 11
    begin, piece = 11 * TINY.block_samples / RATE, PIECE / RATE
    assert [w.text for w in answers[0].words] == ["one", "two", "three", "four", "five", "six"]
    assert answers[0].words[1] == Word("two", pytest.approx(begin + piece), pytest.approx(begin + 2 * piece))
    assert answers[1].words == [Word("one", begin, 1.0)]        # as far as the recording goes
    assert answers[2].words == []                               # 20 ms of a word are not heard


class _Repeater:
    """An engine at 8 kHz that says what it hears, one block later."""

    timebase, capacity = Timebase(8_000, 80), 1

    def open(self, seed: int, instructions: str) -> int:
        self.block = -1
        return 0

    def close(self, slot: int) -> None:
        pass

    def step(self, inputs):
        self.block += 1
        return {slot: BlockResult(self.block, 0, "<think>", False, 0, heard.room) for slot, heard in inputs.items()}


def test_a_model_of_another_rate_is_resampled_at_the_border():
    user = tone(1.00001, (0.3, 0.9))[0]
    answer, = agent_outputs(_Repeater())([user])
    assert len(answer.samples) == len(user) == 16_000
    np.testing.assert_allclose(answer.samples[1_280:], user[:-1_280], atol=0.05)        # edges ring
    assert not np.abs(answer.samples[:1_280]).max() > 1e-3


def test_an_engine_is_given_back_when_it_fails(monkeypatch):
    engine = Engine(FakeModel(), capacity=2)

    def fail(inputs):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "step", fail)
    with pytest.raises(KeyboardInterrupt):
        agent_outputs(engine)([_asks(1.0, 0)] * 3)
    assert engine.num_open == 0


def test_a_real_model_over_a_recording(bench):
    model = tiny.duplex(seed=3)
    rng = np.random.default_rng(0)
    folder = bench.add("candor_turn_taking", seconds=2.4)
    write_wav(folder / "input.wav", 0.1 * rng.standard_normal(2 * 22_050), 22_050)
    bench.run(agent_outputs(Engine(model, capacity=1, threads=1)))
    agent, rate = soundfile.read(folder / "output.wav")
    assert rate == RATE and len(agent) == 2 * RATE and np.abs(agent).max() > 1e-3
    words = read_words(folder / "output.json")
    assert words and all(0 <= w.start_s <= w.end_s <= 2.0 for w in words)
    assert [w.start_s for w in words] == sorted(w.start_s for w in words)
    assert not np.abs(agent[:TINY.block_samples]).any()     # what block 0 decides sounds in block 1


@pytest.fixture
def call(bench, monkeypatch, capsys):
    """Runs the command on the bench with a fake model and detector; gives its report and what it printed."""
    monkeypatch.setattr(detector, "load_detector", lambda: detect)
    engines = []

    def load_engine(model, device, threads, capacity):
        engines.append(capacity)
        return Engine(FakeModel(), capacity=capacity), 1

    monkeypatch.setattr(converse, "load_engine", load_engine)

    def run_command(*options: str):
        assert cli.main(["evaluate", "fdb", "--root", str(bench.root), *options]) == 0
        return json.loads((bench.root / "fdb.json").read_text()), capsys.readouterr().out, engines

    return run_command


def test_the_command_runs_scores_and_reports(bench, call):
    for task in TASKS:
        write_wav(bench.add(task.name) / "input.wav", _asks(4.0, 1), RATE)
    report, printed, engines = call()
    assert engines == [9] and report["run"]["recordings"] == 13 and report["run"]["model"] == "tiny"
    assert [t["task"] for t in report["tasks"]] == [t.name for t in TASKS]
    metrics = {(t["task"], m["name"]): m for t in report["tasks"] for m in t["metrics"]}
    # The fake speaks from 0.88 to 2.56 s: in the pause (1.0 to 2.0), and across the turn's end (2.0).
    assert metrics["candor_pause_handling", "TOR"]["mended"] == 1.0
    assert metrics["candor_turn_taking", "TOR"]["published"] == 1.0
    assert metrics["candor_turn_taking", "TOR"]["mended"] == 0.0
    row = next(line for line in printed.splitlines() if line.startswith("candor_turn_taking") and "TOR" in line)
    assert row.split() == ["candor_turn_taking", "TOR", "higher", "1.000", "(1)", "0.000", "(1)"]
    assert "TOR of candor_pause_handling, synthetic_pause_handling: only speech that sounds within a pause" in printed
    assert call("--resume")[0]["run"]["recordings"] == 0
    assert call("--resume", "--seed", "1")[0]["run"]["recordings"] == 13
    again, same, engines = call("--score-only")
    assert again["run"] is None and again["tasks"] == report["tasks"] and same == printed and len(engines) == 3


def test_there_must_be_something_to_score(bench, capsys):
    bench.add("candor_pause_handling")
    assert cli.main(["evaluate", "fdb", "--root", str(bench.root), "--score-only"]) == 2
    assert capsys.readouterr().err == "omni evaluate: nothing to score: no sample has an output yet\n"


def test_pauses_and_turns_need_no_detector(bench, call, monkeypatch):
    monkeypatch.setattr(detector, "load_detector", lambda: pytest.fail("not needed"))
    bench.answer("candor_pause_handling", "1", [])
    _, printed, _ = call("--score-only")
    assert "0.000 (1)" in printed
