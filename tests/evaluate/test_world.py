"""The examination: whoever is right is found right, whoever is deaf or says anything is not."""

import json
import random
import types
from dataclasses import replace

import numpy as np
import puppet
import pytest

from omni.cli import main
from omni.data import recordings, skills
from omni.data.lines import SoundLine
from omni.data.live_room import LiveRoom
from omni.data.partner import Partner
from omni.data.skills import unknown
from omni.data.skills.talk import Answer, Ask
from omni.data.user import BLOCK
from omni.evaluate.world import command, exam, judge, table, voice
from omni.evaluate.world.examiner import PATIENCE_S, Examiner
from omni.model.tokens import FIRST_PIECE, START_SPEAK, THINK, Pieces

PIECES = Pieces(skills.vocabulary())


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Voices and clips cost nothing, and a conversation is at most two minutes."""
    monkeypatch.setattr(exam, "ClosedLoop", puppet.Watched)
    monkeypatch.setattr(exam, "_LONGEST", 1_500)
    monkeypatch.setattr(voice, "clips", lambda: [(name, np.ones(60_000, np.float32) * 0.1)
                                                 for name in ("dog_bark", "rain", "rooster")])
    monkeypatch.setattr(voice.Voiced, "__init__", _quiet)


def _quiet(self, speaker, held_out=0.5, quiet=True):
    self.voice, self.held_out, self.quiet, self.apart = speaker, held_out, True, {}


def ask(task: str, most: int, decide=None) -> list[judge.Judged]:
    model = puppet.Puppet(PIECES, decide)
    return [j for _, found in exam.hold(model, exam.sittings(task, most, 1), 4) for j in found]


@pytest.mark.parametrize("task", skills.names())
def test_an_oracle_is_right_about_everything_and_in_time(task):
    found = ask(task, 24)
    wrong = [j for j in found if not j.right]
    assert not wrong, wrong[:3]
    assert len(found) >= 12
    late = [j.latency_s for j in found if j.latency_s is not None]
    assert late and max(late) < (1.2 if task == "readback" else 0.5) and min(late) > 0
    if task not in ("floor", "sounds"):
        assert {j.apart for j in found} == {True, False}


@pytest.mark.parametrize("task", skills.names())
def test_silence_is_right_about_nothing(task):
    found = ask(task, 12, lambda row, block, due: THINK)
    assert found and not any(j.right for j in found) and all(j.latency_s is None for j in found)


@pytest.mark.parametrize("task", skills.names())
def test_whoever_says_anything_is_right_about_next_to_nothing(task):
    rng = random.Random(0)

    def babble(row: int, block: int, due: int) -> int | None:
        return rng.randrange(FIRST_PIECE, len(PIECES)) if due >= FIRST_PIECE else None

    found = ask(task, 24, babble)
    silent = [j for j in found if j.expected]
    assert sum(j.right for j in silent) <= 0.1 * len(silent)


def test_who_never_stops_does_not_hold_its_tongue():
    def stubborn(row: int, block: int, due: int) -> int | None:
        return THINK if due not in (START_SPEAK, THINK) and due < FIRST_PIECE else None

    found = [j for j in ask("floor", 9, stubborn) if j.kind in ("stop", "wait")]
    assert found and not any(j.right for j in found)


def test_one_thing_is_asked_after_the_other_and_context_builds_up():
    sitting = exam.sittings("recall", 12, 5)[1]
    partner, room, _ = sitting.make(puppet.Puppet(PIECES))
    loop = puppet.Watched(puppet.Puppet(PIECES), [partner], [room])
    while not partner.user.over:
        loop.step()
    assert len(partner.turns) == exam.ASKS
    for reply, turn in zip(partner.replies, partner.turns[1:], strict=False):
        assert turn.heard.at >= reply.ended * BLOCK, "answers are heard out"
    assert partner.memory.name or partner.memory.favourites


def test_patience_has_an_end():
    source = voice.Voiced(None)
    rng = random.Random(3)
    partner = Partner(rng, source, PIECES, user=Examiner(rng, source, "facts", 3))
    loop = puppet.Watched(puppet.Puppet(PIECES, lambda row, block, due: THINK), [partner], [LiveRoom(600, rng)])
    while not partner.user.over:
        loop.step()
    gaps = [(b.heard.at - a.heard.end) / 16_000 for a, b in zip(partner.turns, partner.turns[1:], strict=False)]
    assert len(gaps) == 2 and all(PATIENCE_S <= gap < PATIENCE_S + 0.2 for gap in gaps)


# ---- right or wrong --------------------------------------------------------------------------------------------------


def right(skill: str, said: str, text: str, facts: dict, never: tuple = (), kind: str = "") -> bool:
    return judge.is_right(skill, kind, Answer(text, facts, never), said)


def test_facts_are_heard_as_phrases_and_in_order():
    facts = {"answer": "is six", "remainder": "remainder one"}
    assert right("sums", "nineteen divided by three is six, remainder one.", "is six, remainder one.", facts)
    assert not right("sums", "remainder one is six", "is six, remainder one.", facts)
    assert not right("sums", "is six", "is six, remainder one.", facts)
    assert not right("sums", "", "is six.", {"answer": "is six"})


def test_a_number_is_not_part_of_a_longer_one():
    assert not right("sums", "one plus one is twenty two.", "is twenty.", {"answer": "is twenty"})
    assert not right("facts", "there are fifty four.", "there are four.", {"answer": "four"})
    assert not right("readback", "one two three four.", "one two three.", {"string": "one two three"})
    assert right("facts", "it has four legs.", "it has four legs.", {"answer": "four legs"})


def test_an_order_has_its_values_and_no_others():
    facts = {"coffeeDrink": "coffee", "milkAmount": "milk"}
    text = "okay, a coffee with milk."
    assert right("orders", "sure, a coffee with milk.", text, facts)
    assert not right("orders", "sure, an iced coffee with milk.", text, facts)
    assert not right("orders", "sure, a coffee with soy milk.", text, facts)
    assert not right("orders", "sure, a large coffee with milk.", text, facts)
    assert not right("orders", "sure, a coffee with a bit of milk.", text, facts)
    assert not right("orders", "sure, a coffee.", text, facts)


def test_what_was_corrected_away_is_not_said():
    assert not right("recall", "hello ben, not anna.", "hello ben.", {"name": "ben"}, ("anna",))


def test_outside_its_world_any_words_that_admit_it_are_right():
    assert right("unknown", "sorry, i don't know that.", "i don't know.", {})
    assert right("unknown", "Sorry, that is beyond me.", "i don't know.", {})
    assert not right("unknown", "it is paris.", "i don't know.", {})


def test_who_admits_it_and_then_invents_is_wrong():
    """Any reply that held "i don't know" was right once, whatever else it said."""
    for said in ("i don't know that. it is paris.", "sorry, i don't know, but it is twenty two.", "i don't know paris.",
                 "it is paris, i can't do that.", "sorry sorry i don't know.", "sorry", ""):
        assert not right("unknown", said, "i don't know that.", {}), said
    for skill in skills.names():
        for text in skills.texts(skill):
            assert unknown.admits(text) == (skill == "unknown"), text


def test_what_goes_on_begins_where_it_was_cut():
    text = "seven, eight, nine, ten, eleven, twelve."
    assert right("floor", "seven, eight, nine, ten, eleven, what", text, {"text": "x"}, kind="go on")
    assert not right("floor", "six, seven, eight, nine, ten, eleven", text, {"text": "x"}, kind="go on")


# ---- recordings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", exam.REAL)
def test_people_are_heard_over_noise_too_and_strings_are_right_as_a_whole(task, monkeypatch, tmp_path):
    path, count = tmp_path / "a.flac", 20_000
    sound = np.random.default_rng(0).standard_normal(count).astype(np.float32) * 0.1
    order = recordings.Recording(path, "coffee_orders", "v", None, {"size": "large", "coffeeDrink": "latte"}, True)
    string = recordings.Recording(path, "an4", "s", "five I V A", {}, True)
    monkeypatch.setattr(exam.recordings, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(exam.recordings, "speech", lambda root: [order, string])
    monkeypatch.setattr(exam.recordings, "read", lambda path: sound)
    monkeypatch.setattr(exam.recordings, "noises", lambda root, dev: [sound])
    found = ask(task, 3)
    assert len(found) == 3 and all(j.right and j.latency_s < 1.2 for j in found)
    five = PIECES.encode("five")[0]
    added = ask(task, 2, lambda row, block, due: five if due == PIECES.encode("A")[0] else None)
    assert [j.right for j in added] == [task != "real_strings"] * 2
    room = exam.sittings(task, 1, 1)[0].make(puppet.Puppet(PIECES))[1]
    faintest = min(np.abs(room.block(k, None)).max() for k in range(9))
    assert (faintest > 0.01) == task.endswith("12db"), "noise is there before anybody speaks"


def test_recordings_are_drawn_anew_for_intervals_however_often_they_are_heard(monkeypatch, tmp_path):
    path = tmp_path / "a.flac"
    order = recordings.Recording(path, "coffee_orders", "v", None, {"coffeeDrink": "latte"}, True)
    monkeypatch.setattr(exam.recordings, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(exam.recordings, "speech", lambda root: [order])
    assert {s.case for s in exam.sittings("real_orders", 5, 0)} == {"a.flac"}


# ---- the command -----------------------------------------------------------------------------------------------------


def judged(is_right: bool, latency_s: float | None = 0.3, apart: bool = False) -> judge.Judged:
    return judge.Judged("sums", "sum", "", "x", "", is_right, latency_s, False, apart)


def test_rows_count_over_conversations_and_say_what_was_reached():
    found = {("sums", str(i)): [judged(True), judged(i % 2 == 0, 2.5, True)] for i in range(20)}
    by_name = {row.name: row for row in table.rows(found)}
    assert by_name["sums"].value == 0.75 and by_name["sums"].count == 40 and by_name["sums"].cases == 20
    assert by_name["sums"].low < 0.75 < by_name["sums"].high and by_name["sums"].reached == "no"
    assert "50.0% of 20" in by_name["sums"].note
    assert by_name["in_time"].value == 0.5 and by_name["latency_p50"].value == pytest.approx(1.4, abs=1.2)
    assert "answers" not in by_name, "only where all of its skills were asked"
    every = {(name, "0"): [judged(True)] for name in table.ANSWERS}
    assert {row.name: row.value for row in table.rows(every)}["answers"] == 1.0


def test_rows_have_parts_by_kind_which_are_printed_if_they_are_few():
    kinds = ["chain", "sum", "sum", "sum"]
    found = {("sums", "0"): [replace(judged(i < 2), kind=kind) for i, kind in enumerate(kinds)]}
    rows = table.rows(found)
    parts = next(row.parts for row in rows if row.name == "sums")
    assert parts == {"chain": table.Part(1.0, 1), "sum": table.Part(1 / 3, 3)}
    assert "    chain  " in table.as_text({"a": rows})
    found["facts", "0"] = [replace(judged(True), kind=str(i)) for i in range(table.PRINTED)]
    assert "    chain  " not in table.as_text({"a": table.rows(found)})


def test_a_new_skill_is_examined_by_its_name_in_the_registry_alone(monkeypatch):
    parrot = types.ModuleType("parrot")
    parrot.SHARE = 1.0
    parrot.ask = lambda rng, memory, held_out=False: Ask("pretty polly", "parrot", "pretty")
    parrot.take = lambda ask, memory: None
    parrot.answer = lambda ask, memory, rng: Answer("hello there.", {"hello": "hello there"})
    parrot.vocabulary = lambda: ["hello there."]
    monkeypatch.setattr(skills, "_SKILLS", {**skills._SKILLS, "parrot": parrot})
    assert "parrot" in exam.tasks() and command.chosen(["parrot"]) == ["parrot"]
    assert "parrot" in command.chosen(["skills"])
    row = next(row for row in table.rows({("parrot", "0"): ask("parrot", 12)}) if row.name == "parrot")
    assert row.value == 1.0 and row.count == 12 and row.reached == "aim"
    assert "parrot: right" in table.as_text({"a": [row]})


def test_the_command_writes_what_was_asked_and_heard(monkeypatch, tmp_path, capsys):
    import omni.model.weights as weights

    class Model(puppet.Puppet):
        def to(self, device: str) -> "Model":
            return self

    monkeypatch.setattr(weights, "load_model", lambda name, device, packed: Model(PIECES))
    monkeypatch.setattr(weights, "fingerprint", lambda name: "f" * 16)
    monkeypatch.setattr(weights, "config_fingerprint", lambda name: "c" * 16)
    monkeypatch.setenv("OMNI_DATA_DIR", str(tmp_path))
    out = tmp_path / "out"
    assert main(["evaluate", "world", "--only", "sums", "--only", "facts", "--most", "6", "--out", str(out),
                 "--batch", "2", "--control", "deaf"]) == 0
    report = json.loads((out / "world.json").read_text())
    assert report["header"]["weights"] == "f" * 16 and set(report["subjects"]) == {"tiny", "deaf"}
    rows = {row["name"]: row for row in report["subjects"]["tiny"]["rows"]}
    assert rows["sums"]["value"] == 1.0 and rows["facts"]["count"] == 6 and rows["sums"]["reached"] == "aim"
    assert sum(part["count"] for part in rows["facts"]["parts"].values()) == 6
    assert {a["task"] for a in report["subjects"]["tiny"]["asked"]} == {"sums", "facts"}
    assert "sums: right" in capsys.readouterr().out


def test_what_cannot_be_asked_is_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("OMNI_DATA_DIR", str(tmp_path))
    assert main(["evaluate", "world", "--only", "sum"]) == 2 and "sums" in capsys.readouterr().err
    assert main(["evaluate", "world", "--control", "swapped"]) == 2
    assert main(["evaluate", "world", "--most", "0"]) == 2
    assert main(["evaluate", "world", "--server", "http://127.0.0.1:1"]) == 2


def test_a_voice_says_its_words_and_a_sound_is_as_loud_as_speech():
    line = voice.sound(("rain", np.random.default_rng(0).standard_normal(80_000).astype(np.float32)), random.Random(0))
    assert isinstance(line, SoundLine) and line.sound == "rain" and 32_000 <= line.num_samples <= 80_000
    assert 0.05 < np.sqrt(np.mean((line.samples / 32_768)**2)) < 0.12
