"""Every stage's loss is finite, reaches what it should teach, and falls on a lesson small enough to learn at once."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from omni.data import bank, skills
from omni.data.augment import Augment
from omni.data.streams import TextConversations
from omni.model.encoder import EncoderConfig, caption_ids
from omni.model.mouth import Mouth, MouthConfig
from omni.model.synthesizer import SynthesizerConfig
from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, THINK, Pieces
from omni.model.vocoder import VocoderConfig
from omni.train import duplex, ears, heads, voice, wordings, words

SMALL_MOUTH = MouthConfig(SynthesizerConfig(drive_dim=16, dim=24, num_layers=1, kernel=3, pointer_dim=16),
                          VocoderConfig(dim=16, num_layers=1, kernel=3))


def _learn(parameters, loss_of, steps: int = 25, lr: float = 0.01) -> list[float]:
    parameters = [p for p in parameters if p.requires_grad]
    optimiser, losses = torch.optim.AdamW(parameters, lr=lr), []
    for _ in range(steps):
        torch.manual_seed(0)
        loss, parts = loss_of()
        assert torch.isfinite(loss) and all(np.isfinite(v) for v in parts.values())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        losses.append(loss.item())
    return losses


# ---- voice -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def lessons(tmp_path):
    """Two texts of three pieces each, as the teacher would write them: a buzz at 150 Hz, 0.2 s a piece, and a pause."""
    count = 3 * 10 * voice.SUB
    time = np.arange(count) / 16_000
    samples = (0.2 * np.sign(np.sin(2 * np.pi * 150 * time)) * 32767).astype(np.int16)
    samples[2 * 10 * voice.SUB:] = 0
    f0 = np.where(np.arange(count // 160) < 40, 150.0, 0.0).astype(np.float32)
    tokens = [FIRST_PIECE + 20, FIRST_PIECE + 21, FIRST_PIECE + 1]
    path = tmp_path / "lessons.npz"
    np.savez(path, samples=np.tile(samples, 2), f0=np.tile(f0, 2), tokens=tokens + tokens[::-1],
             starts=[0, 10, 20, 30] * 2, num_samples=[count] * 2, num_tokens=[3, 3])
    return path


def test_lessons_give_each_sub_frame_its_pieces(lessons):
    batch = next(iter(voice.Lessons(lessons, blocks=8, batch=16, seed=0)))
    known = batch["current"] >= 0
    assert batch["current"].shape == (16, 32) and batch["audio"].shape == (16, 32 * 320)
    assert known.any() and (batch["duration"][known] == 10).all() and (batch["sounded"][known] < 10).all()
    rows = zip(batch["current"].tolist(), batch["previous"].tolist(), batch["following"].tolist(),
               batch["sounded"].tolist(), strict=True)
    for current, previous, following, sounded in rows:
        for t in range(1, 32):
            if current[t] == current[t - 1] and current[t] >= 0:
                assert sounded[t] == sounded[t - 1] + 1
            elif current[t] >= 0:
                assert sounded[t] == 0 and previous[t] == current[t - 1]
            if following[t - 1] >= 0 and current[t] != current[t - 1]:
                assert current[t] == following[t - 1], "what follows is what comes"
        for t in range(32):
            if previous[t] < 0 and current[t] >= 0 and sounded[t] < 4:
                assert following[t] == -1, "the first piece starts before the next is known"


def test_the_voice_learns(lessons):
    trainer = voice.VoiceTrainer(Mouth(SMALL_MOUTH, 40)).train()
    batch = next(iter(voice.Lessons(lessons, blocks=8, batch=4, seed=0)))
    losses = _learn(trainer.parameters(), lambda: trainer.losses(batch))
    assert losses[-1] < 0.85 * losses[0]
    silent = [n for n, p in trainer.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not silent, "a part that no loss reaches"


def test_the_gate_is_taught_with_noise_half_the_time_and_off_in_use():
    mouth, token = Mouth(SMALL_MOUTH, 40), torch.full((400, 1), FIRST_PIECE)
    torch.manual_seed(0)
    plain = mouth.eval().drives(token, 1)
    shaken = (mouth.train().drives(token, 1) != plain).flatten(1).any(1).float().mean()
    assert torch.equal(plain[0], plain[1]) and 0.4 < shaken < 0.6
    assert torch.equal(mouth.drives(torch.full((1, 1), -1), 2)[0, 0], mouth.synthesizer.none[2])


def test_clauses_are_spoken_one_by_one_with_the_pause_that_ends_them():
    assert voice._clauses("one two, three. four") == [("one two", ","), ("three", "."), ("four", ".")]
    assert voice._clauses("why? ,") == [("why", "?")]


def test_the_teachers_words_are_matched_to_pieces_or_refused():
    assert voice._merge([("a", 0, 1), ("b", 1, 2)], ["a", "b"]) == [(0, 1), (1, 2)]
    assert voice._merge([("double", 0, 1), ("you", 1, 2), ("i", 2, 3)], ["W", "i"]) == [(0, 2), (2, 3)]
    assert voice._merge([("don", 0, 1), ("'t", 1, 2)], ["don't"]) == [(0, 2)]
    assert voice._merge([("a", 0, 1)], ["a", "b"]) is None
    assert voice._merge([("a", 0, 1), ("b", 1, 2)], ["a"]) is None


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
    losses = _learn(reader.parameters(), lambda: words.losses(reader, batch))
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

    losses = _learn([*model.mind.parameters(), *mind.parameters()], loss, 60)
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
    text, loss = wordings.best(_confident(said), slots)
    assert text == said and loss < 0.1
    assert wordings.best(_confident(said), {**slots, "coffeeDrink": "mocha"})[1] > loss + 0.2


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


# ---- ears and duplex -------------------------------------------------------------------------------------------------


def _tones(text: str, count: int) -> torch.Tensor:
    """A tone for each character, 80 ms long."""
    x = torch.zeros(count)
    for i, c in enumerate(caption_ids(text)):
        at = 1600 + 1280 * i
        x[at:at + 1280] = 0.3 * torch.sin(2 * torch.pi * (300 + 120 * c) * torch.arange(1280) / 16_000)
    return x


def _ears() -> ears.Ears:
    config = EncoderConfig(dim=32, num_layers=1, num_heads=2, kernel=5, window=10)
    return ears.Ears(config, ["e:aI", "f:ae", "f:k"]).train()


def test_a_phone_competes_with_its_own_engines_phones_and_silence():
    model, phones = _ears(), torch.tensor([[0, 1, 2, 3, -1, -1]])
    model(torch.randn(1, 6 * ears.FRAME))
    with torch.no_grad():
        model.phone.weight.zero_()
        model.phone.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.0]))
        even = model.phone_loss(phones).item()
        model.phone.bias.copy_(torch.tensor([0.0, 50.0, 0.0, 0.0]))
        model(torch.randn(1, 4 * ears.FRAME))
        assert even == pytest.approx((math.log(4) + math.log(2) + 2 * math.log(3)) / 4, abs=1e-5)
        rest = model.phone_loss(phones[:, 2:]).item()  # frames of flite's phones do not see espeak's, however sure
    assert rest == pytest.approx(math.log(3), abs=1e-5)


def test_segments_carry_the_phone_that_sounded_before_each_frames_end():
    said = bank.Utterance(np.full(6400, 9000, np.int16), "a", "", "words", "flite:rms", False, {},
                          [("f:k", 0, 3200), ("f:ae", 3200, 6400)])
    real = bank.Utterance(np.full(6400, 9000, np.int16), "b", "", "words", "an4", False)
    lessons = ears.Utterances(Path("."), 2.0, 1, 0, 1.0)
    lessons.phones = {"f:ae": 1, "f:k": 2}
    augment = Augment([np.ones(1, np.float32)], [np.random.default_rng(0).standard_normal(32_000)], [said.samples])
    for seed in range(5):
        x, text, phones = lessons._item({s: [said] for s in ears._SHARES}, augment, random.Random(seed))
        assert len(x) == 32_000 and text.split() == ["a"] * len(text.split())
        runs = [int(phones[0]), *(int(b) for a, b in zip(phones, phones[1:], strict=False) if a != b)]
        assert runs == [0, *[2, 1, 0] * len(text.split())], "each utterance is k, then ae, then silence"
        assert (phones == 2).sum() == 5 * len(text.split()) == (phones == 1).sum(), "200 ms are five frames"
    _, text, phones = lessons._item({s: [real] for s in ears._SHARES}, augment, random.Random(3))
    assert -1 in phones and set(phones) <= {0, -1}, "nobody knows when a real speaker's phones were"


def test_the_ears_learn():
    model = _ears()
    random.seed(0)
    x = torch.stack([_tones("abba", 12_800), _tones("cab", 12_800)])
    targets = [torch.tensor(caption_ids(t)) for t in ("abba", "cab")]

    def loss():
        random.seed(0)
        value = ears.ctc(model(x), targets)
        return value, {"ctc": value.item()}

    losses = _learn(model.parameters(), loss, 30)
    assert losses[-1] < 0.6 * losses[0]


def test_ctc_of_a_target_that_cannot_fit_is_zero_and_not_infinite():
    loss = ears.ctc(torch.randn(2, 3, 29), [torch.arange(1, 10), torch.tensor([4])])
    assert torch.isfinite(loss) and loss > 0


def test_the_best_path_merges_repeats_and_drops_blanks():
    logits = torch.nn.functional.one_hot(torch.tensor([0, 9, 9, 0, 9, 10, 0]), 29).float()
    assert ears.greedy(logits) == "hhi"


def test_the_whole_learns_with_words_and_captions():
    torch.manual_seed(0)
    random.seed(0)
    model = tiny.duplex(restless=False)
    words.freeze_voice(model)
    model.train()
    T = 12
    target = torch.full((2, T), THINK)
    target[:, 6], target[:, 7], target[:, 9] = START_SPEAK, FIRST_PIECE + 30, END_SPEAK
    batch = {"room": torch.stack([_tones("ab", T * 1280), _tones("ba", T * 1280)]), "own": torch.zeros(2, T * 1280),
             "target": target, "fed": target.roll(1, 1), "backlog": torch.zeros(2, T, dtype=torch.int64),
             "weight": torch.ones(2, T),
             "captions": [[(0, 5, torch.tensor(caption_ids("ab")), torch.tensor([FIRST_PIECE + 3]))],
                          [(0, 6, torch.tensor(caption_ids("ba")), torch.tensor([], dtype=torch.long))]]}
    lesson = duplex.Lesson(model).train()
    losses = _learn(lesson.parameters(), lambda: duplex.losses(lesson, batch), 25)
    assert losses[-1] < 0.6 * losses[0]
    nothing = {**batch, "captions": [[], []], "target": torch.full((2, T), THINK)}
    loss, parts = duplex.losses(lesson, nothing)
    assert torch.isfinite(loss) and "ctc" not in parts and "heard" not in parts
