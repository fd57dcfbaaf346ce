"""Scripts held in real time against real servers in this process, over real WebSockets; and judged again from disk."""

import asyncio
import gc
import json
import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from fake_model import FakeModel
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from omni import cli
from omni.audio.files import write_wav
from omni.base.config import build
from omni.base.events import AgentText, AudioReady, SpeechEnded, SpeechStarted
from omni.engine.engine import Engine
from omni.engine.worker import EngineWorker
from omni.evaluate.lines import CLEAN, Way
from omni.evaluate.live import Call, hold, hold_all
from omni.evaluate.playout import Playout
from omni.evaluate.recorded import judge_again
from omni.evaluate.scripts import load_scenario
from omni.evaluate.simulate import Task, simulate, write_outcome
from omni.serve.command import serving
from omni.serve.config import ServeConfig
from omni.transport.loopback import LinkConditions
from omni.transport.remote import ServerError, public
from omni.wire.audio import encode_audio
from omni.wire.session import AudioPcm

ASK = "  - {play: ask.wav, when: {at_s: 0.3}}\n"
STOP = "  - {play: stop.wav, when: {start_speak: 1, plus_s: 0.6}}\n"
MS = 16


@pytest.fixture
def script(tmp_path):
    """Writes scripts beside recordings of noise: ask (0.6 s), stop (0.4 s), hush (0.2 s, hardly audible)."""
    rng = np.random.default_rng(3)
    for name, seconds, level in (("ask", 0.6, 0.2), ("stop", 0.4, 0.2), ("hush", 0.2, 0.003)):
        write_wav(tmp_path / f"{name}.wav", level * rng.standard_normal(int(seconds * 16_000)), 16_000)

    def write(user: str, expect: str = "", length_s: float = 3, name: str = "try"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"title: {name}\nlength_s: {length_s}\nnoise: {{level_db: -70}}\nuser:\n{user}"
                        + (f"expect:\n{expect}" if expect else ""))
        return path

    return write


@contextmanager
def _running(main):
    """`main(opened, stopped)`, a coroutine function, in a thread with a loop of its own; `url` is what it opened."""
    def run():
        async def with_stop():
            here.loop, here.stopped = asyncio.get_running_loop(), asyncio.Event()
            await main(opened, here.stopped)
        asyncio.run(with_stop())

    def opened(url: str):
        here.url = url
        ready.set()

    here, ready = SimpleNamespace(url="", stop=lambda: here.loop.call_soon_threadsafe(here.stopped.set)), \
        threading.Event()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield here
    finally:
        if thread.is_alive():
            here.stop()
            thread.join(20)
        assert not thread.is_alive()


def _server(capacity: int = 1, words: int = 8, **values):
    """Our own server with the fake model."""
    async def main(opened, stopped):
        async with EngineWorker(Engine(FakeModel(words=words), capacity=capacity)) as worker:
            here = serving(build(ServeConfig, {"port": 0, **values}), worker)
            async with here:
                opened(f"http://127.0.0.1:{here.port}")
                await stopped.wait()

    return _running(main)


# ---- what the user hears, without a clock


def _tone(count: int = 1_280) -> np.ndarray:
    return np.full(count, 0.25, np.float32)


def test_audio_lies_a_buffer_after_its_arrival_and_jitter_within_it_moves_nothing():
    playout = Playout(16_000)
    for block, late_ms in enumerate((10, 0, 60, 30)):
        playout.take((), AudioReady(block * 1_280, _tone() * (block + 1), 0), (100 + 80 * block + late_ms) * MS)
    loud = np.flatnonzero(playout.track)
    assert (loud[0], loud[-1] + 1, playout.late) == (170 * MS, 170 * MS + 4 * 1_280, 0) and np.all(np.diff(loud) == 1)
    assert playout.track[170 * MS + 1_280] == 0.5, "in order"
    assert playout.position(180 * MS) == 10 * MS and playout.position(9_999 * MS) == 4 * 1_280


def test_what_comes_too_late_leaves_a_hole_and_silence_takes_the_delay_back():
    playout = Playout(32_000)
    playout.take((), AudioReady(0, _tone(), 0), 0)
    playout.take((AgentText(" hi", 1_280, 1_380, 0),), AudioReady(1_280, _tone(), 0), (60 + 80 + 50) * MS)
    assert playout.late == 50 * MS
    hole = slice(60 * MS + 1_280, 60 * MS + 1_280 + 50 * MS)
    assert not playout.track[hole].any() and playout.track[hole.stop] == 0.25
    playout.take((), AudioReady(2_560, np.zeros(1_280, np.float32), 0), 160 * MS)
    assert playout.track[:270 * MS].any() and playout.track[270 * MS - 1] == 0.25, "speech is never overwritten"
    playout.take((), AudioReady(3_840, _tone(), 0), 240 * MS)
    assert playout.track[300 * MS] == 0.25 and not playout.track[299 * MS]


def test_a_newer_epoch_ends_the_reply_where_the_client_falls_silent():
    playout = Playout(32_000)
    playout.take((SpeechStarted(1, 0), AgentText(" one", 0, 1_280, 1)), AudioReady(0, _tone(), 1), 0)
    playout.take((AgentText(" two", 1_280, 2_560, 1),), AudioReady(1_280, _tone(), 1), 80 * MS)
    ramp = np.concatenate((_tone(160), np.zeros(1_120, np.float32)))
    playout.take((SpeechEnded(2, 2_560, "interrupted", 1),), AudioReady(2_560, ramp, 2, 160), 120 * MS)
    reply, = playout.record.replies
    assert (reply.start, reply.end, reply.silent_at) == (60 * MS, 120 * MS, 130 * MS)
    assert [(p.text, p.end, p.cut) for p in reply.pieces] == [(" one", 130 * MS, True)] and reply.unheard == 2
    assert playout.track[120 * MS - 1] == 0.25 and not playout.track[130 * MS:].any()
    assert 0 < playout.track[125 * MS] < 0.25


def test_a_server_without_floor_is_judged_by_its_sound():
    playout = Playout(64_000, extended=False)
    for block in range(30):
        words = (AgentText(" hi", 5 * 1_280, 7 * 1_280, 0),) if block == 4 else ()
        samples = _tone() if 5 <= block < 7 else np.zeros(1_280, np.float32)
        playout.take(words, AudioReady(block * 1_280, samples, 0), 80 * block * MS)
    reply, = playout.record.replies
    assert (reply.start, reply.end, reply.silent_at) == (460 * MS, 620 * MS, 620 * MS) and reply.reason is None
    assert playout.record.heard_text(64_000) == "hi"


async def test_the_way_keeps_order_and_loses_by_its_seed():
    way, other, got = Way(LinkConditions(0, 40, 0.3), 5, time.monotonic_ns), Way(CLEAN, 5, time.monotonic_ns), []
    lost = [not way.lose(_tone(320)).any() for _ in range(200)]
    assert way.lost == sum(lost) and 30 < way.lost < 90
    assert lost == [not Way.any() for Way in map(Way(LinkConditions(0, 0, 0.3), 5, int).lose, [_tone(320)] * 200)]
    assert other.lose(_tone()).all() and not other.lost
    for number in range(60):
        way.carry(got.append, number)
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.06)
    assert got == list(range(60))


# ---- against servers


@pytest.mark.realtime
def test_two_scripts_at_once_are_held_and_judged(script, tmp_path, capsys):
    """A plain turn, and a "stop" 0.6 s after the agent takes the floor: times as the user hears them."""
    turn = script(ASK + "  - {play: hush.wav, when: {word: 2}}\n", "  - answers: {to: ask, within_s: 1.2}\n"
                  "  - says: {words: [one two three]}\n  - holds: {through: hush, for_s: 0.2}\n", 3.2, "turn")
    stop = script(ASK + STOP, "  - answers: {to: ask, within_s: 1.2}\n  - yields: {to: stop, within_s: 0.9}\n", 3.2,
                  "stop")
    out, started = tmp_path / "out", time.monotonic()
    with _server(2) as here:
        url = here.url.replace("http://", "http://me:hidden@") + "/?token=hidden"
        code = cli.main(["simulate", str(turn), str(stop), "--out", str(out), "--server", url, "--batch", "2"])
    took_s = time.monotonic() - started
    shown = capsys.readouterr()
    assert code == 0, shown.err + (out / "stop/000/verdicts.json").read_text()
    assert took_s < 6.4, "at once, not one after the other"
    for name in ("turn", "stop"):
        text = (out / name / "000" / "verdicts.json").read_text()
        report = json.loads(text)
        assert report["model"] == f"ws://{here.url.removeprefix('http://')}/v1/live/sessions" and "hidden" not in text
        trace = [json.loads(line) for line in (out / name / "000" / "trace.jsonl").read_text().splitlines()]
        at = {line["type"]: line["at"] for line in reversed(trace)}
        turns = {line["name"]: line["from"] for line in trace if line["type"] == "user_turn"}
        words = [line for line in trace if line["type"] == "agent_text"]
        tracks, rate = soundfile.read(out / name / "000" / "conversation.wav", dtype="float32")
        assert tracks.shape == (51_200, 2) and rate == 16_000
        loud = np.flatnonzero(np.abs(tracks[:, 1]) > 1e-3) / rate
        assert loud[0] == pytest.approx(words[0]["from"], abs=0.005), "words lie where they sound"
        numbers = json.loads((out / name / "000" / "way.json").read_text())
        assert numbers["frames_sent"] == 160 and numbers["frames_lost_up"] == numbers["frames_lost_down"] == 0
        for verdict in report["verdicts"]:
            if verdict["value_s"]:
                print(f"{name}: {verdict['expected']}: {1000 * verdict['value_s']:.0f} ms")
        if name == "stop":
            assert turns["stop"] == pytest.approx(at["start_speak"] + 0.6, abs=2e-4), "on the agent as it is heard"
            end = next(line for line in trace if line["type"] == "end_speak")
            silent = round(end["silent"] * rate) + 1
            assert end["reason"] == "interrupted" and tracks[silent - 400:silent - 170, 1].any()
            assert not tracks[silent:silent + 3_200, 1].any()
        else:
            assert 0 <= turns["hush"] - words[1]["to"] < 0.1, "once the second word was heard"


@pytest.mark.realtime
async def test_loss_and_delay_are_heard_and_repeat(script):
    path = script(ASK, "  - answers: {to: ask, within_s: 2}\n", 2.4)
    scenario, poor = load_scenario(path), LinkConditions(100, 20, 0.2)
    loud = script(ASK, length_s=2.4, name="loud")
    loud.write_text(loud.read_text() + "echo: {gain_db: 0, delay_ms: 100}\n")
    with _server(4, words=6) as here:
        calls = [Call(Task(scenario, path, 1), here.url, conditions=conditions) for conditions in (CLEAN, poor, poor)]
        calls.append(Call(Task(load_scenario(loud), loud, 1), here.url))
        clean, *others, echoed = await asyncio.gather(*(call.hold() for call in calls))
    first, second, third, _ = (call.numbers() for call in calls)
    assert first["frames_lost_up"] == first["frames_lost_down"] == 0
    assert second["frames_lost_up"] == third["frames_lost_up"] > 8 and second["frames_lost_down"] > 8
    after_s = [outcome.verdicts[0].value_s for outcome in (clean, *others)]
    print("answer in ms, clean and twice delayed:", *(round(1000 * s) for s in after_s))
    assert min(after_s[1:]) > after_s[0] + 0.1, "200 ms of delay, and up to a block of the server's less"

    def holes(outcome) -> int:
        """Silent frames among the first 24 of the reply's sound."""
        start = outcome.record.replies[0].start + 1_280
        return int(np.count_nonzero(~outcome.agent[start:start + 24 * 320].reshape(-1, 320).any(1)))
    assert holes(clean) == 0 < min(map(holes, others))
    assert echoed.record.replies[0].reason == "interrupted" and clean.record.replies[0].reason != "interrupted", \
        "the agent's voice comes back into its microphone"


@pytest.mark.realtime
def test_a_full_server_is_one_line_and_the_other_conversation_goes_on(script, tmp_path, capsys):
    paths = [script(ASK, "  - answers: {to: ask, within_s: 1.2}\n", 2, name) for name in ("one", "two")]
    with _server(1, limits={"sessions": 1}) as here:
        code = cli.main(["simulate", *map(str, paths), "--out", str(tmp_path / "out"), "--server", here.url, "--batch",
                         "2"])
    refused = [line for line in capsys.readouterr().err.splitlines() if "refuses" in line]
    assert code == 2 and len(refused) == 1 and refused[0].startswith("omni simulate: ")
    there = [json.loads(p.read_text()) for p in (tmp_path / "out").rglob("verdicts.json")]
    assert [report["held"] for report in there] == [True]


def test_nobody_there_is_one_line(script, tmp_path, capsys):
    options = ["--out", str(tmp_path / "out"), "--server"]
    assert cli.main(["simulate", str(script(ASK)), *options, "http://me:hidden@127.0.0.1:1"]) == 2
    error = capsys.readouterr().err
    assert "cannot be reached" in error and "hidden" not in error and error.count("omni simulate:") == 1
    assert cli.main(["simulate", str(script(ASK)), *options, "ftp://x"]) == 2
    assert cli.main(["simulate", str(script(ASK)), *options, "x:1", "--loss", "1.5"]) == 2
    assert "--loss is a share" in capsys.readouterr().err
    assert public("wss://a:b@host:1/x?token=c") == "wss://host:1/x"


@pytest.mark.realtime
async def test_a_vanished_server_ends_its_own_conversation_only(script):
    path = script(ASK, "  - answers: {to: ask, within_s: 1.2}\n", 2)
    scenario = load_scenario(path)
    with _server() as first, _server() as second:
        asyncio.get_running_loop().call_later(0.8, first.stop)
        lost, kept = await asyncio.gather(hold(scenario, path, first.url), hold(scenario, path, second.url),
                                          return_exceptions=True)
    assert isinstance(lost, ServerError) and "of 2 s: the server is shutting down" in str(lost), lost
    assert kept.held


def _plain(received: list, lost_after: int | None = None):
    """A strict server of the plain protocol: it refuses what it does not know, and says "hello there" from 0.4 s to
    1.2 s in fragments of 200 ms; or breaks the connection after so many."""
    words = {2: (" hello", 400, 800), 4: (" there", 800, 1_200)}

    async def talk(socket):
        async def listen():
            async for message in socket:
                received.append(json.loads(message)["type"])
        refused = "omni" in json.loads(await socket.recv())["session"]["client"]
        await socket.send(json.dumps({"type": "error", "event_id": "e0", "error": {
            "type": "invalid_request_error", "code": "unknown_parameter", "message": "session.client.omni"}}))
        start = json.loads(await socket.recv())
        assert refused and start["session"].get("client") is None
        await socket.send(json.dumps({"type": "session.started", "event_id": "e1", "session": {
            "id": "s", "expires_at": 1, "model": "m", "status": "active"}}))
        listening, began = asyncio.create_task(listen()), time.monotonic()
        try:
            for number in range(30):
                if number == lost_after:
                    socket.transport.abort()
                    return
                if number in words:
                    delta, start_ms, end_ms = words[number]
                    await socket.send(json.dumps({"type": "session.output_transcript.delta", "event_id": f"t{number}",
                                                  "delta": delta, "start_ms": start_ms, "end_ms": end_ms}))
                sound = 0.25 * np.sin(np.arange(3_200)) * (2 <= number < 6)
                await socket.send(json.dumps({"type": "session.output_audio.delta",
                                              "delta": encode_audio(sound, AudioPcm(rate=16_000))}))
                await asyncio.sleep(max(0, began + 0.2 * (number + 1) - time.monotonic()))
        except ConnectionClosed:
            pass
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def main(opened, stopped):
        async with serve(talk, "127.0.0.1", 0, close_timeout=0.2) as server:
            opened("http://127.0.0.1:%d" % server.sockets[0].getsockname()[1])
            await stopped.wait()

    return _running(main)


@pytest.mark.realtime
async def test_a_server_without_the_extension_is_held_by_its_sound_and_words(script, monkeypatch):
    monkeypatch.setattr("omni.transport.remote.CLOSE_S", 0.2)      # it never says session.closed
    path = script("  - {play: hush.wav, when: {start_speak: 1, plus_s: 0.4}}\n",
                  "  - says: {words: [hello there]}\n  - holds: {through: hush, for_s: 0.1}\n"
                  "  - silent: {from_s: 0, to_s: 0.3}\n  - heard: {text: hello there, reply: 1}\n", 2.4)
    received: list[str] = []
    with _plain(received) as here:
        outcome = await hold(load_scenario(path), path, here.url)
    reply, = outcome.record.replies
    print(f"floor from {reply.start / MS:.0f} to {reply.end / MS:.0f} ms")
    assert outcome.held, outcome.verdicts
    assert (reply.end - reply.start) / MS == pytest.approx(800, abs=25) and reply.reason is None
    assert outcome.turns[0].start == reply.start + 400 * MS
    assert not any(kind.startswith("omni.") for kind in received) and "session.input_audio.append" in received


@pytest.mark.realtime
async def test_a_connection_that_breaks_is_told_in_words(script):
    path = script(ASK, length_s=3)
    with _plain([], lost_after=3) as here:
        with pytest.raises(ServerError, match=r"the conversation ended after 0\.\d of 3 s: .*broke off"):
            await hold(load_scenario(path), path, here.url)


@pytest.mark.realtime
def test_interrupted_it_keeps_what_is_done(script, tmp_path):
    paths = [script(ASK, length_s=length_s, name=name) for name, length_s in (("short", 0.5), ("long", 60))]
    out = tmp_path / "out"

    def interrupt():
        while not (out / "short" / "000" / "way.json").exists():
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    with _server(1, limits={"sessions": 1}) as here:
        threading.Thread(target=interrupt, daemon=True).start()
        assert cli.main(["simulate", *map(str, paths), "--out", str(out), "--server", here.url]) == 130
        assert [p.parent.parent.name for p in out.rglob("verdicts.json")] == ["short"]


# ---- from disk


def test_recorded_conversations_are_judged_again(script, tmp_path, monkeypatch, capsys):
    expect = ("  - answers: {to: ask, within_s: 0.6}\n  - yields: {to: stop, within_s: 0.5}\n  - says: {words: [one "
              "two]}\n  - heard: {text: one two, reply: 1}\n  - silent: {from_s: 0, until: ask}\n")
    path = script(ASK + STOP, expect)
    outcome = simulate(Engine(FakeModel(words=8), capacity=1), load_scenario(path), path)
    monkeypatch.setattr("omni.evaluate.simulate.load_engine", lambda *_, capacity: (
        Engine(FakeModel(words=8), capacity=capacity), 1))
    monkeypatch.setattr("omni.evaluate.simulate.model_identity", lambda name: (name,))
    assert cli.main(["simulate", str(path), "--out", str(tmp_path / "was"), "--model", "some", "--seed", "7"]) == 1
    again = judge_again(load_scenario(path), tmp_path / "was")
    assert [(v.held, v.detail) for v in again.verdicts] == [(v.held, v.detail) for v in outcome.verdicts]
    for now, then in zip(again.record.events(48_000), outcome.record.events(48_000), strict=True):
        assert now.pop("at") == pytest.approx(then.pop("at"), abs=2e-4) and now["type"] == then["type"]
        assert now.get("text") == then.get("text") and now.get("unheard") == then.get("unheard")

    command = ["simulate", str(path), "--out", str(tmp_path / "now"), "--recorded", str(tmp_path / "was")]
    script(ASK + STOP, "  - yields: {to: stop, within_s: 0.5}\n")
    assert cli.main(command) == 0
    report = json.loads((tmp_path / "now" / "verdicts.json").read_text())
    assert (report["model"], report["seed"], report["held"]) == ("some", 7, True)
    was = json.loads((tmp_path / "was" / "verdicts.json").read_text())["scenario"]
    assert report["scenario"] == {**was, "expect": report["scenario"]["expect"]}, "drawn with the seed it was held with"
    assert was["draw_seed"] == 7
    script(ASK + STOP, "  - yields: {to: stop, within_s: 0.01}\n")
    (tmp_path / "ask.wav").unlink()     # nothing is run, so nothing is needed
    assert cli.main(command) == 1
    assert "FAILED  yields to stop within 0.01 s" in capsys.readouterr().out
    assert cli.main([*command[:-1], str(tmp_path / "nowhere")]) == 2


def test_what_a_right_answer_is_may_change_after_the_recording(script, tmp_path):
    right = "  - right: {to: ask}\n"
    path = script(ASK.replace("}}", "}, answer: [one two]}"), right)
    outcome = simulate(Engine(FakeModel(words=4), capacity=1), load_scenario(path), path)
    write_outcome(tmp_path / "was", load_scenario(path), outcome, seed=0, model="some", picture=False)
    assert outcome.held and judge_again(load_scenario(path), tmp_path / "was").held
    path = script(ASK.replace("}}", "}, answer: [seven]}"), right)
    assert not judge_again(load_scenario(path), tmp_path / "was").held


def test_a_word_cut_before_it_was_heard_is_an_answer_from_disk_too(script, tmp_path):
    """A trace held only what was heard, so such a reply had no answer once it was read back."""
    path = script(ASK + "  - {play: stop.wav, when: {after: ask, plus_s: 0.28}}\n",
                  "  - answers: {to: ask, within_s: 1}\n  - yields: {to: stop, within_s: 0.6}\n")
    outcome = simulate(Engine(FakeModel(words=8), capacity=1), load_scenario(path), path)
    reply = outcome.record.replies[0]
    reply.pieces[0].end = reply.end = reply.pieces[0].start + 700
    del reply.pieces[1:]
    reply.silent_at, reply.pieces[0].cut = reply.end + 160, True
    assert outcome.record.heard_text(reply.end + 200) == ""
    write_outcome(tmp_path / "was", load_scenario(path), outcome, seed=0, model="some", picture=False)
    again = judge_again(load_scenario(path), tmp_path / "was")
    assert again.verdicts[0].detail.startswith("after")
    assert abs(again.record.replies[0].silent_at - reply.silent_at) <= 1


def test_while_conversations_are_held_what_was_loaded_is_out_of_the_collectors_way(capsys):
    """A full collection would hold the clients of all of them, and the server would be said to be late."""
    class Counting:
        def call(self, task):
            return self

        async def hold(self):
            return gc.get_freeze_count()

        def numbers(self):
            return {}

    held = []
    assert hold_all(Counting(), [(Path("a"), None), (Path("b"), None)], lambda *of: held.append(of[2]), at_once=2,
                    command="simulate") == 0
    assert min(held) > 10_000 and gc.get_freeze_count() == 0
