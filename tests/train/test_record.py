"""What a stage was made from is known by its content, at the place where the stage stands in the recipe."""

from pathlib import Path

import pytest

from omni.data.bank import BankStage
from omni.train.ears import EarsStage
from omni.train.record import Record, content
from omni.train.wordings import WordingsStage

CONFIGS = {"bank": BankStage("bank", "bank"), "ears": EarsStage("ears", "bank", "ears"),
           "wordings": WordingsStage("wordings", "bank", "ears"),
           "orders": EarsStage("ears", "bank", "orders", init="ears"),
           "again": WordingsStage("wordings", "bank", "orders"),
           "senses": EarsStage("ears", "bank", "senses", init="orders")}
RESULTS = {"bank": "bank/lines.jsonl", "ears": "ears/model.safetensors", "wordings": "bank/wordings.jsonl",
           "orders": "orders/model.safetensors", "again": "bank/wordings.jsonl", "senses": "senses/model.safetensors"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The recipe's folder is `recipe`; others beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe").mkdir()


def _run(results: dict[str, str] | None = None, configs: dict = CONFIGS) -> list[str]:
    """What is due, and why; each stage writes its name, or what `results` has for it."""
    record, ran = Record(Path("recipe"), configs), []
    for name, config in configs.items():
        if (why := record.begin(name, config)) is not None:
            ran.append(f"{name}: {why}")
            path = Path(RESULTS[name])
            path.parent.mkdir(exist_ok=True)
            path.write_text((results or {}).get(name, name))
            record.end(name)
    return ran


def test_words_found_for_a_bank_make_nothing_due_that_came_before_them():
    """Regression, before it happened: the bank's folder is another after "wordings" than the one that ears heard."""
    assert _run() == [f"{name}: " for name in CONFIGS]
    assert Path("bank/wordings.jsonl").read_text() == "again"
    assert _run() == []


def test_other_words_make_due_what_heard_them():
    assert len(_run()) == 6
    Path("ears/model.safetensors").write_text("run alone")
    assert _run({"wordings": "others", "orders": "orders after others", "again": "again"}) == [
        "wordings: what it takes is another now: ears",
        "orders: what it takes is another now: wordings, ears",
        "again: what it takes is another now: orders", "senses: what it takes is another now: orders"]
    assert _run() == []


def test_words_that_another_recipe_found_are_taken_with_the_bank():
    bank, ears = CONFIGS["bank"], CONFIGS["ears"]
    assert len(_run(configs={"bank": bank, "ears": ears})) == 2
    Path("bank/wordings.jsonl").write_text("words")
    assert _run(configs={"bank": bank, "ears": ears}) == [
        "ears: what it takes is another now: bank/wordings.jsonl"]


def test_results_are_told_by_what_later_stages_read():
    assert content(Path("nowhere")) is None
    Path("run").mkdir()
    assert content(Path("run")) is None
    Path("run/model.safetensors").write_text("1")
    told = content(Path("run"))
    Path("run/log.jsonl").write_text("a line")
    assert content(Path("run")) == told
    Path("run/captions.json").write_text("[]")
    assert content(Path("run")) != told
    assert content(Path("tiny")) != told, "weights by name"


def test_a_record_of_an_earlier_version_tells_of_no_inputs():
    Path("recipe/done.json").write_text('{"bank": "0123456789abcdef"}')
    assert _run()[0] == "bank: "
