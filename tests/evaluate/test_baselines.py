"""Baselines behind the engine's interface: they do what detectors and timers do, and fail as detectors and timers fail.

The reply is a tone and users are noise, except where a network needs real speech: there it is the project's own.
"""

import itertools
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from omni.audio.files import read_mono, write_wav
from omni.base.config import data_path
from omni.base.errors import CapacityError, OmniError
from omni.base.events import BlockInput
from omni.base.timebase import TINY
from omni.data.flite import Speech
from omni.engine.engine import Engine
from omni.evaluate.baselines import models, smart_turn
from omni.evaluate.baselines import reply as reply_module
from omni.evaluate.baselines.detector import SpeechTimer
from omni.evaluate.baselines.energy import EnergyGate
from omni.evaluate.baselines.engine import BaselineEngine
from omni.evaluate.baselines.reply import FixedReply, Word
from omni.evaluate.baselines.silero import WINDOW, SileroVad, SpeechProbability
from omni.evaluate.baselines.smart_turn import SmartTurn
from omni.evaluate.cases import load_case
from omni.evaluate.conversation import Conversation
from omni.evaluate.metrics import yielding
from omni.evaluate.scripts import concrete, load_scenario
from omni.evaluate.simulate import Outcome, Task, simulate, simulate_all, write_outcome
from omni.evaluate.user import speech_span

BLOCK, RAMP = TINY.block_samples, 160
HEAD = "title: A try\nlength_s: {length}\nnoise: {{level_db: -70}}\n"
ASK = "  - {play: ask.wav, when: {at_s: 1.0}}\n"


def _tone(seconds: float) -> FixedReply:
    """Words of 0.22 s and gaps of 0.03 s, none of which lies on a border of blocks."""
    count = int(seconds * 16_000)
    words = tuple(Word(f"w{k}", at, at + 3_500) for k, at in enumerate(range(0, count - 3_999, 4_000)))
    return FixedReply(0.2 * np.sin(np.arange(count, dtype=np.float32) / 9), words)


REPLY = _tone(4.1)


class Cues:
    """A detector that says what it was told to say, by block."""

    def __init__(self, events):
        self._events, self._block = events, -1

    def hear(self, block):
        self._block += 1
        return self._events.get(self._block)


def _talk(events, blocks: int, reply: FixedReply = REPLY) -> Conversation:
    with Conversation(BaselineEngine(lambda: Cues(events), 1, reply)) as talk:
        for _ in range(blocks):
            talk.step(np.zeros(BLOCK, np.float32))
    return talk


@pytest.fixture
def script(tmp_path):
    """Writes a script beside recordings of noise: ask (0.6 s), hum (0.3 s, as "uh-huh" may be)."""
    rng = np.random.default_rng(3)
    for name, seconds in (("ask", 0.6), ("hum", 0.3)):
        write_wav(tmp_path / f"{name}.wav", 0.2 * rng.standard_normal(int(seconds * 16_000)), 16_000)

    def write(user: str, expect: str = "", length: float = 8, more: str = ""):
        path = tmp_path / "try.yaml"
        path.write_text(HEAD.format(length=length) + more + f"user:\n{user}" + (f"expect:\n{expect}" if expect else ""))
        return path

    return write


def _run(path, make=EnergyGate) -> Outcome:
    return simulate(BaselineEngine(make, 1, REPLY), load_scenario(path), path)


# ---- the engine ----------------------------------------------------------------------------------------------------


def test_what_block_three_decides_sounds_in_block_four_and_the_reply_ends_by_itself():
    talk = _talk({3: "turn_ended"}, 60)
    reply, = talk.record.replies
    assert reply.start == 4 * BLOCK and reply.reason == "finished" and reply.unheard == 0
    assert reply.end == reply.silent_at == 4 * BLOCK + -(-len(REPLY.samples) // BLOCK) * BLOCK
    output = talk.output(60 * BLOCK)
    np.testing.assert_array_equal(output[reply.start:reply.start + len(REPLY.samples)], REPLY.samples)
    assert not output[:reply.start].any() and not output[reply.start + len(REPLY.samples):].any()
    assert [(p.text, p.start - reply.start, p.end - reply.start, p.cut) for p in reply.pieces] == [
        (f" {w.text}", w.start, w.end, False) for w in REPLY.words]


@pytest.mark.parametrize(("block", "in_a_word"), [(9, False), (17, True)])
def test_a_cut_ramps_down_in_ten_milliseconds_and_counts_what_was_not_heard(block, in_a_word):
    talk = _talk({3: "turn_ended", block: "user_started"}, 40)
    reply, = talk.record.replies
    at = (block + 1) * BLOCK - reply.start
    assert any(w.start < at < w.end for w in REPLY.words) == in_a_word, "else this test shows nothing"
    assert reply.reason == "interrupted" and reply.end == reply.start + at and reply.silent_at == reply.end + RAMP
    output = talk.output(40 * BLOCK)
    np.testing.assert_array_equal(output[reply.start:reply.end], REPLY.samples[:at])
    np.testing.assert_allclose(output[reply.end:reply.end + RAMP],
                               REPLY.samples[at:at + RAMP] * (1 - np.arange(1, RAMP + 1) / RAMP), atol=1e-6)
    assert not output[reply.end + RAMP:].any()
    begun = sum(w.start < at for w in REPLY.words)
    assert len(reply.pieces) == begun and reply.unheard == len(REPLY.words) - begun
    assert [p.cut for p in reply.pieces] == [False] * (begun - 1) + [in_a_word]
    assert not in_a_word or reply.pieces[-1].end == reply.silent_at


def test_results_are_numbered_as_the_engine_numbers_them():
    engine = BaselineEngine(lambda: Cues({1: "turn_ended", 3: "user_started", 5: "turn_ended"}), 1, _tone(0.2))
    slot = engine.open()
    results = [engine.step({slot: BlockInput(np.zeros(BLOCK, np.float32))})[slot] for _ in range(10)]
    assert [r.block for r in results] == list(range(10))
    assert [r.epoch for r in results] == [0, 1, 1, 2, 2, 3, 3, 3, 3, 3]
    assert [r.speaking for r in results] == [False, True, True, False, False, True, True, True, False, False]
    assert [r.symbol for r in results if r.symbol != "<think>"] == ["<start_speak>", "<end_speak>"] * 2
    assert [r.stopped for r in results if r.stopped] == ["interrupted", "finished"]
    assert [r.tail for r in results if r.tail] == [RAMP] and sum(r.started for r in results) == 2
    assert all(r.audio.shape == (BLOCK,) and r.audio.dtype == np.float32 for r in results)


def test_it_has_the_interface_of_the_engine():
    engine = BaselineEngine(EnergyGate, 2, REPLY)
    assert {n for n in dir(Engine) if n[0] != "_"} <= set(dir(engine)) and engine.timebase == TINY
    first, second = engine.open(seed=1, instructions="be kind"), engine.open()
    assert engine.num_open == engine.capacity == 2
    with pytest.raises(CapacityError):
        engine.open()
    with pytest.raises(ValueError, match="shape"):
        engine.step({first: BlockInput(np.zeros(BLOCK, np.float32)), second: BlockInput(np.zeros(3, np.float32))})
    assert engine.step({first: BlockInput(np.zeros(BLOCK, np.float32))})[first].block == 0, "nothing had moved"
    for _ in range(2):
        engine.close(second)
    assert engine.num_open == 1
    with pytest.raises(ValueError, match="not open"):
        engine.step({second: BlockInput(np.zeros(BLOCK, np.float32))})


def test_a_conversation_is_the_same_alone_in_a_batch_and_in_a_used_slot(script):
    path = script(ASK + "  - {play: hum.wav, when: {start_speak: 1, plus_s: [1.0, 1.4]}}\n"
                  "  - {play: ask.wav, name: again, when: {end_speak: 1, plus_s: 0.4}}\n")
    tasks = [Task(replace(concrete(load_scenario(path), variant), length_s=8.0 - variant), path, 0)
             for variant in range(3)]

    def held(tasks, capacity):
        engine = BaselineEngine(EnergyGate, capacity, REPLY)
        return {tasks.index(task): outcome for task, outcome in simulate_all(engine, tasks)}

    for i, task in enumerate(tasks):
        alone = held([task], 1)[0]
        assert [r.reason for r in alone.record.replies][0] == "interrupted"
        for other in (held(tasks, 1)[i], held(tasks, 2)[i]):
            np.testing.assert_array_equal(other.agent, alone.agent)
            assert other.record.replies == alone.record.replies


# ---- the gate, and what it cannot know -----------------------------------------------------------------------------


def test_it_answers_when_its_timer_has_run_out(script):
    outcome = _run(script(ASK, "  - answers: {to: ask, within_s: 0.8}\n"))
    assert outcome.held
    # quiet from sample 25,600 (16,000 + 0.6 s), for 700 ms: certain in block 28, heard in block 29
    assert outcome.record.replies[0].start == 29 * BLOCK
    assert outcome.record.heard_text(8 * 16_000).startswith("w0 w1 w2")


def test_it_takes_a_pause_for_the_end(script):
    """The known failure of silence timers: a hesitation longer than the timer is answered, into what follows it."""
    user = ("  - {play: ask.wav, name: first, when: {at_s: 1.0}}\n"
            "  - {play: ask.wav, name: second, when: {after: first, plus_s: 0.9}}\n")
    outcome = _run(script(user, "  - silent: {from_s: 0, until: second}\n  - answers: {to: second, within_s: 0.8}\n"))
    assert [v.held for v in outcome.verdicts] == [False, True]
    assert [r.reason for r in outcome.record.replies][0] == "interrupted"
    patient = _run(script(user, "  - silent: {from_s: 0, until: second}\n"), lambda: EnergyGate(silence_ms=1_200))
    assert patient.held, "a longer timer waits, and answers everything later"


def test_it_yields_to_whatever_sounds(script):
    """The known failure of detectors: "uh-huh" is speech, so it stops, as it does for "stop"; and then it answers."""
    outcome = _run(script(ASK + "  - {play: hum.wav, name: uh_huh, when: {start_speak: 1, plus_s: 1.0}}\n",
                          "  - holds: {through: uh_huh}\n  - yields: {to: uh_huh, within_s: 0.3}\n"))
    assert [v.held for v in outcome.verdicts] == [False, True]
    assert len(outcome.record.replies) == 2, "it takes the backchannel for a turn"


def test_without_echo_cancellation_it_hears_itself(script):
    outcome = _run(script(ASK, more="echo: {gain_db: -6, delay_ms: 100}\n"))
    assert len(outcome.record.replies) > 1 and outcome.record.replies[0].reason == "interrupted"


def test_more_echo_never_improves(script, tmp_path):
    """An agent that cannot tell its own voice from others': no number gets better as more of it comes back."""
    user = ASK + "  - {play: ask.wav, name: again, kind: stop, when: {start_speak: 1, plus_s: 1.5}}\n"
    rates, own = [], []
    for gain_db in (-60, -40, -30, -20, -10, 0):
        cases = []
        for delay_ms in (20, 120, 350):
            path = script(user, more=f"echo: {{gain_db: {gain_db}, delay_ms: {delay_ms}}}\n", length=10)
            outcome = _run(path)
            folder = tmp_path / f"{gain_db}_{delay_ms}"
            write_outcome(folder, load_scenario(path), outcome, seed=0, model="x", picture=False)
            cases.append(load_case(folder))
        rates.append(yielding.yield_rate(cases).value or 0.0)
        own.append(sum(reply.reason == "interrupted" and not any(
            turn.speech_start <= reply.end for turn in case.turns if turn.kind == "stop")
            for case in cases for reply in case.replies))
    assert rates[0] == 1.0 and own[0] == 0 and own[-1] > 0
    assert all(b <= a for a, b in itertools.pairwise(rates)), rates
    assert all(b >= a for a, b in itertools.pairwise(own)), own


@pytest.mark.parametrize("make", [EnergyGate, SileroVad, SmartTurn])
def test_it_is_silent_on_silence(make):
    _need(make)
    detector, rng = make(), np.random.default_rng(1)
    assert not any(detector.hear(np.zeros(BLOCK, np.float32)) for _ in range(25))
    assert not any(detector.hear(0.003 * rng.standard_normal(BLOCK).astype(np.float32)) for _ in range(50))


def test_the_floor_follows_the_noise():
    """Steady noise is speech at first and the floor after 3 s; speech above it is heard then."""
    gate, rng = EnergyGate(), np.random.default_rng(1)
    events = [gate.hear(level * rng.standard_normal(BLOCK).astype(np.float32))
              for level in [0.001] * 20 + [0.03] * 80 + [0.3] * 5 + [0.03] * 12]
    found = [(i, e) for i, e in enumerate(events) if e]
    assert [e for _, e in found] == ["user_started", "turn_ended"] * 2
    assert found[0][0] == 21 and 20 + 37 <= found[1][0] <= 20 + 48 and found[2][0] == 101


def test_a_timer_counts_frames_without_a_gap():
    timer = SpeechTimer(320, start_ms=70, silence_ms=100)      # 4 frames and 5
    events = [timer.pass_frame(voice == "x") for voice in ".xxx.xxxx.xx....x....."]
    assert [(i, e) for i, e in enumerate(events) if e] == [(8, "user_started"), (21, "turn_ended")]
    with pytest.raises(ValueError, match="80 ms"):
        SpeechTimer(320, start_ms=70, silence_ms=79)


# ---- the reply -----------------------------------------------------------------------------------------------------


def test_a_spoken_reply_begins_and_ends_with_its_sound(monkeypatch):
    samples = np.zeros(48_000, np.float32)
    samples[8_000:40_000] = 0.4
    words = (("one", 0.45, 1.0), ("two", 1.25, 2.6))

    class Voice:
        def __init__(self, name):
            assert name == "slt"

        def speak(self, text):
            return Speech(samples, 16_000, words, (), None)

    monkeypatch.setattr(reply_module, "Flite", Voice)
    reply = reply_module.speak_reply("one, two")
    assert len(reply.samples) == 32_000 + 2 * 160 and reply.samples.dtype == np.float32
    assert reply.words == (Word("one", 0, 16_000 - 7_840), Word("two", 20_000 - 7_840, 32_320))


@pytest.mark.parametrize("words", [((0, 10), (9, 20)), ((5, 5),), ((0, 101),)])
def test_words_lie_in_the_reply_one_after_the_other(words):
    with pytest.raises(ValueError, match="one after the other"):
        FixedReply(np.zeros(100, np.float32), tuple(Word("a", *span) for span in words))


# ---- the networks --------------------------------------------------------------------------------------------------


def _need(make) -> None:
    """Skip unless the packages of a detector are installed; they are in the extra "bench", not in "test"."""
    packages = {EnergyGate: (), SileroVad: ("onnxruntime", "silero_vad"),
                SmartTurn: ("onnxruntime", "silero_vad", "pipecat")}[make]
    missing = [p for p in packages if find_spec(p) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: {models.BENCH}"
                    + f", {smart_turn.INSTALL}" * ("pipecat" in missing))


def _recording(name: str, quiet_s: float = 1.0) -> tuple[np.ndarray, int, int]:
    """A real recording with quiet around it, float32 blocks (n, 1280), and the span of its speech in samples."""
    samples, _ = read_mono(data_path("configs", "evaluate", "recordings", f"{name}.flac"))
    first, last = speech_span(samples)
    quiet = int(quiet_s * 16_000)
    heard = np.pad(samples[:last], (quiet, quiet + 16_000)).astype(np.float32)
    heard += 3e-4 * np.random.default_rng(0).standard_normal(len(heard)).astype(np.float32)
    return heard[:len(heard) // BLOCK * BLOCK].reshape(-1, BLOCK), quiet + first, quiet + last


def _events(detector, blocks: np.ndarray) -> list[tuple[int, str]]:
    """(samples heard by then, event) of every event."""
    return [((i + 1) * BLOCK, event) for i, block in enumerate(blocks) if (event := detector.hear(block))]


def test_windows_of_512_are_cut_from_blocks_of_1280():
    _need(SileroVad)
    blocks, first, last = _recording("order_cappuccino")
    ears = SpeechProbability()
    by_block = [ears.hear(block) for block in blocks]
    assert {len(p) for p in by_block} == {2, 3}
    found = np.array(sum(by_block, []))
    windows, expected = blocks.reshape(-1), []
    state, session = np.zeros((2, 1, 128), np.float32), models.load_session("silero_vad", "data/silero_vad.onnx")
    for at in range(0, len(found) * WINDOW, WINDOW):
        heard = np.pad(windows[:at], (64, 0))[-64:], windows[at:at + WINDOW]
        out, state = session.run(None, {"input": np.concatenate(heard)[None], "state": state,
                                        "sr": np.array(16_000, np.int64)})
        expected.append(out[0, 0])
    np.testing.assert_array_equal(found, expected)
    at = np.arange(len(found)) * WINDOW
    speech = (at >= first) & (at < last)
    assert found[speech].mean() > 0.7 and found[~speech].mean() < 0.15


def test_silero_hears_a_turn_and_waits_its_time():
    _need(SileroVad)
    blocks, first, last = _recording("order_cappuccino")
    (start, begun), (end, ended) = _events(SileroVad(), blocks)
    assert (begun, ended) == ("user_started", "turn_ended")
    assert 4_000 <= start - first <= 8_000 and 8_000 <= end - last <= 13_500
    (_, _), (later, _) = _events(SileroVad(silence_ms=950), blocks)
    assert later - end == 5 * BLOCK


def test_silero_yields_to_a_backchannel_and_answers_a_pause(script):
    """The known failures again, with a network for ears and real speech."""
    _need(SileroVad)
    outcome = _run(script(
        "  - {play: order_mocha.flac, name: half, when: {at_s: 0.5}, from_s: 1.6, to_s: 2.66}\n"
        "  - {play: order_mocha.flac, name: rest, when: {after: half, plus_s: 0.9}, from_s: 2.66, to_s: 5.2}\n"
        "  - {play: uh_huh.flac, name: uh_huh, when: {start_speak: 2, plus_s: 1.0}}\n",
        "  - silent: {from_s: 0, until: rest}\n  - answers: {to: rest, within_s: 1.0}\n  - holds: {through: uh_huh}\n"),
        SileroVad)
    assert [v.held for v in outcome.verdicts] == [False, True, False]


def test_smart_turn_ends_a_turn_when_it_is_asked_or_else_after_three_seconds():
    _need(SmartTurn)
    blocks, _, last = _recording("order_cappuccino", quiet_s=3.0)
    (_, begun), (end, ended) = _events(SmartTurn(), blocks)
    assert (begun, ended) == ("user_started", "turn_ended") and 2_000 <= end - last <= 8_000
    (_, _), (never, _) = _events(SmartTurn(threshold=1.0), blocks)
    assert never - end == -(-48_000 // BLOCK) * BLOCK, "what it does not believe takes 3 s longer"


def test_smart_turn_hears_what_is_unfinished():
    _need(SmartTurn)
    samples, _ = read_mono(data_path("configs", "evaluate", "recordings", "order_cappuccino.flac"))
    detector = SmartTurn()
    whole, part = (np.append(samples[3_200:to], np.zeros(3_200, np.float32)) for to in (70_400, 35_200))
    long = np.append(np.ones(16_000, np.float32), np.pad(whole, (128_000 - len(whole), 0)))
    assert detector.finished(long) == detector.finished(whole) > 0.9, "the last 8 s count"
    assert detector.finished(part) < 0.5


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    models.load_session.cache_clear()
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    with pytest.raises(OmniError, match=r"silero_vad, which is not installed: pip install 'omni-duplex\[bench\]'"):
        BaselineEngine(SileroVad, 1, REPLY).open()
    with pytest.raises(OmniError, match="pipecat, which is not installed: pip install --no-deps pipecat-ai=="):
        SmartTurn()
    monkeypatch.undo()
    with pytest.raises(OmniError, match=r"needs absent\.onnx, which the numpy installed here does not have"):
        models.load_session("numpy", "absent.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(OmniError, match="needs onnxruntime, which is not installed"):
        models.load_session("numpy", "__init__.py")
