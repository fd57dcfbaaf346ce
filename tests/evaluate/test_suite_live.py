"""A suite with a server's agent, in real time over real connections, and with recordings: scored like all others."""

import json
import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest
import test_live_scripts as live
from fake_model import FakeModel
from test_live_webrtc import Steady

from omni import cli
from omni.audio.files import write_wav
from omni.engine.engine import Engine
from omni.evaluate import agents

ASK = """title: Ask
length_s: 2.4
variants: 2
user:
  - {play: ask.wav, when: {at_s: [0.2, 0.4]}, kind: turn, text: count, answer: [one two]}
expect:
  - answers: {to: ask, within_s: 1.2}
"""
STOP = """title: Stop
length_s: 3.2
noise: {level_db: -70}
network: {delay_ms: 4000}
user:
  - {play: ask.wav, when: {at_s: 0.3}, kind: turn, text: count}
  - {play: stop.wav, kind: stop, when: {start_speak: 1, plus_s: 0.6}}
expect:
  - yields: {to: stop, within_s: 0.9}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A suite of three conversations, and an engine that answers."""
    rng = np.random.default_rng(3)
    place = tmp_path / "mine"
    place.mkdir()
    for name, seconds in (("ask", 0.6), ("stop", 0.4)):
        write_wav(place / f"{name}.wav", 0.2 * rng.standard_normal(int(seconds * 16_000)), 16_000)
    (place / "asks.yaml").write_text(ASK)
    (place / "stops.yaml").write_text(STOP)
    monkeypatch.setattr(agents, "load_engine",
                        lambda *_, capacity: (Engine(FakeModel(words=8), capacity=capacity), 1))
    return place


def _report(out) -> dict:
    return json.loads((out / "report.json").read_text())


def _verdicts(out) -> dict:
    return {p.parent.relative_to(out): p.stat().st_mtime_ns for p in sorted(out.rglob("verdicts.json"))}


@pytest.mark.realtime
@pytest.mark.parametrize("webrtc", [False, True])
def test_a_servers_agent_stands_in_the_report_as_it_was_heard(folder, tmp_path, monkeypatch, capsys, webrtc):
    monkeypatch.setattr(live, "FakeModel", Steady)
    out = tmp_path / "out"
    way = ["--webrtc"] if webrtc else []
    with live._server(3, words=16) as here:
        started = time.monotonic()
        command = ["evaluate", str(folder), "--out", str(out), "--server", here.url, "--name", "theirs", "--at-once",
                   "3", *way]
        assert cli.main(command) == 0, capsys.readouterr().err
        took_s = time.monotonic() - started
        agent, = _report(out)["agents"].values()
        held = _verdicts(out)
        assert cli.main(command) == 0
        assert _verdicts(out) == held, "what is held is not held again"
    assert took_s < 7.2, "at once, not one after the other"
    assert {str(p) for p in held} == {"theirs/asks/000", "theirs/asks/001", "theirs/stops/000"}
    assert agent["real_time"] and agent["model"].startswith("ws://") and agent["model"].endswith(
        " (WebRTC)" if webrtc else "/v1/live/sessions")
    for at in held:
        assert json.loads((out / at / "way.json").read_text())["frames_sent"] > 100
    metrics = agent["metrics"]
    assert metrics["response_rate"]["value"] == 1.0 and metrics["response_rate"]["count"] == 3
    assert metrics["yield_rate"]["value"] == 1.0, "the script's own network of 8 s is not there"
    heard_s = []
    for at in held:
        trace = [json.loads(line) for line in (out / at / "trace.jsonl").read_text().splitlines()]
        turn = next(line for line in trace if line["type"] == "user_turn")
        heard_s.append(next(line for line in trace if line["type"] == "agent_text")["from"] - turn["speech_to"])
    added = sorted(told - heard for told, heard in zip(agent["latencies_s"], heard_s, strict=True))
    assert added[1] == pytest.approx(0, abs=0.021), "nothing is added; a busy machine may move one of the three"
    page = (out / "report.html").read_text()
    assert "To theirs nothing is added" in page and agent["model"] in page
    if not webrtc:
        assert cli.main([*command, "--model", "tiny"]) == 0
        both = _report(out)["agents"]
        assert list(both) == ["omni", "theirs"] and both["theirs"] == agent and not both["omni"]["real_time"]
    capsys.readouterr()     # the tables
    print("answers in ms:", *(round(1000 * s) for s in heard_s))


@pytest.mark.realtime
def test_interrupted_with_a_server_it_keeps_what_is_done_and_goes_on(folder, tmp_path, capsys):
    out = tmp_path / "out"

    def interrupt():
        while not (out / "server" / "asks" / "000" / "way.json").exists():
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    with live._server(1, limits={"sessions": 1}) as here:
        command = ["evaluate", str(folder), "--out", str(out), "--server", here.url]
        threading.Thread(target=interrupt, daemon=True).start()
        assert cli.main(command) == 130
        held = _verdicts(out)
        assert [str(p) for p in held] == ["server/asks/000"] and not (out / "report.json").exists()
        assert cli.main(command) == 0
    now = _verdicts(out)
    assert len(now) == 3 and now.items() >= held.items()
    assert len(_report(out)["agents"]["server"]["conversations"]) == 3
    capsys.readouterr()


def test_a_server_that_is_gone_is_not_asked_hundreds_of_times(folder, tmp_path, capsys):
    (folder / "asks.yaml").write_text(ASK.replace("variants: 2", "variants: 40"))
    out = tmp_path / "out"
    assert cli.main(["evaluate", str(folder), "--out", str(out), "--server", "http://me:hidden@127.0.0.1:1"]) == 2
    error = capsys.readouterr().err
    assert error.count("cannot be reached") == 10 and "hidden" not in error
    assert "41 of 41 conversations could not be held" in error and not (out / "report.json").exists()


@pytest.mark.parametrize(("options", "message"), [
    (["--webrtc"], "--webrtc is a way to a running server"),
    (["--server", "x:1", "--name", "deaf"], "--name deaf is an agent of this process"),
    (["--server", "x:1", "--at-once", "65"], "--at-once goes from 1 to 64"),
    (["--server", "x:1", "--loss", "1.5"], "--loss is a share"),
    (["--server", "x:1", "--recorded", "server"], "two agents are called 'server'"),
    (["--server", "ftp://x"], "ftp://x"), (["--recorded", "nobody"], "nobody/asks/000: ")])
def test_wrong_usage_is_told_before_anything_is_held(folder, tmp_path, capsys, options, message):
    assert cli.main(["evaluate", str(folder), "--out", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not list((tmp_path / "out").rglob("conversation.wav"))


def test_what_was_held_before_is_scored_alike_without_being_held(folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert cli.main(["evaluate", str(folder), "--out", str(out)]) == 0
    before = _report(out)
    shutil.copytree(out / "omni", out / "copy")
    monkeypatch.setattr(agents, "load_engine", lambda *_, **__: pytest.fail("nothing is held"))
    for name in ("ask.wav", "stop.wav"):
        (folder / name).unlink()
    sounds = {p: p.read_bytes() for p in (out / "copy").rglob("*") if p.name in ("conversation.wav", "trace.jsonl")}
    assert cli.main(["evaluate", str(folder), "--out", str(out), "--recorded", "omni", "--recorded", "copy"]) == 0
    report = _report(out)
    assert "weights" not in report["header"] and list(report["agents"]) == ["omni", "copy"]
    assert report["agents"]["omni"] == before["agents"]["omni"]
    assert report["agents"]["copy"]["metrics"] == before["agents"]["omni"]["metrics"]
    assert all(p.read_bytes() == b for p, b in sounds.items()), "the recordings stay as they are"
    (folder / "asks.yaml").write_text(ASK.replace("within_s: 1.2", "within_s: 0.01"))
    assert cli.main(["evaluate", str(folder), "--out", str(out), "--recorded", "copy"]) == 0
    expectations = [r["agents"]["copy"]["scripts"]["asks"]["held"] for r in (report, _report(out))]
    assert expectations == [2, 0], "judged by what the scripts expect now"
    shutil.rmtree(out / "copy" / "asks" / "001")
    assert cli.main(["evaluate", str(folder), "--out", str(out), "--recorded", "copy"]) == 2
    assert "copy/asks/001: " in capsys.readouterr().err


def test_recordings_of_another_agent_are_scored_as_they_sound(folder, tmp_path):
    """Without verdicts.json, who made them and how is not known, so nothing is added."""
    out = tmp_path / "out"
    assert cli.main(["evaluate", str(folder), "--out", str(out), "--add-ms", "0"]) == 0
    sounded = _report(out)["agents"]["omni"]
    shutil.copytree(out / "omni", out / "theirs", ignore=shutil.ignore_patterns("verdicts.json", "*.png", "*.html"))
    for _ in range(2):      # the second time there are verdicts: our own
        assert cli.main(["evaluate", str(folder), "--out", str(out), "--recorded", "theirs"]) == 0
        theirs = _report(out)["agents"]["theirs"]
        assert theirs["model"] == "recorded" and theirs["real_time"]
        assert theirs["latencies_s"] == sounded["latencies_s"] and theirs["metrics"] == sounded["metrics"]


def test_a_conversation_judged_anew_is_not_taken_for_one_of_the_new_script(folder, tmp_path):
    out = tmp_path / "out"
    assert cli.main(["evaluate", str(folder), "--out", str(out)]) == 0
    (folder / "asks.yaml").write_text(ASK.replace("at_s: [0.2, 0.4]", "at_s: [0.6, 0.8]"))
    assert cli.main(["evaluate", str(folder), "--out", str(out), "--recorded", "omni"]) == 0
    before = {p: p.stat().st_mtime_ns for p in out.rglob("conversation.wav")}
    assert cli.main(["evaluate", str(folder), "--out", str(out)]) == 0
    assert {p.parent.parent.name for p, at in before.items() if p.stat().st_mtime_ns != at} == {"asks"}
