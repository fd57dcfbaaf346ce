"""Is the voice understood: the same texts, in the agent's voice and in its teacher's, to one independent ear."""

import json

import pytest
from conftest import need

from omni import cli
from omni.audio.files import read_mono
from omni.data import skills
from omni.evaluate import voice, voice_contract, voice_minute
from omni.evaluate.voice_listener import grammars
from omni.model.tokens import Pieces
from omni.model.weights import folder_of


def test_texts_are_the_same_for_everybody_and_names_are_spelled():
    pieces = Pieces(skills.vocabulary())
    found = voice.texts(pieces)
    assert {kind: len(texts) for kind, texts in found.items()} == {"world": 72, "random": 24, "names": 24}
    assert found == voice.texts(pieces)
    assert {rule for texts in found.values() for rule, _ in texts} <= set(grammars())
    assert all(len(set(voice.plain(text).split())) == 6 for _, text in found["random"])
    assert all(len(word) == 1 for _, text in found["names"] for word in voice.plain(text).split())
    assert all(len(text.split()) <= 40 for _, text in found["world"])


def test_a_voice_of_an_older_world_says_what_it_has_words_for():
    new, old = Pieces(skills.vocabulary()), Pieces.load(folder_of("tiny") / "pieces.json")
    (everything, none), (some, share) = voice.world(new), voice.world(old)
    assert len(everything) == len(some) == 72 and none == 0.0 and (share > 0) == (not old.knows(" ".join(new.words)))
    assert all(old.knows(text) for texts in voice.texts(old).values() for _, text in texts)


@pytest.mark.timeout(300)     # it builds some twenty recognisers
def test_the_voice_is_measured_beside_its_teacher(tmp_path, monkeypatch, capsys):
    need("flite")
    monkeypatch.setattr(voice.measure, "__defaults__", (None, 2))
    monkeypatch.setattr(voice.further, "__defaults__", (1, 1))
    monkeypatch.setattr(voice_contract.measure, "__defaults__", ((0,),))
    monkeypatch.setattr(voice_minute, "PART_S", 2)
    monkeypatch.setattr(voice_minute, "WHOLE_S", 6)
    assert cli.main(["evaluate", "voice", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "voice.json").read_text())
    assert len(report.pop("weights")) == len(report.pop("config")) == 16 and 0 <= report.pop("left_out") < 1
    for kind in ("world", "random", "names"):
        agent, teacher, beyond = (report[kind][name] for name in ("agent", "teacher", "beyond"))
        assert agent["words"] == teacher["words"] == beyond["words"] > 5
        assert teacher["word_error_rate"] < 1 and teacher["low"] <= teacher["word_error_rate"] <= teacher["high"]
        assert abs(agent["word_error_rate"] - teacher["word_error_rate"] - beyond["word_error_rate"]) < 2e-3
        samples, rate = read_mono(tmp_path / f"{kind}_01.wav")
        assert rate == 16_000 and abs(samples).max() > 0.05
    assert report["world"]["teacher"]["word_error_rate"] <= 0.05
    contract, minute, rate = (report[name] for name in ("contract", "minute", "rate"))
    assert contract["words"] == sum(len(voice.plain(text).split()) for _, text in voice.world(_shipped(), 3)[0])
    assert contract["seeds"] == [0] and len(contract["each"]) == 1 and contract["moved"]["most_ms"] <= 10
    for name in ("none", "own"):
        beyond = contract["random"]["word_error_rate"] - contract[name]["word_error_rate"]
        assert abs(100 * beyond - contract["beyond_" + name]["points"]) < 0.02
    assert minute["breaths"] == 1 and 6 <= minute["seconds"] < 20 and minute["first"].keys() == minute["last"].keys()
    assert list(rate) == ["0.8", "1.0", "1.25"] and rate["1.0"]["took"] == 1.0
    assert all(abs(found["took"] / found["asked"] - 1) < 0.1 for found in rate.values())
    out = capsys.readouterr().out
    assert out.count("teacher") == 3 and all(f"\n{name}" in out for name in ("contract:", "minute:", "rate 0.8:"))


def _shipped() -> Pieces:
    return Pieces.load(folder_of("tiny") / "pieces.json")
