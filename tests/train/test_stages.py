"""Every stage's loss is finite, reaches what it should teach, and falls on a lesson small enough to learn at once."""

import json
import math

import numpy as np
import pytest
import tiny
import torch
import yaml
from learning import learn

from omni.data import bank, skills
from omni.data.streams import TextConversations
from omni.model.encoder import caption_ids
from omni.model.mouth import Mouth, MouthConfig
from omni.model.synthesizer import ABSENT, CONTEXT, SynthesizerConfig
from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, THINK, Pieces
from omni.model.vocoder import VocoderConfig
from omni.train import heads, voice, wordings, words

SMALL_MOUTH = MouthConfig(SynthesizerConfig(drive_dim=16, dim=24, num_layers=1, kernel=3, hidden_dim=16),
                          VocoderConfig(dim=16, num_layers=1, kernel=3))


# ---- voice -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def lessons(tmp_path):
    """Two texts of three pieces each, as the teacher would write them: a buzz at 150 Hz, 0.2 s a piece, and a pause.

    The pieces have two phones, one and one.
    """
    count = 3 * 20 * voice.FRAME
    time = np.arange(count) / 16_000
    samples = (0.2 * np.sign(np.sin(2 * np.pi * 150 * time)) * 32767).astype(np.int16)
    samples[2 * 20 * voice.FRAME:] = 0
    f0 = np.where(np.arange(count // 160) < 40, 150.0, 0.0).astype(np.float32)
    tokens = [FIRST_PIECE + 20, FIRST_PIECE + 21, FIRST_PIECE + 1]
    path = tmp_path / "lessons.npz"
    np.savez(path, samples=np.tile(samples, 2), f0=np.tile(f0, 2), tokens=tokens + tokens[::-1],
             counts=[2, 1, 1, 1, 1, 2], phones=[5, 6, 7, 41, 41, 7, 5, 6], starts=[0, 8, 20, 40, 60, 0, 20, 40, 52, 60],
             num_frames=[60, 60], num_tokens=[3, 3], num_phones=[4, 4])
    return path


def test_lessons_give_each_frame_its_phone_and_those_around_it(lessons):
    batch = next(iter(voice.Lessons(lessons, blocks=8, batch=16, seed=0)))
    known = batch["token"] >= 0
    assert batch["token"].shape == (16, 64) and batch["audio"].shape == (16, 64 * 160)
    assert known.any() and (batch["elapsed"][known] < batch["due"][known]).all()
    window = batch["window"]
    assert ((window[..., CONTEXT] != ABSENT) == known).all() and (window[~known] == ABSENT).all()
    for phones, token, elapsed, place in zip(window.tolist(), batch["token"].tolist(), batch["elapsed"].tolist(),
                                             batch["place"].tolist(), strict=True):
        for t in range(1, 64):
            if token[t] < 0:
                continue
            if elapsed[t]:
                assert elapsed[t] == elapsed[t - 1] + 1 and token[t] == token[t - 1]
                assert phones[t][CONTEXT] == phones[t - 1][CONTEXT]
            elif token[t - 1] >= 0:
                after = phones[t - 1][CONTEXT + 1]
                assert after in (phones[t][CONTEXT], ABSENT), "what follows is what comes"
                assert place[t] % 2 == (token[t] != token[t - 1]) and phones[t][CONTEXT - 1] == phones[t - 1][CONTEXT]
    first = (batch["token"] == FIRST_PIECE + 20) & (batch["place"] == 2) & (batch["elapsed"] == 0)
    assert (window[first][:, CONTEXT + 1] == 7).any(), "in the middle of a text the next piece is known"
    begins = (batch["token"] == FIRST_PIECE + 20) & (window[..., CONTEXT - 1] == ABSENT)
    assert (window[begins][:, CONTEXT + 1] == 6).all() and (window[begins][:, CONTEXT + 2] == ABSENT).all(), \
        "the first piece starts before the next is known"


def test_pieces_are_spelled_as_they_are_said_most_often(lessons):
    table = voice.pronunciations(lessons, 40, 3)
    assert table[FIRST_PIECE + 20].tolist() == [5, 6, ABSENT]
    assert table[FIRST_PIECE + 21].tolist() == [7, ABSENT, ABSENT]
    assert (table[FIRST_PIECE + 2] == -1).all()


def test_the_voice_learns(lessons):
    torch.manual_seed(0)
    table = torch.from_numpy(voice.pronunciations(lessons, 40, SMALL_MOUTH.synthesizer.max_phones))
    trainer = voice.VoiceTrainer(Mouth(SMALL_MOUTH, 40), table).train()
    batch = next(iter(voice.Lessons(lessons, blocks=8, batch=4, seed=0)))
    losses = learn(trainer.parameters(), lambda: trainer.losses(batch))
    assert losses[-1] < 0.85 * losses[0]
    silent = {n for n, _ in trainer.named_parameters()}
    for seed in (1, 2, 3):  # of one batch the slope of a median can be zero
        trainer.zero_grad()
        trainer.losses(next(iter(voice.Lessons(lessons, blocks=8, batch=4, seed=seed))))[0].backward()
        silent -= {n for n, p in trainer.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    assert not silent, "a part that no loss reaches"


def test_the_gate_is_taught_with_noise_half_the_time_and_off_in_use():
    mouth, token = Mouth(SMALL_MOUTH, 40), torch.full((400, 1), FIRST_PIECE)
    torch.manual_seed(0)
    plain = mouth.eval().drives(token)
    shaken = (mouth.train().drives(token) != plain).flatten(1).any(1).float().mean()
    assert torch.equal(plain[0], plain[1]) and 0.4 < shaken < 0.6
    assert (mouth.drives(torch.full((1, 1), -1)) == 0).all()


def test_clauses_are_spoken_one_by_one_with_the_pause_that_ends_them():
    assert voice._clauses("one two, three. four") == [("one two", ","), ("three", "."), ("four", ".")]
    assert voice._clauses("why? ,") == [("why", "?")]


def test_the_teachers_words_are_matched_to_pieces_or_refused():
    assert voice._merge([("a", 0, 1), ("b", 1, 2)], [1, 1]) == [(0, 1), (1, 2)]
    assert voice._merge([("double", 0, 1), ("you", 1, 2), ("i", 2, 3)], [2, 1]) == [(0, 2), (2, 3)]
    assert voice._merge([("don", 0, 1), ("'t", 1, 2)], [1]) == [(0, 2)]
    assert voice._merge([("a", 0, 1)], [1, 1]) is None
    assert voice._merge([("a", 0, 1), ("b", 1, 2)], [1]) is None


# ---- words -----------------------------------------------------------------------------------------------------------


def test_the_mind_learns_from_characters():
    from omni.model.duplex import DuplexConfig, DuplexModel

    pieces = Pieces(skills.vocabulary())
    config = DuplexConfig(encoder=tiny.ENCODER, language_model=tiny.language_model(window=32), mouth=tiny.MOUTH)
    torch.manual_seed(0)
    model = DuplexModel(config, pieces)
    words.freeze_voice(model)
    reader = words.Reader(model).train()
    batch = next(iter(TextConversations(list(pieces.words), 60, 4, 0, drills=2)))
    before = [p.clone() for p in model.mouth.parameters()]
    losses = learn(reader.parameters(), lambda: words.losses(reader, batch))
    assert losses[-1] < 0.8 * losses[0]
    assert all(torch.equal(a, b) for a, b in zip(before, model.mouth.parameters(), strict=True)), "the voice is kept"


def test_words_heard_before_are_told_from_words_heard_later():
    heard, target = torch.full((1, 5), -1), torch.full((1, 5), THINK)
    heard[0, 1], heard[0, 4] = 40, 41
    target[0, 2], target[0, 3], target[0, 1] = 40, 41, 40
    assert words.copied({"heard": heard, "target": target})[0].tolist() == [False, False, True, False, False]


def test_replies_are_found_with_their_pieces():
    a, b = FIRST_PIECE + 5, FIRST_PIECE + 2
    target = torch.full((2, 12), THINK)
    target[0, 2:8] = torch.tensor([START_SPEAK, a, b, a, END_SPEAK, THINK])
    target[1, 3:7] = torch.tensor([START_SPEAK, START_SPEAK, b, THINK])  # decided late, and cut by the row's end
    target[1, 11] = START_SPEAK  # nothing of it is here
    found = [(row, block, pieces.tolist()) for row, block, pieces in heads.replies(target)]
    assert found == [(0, 2, [b, a]), (1, 3, [b]), (1, 4, [b])]
    assert heads.replies(target[:, :2]) == []


def test_the_heads_read_their_own_layers_and_learn():
    torch.manual_seed(0)
    model = tiny.duplex(restless=False)
    mind = heads.MindHeads(model)
    model.mind(torch.randn(2, 6, model.token_in.in_features))
    word, other = FIRST_PIECE + 1, FIRST_PIECE + 2
    heard = torch.tensor([[-1, word, -1, -1, other, -1], [-1] * 6])
    target = torch.full((2, 6), THINK)
    target[1, 2], target[1, 3], target[1, 4] = START_SPEAK, word, other
    x = torch.randn(2, 6, model.token_in.in_features)

    def loss():
        model.mind(x)
        named, right = mind.named(heard)
        planned, found = mind.planned(target)
        spelled = mind.spelled([(0, 0, 6, torch.tensor([word, other]))])
        return named + planned + spelled, {"right": right, "found": found}

    losses = learn([*model.mind.parameters(), *mind.parameters()], loss, 60)
    assert losses[-1] < 0.3 * losses[0] and loss()[1] == {"right": 1.0, "found": 1.0}
    assert mind.planned(torch.full((2, 6), THINK))[0] == 0
    assert not any("layers" in name for name, _ in mind.named_parameters()), "the mind's weights are saved once"


# ---- wordings --------------------------------------------------------------------------------------------------------


def _confident(text: str) -> torch.Tensor:
    """Log-probabilities (T, characters) of ears that spelled `text` clearly."""
    ids = [i for c in caption_ids(text) for i in (c, 0)]
    return (10.0 * torch.nn.functional.one_hot(torch.tensor(ids), 29).float()).log_softmax(-1)


@pytest.mark.parametrize("said", ["could i get a double shot large latte with brown sugar and soy milk please",
                                  "hey brew large double shot latte with soy milk and brown sugar"])
def test_the_wording_that_was_said_is_found_among_all(said):
    slots = {"coffeeDrink": "latte", "size": "large", "numberOfShots": "double shot", "milkAmount": "soy milk",
             "sugarAmount": "brown sugar"}
    text, loss, margin = wordings.best(_confident(said), slots)
    assert text == said and loss < 0.1 and margin > 5
    assert wordings.best(_confident(said), {**slots, "coffeeDrink": "mocha"})[1] > loss + 0.2


def test_a_wording_that_another_fits_as_well_is_no_clear_winner():
    said = "could i get a large latte"
    unsure = _confident(said)
    unsure[:2 * len("could")] = -math.log(29)   # anything there, of any letters
    sure = wordings.best(_confident(said), {"coffeeDrink": "latte", "size": "large"})[2]
    assert wordings.best(unsure, {"coffeeDrink": "latte", "size": "large"})[2] < 1 < sure


def test_words_found_for_a_recording_are_its_words_from_then_on(tmp_path):
    lines = [{"start": 0, "count": 4, "text": None, "reply": "", "skill": "orders", "source": "coffee_orders",
              "dev": False, "facts": {}, "name": name} for name in ("a.flac", "b.flac", "c.flac")]
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    np.zeros(4, np.int16).tofile(tmp_path / "audio.i16")
    assert [u.text for u in bank.load(tmp_path)] == [None] * 3
    (tmp_path / bank.WORDINGS).write_text('{"name": "a.flac", "text": "a mocha"}\n{"name": "b.flac", "text": null}\n')
    assert [u.text for u in bank.load(tmp_path)] == ["a mocha", None, None]


def test_token_loss_weighs_blocks_and_tells_kinds_apart():
    target = torch.tensor([[THINK, START_SPEAK, FIRST_PIECE, END_SPEAK]])
    logits = torch.zeros(1, 4, 12)
    logits[0, 0, THINK] = 50.0
    loss, parts = words.token_loss(logits, {"target": target, "weight": torch.tensor([[9.0, 1.0, 1.0, 1.0]])})
    assert parts["think_right"] == 1 and parts["think"] < 1e-6 and parts["start"] == pytest.approx(np.log(12), abs=1e-5)
    assert loss.item() == pytest.approx(3 * np.log(12) / 12, abs=1e-5)
    assert set(parts) == {k + s for k in ("think", "start", "end", "piece") for s in ("", "_right")}


# ---- words, by pieces ------------------------------------------------------------------------------------------------


@pytest.fixture
def reading(tmp_path, monkeypatch):
    """What runs the stage on captions by pieces, with a voice and ears of nothing."""
    from safetensors.torch import save_file

    from omni.base.config import to_plain
    from omni.cli import main
    from omni.model.captions import CAPTIONS_FILE

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(words.stages.provenance, "data_hash", lambda path: "0" * 16)
    for name, encoder in (("ears", tiny.SENSES), ("plain", tiny.ENCODER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump({"stage": "ears", "encoder": to_plain(encoder)}))
    tiny.VOCABULARY.save(tmp_path / "ears" / CAPTIONS_FILE)
    (tmp_path / "voice").mkdir()
    mouth = tiny.randomise(Mouth(tiny.MOUTH, len(Pieces(skills.vocabulary()))))
    save_file({f"mouth.{n}": t.contiguous() for n, t in mouth.state_dict().items()},
              tmp_path / "voice" / "model.safetensors")
    sizes = {k: v for k, v in to_plain(tiny.duplex(switches={"read_pieces": True}, encoder=tiny.SENSES).config).items()
             if k != "encoder"}

    def run(**settings) -> int:
        stage = {"stage": "words", "voice": "voice", "out": "run", "workers": 0, "blocks": 60, "batch": 2, "drills": 1,
                 "model": sizes, "captions": "ears", "loop": {"steps": 2, "threads": 1, "warmup": 1}, **settings}
        (tmp_path / "stage.yaml").write_text(yaml.safe_dump(stage))
        return main(["train", "stage.yaml"])

    return run


def test_the_mind_learns_to_read_captions_by_pieces():
    from omni.model.duplex import DuplexConfig, DuplexModel

    pieces = Pieces(skills.vocabulary())
    config = DuplexConfig(encoder=tiny.SENSES, language_model=tiny.language_model(window=32), mouth=tiny.MOUTH,
                          read_pieces=True)
    torch.manual_seed(0)
    model = DuplexModel(config, pieces, tiny.VOCABULARY)
    words.freeze_voice(model)
    reader = words.Reader(model).train()
    batch = next(iter(TextConversations(list(pieces.words), 60, 4, 0, drills=2, captions=tiny.VOCABULARY)))
    losses = learn(reader.parameters(), lambda: words.losses(reader, batch))
    assert losses[-1] < 0.8 * losses[0] and model.reader.table.grad.abs().sum() > 0
    assert model.connector.characters.weight.grad is None


def test_a_mind_that_reads_sounds_learns_from_text_what_they_are_called(reading, tmp_path):
    import dataclasses

    from omni.model.duplex import DuplexConfig, DuplexModel

    pieces = Pieces(skills.vocabulary())
    config = DuplexConfig(encoder=dataclasses.replace(tiny.SENSES, sounds=10),
                          language_model=tiny.language_model(window=32), mouth=tiny.MOUTH, read_sounds=True)
    torch.manual_seed(0)
    model = DuplexModel(config, pieces, tiny.VOCABULARY)
    words.freeze_voice(model)
    reader = words.Reader(model).train()
    batch = next(iter(TextConversations(list(pieces.words), 60, 4, 0, drills=2, sounds=True)))
    losses = learn(reader.parameters(), lambda: words.losses(reader, batch))
    assert losses[-1] < 0.8 * losses[0] and model.sound_reader.table.abs().sum() > 0
    assert all(p.grad is None for p in model.encoder.sounds.parameters())


def test_a_mind_that_reads_keeps_the_pieces_it_reads_and_their_ears_sizes(reading, tmp_path):
    from safetensors.torch import load_file

    from omni.model.ears import ears_of_run

    assert reading() == 0
    encoder, vocabulary = ears_of_run(tmp_path / "run")
    assert encoder == tiny.SENSES and vocabulary.pieces == tiny.VOCABULARY.pieces
    found = load_file(tmp_path / "run" / "model.safetensors")
    assert found["model.reader.table"].shape == (len(tiny.VOCABULARY), tiny.WIDTH)
    assert not found["model.connector.characters.weight"].any(), "nobody has taught it to read characters"


@pytest.mark.parametrize("settings, told", [
    ({"captions": None}, "with both, or with neither"), ({"captions": "plain"}, "have no captions by pieces"),
    ({"captions": "nowhere"}, "no weights at nowhere")])
def test_captions_and_a_mind_that_reads_them_belong_together(reading, settings, told, tmp_path, capsys):
    assert reading(**settings) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "run").exists()
