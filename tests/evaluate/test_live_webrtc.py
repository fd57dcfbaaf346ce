"""Scripts held in real time over real WebRTC, against real servers in this process, on a good and on a poor network."""

import asyncio
import json

import numpy as np
import pytest
import soundfile
import test_live_scripts as live
from fake_model import FakeModel

from omni import cli
from omni.evaluate.live import Call, hold
from omni.evaluate.scripts import load_scenario
from omni.evaluate.simulate import Task
from omni.transport.loopback import LinkConditions
from omni.transport.remote import ServerError

ANSWERS = "  - answers: {to: ask, within_s: 1.2}\n"
script = live.script        # the fixture


class Steady(FakeModel):
    """Of one pitch whatever the seed: others lie where resampling to 48 kHz and back takes them away."""

    def reset_rows(self, state, rows, seeds=None):
        super().reset_rows(state, rows)


@pytest.fixture(autouse=True)
def _steady(monkeypatch):
    monkeypatch.setattr(live, "FakeModel", Steady)


@pytest.mark.realtime
def test_scripts_are_held_and_judged_as_over_a_websocket(script, tmp_path, capsys):
    """A plain turn, and a "stop" 0.6 s after the agent takes the floor: words and floor lie where they sound."""
    turn = script(live.ASK + "  - {play: hush.wav, when: {word: 2}}\n", ANSWERS + "  - says: {words: [one two]}\n"
                  "  - holds: {through: hush, for_s: 0.2}\n", 2.8, "turn")
    stop = script(live.ASK + live.STOP, ANSWERS + "  - yields: {to: stop, within_s: 0.9}\n", 2.8, "stop")
    out = tmp_path / "out"
    with live._server(2) as here:
        code = cli.main(["simulate", str(turn), str(stop), "--out", str(out), "--server", here.url, "--webrtc",
                         "--batch", "2"])
    assert code == 0, capsys.readouterr().err + (out / "stop/000/verdicts.json").read_text()
    for name in ("turn", "stop"):
        folder = out / name / "000"
        report = json.loads((folder / "verdicts.json").read_text())
        assert report["model"].endswith("/v1/live/sessions (WebRTC)")
        for verdict in report["verdicts"]:
            if verdict["value_s"]:
                print(f"{name}: {verdict['expected']}: {1000 * verdict['value_s']:.0f} ms")
        numbers = json.loads((folder / "way.json").read_text())
        assert numbers["frames_sent"] == 140 and numbers["packets_missed"] == 0 and "datagrams_up" not in numbers
        trace = [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()]
        at = {line["type"]: line["at"] for line in reversed(trace)}
        turns = {line["name"]: line["from"] for line in trace if line["type"] == "user_turn"}
        words = [line for line in trace if line["type"] == "agent_text"]
        tracks, rate = soundfile.read(folder / "conversation.wav", dtype="float32")
        loud = np.flatnonzero(np.abs(tracks[:, 1]) > 0.01)
        assert loud[0] / rate == pytest.approx(words[0]["from"], abs=0.003), "words lie where they sound"
        if name == "stop":
            assert turns["stop"] == pytest.approx(at["start_speak"] + 0.6, abs=2e-4), "on the agent as it is heard"
            end = next(line for line in trace if line["type"] == "end_speak")
            silent = round(end["silent"] * rate)
            assert end["reason"] == "interrupted"
            assert np.abs(tracks[silent - 480:silent - 160, 1]).max() > 0.02
            assert np.abs(tracks[silent + 80:silent + 3_200, 1]).max() < 0.01
        else:
            assert 0 <= turns["hush"] - words[1]["to"] < 0.1, "once the second word was heard"


@pytest.mark.realtime
async def test_a_poor_network_is_heard_and_survived(script):
    path = script(live.ASK, "  - answers: {to: ask, within_s: 2}\n", 3)
    scenario, poor = load_scenario(path), LinkConditions(50, 15, 0.1)
    with live._server(2, words=6) as here:
        calls = [Call(Task(scenario, path, seed), here.url, webrtc=True, conditions=poor) for seed in (1, 2)]
        outcomes = await asyncio.gather(*(call.hold() for call in calls))
    holes = 0
    for call, outcome in zip(calls, outcomes, strict=True):
        numbers = call.numbers()
        print(f"answer after {1000 * outcome.verdicts[0].value_s:.0f} ms;", numbers)
        for way in ("up", "down"):
            sent, lost = numbers[f"datagrams_{way}"], numbers[f"datagrams_lost_{way}"]
            assert sent > 150 and 0.03 * sent < lost < 0.2 * sent, "all of it crosses the relay"
        assert numbers["packets_missed"] > 5 and numbers["datagrams_overflowed"] == 0
        assert outcome.held and outcome.verdicts[0].value_s > 0.55
        start = outcome.record.replies[0].start + 1_280
        holes += np.count_nonzero(np.abs(outcome.agent[start:start + 100 * 160].reshape(-1, 160)).max(1) < 1e-3)
    assert 0 < holes < 60, "what was lost is silence, and what follows is heard"


@pytest.mark.realtime
def test_a_full_server_is_one_line_and_the_other_conversation_goes_on(script, tmp_path, capsys):
    paths = [script(live.ASK, ANSWERS, 2, name) for name in ("one", "two")]
    with live._server(1, limits={"sessions": 1}) as here:
        code = cli.main(["simulate", *map(str, paths), "--out", str(tmp_path / "out"), "--server", here.url, "--webrtc",
                         "--batch", "2"])
    refused = [line for line in capsys.readouterr().err.splitlines() if "refuses" in line]
    assert code == 2 and len(refused) == 1 and refused[0].startswith("omni simulate: ")
    there = [json.loads(p.read_text()) for p in (tmp_path / "out").rglob("verdicts.json")]
    assert [report["held"] for report in there] == [True]


def test_what_cannot_be_is_told_in_one_line(script, tmp_path, capsys):
    def simulate(*options: str) -> str:
        command = ["simulate", str(script(live.ASK)), "--out", str(tmp_path / "out"), "--webrtc", *options]
        assert cli.main(command) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("omni simulate:")]
        assert len(lines) == 1
        return lines[0]

    assert "add --server URL" in simulate()
    assert "add --server URL" in simulate("--recorded", str(tmp_path))
    nobody = simulate("--server", "http://me:hidden@127.0.0.1:1")
    assert "cannot be reached" in nobody and "hidden" not in nobody
    assert "together go to 240" in simulate("--server", "x:1", "--delay-ms", "200", "--jitter-ms", "60")
    with live._server(token="a-long-secret-for-this-test") as here:
        assert "--token" in simulate("--server", here.url)
        assert "--token" in simulate("--server", here.url, "--token", "another")


@pytest.mark.realtime
async def test_a_server_that_stops_ends_the_conversation_in_words(script):
    path = script(live.ASK, ANSWERS, 3)
    with live._server() as here:
        asyncio.get_running_loop().call_later(1.0, here.stop)
        with pytest.raises(ServerError, match="of 3 s: the server is shutting down"):
            await hold(load_scenario(path), path, here.url, webrtc=True)
