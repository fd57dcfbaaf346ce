"""Pauses of the examination: they lie where they should, what is taken in them is seen, and the curve says so."""

import json
import random
from dataclasses import dataclass, replace

import numpy as np
import puppet
import pytest
import tiny
import torch
from PIL import Image

from omni.cli import main
from omni.data import pauses as lesson_pauses
from omni.data import skills
from omni.data.lines import SoundLine
from omni.data.skills.talk import Ask, Memory
from omni.data.user import BLOCK
from omni.evaluate.world import curve, exam, judge, pauses, table, voice
from omni.model.tokens import END_SPEAK, START_SPEAK, THINK, Pieces

PIECES = Pieces(skills.vocabulary())


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Voices cost nothing, and a conversation is at most two minutes."""
    puppet.holds_exams(monkeypatch, 1_500)


def cut(task: str, user: str, skill: str, values: dict, kind: str = "") -> list[str]:
    """Where such an ask may have a pause."""
    words = user.split()
    return [" ".join([*words[:count], "|", *words[count:]])
            for count in pauses.placed(task, Ask(user, skill, kind, values))]


# ---- where -----------------------------------------------------------------------------------------------------------


def test_a_pause_comes_where_no_request_ends_and_what_is_asked_for_is_still_to_come():
    latte = {"coffeeDrink": "latte", "size": "large", "milkAmount": "almond milk"}
    assert cut("pauses", "can i get a large latte with almond milk in it please", "orders", latte, "order") == [
        "can i get a | large latte with almond milk in it please",
        "can i get a large latte with | almond milk in it please"]
    five = {"a": "five", "sign": "plus", "b": "three"}
    assert cut("pauses", "do you know what five plus three is please", "sums", five) == [
        "do you know what five plus | three is please"]
    assert cut("pauses", "what's the capital of france", "facts", {"x": "france", "y": ""}) == [
        "what's the | capital of france", "what's the capital | of france", "what's the capital of | france"]
    assert cut("pauses", "can you tell me a story for me", "stories", {}) == ["can you tell me a | story for me"]
    assert not cut("pauses", "i'm nora by the way", "recall", {"name": "nora"}), "that was all"
    assert not cut("pauses", "that's it for me", "orders", {}, "done")
    assert cut("pauses", "five plus three is what", "sums", five) == ["five plus | three is what"]
    assert cut("pauses", "tell me the story of a fox", "stories", {"story": "fox"}) == [
        "tell me the | story of a fox", "tell me the story of | a fox", "tell me the story of a | fox"]


def test_what_may_be_all_is_an_order_with_its_drink_or_a_whole_group():
    slots = {"coffeeDrink": "iced coffee", "milkAmount": "soy milk", "sugarAmount": "a bit of sugar"}
    assert cut("ambiguous", "an iced coffee with soy milk and a bit of sugar to go", "orders", slots, "order") == [
        "an iced coffee | with soy milk and a bit of sugar to go",
        "an iced coffee with soy milk | and a bit of sugar to go"]
    assert not cut("ambiguous", "an iced coffee to go", "orders", {"coffeeDrink": "iced coffee"}, "order")
    number = {"string": "five five five, one two, three"}
    assert cut("ambiguous", "my number is five five five one two three", "readback", number, "whole") == [
        "my number is five five five | one two three", "my number is five five five one two | three"]
    assert not cut("ambiguous", "my number is five five five", "readback", {"string": "five five five"}, "whole")


@pytest.mark.parametrize("task", pauses.PAUSES)
def test_what_is_asked_has_words_on_both_sides_of_its_pause(task):
    source, rng, memory = pauses.Pausing(voice.Voiced(None), task), random.Random(0), Memory()
    found = [source.ask(rng, memory) for _ in range(60)]
    assert all(found) and {line.ask.skill for line in found} == {*pauses._SKILLS[task]}
    assert {source.apart[id(line.ask)] for line in found} == {True, False}
    for line in found:
        assert 0 < line.after < len(line.words) and 3_200 <= line.pause[1] - line.pause[0] <= 19_200
        if task == "pauses":
            last, then = line.words[line.after - 1][0], line.words[line.after][0]
            assert last in lesson_pauses._OPEN or then == "of"


def test_the_sound_is_silent_in_the_pause_and_a_word_before_it_is_longer():
    speech = (np.random.default_rng(0).standard_normal(48_000) * 4_000).astype(np.int16)
    times = [("a", 0, 6_000), ("latte", 6_000, 20_000), ("with", 20_000, 30_000), ("milk", 30_000, 48_000)]
    line = SoundLine(speech, "a latte with milk", "orders", 48_000, words=times)
    for seed in range(8):
        found = pauses.paused(line, 3, random.Random(seed))
        begin, end = found.pause
        assert found.num_samples == len(found.samples) and 3_200 <= end - begin <= 19_200
        loud = np.abs(found.samples.astype(float))
        assert loud[begin + 80:end].mean() < loud[:begin].mean(), "the floor of what was said, at most"
        assert begin > 30_000 and np.array_equal(found.samples[:20_000], speech[:20_000])
        assert np.abs(found.samples[end + 80:].astype(int) - speech[30_080:]).max() <= 1
    speech[8_000:16_000] = 0       # where the floor is silence, so is the pause
    begin, end = (found := pauses.paused(line, 3, random.Random(0))).pause
    assert np.abs(found.samples[begin + 2:end]).max() == 0
    assert pauses.paused(SoundLine(speech, "a latte", "orders", 48_000), 1, random.Random(0)) is None, "no times"


# ---- who takes the floor ---------------------------------------------------------------------------------------------


def asked(task: str, offset: int | None, most: int = 12) -> list[judge.Judged]:
    """What is found of an agent that also takes the floor so many blocks after a pause's first one, or after the block
    in which the next word begins where that is told as a negative number; it gives it back at once."""
    def decide(row: int, block: int, due: int) -> int | None:
        partner = model.loop.partners[row]
        if offset is None or not partner.turns or partner.speaking:
            return None
        at, (begin, end) = partner.turns[-1].heard.at, partner.turns[-1].heard.line.pause
        wanted = (at + begin) // BLOCK + offset if offset >= 0 else (at + end) // BLOCK - offset
        return START_SPEAK if block == wanted else None

    model = puppet.Puppet(PIECES, decide)
    return [j for _, found in exam.hold(model, exam.sittings(task, most, 1), 4) for j in found]


@pytest.mark.parametrize("task", pauses.PAUSES)
def test_a_takeover_in_the_pause_is_counted_and_one_after_it_is_not(task):
    for offset, taken in ((None, False), (0, True), (2, True), (-1, False)):
        found = asked(task, offset)
        assert len(found) == 12 and not any(j.over for j in found), offset
        assert {j.right for j in found} == {not taken}, offset
        assert all(" | " in j.asked and j.latency_s is None and not j.expected for j in found)
    row = next(row for row in table.rows({(task, "0"): asked(task, 1)}) if row.name == task)
    assert row.value == 1.0 and row.count == 12 and row.reached == ("no" if task == "pauses" else "-")


def test_who_speaks_already_takes_nothing_and_is_told_apart():
    def stubborn(row: int, block: int, due: int) -> int | None:
        return START_SPEAK if block == 3 else THINK if due == END_SPEAK or due == START_SPEAK else None

    model = puppet.Puppet(PIECES, stubborn)
    found = [j for _, js in exam.hold(model, exam.sittings("pauses", 1, 1), 1) for j in js]
    assert found and all(j.over for j in found)
    row = next(row for row in table.rows({("pauses", "0"): found}) if row.name == "pauses")
    assert row.value is None and row.reached == "-" and f"{len(found)} more" in row.note


def test_a_goal_says_which_way_is_good():
    def reached(name: str, value: float) -> str:
        return table.Row(name, value, None, None, 1, 1).reached

    assert [reached("pauses", share) for share in (0.0, 0.02, 0.05, 0.06)] == ["aim", "aim", "floor", "no"]
    assert [reached("latency_p50", s) for s in (0.2, 0.4, 0.5)] == ["aim", "floor", "no"]
    assert [reached("sums", share) for share in (1.0, 0.9, 0.1)] == ["aim", "floor", "no"]
    assert reached("ambiguous", 0.0) == "-"
    assert {name for name, goal in table.goals().items() if goal.lower} == {
        "pauses", "ambiguous", "latency_p50", "latency_p95"}


# ---- the curve -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Config:
    eagerness: float = 0.0


class Eager(puppet.Puppet):
    """Waits for eight blocks of silence at eagerness 0, one less for each step; knows nothing of what was said."""

    def __init__(self):
        super().__init__(PIECES)
        self.config = Config()

    def init_state(self, count: int) -> dict:
        self._decide, self._asked = self._waits, {}
        return super().init_state(count)

    def _waits(self, row: int, block: int, due: int) -> int | None:
        partner = self.loop.partners[row]
        if partner.speaking or not partner.turns:
            return None
        heard = partner.turns[-1].heard
        spans = [(heard.at + a, heard.at + b) for _, a, b in heard.line.words if a // BLOCK <= block]
        ended = max((b for a, b in spans if a < (block + 1) * BLOCK), default=0)
        wanted = ended // BLOCK + 8 - int(self.config.eagerness)
        return START_SPEAK if block == wanted else THINK if due == START_SPEAK and block < wanted else None

    def to(self, device: str) -> "Eager":
        return self


@pytest.fixture
def shipped(monkeypatch, tmp_path) -> Eager:
    """A model that is loaded by the command."""
    import omni.model.weights as weights

    model = Eager()
    monkeypatch.setattr(weights, "load_model", lambda name, device, packed: model)
    monkeypatch.setattr(weights, "fingerprint", lambda name: "f" * 16)
    monkeypatch.setattr(weights, "config_fingerprint", lambda name: "c" * 16)
    monkeypatch.setenv("OMNI_DATA_DIR", str(tmp_path))
    return model


def test_a_curve_has_one_row_an_eagerness_and_who_is_more_eager_is_sooner(shipped, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["evaluate", "world", "--eagerness", "4", "-4", "0", "--most", "12", "--out", str(out)]) == 0
    report = json.loads((out / "world.json").read_text())
    assert [point["eagerness"] for point in report["curve"]] == [-4, 0, 4]
    assert [*report["subjects"]] == ["tiny at -4", "tiny at +0", "tiny at +4"]
    latencies = [point["latency_p50"]["value"] for point in report["curve"]]
    assert latencies == sorted(latencies, reverse=True) and latencies[0] > latencies[2] + 0.3
    shares = [point["pauses"]["value"] for point in report["curve"]]
    assert shares == sorted(shares) and shares[0] < shares[2] and report["curve"][0]["ambiguous"]["count"] == 12
    assert shipped.config.eagerness == 0.0, "the model stays as it is"
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 5 and "incomplete" in printed and "-4" in printed
    with Image.open(out / "curve.png") as picture:
        assert min(picture.size) > 300 and len(picture.convert("RGB").getcolors(1 << 20)) > 20


def test_six_eagernesses_are_drawn_unless_others_are_told(shipped, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(exam, "_LONGEST", 40)
    assert main(["evaluate", "world", "--curve", "--most", "1", "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "world.json").read_text())
    assert [point["eagerness"] for point in report["curve"]] == [-6, -4, -2, 0, 2, 4]
    assert (tmp_path / "out" / "curve.png").exists(), "a picture of nothing is one too"
    assert capsys.readouterr().out.count(" - ") >= 6


@torch.no_grad()
def test_a_copy_is_more_eager_and_shares_the_rest():
    model = tiny.duplex(restless=False, seed=5)
    other, reluctant = curve.eager(model, 1e3), curve.eager(model, -1e3)
    assert all(a is b for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert model.config.eagerness == 0.0 and other.config == replace(model.config, eagerness=1e3)
    none, on = torch.zeros(1, dtype=torch.int64), torch.ones(1, dtype=torch.bool)
    tokens = [int(m.step(torch.zeros(1, BLOCK), none, on, m.init_state(1)).token) for m in (other, reluctant)]
    assert tokens == [START_SPEAK, THINK]


@pytest.mark.parametrize("told, why", [
    (["world", "--eagerness", "nan"], "no number"), (["world", "--eagerness", "1", "inf"], "no number"),
    (["world", "--eagerness", "1", "1.0"], "twice"), (["world", "--curve", "--only", "sums"], "--only"),
    (["world", "--curve", "--control", "deaf"], "--control"), (["smoke", "--curve"], "of world"),
    (["world", "--only", "pause"], "pauses")])
def test_what_makes_no_curve_is_refused(told, why, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("OMNI_DATA_DIR", str(tmp_path))
    assert main(["evaluate", *told]) == 2 and why in capsys.readouterr().err


def test_an_eagerness_is_a_number(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "world", "--eagerness", "much"])
    assert "--eagerness" in capsys.readouterr().err
