"""Ears and mind together: each loss reaches what it should teach, and what earlier stages learned is taken whole."""

import copy
import json
import random

import pytest
import tiny
import torch
import yaml
from learning import learn, tones
from safetensors.torch import load_file, save_file

from omni.base.config import to_plain
from omni.cli import main
from omni.data import skills
from omni.data.numbered import ROUND, Numbered, loader
from omni.model.captions import CAPTIONS_FILE, Vocabulary
from omni.model.duplex import DuplexModel
from omni.model.encoder import Encoder, caption_ids
from omni.model.salmonn_ears import SalmonnConfig, SalmonnEncoder, TransformerConfig
from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, THINK, Pieces
from omni.model.weights import load_model
from omni.train import duplex, words

BLOCKS = 12
SIZES = TransformerConfig(8, 1, 2, window=4)
SALMONN = SalmonnConfig("salmonn", tiny.MELS, SIZES, SIZES)


def _batch() -> dict:
    """Two conversations in tones, each with a stretch whose words are known."""
    target = torch.full((2, BLOCKS), THINK)
    target[:, 6], target[:, 7], target[:, 9] = START_SPEAK, FIRST_PIECE + 30, END_SPEAK
    return {"room": torch.stack([tones("ab", BLOCKS * 1280), tones("ba", BLOCKS * 1280)]),
            "own": torch.zeros(2, BLOCKS * 1280), "target": target, "fed": target.roll(1, 1),
            "backlog": torch.zeros(2, BLOCKS, dtype=torch.int64), "weight": torch.ones(2, BLOCKS),
            "captions": [[(0, 5, torch.tensor(caption_ids("ab")), torch.tensor([FIRST_PIECE + 3]))],
                         [(0, 6, torch.tensor(caption_ids("ba")), torch.tensor([], dtype=torch.long))]]}


@pytest.mark.parametrize("encoder", [tiny.ENCODER, tiny.SENSES, SALMONN], ids=["characters", "every head", "salmonn"])
def test_the_whole_learns_with_words_and_captions(encoder):
    torch.manual_seed(0)
    random.seed(0)
    model = tiny.duplex(restless=False, encoder=encoder)
    words.freeze_voice(model)
    lesson, batch = duplex.Lesson(model.train()).train(), _batch()
    parts = duplex.losses(lesson, batch)[1]
    assert ("pieces" in parts) == (encoder is tiny.SENSES) and "ctc" in parts and "heard" in parts
    losses = learn(lesson.parameters(), lambda: duplex.losses(lesson, batch), 25)
    assert losses[-1] < 0.6 * losses[0]
    if encoder is tiny.SENSES:
        assert duplex.losses(lesson, batch)[1]["pieces"] < 0.8 * parts["pieces"]
        unasked = {n.split(".")[0] for n, p in model.encoder.named_parameters() if p.grad is None}
        assert unasked == {"sounds", "speech"}, "nothing is known of these"
    nothing = {**batch, "captions": [[], []], "target": torch.full((2, BLOCKS), THINK)}
    loss, parts = duplex.losses(lesson, nothing)
    assert torch.isfinite(loss) and not {"ctc", "heard", "pieces"} & parts.keys()


def test_heads_without_lessons_are_held_to_what_they_said():
    """Ears that are pulled about unlearn their sounds, unless they are asked for what they said."""
    off = {}
    for held in (False, True):
        torch.manual_seed(0)
        model = tiny.duplex(restless=False, encoder=tiny.SENSES).train()
        lesson, batch = duplex.Lesson(model), _batch()
        fresh = tiny.duplex(restless=False, encoder=tiny.SENSES).encoder
        lesson.remember_ears("cpu")
        names = set(lesson.state_dict())

        def loss(lesson=lesson, model=model, batch=batch, held=held):
            frames, own_mel = model.hear(batch["room"], batch["own"])
            pulled = frames.square().mean()
            kept = lesson.kept(frames, batch["room"], own_mel)
            return pulled + 10 * held * sum(kept.values()), {name: value.item() for name, value in kept.items()}

        learn(model.encoder.parameters(), loss, 30)
        with torch.no_grad():
            mels = model.features(batch["room"]), model.features(batch["own"])
            said, before = model.encoder.sounds(model.encoder(*mels)), fresh.sounds(fresh(*mels))
        off[held] = (said.sigmoid() - before.sigmoid()).abs().mean().item()
        assert not any("before" in name for name in names), "they are saved once"
    assert off[True] < 0.5 * off[False]


def test_frozen_ears_stay_as_they_are_and_the_mind_learns_to_read_them():
    torch.manual_seed(0)
    model = tiny.duplex(restless=False, encoder=tiny.SENSES)
    words.freeze_voice(model)
    lesson, batch = duplex.Lesson(model.train()).train(), _batch()
    lesson.freeze_ears()
    before = {n: p.detach().clone() for n, p in model.encoder.named_parameters()}
    parts = duplex.losses(lesson, batch)[1]
    assert "heard" in parts and not {"ctc", "pieces", "sounds", "speech"} & parts.keys(), "only ears learn from those"
    losses = learn([p for p in lesson.parameters() if p.requires_grad], lambda: duplex.losses(lesson, batch), 25)
    assert losses[-1] < 0.6 * losses[0]
    assert all(torch.equal(p, before[n]) and p.grad is None for n, p in model.encoder.named_parameters())


def test_what_frozen_ears_hear_can_take_the_place_of_the_sound():
    torch.manual_seed(0)
    lesson, batch = duplex.Lesson(tiny.duplex(restless=False, encoder=tiny.SENSES)).train(), _batch()
    lesson.freeze_ears()
    heard = duplex.FrozenEars(lesson.model, bf16=False)(batch)
    assert "room" in batch and not {"room", "own"} & heard.keys()
    found = []
    for told in (batch, heard):
        random.seed(1)
        found.append(duplex.losses(lesson, told))
    assert torch.equal(found[0][0], found[1][0]) and found[0][1] == found[1][1]


def test_stretches_stand_side_by_side_and_end_in_blanks():
    logits = torch.arange(2 * 8 * 3.0).view(2, 8, 3)
    cut = duplex.stretches(logits, [(0, 1, 2), (1, 0, 3)], per_block=2)
    assert torch.equal(cut[0, :2], logits[0, 2:4]) and torch.equal(cut[1], logits[1, :6])
    assert (cut[0, 2:].argmax(-1) == 0).all() and (cut[0, 2:].softmax(-1)[:, 0] > 0.999).all()


# ---- the stage -------------------------------------------------------------------------------------------------------


class _Lessons(Numbered):
    """The same batch over and over, in place of conversations."""

    def open(self):
        return lambda rng: copy.deepcopy(_batch())


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A folder with runs of ears of each kind and of the mind, and what runs the stage there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(duplex, "SoundConversations", lambda *args, **settings: _Lessons())
    monkeypatch.setattr(duplex.stages.provenance, "data_hash", lambda path: "0" * 16)
    for name, kind, config in (("ears", Encoder, tiny.SENSES), ("plain", Encoder, tiny.ENCODER),
                               ("salmonn", SalmonnEncoder, SALMONN)):
        (tmp_path / name).mkdir()
        encoder = tiny.randomise(kind(config), seed=7)
        save_file({f"encoder.{n}": t for n, t in encoder.state_dict().items()}, tmp_path / name / "model.safetensors")
        told = {"stage": "ears", "encoder": to_plain(config)}
        if config is tiny.SENSES:
            told["encoder"]["caption_pieces"] = 9_999  # what may be at most, as stage ears tells it
            tiny.VOCABULARY.save(tmp_path / name / CAPTIONS_FILE)
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump(told))
    sizes = to_plain(tiny.duplex().config)
    mind = words.Reader(DuplexModel(tiny.duplex().config, Pieces(skills.vocabulary())))
    (tmp_path / "words").mkdir()
    save_file({n: t.contiguous().clone() for n, t in tiny.randomise(mind, seed=8).state_dict().items()},
              tmp_path / "words" / "model.safetensors")

    def run(**settings) -> int:
        stage = {"stage": "duplex", "bank": "bank", "out": "run", "workers": 0, "ears": "ears", "words": "words",
                 "model": {name: part for name, part in sizes.items() if name != "encoder"},
                 "loop": {"steps": 1, "threads": 1, "lr": 0, "warmup": 1, "weight_decay": 0}, **settings}
        (tmp_path / "stage.yaml").write_text(yaml.safe_dump(stage))
        return main(["train", "stage.yaml"])

    return run


def test_ears_bring_their_sizes_their_pieces_and_their_spelling(room, tmp_path):
    assert room() == 0
    model, ears = load_model(tmp_path / "run" / "weights"), load_file(tmp_path / "ears" / "model.safetensors")
    assert model.config.encoder == tiny.SENSES and model.vocabulary.pieces == tiny.VOCABULARY.pieces
    found = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(found[f"model.{name}"], t) for name, t in ears.items())
    assert torch.equal(found["model.connector.spell.weight"], ears["encoder.caption.weight"])
    mind = load_file(tmp_path / "words" / "model.safetensors")
    of_others = ("model.encoder", "model.own_in", "model.connector.spell")
    assert all(torch.equal(found[n], t) for n, t in mind.items() if not n.startswith(of_others))
    assert (found["model.own_in.weight"] == 0).all()
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["model"]["encoder"] == to_plain(tiny.SENSES)


def test_text_is_among_the_lessons_as_often_as_told(room, tmp_path, monkeypatch):
    """A batch of text teaches the mind alone, by what it reads; the stage draws such batches by their number."""
    assert room() == 0
    seen, whole = [], duplex.losses

    def losses(lesson, batch, told):
        seen.append("room" not in batch)
        lesson.zero_grad()
        loss, parts = whole(lesson, batch, told)
        if seen[-1]:
            loss.backward(retain_graph=True)
            moved = {n.split(".")[1] for n, p in lesson.model.named_parameters(prefix="model")
                     if p.grad is not None and p.grad.abs().sum()}
            assert {"reader", "mind", "token_in"} <= moved and not {"encoder", "own_in", "connector"} & moved
            assert "copied_right" in parts or parts["heard_right"] >= 0
        return loss, parts

    monkeypatch.setattr(duplex, "losses", losses)
    text = {"share": 0.5, "blocks": 40, "batch": 2, "drills": 2, "pace": 4.0}
    reads, learning = _switched(read_pieces=True), {**LEARNING, "steps": 12}
    assert room(ears=None, words=None, init="run", out="both", text=text, model=reads, loop=learning) == 0
    assert 2 <= sum(seen) <= 10 and len(seen) == 12
    first = list(seen)
    seen.clear()
    assert room(ears=None, words=None, init="run", out="again", text=text, model=reads, loop=learning) == 0
    assert seen == first
    assert room(ears=None, words=None, init="run", out="none", text={"share": 1.0}, model=reads) == 2


def test_sound_comes_several_times_and_text_once(room, monkeypatch):
    streams = []
    monkeypatch.setattr(duplex, "loader", lambda stream, workers: streams.append(stream) or loader(stream, workers))
    assert room() == 0
    text, reads = {"share": 0.5, "blocks": 40, "batch": 2}, _switched(read_pieces=True)
    assert room(ears=None, words=None, init="run", out="both", text=text, model=reads, echo=2) == 0
    made, text_made = [], []
    streams[1]._streams[0]._stream.by_number = lambda: made.append
    streams[1]._streams[1].by_number = lambda: text_made.append
    make = streams[1].by_number()
    for number in range(2 * ROUND):
        make(number)
    assert len(made) == ROUND // 2 and len(text_made) == ROUND
    assert room(out="none", echo=0) == 2


def test_a_run_goes_on_with_the_ears_of_the_one_before(room, tmp_path):
    assert room() == 0
    assert room(ears=None, words=None, init="run", out="next") == 0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("run", "next"))
    assert first.keys() == second.keys() and all(torch.equal(second[n], first[n]) for n in first)
    assert load_model(tmp_path / "next" / "weights").vocabulary.pieces == tiny.VOCABULARY.pieces


def test_a_trained_mind_gets_other_ears_and_keeps_the_rest(room, tmp_path):
    assert room() == 0
    path = tmp_path / "run" / "model.safetensors"
    save_file({n: t + 0.01 if "own_in" in n else t for n, t in load_file(path).items()}, path)
    assert room(ears="plain", ears_rate=0, words=None, init="run", out="next") == 0
    first, second = load_file(path), load_file(tmp_path / "next" / "model.safetensors")
    plain = load_file(tmp_path / "plain" / "model.safetensors")
    assert all(torch.equal(second[f"model.{name}"], t) for name, t in plain.items())
    assert torch.equal(second["model.connector.spell.weight"], plain["encoder.caption.weight"])
    kept = [n for n in first if not n.startswith(("model.encoder.", "model.connector.spell."))]
    assert kept and all(torch.equal(second[n], first[n]) for n in kept) and (second["model.own_in.weight"] != 0).any()


def test_a_trained_mind_takes_a_voice_with_its_own_table_alone(room, tmp_path, capsys):
    assert room() == 0
    mouth = {n.removeprefix("model."): t for n, t in load_file(tmp_path / "run" / "model.safetensors").items()
             if n.startswith("model.mouth.")}
    (tmp_path / "voice").mkdir()
    name = next(n for n in mouth if "vocoder" in n and mouth[n].dim() > 1)
    save_file({**mouth, name: mouth[name] + 1}, tmp_path / "voice" / "model.safetensors")
    assert room(ears=None, words=None, init="run", voice="voice", out="next") == 0
    assert torch.equal(load_file(tmp_path / "next" / "model.safetensors")[f"model.{name}"], mouth[name] + 1)
    table = mouth["mouth.embedding.weight"]
    save_file({**mouth, "mouth.embedding.weight": table + 1}, tmp_path / "voice" / "model.safetensors")
    assert room(ears=None, words=None, init="run", voice="voice", out="other") == 2
    assert "voice has another embedding table than the mind" in capsys.readouterr().err


@pytest.mark.parametrize("reads", [False, True], ids=["characters", "pieces"])
def test_another_voice_is_joined_to_a_trained_mind_without_training(room, tmp_path, capsys, reads):
    assert room() == 0
    if reads:
        assert room(ears=None, words=None, init="run", out="reads", model=_switched(read_pieces=True)) == 0
    run = "reads" if reads else "run"
    before = load_file(tmp_path / run / "model.safetensors")
    mouth = {n.removeprefix("model."): t for n, t in before.items() if n.startswith("model.mouth.")}
    name = next(n for n in mouth if "vocoder" in n and n.endswith("bias"))
    (tmp_path / "voice").mkdir()
    Pieces(skills.vocabulary()).save(tmp_path / "voice" / "pieces.json")

    def join(**other) -> int:
        save_file({**mouth, **other}, tmp_path / "voice" / "model.safetensors")
        (tmp_path / "join.yaml").write_text(yaml.safe_dump(
            {"stage": "join", "duplex": run, "voice": "voice", "out": "joined"}))
        return main(["train", "join.yaml"])

    assert join(**{name: mouth[name] + 1}) == 0
    model, whole = load_model(tmp_path / "joined" / "weights"), load_model(tmp_path / run / "weights")
    assert model.config == whole.config and (model.reader is not None) == reads
    changed = [n for n, t in model.state_dict().items() if not torch.equal(t, whole.state_dict()[n])]
    assert changed == [name]
    assert join(**{"mouth.embedding.weight": mouth["mouth.embedding.weight"] + 1}) == 2
    assert "another embedding table" in capsys.readouterr().err
    (tmp_path / "voice" / "model.safetensors").unlink()
    assert main(["train", "join.yaml"]) == 2
    assert "no stage has ended there" in capsys.readouterr().err


def test_ears_without_a_head_for_pieces_bring_none(room, tmp_path):
    assert room(ears="plain") == 0
    assert load_model(tmp_path / "run" / "weights").vocabulary is None
    assert not (tmp_path / "run" / "weights" / CAPTIONS_FILE).exists()


def test_other_ears_take_the_mind_without_the_connector_of_characters(room, tmp_path):
    assert room(ears="salmonn") == 0
    model = load_model(tmp_path / "run" / "weights")
    assert model.config.encoder == SALMONN and not hasattr(model.connector, "spell")


def test_ears_that_contradict_the_configuration_are_refused(room, capsys):
    sizes = to_plain(tiny.duplex().config)
    assert room(ears="plain", model={**sizes, "encoder": {**sizes["encoder"], "dim": 24}}) == 2
    assert "model.encoder: the ears of plain have other sizes" in capsys.readouterr().err
    assert room(ears=None, model={**sizes, "encoder": to_plain(tiny.SENSES)}) == 2
    assert "captions by pieces come with `ears` alone" in capsys.readouterr().err


def test_a_mind_that_lacks_a_part_is_refused(room, tmp_path, capsys):
    path = tmp_path / "words" / "model.safetensors"
    save_file({n: t for n, t in load_file(path).items() if n != "model.token_in.weight"}, path)
    assert room() == 2
    assert "tensor model.token_in.weight is not both in words and in the model" in capsys.readouterr().err


@pytest.mark.parametrize("key, told", [("model.encoder.kind=salmonn", "plain ears alone"),
                                       ("model.encoder.caption_pieces=9", "captions by pieces come with `captions`")])
def test_a_mind_that_reads_has_no_ears_of_other_kinds(key, told, tmp_path, capsys):
    plain = ["--set", "captions=null", "--set", "model.read_pieces=false"]
    assert main(["train", "tiny/words", "--out", str(tmp_path / "run"), *plain, "--set", key]) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "run").exists()


# ---- adapters, captions that are read, preference --------------------------------------------------------------------

LEARNING = {"steps": 4, "threads": 1, "lr": 0.01, "warmup": 1}


def _switched(**fields) -> dict:
    return {**{k: v for k, v in to_plain(tiny.duplex().config).items() if k != "encoder"}, **fields}


def test_adapters_go_on_bit_for_bit_and_leave_a_plain_model(room, tmp_path, monkeypatch):
    settings = {"lora": {"rank": 2, "dropout": 0.1}, "ears_rate": 0, "loop": LEARNING}
    assert room(out="straight", **settings) == 0
    plain = duplex.loader

    def stopping(stream, workers):
        def batches(first, every):
            for number, batch in enumerate(plain(stream, workers)(first, every), first):
                if number == 2:
                    raise KeyboardInterrupt
                yield batch
        return batches

    with monkeypatch.context() as patch:
        patch.setattr(duplex, "loader", stopping)
        assert room(out="halted", **settings) == 0
    assert json.loads((tmp_path / "halted" / "progress.json").read_text())["step"] == 2
    assert room(out="halted", **settings) == 0
    first, second, mind = (load_file(tmp_path / name / "model.safetensors") for name in ("straight", "halted", "words"))
    assert first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)
    assert not [n for n in first if "lora" in n or "base_layer" in n]
    moved = {n.removesuffix(".weight").split(".")[-1] for n in first
             if n.startswith("model.mind.") and not torch.equal(first[n], mind[n])}
    assert moved == {"q_proj", "v_proj"}
    assert room(ears=None, words=None, init="halted", out="next") == 0, "the next stage finds what it expects"
    assert load_model(tmp_path / "halted" / "weights").config == load_model(tmp_path / "straight" / "weights").config


def test_a_mind_that_read_no_captions_learns_to_without_forgetting(room, tmp_path):
    assert room() == 0
    assert room(ears=None, words=None, init="run", out="reads", model=_switched(read_pieces=True)) == 0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("run", "reads"))
    assert not second["model.reader.table"].any() and all(torch.equal(second[n], first[n]) for n in first)
    path = tmp_path / "reads" / "model.safetensors"
    save_file({**second, "model.reader.table": torch.randn(len(tiny.VOCABULARY), tiny.WIDTH)}, path)
    table = load_file(path)["model.reader.table"]
    turned = Vocabulary(tiny.VOCABULARY.pieces[::-1])
    turned.save(tmp_path / "ears" / CAPTIONS_FILE)
    assert room(words=None, init="reads", out="other", model=_switched(read_pieces=True)) == 0
    assert torch.equal(load_file(tmp_path / "other" / "model.safetensors")["model.reader.table"], table.flip(0))
    assert room(ears="plain", model=_switched(read_pieces=True), out="deaf") == 2


def test_a_mind_that_was_not_told_where_it_was_cut_learns_to_without_forgetting(room, tmp_path):
    assert room() == 0
    assert room(ears=None, words=None, init="run", out="told", model=_switched(read_cut=True)) == 0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("run", "told"))
    assert not second["model.cut_in.weight"].any() and all(torch.equal(second[n], first[n]) for n in first)
    assert load_model(tmp_path / "told" / "weights").config.read_cut


def test_a_mind_that_read_no_sounds_learns_to_without_forgetting(room, tmp_path, capsys):
    assert room() == 0
    assert room(ears=None, words=None, init="run", out="reads", model=_switched(read_sounds=True)) == 0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("run", "reads"))
    assert not second["model.sound_reader.table"].any() and all(torch.equal(second[n], first[n]) for n in first)
    assert load_model(tmp_path / "reads" / "weights").config.read_sounds
    lately = _switched(read_sounds=True, sounds_kept_s=2.0)
    assert room(ears=None, words=None, init="reads", out="lately", model=lately) == 0
    third, count = load_file(tmp_path / "lately" / "model.safetensors"), len(second["model.sound_reader.table"])
    assert third["model.sound_reader.table"].shape[0] == 2 * count and not third["model.sound_reader.table"].any()
    assert room(ears=None, words=None, init="lately", out="now", model=_switched(read_sounds=True)) != 0
    assert "sounds_kept_s" in capsys.readouterr().err
    assert room(ears="plain", model=_switched(read_sounds=True), out="deaf") == 2
    assert "no head for sounds" in capsys.readouterr().err
    assert room(out="many", drills=1, listening=2) == 2
    assert room(out="many", drills=2, hasty=1, copies=2) == 2


def test_preference_needs_a_mind_and_leaves_other_lessons_as_they_are(room, tmp_path, capsys):
    assert room(preference={"weight": 1.0}) == 2
    assert "preference: needs `init`" in capsys.readouterr().err
    assert room(ears_rate=0) == 0
    settings = {"ears": None, "words": None, "init": "run", "loop": LEARNING, "ears_rate": 0}
    for name, told in (("none", None), ("zero", {"weight": 0}), ("some", {"weight": 1.0})):
        assert room(out=name, preference=told, **settings) == 0
    none, zero, some = (load_file(tmp_path / n / "model.safetensors") for n in ("none", "zero", "some"))
    assert all(torch.equal(none[n], zero[n]) for n in none), "what it is compared with is the same training without"
    assert any(not torch.equal(none[n], some[n]) for n in none)
    log = json.loads((tmp_path / "zero" / "log.jsonl").read_text().splitlines()[-1])
    assert "preference" in log and "gained_start" in log
