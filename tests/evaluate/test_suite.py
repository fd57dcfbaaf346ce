"""A suite from scripts to report: held once, scored from what lies on disk, compared beyond noise."""

import json
import re

import numpy as np
import pytest
import tiny
from fake_model import FakeModel

from omni import cli
from omni.audio.files import write_wav
from omni.base import config
from omni.cli import main
from omni.engine.engine import Engine
from omni.evaluate import agents, suite
from omni.evaluate.cases import load_case
from omni.evaluate.metrics import REGISTRY
from omni.evaluate.report import as_page, as_text
from omni.evaluate.scripts import concrete, load_scenario
from omni.evaluate.sets import choose_voice, load_set
from omni.evaluate.simulate import check, check_files, simulate, write_outcome

ASK = """title: Ask
length_s: 6
variants: 3
user:
  - {play: ask.wav, when: {at_s: [0.5, 1.5]}, kind: turn, text: count, answer: [one two]}
expect:
  - answers: {to: ask, within_s: 0.6}
"""
STOP = """title: Stop
length_s: 8
variants: 3
user:
  - {play: ask.wav, when: {at_s: [0.5, 1.5]}}
  - {play: stop.wav, kind: stop, when: {start_speak: 1, plus_s: [0.6, 0.9]}}
expect:
  - yields: {to: stop, within_s: 0.2}
  - says: {words: [unheard of]}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A suite of two scripts, and an engine that answers; counts the conversations held."""
    rng = np.random.default_rng(3)
    place = tmp_path / "mine"
    place.mkdir()
    for name, seconds in (("ask", 0.6), ("stop", 0.4)):
        write_wav(place / f"{name}.wav", 0.2 * rng.standard_normal(int(seconds * 16_000)), 16_000)
    (place / "asks.yaml").write_text(ASK)
    (place / "stops.yaml").write_text(STOP)
    monkeypatch.setattr(agents, "load_engine",
                        lambda *args, capacity: (Engine(FakeModel(words=20), capacity=capacity), 1))
    return place


@pytest.fixture
def report(folder, tmp_path) -> dict:
    assert cli.main(["evaluate", str(folder), "--out", str(tmp_path / "out")]) == 0
    return json.loads((tmp_path / "out" / "report.json").read_text())


def test_the_report_has_every_metric_and_what_it_depends_on(report, tmp_path):
    metrics = report["agents"]["omni"]["metrics"]
    assert set(metrics) == set(REGISTRY)
    rate = metrics["response_rate"]
    assert rate["value"] == 1.0 and rate["count"] >= 3 and rate["definition"] and rate["source"]
    assert metrics["yield_rate"]["value"] == 1.0 and metrics["yield_rate"]["count"] == 3
    header = report["header"]
    assert re.fullmatch("[0-9a-f]{16}", header["weights"]) and re.fullmatch("[0-9a-f]{16}", header["scripts"])
    assert header["seed"] == 0 and header["torch"] and header["processor"] and header["cores"]
    assert header["most"] is None and header["times"] == 1 and "times 1, most all" in as_page(report)
    assert report["agents"]["omni"]["model"] == f"{header['weights']} {header['config']}"
    assert {line["model"] for line in report["agents"]["omni"]["conversations"]} == {report["agents"]["omni"]["model"]}


def test_the_worst_conversations_can_be_listened_to(report, tmp_path):
    lines = report["agents"]["omni"]["conversations"]
    assert len(lines) == 6 and report["agents"]["omni"]["scripts"]["asks"]["held"] == 3
    worst = [line for line in lines if line.get("page")]
    assert {line["script"] for line in worst} == {"stops"} and all("unheard of" in line["failed"][-1] for line in worst)
    page = (tmp_path / "out" / "report.html").read_text()
    for line in worst:
        assert (tmp_path / "out" / line["page"]).exists() and f"href='{line['page']}'" in page
    assert "http" not in re.sub(r"https?://www\.w3\.org\S*", "", page), "the page needs nothing from elsewhere"


def test_what_is_held_is_not_held_again(report, folder, tmp_path, monkeypatch):
    out = tmp_path / "out" / "omni"
    (out / "asks" / "001" / "verdicts.json").unlink()
    before = {p: p.stat().st_mtime_ns for p in out.rglob("conversation.wav")}
    assert cli.main(["evaluate", str(folder), "--out", str(tmp_path / "out")]) == 0
    changed = {p.parent.name for p, at in before.items() if p.stat().st_mtime_ns != at}
    assert changed == {"001"} and json.loads((tmp_path / "out" / "report.json").read_text()) == report


def _files(out) -> dict:
    """Everything below a folder that a conversation leaves."""
    return {p.relative_to(out): p.read_bytes() for p in sorted(out.rglob("*")) if p.parent.name.isdigit()}


def test_a_suite_that_was_interrupted_ends_like_one_that_was_not(folder, tmp_path, monkeypatch):
    """The batch was as large as what was left to do, and sums over another batch are rounded otherwise."""
    model, capacities = tiny.duplex(seed=3), []

    def load(*args, capacity):
        capacities.append(capacity)
        return Engine(model, capacity=capacity, threads=1), 1

    monkeypatch.setattr(agents, "load_engine", load)
    write, written = agents.write_outcome, []

    def break_off(folder, *args, **options):
        if len(written) == 3:
            raise KeyboardInterrupt
        write(folder, *args, **options)
        written.append(folder)

    command = ["evaluate", str(folder), "--batch", "5", "--out"]
    assert cli.main([*command, str(tmp_path / "unbroken")]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(agents, "write_outcome", break_off)
        assert cli.main([*command, str(tmp_path / "broken")]) == 130
    assert len(list((tmp_path / "broken").rglob("verdicts.json"))) == 3
    assert cli.main([*command, str(tmp_path / "broken")]) == 0
    assert capacities == [5, 5, 5]
    unbroken, broken = (_files(tmp_path / name / "omni") for name in ("unbroken", "broken"))
    assert len([p for p in unbroken if p.name == "conversation.wav"]) == 6
    kept = {p: b for p, b in unbroken.items() if p.name not in ("timeline.png", "listen.html")}
    assert kept == {p: broken[p] for p in kept}


def test_only_so_many_of_each_script(folder, tmp_path):
    assert cli.main(["evaluate", str(folder), "--out", str(tmp_path / "few"), "--most", "1"]) == 0
    assert len(list((tmp_path / "few").rglob("conversation.wav"))) == 2
    assert json.loads((tmp_path / "few" / "report.json").read_text())["header"]["most"] == 1


def test_more_of_each_script_go_on_where_fewer_ended(folder, tmp_path):
    (folder / "stops.yaml").write_text(STOP.replace("variants: 3\n", ""))
    out, found = tmp_path / "out", []
    for options in ((), ("--times", "2"), ("--times", "2", "--most", "4")):
        assert cli.main(["evaluate", str(folder), "--out", str(out), *options]) == 0
        report = json.loads((out / "report.json").read_text())
        found.append({p.relative_to(out): p.stat().st_mtime_ns for p in out.rglob("conversation.wav")})
        counts = [s["conversations"] for s in report["agents"]["omni"]["scripts"].values()]
        assert counts == {0: [3, 1], 2: [6, 2], 4: [4, 2]}[len(options)]
        assert report["header"]["times"] == (2 if options else 1)
    assert len(found[0]) == 4 and len(found[1]) == 8 and found[0].items() <= found[1].items() == found[2].items()
    assert len(set(_starts(out / "omni"))) == 8, "no conversation twice"


def _starts(out) -> list[tuple[float, float]]:
    """Beginning and length in seconds of the first turn of every conversation."""
    turns = [next(line for line in map(json.loads, p.read_text().splitlines()) if line["type"] == "user_turn")
             for p in sorted(out.rglob("trace.jsonl"))]
    return [(turn["from"], round(turn["to"] - turn["from"], 3)) for turn in turns]


def test_another_seed_is_other_conversations_and_never_taken_for_the_first(folder, tmp_path, capsys):
    """--seed reached the model alone: the items, voices and times of seed 1 were those of seed 0."""
    rng = np.random.default_rng(5)
    for i in range(9):
        write_wav(folder / f"{i}.wav", 0.2 * rng.standard_normal(6_000 + 800 * i), 16_000)
    (folder / "sets").mkdir()
    (folder / "sets" / "mine.yaml").write_text(f"kind: turn\nfiles: [{', '.join(f'{i}.wav' for i in range(9))}]\n")
    (folder / "asks.yaml").write_text(ASK.replace("play: ask.wav", "name: ask, pick: mine")
                                      .replace("kind: turn, text: count, answer: [one two]", "text: count"))
    out, command = tmp_path / "out", ["evaluate", str(folder), "--out", str(tmp_path / "out")]
    held = []
    for seed in ("0", "0", "1"):
        assert cli.main([*command, "--seed", seed]) == 0
        held.append(({p.parent: p.stat().st_mtime_ns for p in out.rglob("conversation.wav")}, _starts(out / "omni")))
    assert held[0] == held[1]
    assert not held[1][0].items() & held[2][0].items(), "what was held of seed 0 is not taken for seed 1's"
    (times, lengths), (other_times, other_lengths) = (zip(*starts, strict=True) for _, starts in held[1:])
    assert not set(times) & set(other_times) and lengths != other_lengths
    before = {p: p.read_text() for p in out.rglob("verdicts.json")}
    assert cli.main([*command, "--recorded", "omni"]) == 2
    assert "was drawn with seed 1: add --seed 1" in capsys.readouterr().err
    assert {p: p.read_text() for p in before} == before
    assert cli.main([*command, "--recorded", "omni", "--seed", "1"]) == 0
    assert json.loads((out / "report.json").read_text())["header"]["seed"] == 1
    assert {p: p.read_text() for p in before} == before
    script = load_scenario(config.data_path("configs", "evaluate", "suites", "duplex", "questions.yaml"))
    voices = [{choose_voice("unseen", concrete(script, i, seed).seed) for i in range(4)} for seed in (0, 1)]
    assert not voices[0] & voices[1]


def test_what_a_set_says_is_part_of_the_scripts(folder, tmp_path):
    """The scripts' hash covered the names of sets alone, and conversations that drew from older ones were kept."""
    (folder / "sets").mkdir()
    (folder / "sets" / "mine.yaml").write_text("kind: turn\nfiles: [ask.wav]\n")
    (folder / "asks.yaml").write_text(ASK.replace("play: ask.wav", "name: ask, pick: mine")
                                      .replace("kind: turn, text: count, answer: [one two]", "text: count"))
    out, found = tmp_path / "out", []
    for said in ("", "", "decisive: [two]\n"):
        with (folder / "sets" / "mine.yaml").open("a") as file:
            file.write(said)
        assert cli.main(["evaluate", str(folder), "--out", str(out)]) == 0
        report = json.loads((out / "report.json").read_text())
        wavs = {p.relative_to(out): p.stat().st_mtime_ns for p in out.rglob("conversation.wav")}
        found.append((report["header"]["scripts"], wavs))
    assert found[0] == found[1] and found[1][0] != found[2][0]
    changed = {p.parts[1] for p, at in found[1][1].items() if found[2][1][p] != at}
    assert changed == {"asks"}, "only the script that draws from it is held again"


def test_every_conversation_is_drawn_if_asked(report, folder, tmp_path):
    out = tmp_path / "out"
    drawn = {p.parent for p in out.rglob("timeline.png")}
    assert len(drawn) == 3, "those of which an expectation failed"
    before = {p: p.stat().st_mtime_ns for p in out.rglob("timeline.png")}
    assert cli.main(["evaluate", str(folder), "--out", str(out), "--pictures"]) == 0
    assert {p.parent for p in out.rglob("timeline.png")} == {p.parent for p in out.rglob("conversation.wav")}
    assert all(p.stat().st_mtime_ns == at for p, at in before.items()), "what is drawn is not drawn again"
    (out / "omni" / "asks" / "001" / "verdicts.json").unlink()
    old = (out / "omni" / "asks" / "001" / "timeline.png").stat().st_mtime_ns
    assert cli.main(["evaluate", str(folder), "--out", str(out), "--pictures"]) == 0
    assert (out / "omni" / "asks" / "001" / "timeline.png").stat().st_mtime_ns > old, "a picture of what was before"


@pytest.mark.parametrize(("options", "message"), [
    (["dulpex", "--out", "x"], "no suite dulpex; did you mean 'duplex'?"),
    (["--out", "x"], "give a suite and --out DIR"),
    (["duplex"], "give a suite and --out DIR"),
    (["--compare", "a.json", "b.json"], "a.json: no report of omni evaluate"),
    (["duplex", "--out", "x", "--most", "0"], "--batch, --times and --most are at least 1"),
    (["duplex", "--out", "x", "--times", "0"], "--batch, --times and --most are at least 1"),
    (["senses", "--out", "x", "--times", "2"], "--times is of scripts, and senses has none"),
    (["duplex", "--out", "x", "--recorded", "a", "--control", "deaf"], "--control is of the model in this process"),
    (["duplex", "--out", "x", "--recorded", "a", "--recorded", "a"], "two agents are called 'a'"),
    (["duplex", "--out", "x", "--recorded", "a/b"], "'a/b' is no name of a folder"),
    (["fdb", "--root", "x", "--server", "x:1"], "fdb runs the model in this process"),
    (["fdb"], "give --root DIR")])
def test_wrong_usage_is_told_in_one_line(options, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"omni evaluate: {message}") and error.count("\n") == 1


def test_an_unknown_baseline_is_told(folder, tmp_path, capsys):
    assert cli.main(["evaluate", str(folder), "--out", str(tmp_path / "x"), "--baseline", "energy_gait"]) == 2
    assert "did you mean 'energy_gate'?" in capsys.readouterr().err


def _metric(value, low=None, high=None, better="higher", count=9):
    return {"name": "m", "value": value, "low": low, "high": high, "better": better, "unit": "share", "count": count,
            "definition": "a <b>", "source": "omni"}


def _report(scripts="s", **metrics):
    return {"header": {"suite": "mine", "scripts": scripts}, "agents": {"omni": {
        "metrics": metrics, "scripts": {"asks": {"held": 1, "expected": 2}}, "conversations": []}}}


def test_nothing_to_count_is_a_dash_and_text_is_escaped():
    report = _report(none=_metric(None, count=0), some=_metric(.5, .4, .6))
    page, text = as_page(report), as_text(report)
    assert "none" not in text and "0.50 [0.40, 0.60] n=9" in text
    assert "a &lt;b&gt;" in page and "<b>none" not in page


def test_orders_by_noise_are_drawn_beside_the_published_engines():
    report = _report(some=_metric(.5, .4, .6))
    report["agents"]["omni"]["scripts"] = {f"orders_{snr:02d}db": {
        "held": 1, "expected": 2, "answers_right": _metric(snr / 30, 0.0, 1.0)} for snr in (6, 12, 24)}
    page = as_page(report)
    assert page.count("<polyline") == 6 and "Rhino" in page
    ours = re.search(r"<polyline points='([^']*)' fill=none stroke='var\(--omni\)'", page)[1].split()
    heights = [float(point.split(",")[1]) for point in ours]
    assert len(ours) == 3 and heights == sorted(heights, reverse=True), "more noise, fewer understood, lower down"
    assert "<polyline" not in as_page(_report(some=_metric(.5, .4, .6)))


def test_the_projects_suites_are_valid_and_large_enough():
    root = config.data_path("configs", "evaluate", "suites")
    for place in root.iterdir():
        scripts = [(path, load_scenario(path)) for path in suite.find_suite(place.name)]
        for path, scenario in scripts:
            check_files(scenario, path)
    duplex = [load_scenario(path) for path in suite.find_suite("duplex")]
    assert sum(s.variants for s in duplex) >= 300
    kinds = {turn.pick for s in duplex for turn in s.user}
    assert {"orders", "stops", "backchannels", "tics", "noises", "others", "questions"} <= kinds
    assert {p.name for p in root.iterdir()} == {"smoke", "duplex", "hearing", "echo", "network", "endurance"}


def test_what_is_to_be_yielded_to_is_no_louder_and_comes_no_later_than_what_is_not():
    scripts = {path.stem: load_scenario(path) for path in suite.find_suite("duplex")}
    over = {name: next(turn for turn in scripts[name].user if turn.name == "over")
            for name in ("stops", "new_questions", "unseen_stops", "backchannels", "tics", "noises", "unseen_others")}
    assert len({turn.level_db for turn in over.values()}) == 1 and len({turn.when for turn in over.values()}) == 1
    assert len({scripts[name].noise for name in over}) == 1


def test_some_scripts_of_a_suite_are_held_alone_and_one_that_there_is_not_is_named(capsys):
    assert [p.stem for p in suite.find_suite("duplex", ["stops", "pauses"])] == ["pauses", "stops"]
    assert suite.find_suite("duplex", []) == suite.find_suite("duplex")
    assert main(["evaluate", "duplex", "--only", "pausen", "--out", "nowhere"]) == 2
    assert "no script of the suite duplex; did you mean 'pauses'" in capsys.readouterr().err
    assert main(["evaluate", "voice", "--only", "pauses", "--out", "nowhere"]) == 2
    assert "--only" in capsys.readouterr().err


def test_a_sentence_with_a_hole_in_it_is_one_sentence(tmp_path, monkeypatch):
    """The i-th of halves goes on with the i-th of rests; no synthesizer is needed to see that."""
    path = next(p for p in suite.find_suite("duplex") if p.stem == "pauses")
    halves, rests = (load_set(name, path) for name in ("halves", "rests"))
    assert len(halves.texts) == len(rests.lines) == 36 and (halves.kind, rests.kind) == ("pause", "turn")
    assert all(line.text and line.answer and all(line.answer) for line in rests.lines)
    script = load_scenario(path)
    assert script.variants % 36 == 0 and all(turn.each for turn in script.user)
    noise = 0.2 * np.random.default_rng(3).standard_normal(12_000).astype(np.float32)
    monkeypatch.setattr("omni.evaluate.simulate.voices.speak", lambda text, voice: noise)
    monkeypatch.setattr("omni.evaluate.sets.speak", lambda text, voice: (noise, ((text, 0, 12_000),)))
    check(script, path)
    for variant in (5, 41):
        scenario, folder = concrete(script, variant), tmp_path / str(variant)
        outcome = simulate(Engine(FakeModel(words=4), capacity=1), scenario, path)
        write_outcome(folder, scenario, outcome, seed=0, model="some", picture=False)
        case = load_case(folder)
        assert [(t.kind, t.text, t.answer) for t in case.turns] == [
            ("pause", halves.texts[5], ()), ("turn", rests.lines[5].text, rests.lines[5].answer)]
        assert REGISTRY["takeovers_in_pauses"]([case]).count == 1


def test_other_people_talk_10_db_below_the_user():
    script, = (load_scenario(p) for p in suite.find_suite("duplex") if p.stem == "others_10db")
    ask, over = script.user
    assert over.level_db == ask.level_db - 10 and over.pick == "others" and over.room and script.variants == 20


def test_a_stated_delay_is_in_the_report_and_in_its_times(folder, tmp_path):
    found = {}
    for added in (0, 100):
        assert cli.main(["evaluate", str(folder), "--out", str(tmp_path / "out"), "--add-ms", str(added)]) == 0
        found[added] = json.loads((tmp_path / "out" / "report.json").read_text())
        assert found[added]["header"]["added_ms"] == added
    for name in ("latency_p50", "yield_time_onset_p50"):
        values = [report["agents"]["omni"]["metrics"][name]["value"] for report in found.values()]
        assert values[1] == pytest.approx(values[0] + 0.1, abs=0.011)
    assert cli.main(["evaluate", str(folder), "--out", str(tmp_path / "out"), "--add-ms", "-1"]) == 2


def test_times_and_costs_are_drawn(report, tmp_path):
    agent = report["agents"]["omni"]
    assert len(agent["latencies_s"]) == agent["metrics"]["latency_p50"]["count"] == 6
    assert len(agent["yield_times_s"]) == 3 and all(value > 0 for value in agent["growth"]["step_ms_p50"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "How soon it answers" in page and "How soon it is silent" in page and "Does anything grow?" in page
    bars = re.findall(r"<title>(-?[0-9.]+) to (-?[0-9.]+) s: (\d+)</title>", page)
    assert sum(int(n) for *_, n in bars) == 9
    worst = next(line for line in agent["conversations"] if line.get("page"))
    assert (tmp_path / "out" / worst["folder"] / "timeline.png").exists()
    assert "timeline.png" in (tmp_path / "out" / worst["page"]).read_text()
