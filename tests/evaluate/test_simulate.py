"""Scripted conversations over a fake model: turns come when they should, verdicts say what happened, files repeat."""

import json

import numpy as np
import pytest
import soundfile
from fake_model import FakeModel

from omni import cli
from omni.audio.files import write_wav
from omni.base.errors import MediaError
from omni.base.timebase import TINY
from omni.engine.engine import Engine
from omni.evaluate import sets
from omni.evaluate import simulate as command
from omni.evaluate.outcome import delayed, stated_ms
from omni.evaluate.record import Piece, Record, Reply
from omni.evaluate.scenario import Answers, Expectation, Holds
from omni.evaluate.scripts import load_scenario
from omni.evaluate.simulate import Outcome, simulate
from omni.evaluate.user import speech_span
from omni.evaluate.verdicts import TurnSpan, judge

BLOCK = TINY.block_samples
HEAD = "title: A try\nlength_s: 12\nnoise: {level_db: -70}\n"
ASK = "  - {play: ask.wav, when: {at_s: 1.0}}\n"


@pytest.fixture
def script(tmp_path):
    """Writes a script beside three recordings of noise: ask (0.6 s), stop (0.4 s), hush (0.4 s, hardly audible)."""
    rng = np.random.default_rng(3)
    for name, seconds, level in (("ask", 0.6, 0.2), ("stop", 0.4, 0.2), ("hush", 0.4, 0.003)):
        write_wav(tmp_path / f"{name}.wav", level * rng.standard_normal(int(seconds * 16_000)), 16_000)

    def write(user: str, expect: str = "", head: str = HEAD):
        path = tmp_path / "try.yaml"
        path.write_text(f"{head}user:\n{user}" + (f"expect:\n{expect}" if expect else ""))
        return path

    return write


def _run(path, **model) -> Outcome:
    return simulate(Engine(FakeModel(**model), capacity=1), load_scenario(path), path)


def _starts(outcome: Outcome) -> dict[str, int]:
    return {span.name: span.start for span in outcome.turns}


def test_turns_come_at_their_moments_to_the_sample(script):
    outcome = _run(script(
        ASK + "  - {play: hush.wav, name: later, when: {after: ask, plus_s: 0.7}}\n"
        "  - {play: hush.wav, name: into, when: {start_speak: 1, plus_s: 0.81}}\n"
        "  - {play: hush.wav, name: word, when: {word: 3, plus_s: 0.1}}\n"
        "  - {play: hush.wav, name: over, when: {end_speak: 1, plus_s: 0.25}}\n"
        "  - {play: hush.wav, name: patient, when: {silent_s: 2.0}}\n"))
    starts, reply = _starts(outcome), outcome.record.replies[0]
    assert starts["ask"] == 16_000
    assert starts["later"] == 16_000 + 9_600 + 11_200
    assert starts["into"] == reply.start + 12_960
    assert starts["word"] == reply.pieces[2].end + 1_600
    assert starts["over"] == reply.end + 4_000
    assert 0 <= starts["patient"] - (starts["over"] + 6_400 + 32_000) < BLOCK


def test_a_moment_that_has_passed_means_the_next_block(script):
    outcome = _run(script(ASK + "  - {play: hush.wav, when: {end_speak: 1}}\n"))
    assert _starts(outcome)["hush"] == outcome.record.replies[0].end


def test_what_never_happens_brings_no_turn(script):
    outcome = _run(script(ASK + "  - {play: stop.wav, when: {start_speak: 5}}\n",
                          "  - yields: {to: stop, within_s: 1}\n"))
    assert list(_starts(outcome)) == ["ask"]
    verdict, = outcome.verdicts
    assert not verdict.held and verdict.detail == "the turn 'stop' never came"


def test_the_same_cut_out_part_and_level_are_heard(script, tmp_path):
    path = script("  - {play: ask.wav, when: {at_s: 1.0}, from_s: 0.1, to_s: 0.3, gain_db: -6}\n")
    outcome = _run(path)
    source, _ = soundfile.read(tmp_path / "ask.wav", dtype="float32")
    part = outcome.user[16_000:16_000 + 3_200]
    np.testing.assert_allclose(part[200:-200], 0.5012 * source[1_800:4_600], atol=0.005)


def test_expectations_that_are_met(script):
    outcome = _run(script(
        ASK + "  - {play: hush.wav, when: {start_speak: 1, plus_s: 0.3}}\n"
        "  - {play: stop.wav, when: {start_speak: 1, plus_s: 1.0}}\n",
        "  - answers: {to: ask, within_s: 0.6}\n  - holds: {through: hush, for_s: 0.1}\n"
        "  - yields: {to: stop, within_s: 0.4}\n  - says: {words: [one two], never: [seven], after: ask}\n"
        "  - silent: {from_s: 0, until: ask}\n"), words=8)
    assert outcome.held, [(v.expected, v.detail) for v in outcome.verdicts]
    answers, _, yields, *_ = outcome.verdicts
    assert answers.value_s == pytest.approx(0.32, abs=0.09) and yields.value_s < 0.3


def test_expectations_that_are_not(script):
    path = script(
        ASK + "  - {play: stop.wav, when: {start_speak: 1, plus_s: 0.5}}\n",
        "  - answers: {to: ask, within_s: 0.1}\n  - holds: {through: stop}\n  - says: {words: [seven], never: [one]}\n"
        "  - silent: {since: ask}\n  - answers: {to: stop, within_s: 0.1}\n")
    outcome = _run(path)
    assert [v.held for v in outcome.verdicts] == [False] * 5
    assert "interrupted after" in outcome.verdicts[1].detail
    assert outcome.verdicts[2].detail == "not said: seven; said: one"
    deaf = _run(script(ASK + "  - {play: stop.wav, when: {start_speak: 1, plus_s: 0.5}}\n",
                       "  - yields: {to: stop, within_s: 0.5}\n  - yields: {to: ask, within_s: 0.5}\n"), deaf=True)
    assert "finished by itself" in deaf.verdicts[0].detail and deaf.verdicts[1].detail == "had not the floor"


def test_taking_the_floor_in_a_pause_is_no_answer(script):
    outcome = _run(script(
        "  - {play: ask.wav, name: first, when: {at_s: 1.0}}\n  - {play: ask.wav, name: second, when: {after: first, "
        "plus_s: 1.0}}\n", "  - silent: {from_s: 0, until: second}\n"))
    verdict, = outcome.verdicts
    assert not verdict.held and verdict.detail.startswith("had the floor at 1.8")


def test_echo_reaches_the_microphone_and_not_the_recording(script):
    head = HEAD + "echo: {gain_db: 0, delay_ms: 100}\n"
    outcome = _run(script(ASK, head=head))
    assert outcome.record.replies[0].reason == "interrupted"
    assert np.abs(outcome.user[40_000:]).max() < 0.01


def _simulate(path, folder, monkeypatch, *options, **model) -> int:
    monkeypatch.setattr(command, "load_engine", lambda *args, capacity: (Engine(FakeModel(**model), capacity=capacity),
                                                                              1))
    return cli.main(["simulate", str(path), "--out", str(folder), *options])


def test_the_command_writes_four_files_and_its_code_is_the_verdict(script, tmp_path, monkeypatch, capsys):
    path = script(ASK, "  - answers: {to: ask, within_s: 0.6}\n")
    folders = [tmp_path / "a", tmp_path / "deep" / "b"]
    for folder in folders:
        assert _simulate(path, folder, monkeypatch) == 0
    names = {"conversation.wav", "trace.jsonl", "timeline.png", "verdicts.json"}
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    assert {p.name for p in folders[0].iterdir()} == names
    samples, rate = soundfile.read(folders[0] / "conversation.wav")
    assert samples.shape == (12 * 16_000, 2) and rate == 16_000
    lines = [json.loads(line) for line in (folders[0] / "trace.jsonl").read_text().splitlines()]
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    assert lines[-1]["type"] == "summary" and "user_turn" in {line["type"] for line in lines}
    report = json.loads((folders[0] / "verdicts.json").read_text())
    assert report["held"] is True and len(report["fingerprint"]) == 16
    assert _simulate(script(ASK, "  - answers: {to: ask, within_s: 0.01}\n"), folders[0], monkeypatch) == 1
    assert "FAILED  answers ask within 0.01 s" in capsys.readouterr().out


@pytest.mark.parametrize(("user", "message"), [
    ("  - {play: ask.wav, wehn: {at_s: 1}}\n", "try.yaml:5: user[0]: unknown key 'wehn'; did you mean 'when'?"),
    ("  - {play: aks.wav, when: {at_s: 1}}\n",
     "try.yaml:5: user[0].play: no recording 'aks.wav'; did you mean 'ask.wav'?"),
    ("  - {play: ask.wav, when: {at_s: 1}, to_s: 9}\n", "try.yaml:5: user[0].to_s: ask.wav has 0.60 s")])
def test_a_wrong_script_is_told_in_one_line(script, tmp_path, monkeypatch, capsys, user, message):
    assert _simulate(script(user), tmp_path / "out", monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"omni simulate: {message}") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


VARIED = """title: Varied
length_s: 6
variants: 5
noise: {snr_db: [5, 30]}
user:
  - {play: ask.wav, when: {at_s: [0.5, 2.5]}, gain_db: [-6, 0], kind: turn, text: a question, answer: [one two]}
expect:
  - answers: {to: ask, within_s: 0.6}
  - right: {to: ask}
"""


def test_variants_differ_by_their_draws_and_repeat_by_their_seed(script, tmp_path, monkeypatch):
    path = script(ASK)
    path.write_text(VARIED)
    _simulate(path, tmp_path / "a", monkeypatch)
    _simulate(path, tmp_path / "b", monkeypatch, "--batch", "2")
    folders = sorted((tmp_path / "a" / "try").iterdir())
    assert [f.name for f in folders] == ["000", "001", "002", "003", "004"]
    traces = [(f / "trace.jsonl").read_text() for f in folders]
    turns = [json.loads(next(line for line in t.splitlines() if "user_turn" in line)) for t in traces]
    assert len({t["from"] for t in turns}) == 5 and all(0.5 <= t["from"] <= 2.5 for t in turns)
    assert turns[0]["text"] == "a question" and turns[0]["answer"] == ["one two"] and turns[0]["kind"] == "turn"
    for folder in folders:
        other = tmp_path / "b" / "try" / folder.name
        for name in ("conversation.wav", "trace.jsonl"):
            assert (folder / name).read_bytes() == (other / name).read_bytes(), "what runs beside it changes nothing"


def test_a_conversation_that_is_there_is_not_held_again(script, tmp_path, monkeypatch, capsys):
    path = script(ASK)
    path.write_text(VARIED)
    _simulate(path, tmp_path / "a", monkeypatch)
    kept, lost = tmp_path / "a" / "try" / "001", tmp_path / "a" / "try" / "003"
    (kept / "conversation.wav").write_bytes(b"mine")
    (lost / "verdicts.json").unlink()
    _simulate(path, tmp_path / "a", monkeypatch, "--resume")
    assert "4 conversations were there already" in capsys.readouterr().err
    assert (kept / "conversation.wav").read_bytes() == b"mine" and (lost / "verdicts.json").exists()
    _simulate(path, tmp_path / "a", monkeypatch, "--resume", "--seed", "9")
    assert (kept / "conversation.wav").read_bytes() != b"mine", "another seed is another conversation"


def test_an_interrupted_run_keeps_what_is_done(script, tmp_path, monkeypatch):
    path, write = script(ASK), command.write_outcome
    path.write_text(VARIED)

    def stop_after_two(folder, *args, **kwargs):
        if folder.name == "002":
            raise KeyboardInterrupt
        write(folder, *args, **kwargs)

    monkeypatch.setattr(command, "write_outcome", stop_after_two)
    assert _simulate(path, tmp_path / "a", monkeypatch, "--batch", "1") == 130
    assert sorted(f.name for f in (tmp_path / "a" / "try").iterdir()) == ["000", "001"]


def test_the_noise_lies_below_the_speech_by_what_was_asked(script):
    outcome = _run(script(ASK, head="title: Noisy\nlength_s: 4\nnoise: {snr_db: 12}\n"))
    speech, noise = outcome.user[17_000:25_000], outcome.user[30_000:]
    ratio = 10 * np.log10((np.mean(speech**2) - np.mean(noise**2)) / np.mean(noise**2))
    assert ratio == pytest.approx(12, abs=1)


def test_a_band_a_room_and_a_level_change_what_is_heard(script, tmp_path):
    response = np.zeros(4_800, np.float32)
    response[[0, 3_200]] = 0.8, 0.6
    write_wav(tmp_path / "hall.wav", response, 16_000)
    outcome = _run(script("  - {play: ask.wav, when: {at_s: 1.0}, room: hall.wav, band_hz: [300, 3400], "
                          "level_db: -20}\n"))
    span, = outcome.turns
    sound = outcome.user[span.speech_start:span.speech_end].astype(np.float64)
    power = np.abs(np.fft.rfft(sound))**2
    hz = np.fft.rfftfreq(len(sound), 1 / 16_000)
    assert power[hz > 4_500].sum() < 0.05 * power.sum() and power[hz < 150].sum() < 0.02 * power.sum()
    assert span.end - span.start == 9_600 + 4_799, "the room rings on"
    assert 20 * np.log10(np.sqrt(np.mean(sound**2))) == pytest.approx(-20, abs=1.5)


def test_what_was_heard_must_equal(script):
    stop = ASK + "  - {play: stop.wav, when: {start_speak: 1, plus_s: 0.4}}\n"
    whole = _run(script(ASK), words=4).record.heard_text(12 * 16_000)
    expect = f"  - heard: {{text: '{whole.upper()}'}}\n  - heard: {{text: seven, reply: 1}}\n"
    outcome = _run(script(ASK, expect), words=4)
    assert [v.held for v in outcome.verdicts] == [True, False]
    cut = _run(script(stop, f"  - heard: {{text: '{whole}', reply: 1}}\n"), words=8)
    assert not cut.verdicts[0].held


def test_a_page_plays_the_conversation(script, tmp_path, monkeypatch):
    import base64
    import re

    path = script(ASK, "  - answers: {to: ask, within_s: 0.6}\n", head=HEAD.replace("A try", "A <try>"))
    assert _simulate(path, tmp_path / "a", monkeypatch, "--listen") == 0
    page = (tmp_path / "a" / "listen.html").read_text()
    data = json.loads(base64.b64decode(re.search(r'atob\("([^"]+)"', page)[1]))
    assert "A &lt;try&gt;" in page and "<try>" not in page and 'src="conversation.wav"' in page
    assert data["length"] == 12 and data["verdicts"][0]["held"] and data["events"][0]["type"] == "user_turn"


@pytest.mark.parametrize(("user", "message"), [
    ("  - {pick: stopps, when: {at_s: 1}}\n", "try.yaml:5: user[0].pick: no set 'stopps'; did you mean 'stops'?"),
    ("  - {pick: mine, when: {at_s: 1}}\n", "mine.yaml:2: unknown key 'wrods'"),
    ("  - {say: hello, voice: bert, when: {at_s: 1}}\n", "try.yaml:5: user[0].voice: no voice 'bert'"),
    ("  - {play: ask.wav, room: hall.wav, when: {at_s: 1}}\n", "try.yaml:5: user[0].room: no recording 'hall.wav'")])
def test_a_wrong_source_is_told_in_one_line(script, tmp_path, monkeypatch, capsys, user, message):
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "mine.yaml").write_text("kind: stop\nwrods: [a]\n")
    assert _simulate(script(user), tmp_path / "out", monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"omni simulate: {message}") and error.count("\n") == 1


def test_a_set_of_files_and_a_spoken_text(script, tmp_path, monkeypatch):
    monkeypatch.setenv("OMNI_CACHE_DIR", str(tmp_path / "cache"))
    spoken = []

    def speak(text, voice):
        spoken.append((text, voice))
        return sets.voices.Spoken(np.sin(np.arange(8_000, dtype=np.float32) / 5), ())

    monkeypatch.setattr(sets.voices, "speak_aligned", speak)
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "mine.yaml").write_text("kind: stop\nfiles: [stop.wav]\n")
    user = ("  - {pick: mine, when: {at_s: 1}}\n"
            "  - {say: 'What is two?', voice: 'flite:kal16', when: {at_s: 3}, answer: [two]}\n")
    first, second = _run(script(user)).turns
    assert (first.name, first.kind, first.end - first.start) == ("mine", "stop", 6_400)
    assert (second.name, second.kind, second.text, second.answer) == ("what_is_two", "turn", "what is two?", ("two",))
    _run(script(user))
    assert [text for text, _ in spoken] == ["What is two?"], "spoken once and kept"


def test_one_person_has_one_voice_in_a_conversation_and_another_has_another(monkeypatch):
    monkeypatch.setattr(sets.voices, "_variants", lambda: tuple(f"v{i}" for i in range(40)))
    own = [sets.choose_voice("unseen", seed) for seed in range(20)]
    assert own == [sets.choose_voice("unseen", seed) for seed in range(20)] and len(set(own)) > 15
    assert all(a != sets.choose_voice("another", seed) for seed, a in enumerate(own))
    assert sets.choose_voice("espeak:en-us+f3:150:40", 0) == sets.voices.Voice("espeak", "en-us+f3", 150, 40)


# ---- the delay that virtual time does not know


TOLD = ("  - answers: {to: ask, within_s: 0.6}\n  - yields: {to: stop, within_s: 0.5}\n"
        "  - holds: {through: hush, for_s: 0.1}\n  - silent: {from_s: 0, until: ask}\n"
        "  - heard: {text: one two three four five six, reply: 1}\n")
TALK = (ASK + "  - {play: hush.wav, when: {start_speak: 1, plus_s: 0.3}}\n"
        "  - {play: stop.wav, when: {start_speak: 1, plus_s: 1.0}}\n")


def _verdicts(path, folder, monkeypatch, *options, **model) -> dict:
    _simulate(path, folder, monkeypatch, *options, **model)
    return json.loads((folder / "verdicts.json").read_text())


def test_a_stated_delay_is_in_every_reported_time(script, tmp_path, monkeypatch, capsys):
    """Verdicts of virtual time had no delay at all, so that they promised times that no user can have."""
    path = script(TALK, TOLD)
    found = {ms: _verdicts(path, tmp_path / str(ms), monkeypatch, "--add-ms", str(ms), words=8) for ms in (0, 125)}
    usual = _verdicts(path, tmp_path / "usual", monkeypatch, words=8)
    assert usual == found[125] and [found[ms]["added_ms"] for ms in (0, 125)] == [0, 125]
    now, later = ({v["kind"]: v for v in found[ms]["verdicts"]} for ms in (0, 125))
    for kind in ("answers", "yields"):
        assert later[kind]["value_s"] == pytest.approx(now[kind]["value_s"] + 0.125, abs=1e-4)
        assert now[kind]["held"] and later[kind]["held"]
    for kind in ("silent", "heard", "holds"):
        assert {**now[kind], "end": 0} == {**later[kind], "end": 0}
    assert "its times with 125 ms added" in capsys.readouterr().err
    for name in ("conversation.wav", "trace.jsonl"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "125" / name).read_bytes()


def test_what_the_delay_makes_late_is_late(script, tmp_path, monkeypatch):
    value_s = {kind: next(v["value_s"] for v in _verdicts(script(TALK, TOLD), tmp_path / "a", monkeypatch, "--add-ms",
                                                          "0", words=8)["verdicts"] if v["kind"] == kind)
               for kind in ("answers", "yields")}
    path = script(TALK, f"  - answers: {{to: ask, within_s: {value_s['answers'] + 0.1}}}\n"
                        f"  - yields: {{to: stop, within_s: {value_s['yields'] + 0.1}}}\n")
    held = [[v["held"] for v in _verdicts(path, tmp_path / ms, monkeypatch, "--add-ms", ms, words=8)["verdicts"]]
            for ms in ("0", "100", "125")]
    assert held == [[True, True], [True, True], [False, False]]


def test_the_delay_never_makes_an_agent_look_better(script):
    """Whatever an expectation is about: what fails without a delay fails with any."""
    expect = ("  - holds: {through: stop, for_s: 0.1}\n  - holds: {through: stop, for_s: 12}\n"
              "  - answers: {to: long, within_s: 3, early_s: 0.0}\n  - yields: {to: ask, within_s: 9}\n"
              "  - silent: {from_s: 1, until: stop}\n  - says: {words: [seven], after: stop}\n")
    path = script("  - {play: ask.wav, name: ask, when: {at_s: 1.0}}\n"
                  "  - {play: stop.wav, when: {start_speak: 1, plus_s: 0.6}}\n"
                  "  - {play: ask.wav, name: long, when: {at_s: 7.0}}\n", expect)
    scenario, outcome = load_scenario(path), _run(path)
    assert not any(v.held for v in delayed(outcome, scenario, 0).verdicts[:2])
    for ms in (0, 25, 125, 700, 4_000, 5_000):
        for was, now in zip(outcome.verdicts, delayed(outcome, scenario, ms).verdicts, strict=True):
            assert was.held or not now.held, (ms, now)


def _record(start: int, end: int, reason: str = "interrupted") -> Record:
    record = Record(TINY)
    record.replies.append(Reply(start, end, end, reason, pieces=[Piece(" yes", start, end)]))
    return record


def test_an_answer_that_came_too_early_is_too_early_with_a_delay():
    turn = TurnSpan("ask", 0, 32_000, 0, 32_000)
    expect = (Expectation(answers=Answers("ask", 1.0)),)
    verdict, = judge(expect, _record(32_000 - 4_800, 64_000), {"ask": turn}, 160_000, 2_000)
    assert not verdict.held and verdict.value_s == -0.175
    assert verdict.detail == "0.17 s before the end, 0.30 s before it without the added delay"


def test_an_interruption_in_time_is_one_with_a_delay_though_the_recording_ends():
    turn = TurnSpan("hush", 16_000, 32_000, 16_000, 32_000)
    expect = (Expectation(holds=Holds("hush", 1.0)),)
    for added in (0, 2_000, 8_000):
        verdict, = judge(expect, _record(0, 47_000), {"hush": turn}, 48_000, added)
        assert not verdict.held and verdict.value_s == pytest.approx((31_000 + added) / 16_000, abs=1e-4)
        assert judge(expect, _record(0, 48_001), {"hush": turn}, 160_000, added)[0].held


def test_a_network_of_its_own_leaves_only_computing_to_add(script, tmp_path, monkeypatch):
    path = script(ASK, "  - answers: {to: ask, within_s: 2}\n", head=HEAD + "network: {delay_ms: 20}\n")
    assert _verdicts(path, tmp_path / "a", monkeypatch)["added_ms"] == 25
    assert _verdicts(path, tmp_path / "b", monkeypatch, "--add-ms", "10")["added_ms"] == 10


def test_resumed_with_another_delay_it_is_judged_with_that(script, tmp_path, monkeypatch, capsys):
    path = script(ASK, "  - answers: {to: ask, within_s: 0.6}\n")
    for options, ms in (([], 125), (["--resume"], 125), (["--resume", "--add-ms", "50"], 50)):
        assert _verdicts(path, tmp_path / "a", monkeypatch, *options)["added_ms"] == ms
    assert capsys.readouterr().err.count("were there already") == 1


@pytest.mark.parametrize(("options", "message"), [
    (["--add-ms", "-1"], "--add-ms goes from 0 to 5000"), (["--add-ms", "5001"], "--add-ms goes from 0 to 5000"),
    (["--add-ms", "9", "--server", "x:1"], "--add-ms is of virtual time"),
    (["--add-ms", "9", "--recorded", "x"], "--add-ms is of virtual time")])
def test_a_delay_that_cannot_be_added_is_told(script, tmp_path, monkeypatch, capsys, options, message):
    assert _simulate(script(ASK), tmp_path / "out", monkeypatch, *options) == 2
    assert capsys.readouterr().err.startswith(f"omni simulate: {message}") and not (tmp_path / "out").exists()


def test_what_was_added_then_is_added_again_from_disk(script, tmp_path, monkeypatch):
    path, was = script(TALK, TOLD), tmp_path / "was"
    then = _verdicts(path, was, monkeypatch, words=8)
    again = _verdicts(path, tmp_path / "a", monkeypatch, "--recorded", str(was))
    assert again["added_ms"] == 125
    for v, w in zip(again["verdicts"], then["verdicts"], strict=True):
        assert (v["held"], v["detail"]) == (w["held"], w["detail"])
    del then["added_ms"]
    (was / "verdicts.json").write_text(json.dumps(then))
    plain = _verdicts(path, tmp_path / "b", monkeypatch, "--recorded", str(was))
    assert plain["added_ms"] == 0
    assert plain["verdicts"][0]["value_s"] == pytest.approx(then["verdicts"][0]["value_s"] - 0.125, abs=2e-4)


def test_what_a_folder_says_was_added_is_read_back():
    assert stated_ms({"added_ms": 25}) == 25 and stated_ms({}) == 0
    for wrong in (-1, "125", True, 1.5, 5_001, None):
        with pytest.raises(MediaError, match="added_ms"):
            stated_ms({"added_ms": wrong})


def test_speech_span_leaves_out_what_is_quiet():
    samples = np.full(16_000, 1e-4, np.float32)
    samples[4_800:8_000] = 0.1
    assert speech_span(samples) == (4_800, 8_000)
    assert speech_span(np.zeros(1_000, np.float32)) == (0, 1_000)
