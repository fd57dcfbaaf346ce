"""Full-Duplex-Bench: a hand-made sample of every task goes in, the files of the public scripts come out, and the scores
are those computed by hand; each known defect is there as published, and gone as mended."""

import json
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import tiny
from fake_model import PIECE, FakeModel

from omni import cli
from omni.audio.files import write_wav
from omni.base.errors import ConfigError, MediaError
from omni.base.events import BlockResult
from omni.base.timebase import TINY, Timebase
from omni.engine.engine import Engine
from omni.evaluate import converse
from omni.evaluate.conversation import run_pass
from omni.evaluate.fdb import detector, formulas
from omni.evaluate.fdb.layout import TASKS, Word, find_samples, read_reference, read_words, write_words
from omni.evaluate.fdb.made import Made
from omni.evaluate.fdb.run import Answer, agent_outputs, run
from omni.evaluate.fdb.score import score, table

RATE = 16_000
SPAN = {"pause.json": [{"text": "[PAUSE]", "timestamp": [1.0, 2.0]}],
        "turn_taking.json": [{"text": "[TURN-TAKING]", "timestamp": [2.0, 2.5]}],
        "interrupt.json": [{"context": "tell me a story", "interrupt": "stop", "timestamp": [1.5, 2.0]}],
        "metadata.json": {"context_text": "hello", "current_turn_text": "uh huh", "timestamps": [1.0, 1.5]}}
OUTPUTS = ("output.wav", "output.json")


def _tone(seconds: float, *bursts: tuple[float, float], rate: int = RATE, channels: int = 1) -> np.ndarray:
    """Silence with bursts of tone from start to end, float32 (channels, samples)."""
    time = np.arange(round(seconds * rate)) / rate
    on = sum(((start <= time) & (time < end) for start, end in bursts), np.zeros(len(time), bool))
    return np.tile((0.3 * np.sin(2 * np.pi * 440 * time) * on).astype(np.float32), (channels, 1))


def _detect(samples: np.ndarray) -> list[tuple[float, float]]:
    """Bursts of tone, to 10 ms; any array is taken for 16 kHz, as the real detector does."""
    frames = samples[:len(samples) // 160 * 160].reshape(-1, 160)
    loud = np.concatenate(([False], np.sqrt(np.mean(frames ** 2, axis=1)) > 0.05, [False]))
    edges = np.flatnonzero(loud[1:] != loud[:-1]) / 100
    return [(float(start), float(end)) for start, end in edges.reshape(-1, 2)]


def _words(*spans: tuple[float, float | None]) -> list[Word]:
    return [Word(f"w{i}", start, end) for i, (start, end) in enumerate(spans)]


def _even(start: float, count: int, each: float = 0.25) -> list[Word]:
    """Words without a gap."""
    return _words(*((start + i * each, start + (i + 1) * each) for i in range(count)))


class Bench:
    """A root that gets samples one by one."""

    def __init__(self, root):
        self.root = root
        self.tasks = {task.name: task for task in TASKS}

    def add(self, name: str, sample: str = "1", seconds: float = 4.0, rate: int = RATE, channels: int = 1,
            bursts: tuple = ((0.2, 1.0),)):
        task = self.tasks[name]
        folder = self.root / ("v1_5" if task.kind == "overlap" else "v1_0") / name / sample
        folder.mkdir(parents=True)
        for prefix in task.prefixes:
            write_wav(folder / f"{prefix}input.wav", _tone(seconds, *bursts, rate=rate, channels=channels), rate)
        if task.annotation:
            (folder / task.annotation).write_text(json.dumps(SPAN[task.annotation]))
        return folder

    def answer(self, name: str, sample: str, words: list[Word], sound: tuple = (), out_rate: int = RATE, **add):
        """A sample with an output of 4 s."""
        folder = self.add(name, sample, **add)
        write_wav(folder / "output.wav", _tone(4.0, *sound, rate=out_rate), out_rate)
        write_words(folder / "output.json", words, 2.0 if name == "synthetic_user_interruption" else None)
        return folder

    def samples(self):
        return find_samples(self.root)

    def run(self, make_outputs, model: str = "some", **options) -> int:
        samples = self.samples()
        return run(samples, make_outputs, Made(samples, model), **options)

    def score(self, human=None) -> dict:
        """(task, metric) to metric, and task to missing IDs."""
        found = {}
        for s in score(self.samples(), _detect, human):
            found[s.task] = s.missing
            found.update({(s.task, m.name): m for m in s.metrics})
        return found


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def _pair(metric) -> tuple:
    return metric.published, metric.mended


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
            np.testing.assert_allclose(agent, _tone(seconds, (0.2, 1.0))[0] / 2, atol=0.04)     # edges ring
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


# ---- scores: words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "takeover"), [
    ([], 0), (_even(1.0, 3), 0), (_even(1.0, 4, 0.1), 1), (_even(1.0, 2, 0.5), 1), (_even(1.0, 2, 0.499), 0),
    (_words((1.0, 1.2), (1.9, None)), 0),       # an open end counts as its start: 0.9 s
    (_words((1.0, 1.2), (2.0, None)), 1)])
def test_a_turn_is_taken_by_a_second_or_four_words(words, takeover):
    assert formulas.takes_turn(words) == takeover


def test_pause_counts_all_speech_as_published_and_speech_in_the_pause_as_mended(bench):
    """The pause is 1.0 to 2.0 s."""
    bench.answer("synthetic_pause_handling", "1", [])                               # silent          0, 0
    bench.answer("synthetic_pause_handling", "2", _even(0.0, 4, 0.2))               # greets          1, 0
    bench.answer("synthetic_pause_handling", "3", _even(2.5, 6))                    # answers after   1, 0
    bench.answer("synthetic_pause_handling", "4", _even(1.5, 6))                    # falls into it   1, 1
    bench.answer("synthetic_pause_handling", "5", _even(0.5, 10))                   # never stops     1, 1
    bench.answer("synthetic_pause_handling", "6", _words((1.2, 1.5)))               # "mm"            0, 0
    bench.answer("synthetic_pause_handling", "7", _words((0.1, 0.3), (1.2, 1.4)))   # 1.3 s in all    1, 0
    bench.add("synthetic_pause_handling", "8")                                      # no output: left out of both
    found = bench.score()
    tor = found["synthetic_pause_handling", "TOR"]
    assert _pair(tor) == (round(5 / 7, 4), round(2 / 7, 4)) and tor.num_published == tor.num_mended == 7
    assert found["synthetic_pause_handling"] == ("8",)


def test_a_smooth_turn_is_answered_after_its_end(bench):
    """The turn ends at 2.0 s. As published, a greeting or an agent that never stops answers at once."""
    bench.answer("candor_turn_taking", "1", _even(2.5, 4))                          # 0.5        0.5
    bench.answer("candor_turn_taking", "2", _even(0.0, 4) + _even(3.0, 4))          # clipped 0  1.0
    bench.answer("candor_turn_taking", "3", _even(0.0, 14))                         # clipped 0  no turn
    bench.answer("candor_turn_taking", "4", _even(1.8, 4))                          # clipped 0  -0.2
    bench.answer("candor_turn_taking", "5", _even(2.1, 2))                          # no turn    no turn
    found = bench.score()
    assert _pair(found["candor_turn_taking", "TOR"]) == (0.8, 0.6)
    latency = found["candor_turn_taking", "latency, s"]
    assert _pair(latency) == (0.125, round(1.3 / 3, 4)) and (latency.num_published, latency.num_mended) == (4, 3)
    assert _pair(found["candor_turn_taking", "latency p50, s"]) == (None, 0.5)
    assert _pair(found["candor_turn_taking", "latency p90, s"]) == (None, 0.9)      # 0.5 + 0.8 * (1.0 - 0.5)


def test_an_answer_may_begin_a_quarter_of_a_second_early():
    assert formulas.answering(_even(1.75, 4), 2.0) == _even(1.75, 4)
    assert formulas.answering(_even(1.74, 4), 2.0) == []
    late = _words((1.0, 1.6), (2.1, 2.4))       # a silence of 0.5 s is none
    assert formulas.answering(late, 2.0) == []
    later = _words((1.0, 1.6), (2.11, 2.4))
    assert formulas.answering(later, 2.0) == later[1:]


def test_an_interruption_is_answered_by_what_is_heard_after_its_end(bench):
    """The interruption ends at 2.0 s, from where on the public recogniser listens."""
    bench.answer("synthetic_user_interruption", "1", _even(0.0, 5) + _even(2.4, 4))         # 0.4          0.4
    running = bench.answer("synthetic_user_interruption", "2", _even(0.1, 12))              # a 0: lost    no turn
    bench.answer("synthetic_user_interruption", "3", _even(0.0, 7))                         # no turn      no turn
    bench.answer("synthetic_user_interruption", "4", _even(1.0, 3) + _even(2.1, 8))         # 0.1          no turn
    data = json.loads((running / "output.json").read_text())
    assert data["chunks"][0] == {"text": "w7", "timestamp": [2.0, pytest.approx(2.1)]}      # 1.85 to 2.1, cropped
    assert data["text"] == "w7 w8 w9 w10 w11" and len(data["all_chunks"]) == 12
    assert read_words(running / "output.json", whole=True) == _even(0.1, 12)
    found = bench.score()
    assert _pair(found["synthetic_user_interruption", "TOR"]) == (0.75, 0.25)
    assert _pair(found["synthetic_user_interruption", "latency, s"]) == (0.25, 0.4)
    assert found["synthetic_user_interruption", "latency, s"].num_published == 2
    chunks = data["chunks"]     # a recogniser's file has no words from before
    (running / "output.json").write_text(json.dumps({"text": data["text"], "chunks": chunks}))
    assert bench.score()["synthetic_user_interruption", "TOR"].mended == 0.5


# ---- scores: backchannels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("segments", "words", "published", "mended"), [
    ([], _even(0.0, 9), (0, 0), (0, 0)),
    ([(1.0, 1.9)], _even(1.0, 2), (0, 1), (0, 1)),
    ([(1.0, 1.9)], _even(1.0, 3), (1, 1), (1, 0)),                         # three words
    ([(1.0, 2.0)], _even(1.0, 1), (1, 1), (1, 0)),                         # a second
    ([(1.0, 4.0)], [], (1, 1), (1, 0)),
    ([(1.0, 4.01)], [], (1, 0), (1, 0)),                                   # more than 3 s is no backchannel
    ([(0.0, 2.0), (3.0, 3.5)], _even(0.0, 6), (0, 2), (1, 1)),             # the last segment hides the first
    ([(0.0, 0.5), (1.0, 5.0), (6.0, 6.5)], [], (1, 1), (1, 2)),            # nothing after 3 s of speech is looked at
    ([(1.0, 1.5)], _words((0.5, 1.0), (0.8, 1.1), (1.5, 1.9)), (0, 1), (0, 1)),    # the first only touches
    ([(1.0, 1.5)], _words((1.0, 1.0), (0.8, 1.1), (1.5, 1.9)), (1, 1), (1, 0)),    # all three overlap
    ([(1.0, 1.5)], _words((1.0, None), (1.1, None), (1.2, 1.3)), (0, 1), (0, 1))])  # open ends are skipped
def test_backchannels_and_takeovers(segments, words, published, mended):
    for found, (takeover, count) in ((formulas.published_backchannels(segments, words), published),
                                     (formulas.mended_backchannels(segments, words), mended)):
        assert (found[0], len(found[1])) == (takeover, count)


@pytest.mark.parametrize(("backchannels", "human", "distance"), [
    # 0.79 s are int(0.79 / 0.2) + 1 = 4 bins.
    ([(0.0, 0.1)], [1, 0, 0, 0], 0.0),
    ([(0.0, 0.1)], [0, 0, 0, 1], 0.832555),         # sqrt(ln 2)
    # agent 1, 0; human 1/2, 1/2; middle 3/4, 1/4: sqrt(ln(4/3) / 2 + (ln(2/3) / 2 + ln(2) / 2) / 2) = sqrt(0.215762)
    ([(0.0, 0.1)], [1, 1, 0, 0], 0.464502),
    # two bins become 1, 2/3, 1/3, 0, which is 1/2, 1/3, 1/6, 0; the sum is the same
    ([(0.0, 0.1)], [1, 0], 0.464502),
    ([(0.1, 0.5)], [1, 1, 1, 0], 0.0),              # bins 0 to 2
    ([(0.6, 0.7)], [0, 0, 1, 1], 0.0),              # 0.6 / 0.2 is 2.9999999999999996
    ([(0.0, 0.1), (0.1, 0.3)], [2, 1, 0, 0], 0.0),
    ([(0.7, 9.0)], [0, 0, 0, 1], 0.0)])             # nothing beyond the last bin
def test_divergence_from_people(backchannels, human, distance):
    assert formulas.divergence(backchannels, 0.79, np.array(human, float)) == pytest.approx(distance, abs=2e-4)


def test_segments_are_rounded_as_the_detectors_package_rounds_them():
    assert formulas.tenths([(0.04, 0.36), (1.0, 1.98)], 1.97) == [(0.0, 0.4), (1.0, 1.97)]


def test_backchannels_of_a_folder(bench):
    """4 s a sample. Sample 1: bursts of 1.5 s with 6 words and 0.3 s with one; 2: silent; 3: no output.json, which as
    published repeats 2's takeover; 4: nothing at all."""
    words = _even(0.5, 6) + _words((3.0, 3.3))
    bench.answer("icc_backchannel", "1", words, ((0.5, 2.0), (3.0, 3.3)))
    bench.answer("icc_backchannel", "2", [])
    (bench.answer("icc_backchannel", "3", [], ((1.0, 3.9),)) / "output.json").unlink()
    bench.add("icc_backchannel", "4")
    flat = np.ones(21)
    found = bench.score({"1": flat, "2": flat, "3": flat})
    assert found["icc_backchannel"] == ("3", "4")
    tor = found["icc_backchannel", "TOR"]
    assert _pair(tor) == (0.0, 0.5) and (tor.num_published, tor.num_mended) == (3, 2)
    assert _pair(found["icc_backchannel", "frequency, 1/s"]) == (round(2 / 4 / 3, 4), round(1 / 4 / 2, 4))
    # 21 bins. As published 2..10 and 15..16 (3.0 / 0.2 = 15): 11 of them; as mended 15..16: 2 of them.
    # k of n equal bins against flat: m = (1/k + 1/n) / 2 inside, 1 / (2 n) outside.
    def against_flat(k: int, n: int) -> float:
        m = (1 / k + 1 / n) / 2
        return math.sqrt((math.log(1 / k / m) + k / n * math.log(1 / n / m) + (n - k) / n * math.log(2)) / 2)
    expected = (against_flat(11, 21) + 1 + 1) / 3, (against_flat(2, 21) + 0.832555) / 2
    assert _pair(found["icc_backchannel", "JSD"]) == pytest.approx(expected, abs=2e-4)
    assert found["icc_backchannel", "JSD"].mended < 0.8326


def test_a_silent_agent_is_worse_than_any_as_published_and_at_the_bound_as_mended(bench):
    bench.answer("icc_backchannel", "1", [])
    found = bench.score({"1": np.ones(9)})
    assert _pair(found["icc_backchannel", "JSD"]) == (1.0, 0.8326)      # sqrt(ln 2)
    assert _pair(found["icc_backchannel", "TOR"]) == (0.0, 0.0)


def test_the_takeover_of_the_sample_before_is_repeated_where_there_is_no_transcript(bench):
    (bench.answer("icc_backchannel", "1", [], ((0.0, 3.5),)) / "output.json").unlink()     # there is none before
    bench.answer("icc_backchannel", "2", _even(0.5, 6), ((0.5, 2.0),))
    (bench.answer("icc_backchannel", "10", []) / "output.json").unlink()
    tor = bench.score()["icc_backchannel", "TOR"]
    assert _pair(tor) == (1.0, 1.0) and (tor.num_published, tor.num_mended) == (2, 1)


def test_an_output_of_another_rate_is_misread_as_published(bench):
    """1.6 s at 8 kHz look like 0.8 s at 16 kHz."""
    bench.answer("icc_backchannel", "1", _words((1.0, 2.6)), ((1.0, 2.6),), out_rate=8_000)
    found = bench.score({"1": np.ones(9)})
    assert _pair(found["icc_backchannel", "TOR"]) == (0.0, 1.0)
    assert _pair(found["icc_backchannel", "frequency, 1/s"]) == (0.25, 0.0)


def test_without_peoples_distribution_there_is_no_divergence(bench):
    folder = bench.answer("icc_backchannel", "1", [])
    assert read_reference(bench.samples(), bench.root) is None
    scores = score(bench.samples(), _detect, None)
    assert scores[0].metrics[2].published is None and "icc_gt_distribution.json" in table(scores)
    for home in (folder.parent, folder.parents[1], bench.root):
        path = home / "icc_gt_distribution.json"
        path.write_text(json.dumps({"1": [1, len(home.parts)]}))
        human = read_reference(bench.samples(), bench.root)
        assert human["1"].tolist() == [1, len(home.parts)]
        path.unlink()
    with pytest.raises(MediaError, match="icc_gt_distribution.json: nothing for 1"):
        bench.score({"2": human["1"]})
    for text in ('{"1": []}', '{"1": [[1]]}', '{"1": [0]}', '{"1": [-1, 2]}', '{"1": "x"}', "[]"):
        (bench.root / "icc_gt_distribution.json").write_text(text)
        with pytest.raises(MediaError, match="icc_gt_distribution.json: wants"):
            read_reference(bench.samples(), bench.root)


# ---- scores: overlaps --------------------------------------------------------------------------------------------


def test_speech_is_joined_over_short_silences():
    segments = [(3.0, 4.0), (0.0, 1.0), (1.5, 2.0)]
    assert formulas.merge(segments, 0.5) == [(0.0, 2.0), (3.0, 4.0)]
    assert formulas.merge(segments, 0.49) == [(0.0, 1.0), (1.5, 2.0), (3.0, 4.0)]
    assert formulas.merge(segments, 1.0) == [(0.0, 4.0)]
    assert formulas.merge([(0.0, 3.0), (1.0, 2.0)], 0.1) == [(0.0, 3.0)]


def test_intervals_as_published():
    user, agent = [(0.0, 2.0), (5.0, 6.0), (6.5, 7.0)], [(1.5, 1.75), (2.5, 5.33333), (8.0, 9.0)]
    assert formulas.stop_intervals(user, agent) == [(1.5, 1.75), (5.0, 5.333)]
    assert formulas.stop_intervals([(0.0, 1.0), (0.5, 1.0002)], [(0.0, 3.0)]) == [(0.5, 1.0)]     # same millisecond
    assert formulas.stop_intervals([(0.0, 1.0)], [(1.0, 2.0)]) == []
    # ends 2, 6, 7; the agent's next starts 2.5, 8, 8, and of the last two the later end stays
    assert formulas.response_intervals(user, agent) == [(2.0, 2.5), (7.0, 8.0)]
    assert formulas.response_intervals([(0.0, 8.0)], agent) == []


def test_overlaps_of_a_folder(bench):
    """The overlap is 1.0 to 1.5 s. 1: the agent stops at 1.2 and answers at 2.2; 2: it never stops, which as published
    looks like stopping when the user does; 3: it is silent throughout."""
    user = ((0.0, 0.2), (1.0, 1.5))
    folder = bench.answer("user_interruption", "1", [], ((0.4, 1.2), (2.2, 3.0)), bursts=user)
    bench.answer("user_interruption", "2", [], ((0.4, 4.0),), bursts=user)
    bench.answer("user_interruption", "3", [], (), bursts=user)
    # The user's silence of 0.55 s is none, and neither is the agent's of 0.4 s; the agent's of 0.55 s is one.
    bench.answer("background_speech", "1", [], ((0.4, 1.3), (1.7, 3.0)), bursts=((0.0, 0.45), (1.0, 1.5)))
    bench.answer("background_speech", "2", [], ((0.4, 1.2), (1.75, 3.0)), bursts=user)
    bench.add("user_interruption", "4")
    found = bench.score()
    intervals = json.loads((folder / "latency_intervals.json").read_text())
    # 0.2 to 0.4 s is a response too
    assert intervals == {"latency_stop_list": [[1.0, 1.2]], "latency_resp_list": [[0.2, 0.4], [1.5, 2.2]]}
    stop, response = found["user_interruption", "stop, s"], found["user_interruption", "response, s"]
    assert _pair(stop) == (0.35, 1.6) and (stop.num_published, stop.num_mended) == (2, 2)     # .2, .5; .2, 3.0
    assert _pair(response) == (round(1.1 / 3, 4), 0.7) and response.num_mended == 1           # .2, .7, .2; .7
    assert _pair(found["background_speech", "stop, s"]) == (0.65, 1.1)              # .4 to 1.5, .2; 2.0, .2
    assert _pair(found["background_speech", "response, s"]) == (0.225, 0.25)        # .2, .25; .25
    assert (stop.wanted, found["background_speech", "stop, s"].wanted) == ("lower", "higher")
    assert found["user_interruption"] == ("4",)
    assert not list(bench.root.rglob("4/latency_intervals.json"))


def test_overlaps_are_heard_at_their_own_rate(bench):
    """As the public script does here: 8 and 44.1 kHz are resampled before speech is looked for."""
    bench.answer("talking_to_other", "1", [], ((0.4, 1.2),), 8_000, rate=44_100, channels=2, bursts=((1.0, 1.5),))
    assert _pair(bench.score()["talking_to_other", "stop, s"]) == pytest.approx((0.2, 0.2), abs=0.011)


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
    user = _tone(1.00001, (0.3, 0.9))[0]
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
    monkeypatch.setattr(detector, "load_detector", lambda: _detect)
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
