"""The ears' stage: its losses ask for what they say, and what it has learned is taken whole."""

import itertools
import json
import math
import random

import numpy as np
import pytest
import torch
import yaml
from learning import learn, tones
from safetensors.torch import load_file

from omni.base.errors import WeightsError
from omni.cli import main
from omni.data import hearing
from omni.data.hearing import BLOCK, FRAME, SOUNDS, Hearing, Said
from omni.model.captions import CAPTIONS_FILE, Vocabulary
from omni.model.ears import ears_of_run
from omni.model.encoder import CAPTION_CHARACTERS, EncoderConfig, caption_ids
from omni.train import ears, stages
from omni.train.ears_losses import MOST_NATS, PRICE_NATS, ctc, known_bce, mask, timed_ctc, warp
from omni.train.ears_scores import best_path, greedy

VOCABULARY = Vocabulary([*CAPTION_CHARACTERS[1:], "▁", "▁a", "▁ab", "ba"])
SMALL = EncoderConfig(dim=32, num_layers=1, num_heads=2, kernel=5, window=10)
SENSES = EncoderConfig(dim=32, num_layers=1, num_heads=2, kernel=5, window=10, caption_pieces=len(VOCABULARY),
                       caption_layers=1, sounds=len(SOUNDS), speech=True)
PHONES = ["e:aI", "f:ae", "f:k"]


def _model(config: EncoderConfig = SMALL) -> ears.Ears:
    torch.manual_seed(0)
    return ears.Ears(config, PHONES).train()


# ---- what is asked ---------------------------------------------------------------------------------------------------


def test_a_phone_competes_with_its_own_engines_phones_and_silence():
    model, phones = _model(), torch.tensor([[0, 1, 2, 3, -1, -1]])
    model(torch.randn(1, 6 * FRAME))
    with torch.no_grad():
        model.phone.weight.zero_()
        model.phone.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.0]))
        even = model.phone_loss(phones).item()
        model.phone.bias.copy_(torch.tensor([0.0, 50.0, 0.0, 0.0]))
        model(torch.randn(1, 4 * FRAME))
        assert even == pytest.approx((math.log(4) + math.log(2) + 2 * math.log(3)) / 4, abs=1e-5)
        rest = model.phone_loss(phones[:, 2:]).item()  # frames of flite's phones do not see espeak's, however sure
    assert rest == pytest.approx(math.log(3), abs=1e-5)


def test_ctc_of_a_target_that_cannot_fit_is_zero_and_not_infinite():
    loss = ctc(torch.randn(2, 3, 29), [torch.arange(1, 10), torch.tensor([4])])
    assert torch.isfinite(loss) and loss > 0


def test_the_best_path_merges_repeats_and_drops_blanks():
    logits = torch.nn.functional.one_hot(torch.tensor([0, 9, 9, 0, 9, 10, 0]), 29).float()
    assert greedy(logits) == "hhi" and best_path(logits) == [9, 9, 10]


def _by_brute_force(logits_TC: torch.Tensor, target: list[int], classes: list[int], late_TS: torch.Tensor):
    """Minus the log of the sum over every path that says the target, each frame out of time at its price."""
    log_probs, total = logits_TC.log_softmax(-1), []
    for path in itertools.product(range(len(classes) + 1), repeat=len(logits_TC)):
        if [i for i, before in zip(path, (0, *path), strict=False) if i and i != before] != target:
            continue
        total.append(sum(log_probs[t, classes[i - 1]] - min(PRICE_NATS * late_TS[t, i - 1].item(), MOST_NATS)
                         if i else log_probs[t, 0] for t, i in enumerate(path)))
    return -torch.logsumexp(torch.stack(total), 0)


def test_timed_ctc_is_the_sum_over_all_paths_at_their_prices_and_so_is_its_gradient():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 6, requires_grad=True)
    late = torch.tensor([0.0, 0.5, 1.0, 4.0, 20.0])[torch.randint(0, 5, (2, 4, 2))]
    targets, classes = [[1, 2], [2, 1, 2]], [[4, 2], [5, 1]]
    loss = timed_ctc(logits, [torch.tensor(t) for t in targets], torch.tensor(classes), late)
    expected = sum(_by_brute_force(logits[b], targets[b], classes[b], late[b]) for b in range(2)) / 5
    torch.testing.assert_close(loss, expected)
    found, = torch.autograd.grad(loss, logits, retain_graph=True)
    wanted, = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(found, wanted)


def test_a_piece_out_of_its_time_costs_more():
    """Where ears are sure of the piece and of its frame, the price of that frame is the difference."""
    def loss(frame: int) -> float:
        said = torch.zeros(12, dtype=torch.long)
        said[frame] = 3
        late = (torch.arange(12.0) - 4).clamp(min=0)[None, :, None]  # in time up to frame 4
        logits = 50.0 * torch.nn.functional.one_hot(said, 5).float()[None]
        return timed_ctc(logits, [torch.tensor([1])], torch.tensor([[3]]), late).item()

    assert loss(2) == loss(4) == pytest.approx(0, abs=1e-4)
    assert [loss(f) for f in (5, 6, 7)] == pytest.approx([PRICE_NATS, 2 * PRICE_NATS, 3 * PRICE_NATS], abs=1e-3)


def test_timed_ctc_asks_nothing_where_pieces_do_not_fit():
    logits = torch.randn(2, 2, 6, requires_grad=True)
    late = torch.zeros(2, 2, 3)
    loss = timed_ctc(logits, [torch.tensor([1, 2, 3]), torch.tensor([1])], torch.tensor([[4, 2, 3], [5, 0, 0]]), late)
    gradient, = torch.autograd.grad(loss, logits)
    assert torch.isfinite(loss) and loss > 0 and (gradient[0] == 0).all() and (gradient[1] != 0).any()


def test_what_nobody_knows_is_not_asked():
    logits = torch.tensor([[0.0, 5.0, -5.0]])
    assert known_bce(logits, torch.tensor([[1, -1, -1]], dtype=torch.int8)).item() == pytest.approx(math.log(2))
    assert known_bce(logits, torch.full((1, 3), -1, dtype=torch.int8)) == 0


def test_masks_are_stripes_that_show_the_segments_mean():
    torch.manual_seed(0)
    mel = torch.randn(3, 300, 40)
    masked = mask(mel, bands=1, widest_band=12, longest_span=18)
    for row, shown in zip(mel, masked, strict=True):
        hidden = shown != row
        assert torch.allclose(shown[hidden], row.mean()) and hidden.any()
        bands, spans = hidden.all(0), hidden.all(1)
        assert bands.sum() <= 12 and spans.sum() <= 2 * 18
        assert torch.equal(hidden, bands[None, :] | spans[:, None]), "whole bands and whole spans"


# ---- learning --------------------------------------------------------------------------------------------------------


def _batch(config: EncoderConfig) -> dict:
    """Two rows of tones as `Hearing` would tell of them."""
    texts = ["abba", "cab"]
    batch = {"room": torch.stack([tones(t, 12_800) for t in texts]), "own": torch.zeros(2, 12_800),
             "mine": torch.tensor([False, True]), "characters": [torch.tensor(caption_ids(t)) for t in texts],
             "phones": torch.randint(-1, 4, (2, 20)), "speech": torch.randint(-1, 2, (2, 10), dtype=torch.int8),
             "sounds": torch.randint(-1, 2, (2, 10, len(SOUNDS)), dtype=torch.int8)}
    batch["own"][1, ::50] = 0.3
    found = [hearing.timed_pieces([Said(t, 1600, 8000, [])], VOCABULARY, 20, 0.0, random.Random(0)) for t in texts]
    most = max(len(classes) for _, classes, _ in found)
    late = [np.pad(x, ((0, 0), (0, most - x.shape[1]))) for *_, x in found]
    return {**batch, "pieces": [torch.tensor(ids) for ids, *_ in found], "late": torch.from_numpy(np.stack(late)),
            "classes": torch.tensor([classes + [0] * (most - len(classes)) for _, classes, _ in found])}


@pytest.mark.parametrize("config", [SMALL, SENSES], ids=["characters", "every head"])
def test_the_ears_learn(config):
    model, batch = _model(config), _batch(config)
    told = ears.losses(model, batch)[1]
    assert set(told) == {"ctc", "phone"} | ({"pieces", "sounds", "speech"} if config is SENSES else set())
    losses = learn(model.parameters(), lambda: ears.losses(model, batch), 30)
    assert losses[-1] < 0.6 * losses[0]
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not silent, "a part that no loss reaches"


def test_only_those_who_speak_themselves_hear_themselves():
    model = _model().eval()
    room, own = torch.randn(2, 4 * BLOCK) * 0.1, torch.randn(2, 4 * BLOCK) * 0.1
    with torch.no_grad():
        silent, both = model(room), model(room, own)
        second = model(room, own, torch.tensor([False, True]))
    torch.testing.assert_close(second, torch.stack([silent[0], both[1]]))
    assert not torch.allclose(silent[1], both[1], atol=1e-3)


def test_a_sounds_weight_is_what_the_stage_says():
    batch, model = _batch(SENSES), _model(SENSES)
    model.eval()
    with torch.no_grad():
        (light, parts), (heavy, _) = (ears.losses(model, batch, sound_weight=w) for w in (0.0, 8.0))
    assert heavy.item() - light.item() == pytest.approx(8 * parts["sounds"], rel=1e-4)


# ---- the stage -------------------------------------------------------------------------------------------------------


def _buzz() -> np.ndarray:
    """Twelve times 0.4 s, int16, 16 kHz."""
    return np.tile(np.where(np.arange(6400) % 107 < 53, 9830, -9830).astype(np.int16), 12)


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A folder with a bank of buzzes and recordings to go with it, and what runs the stage there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bank").mkdir()
    _buzz().tofile(tmp_path / "bank" / "audio.i16")
    (tmp_path / "bank" / "lines.jsonl").write_text("".join(json.dumps(
        {"start": 6400 * i, "count": 6400, "text": "a cab", "reply": "", "skill": "words", "source": "flite:rms",
         "dev": i % 4 == 0, "facts": {}, "phones": [["f:k", 0, 3200]], "words": [["a", 0, 3200], ["cab", 3200, 6400]]})
        + "\n" for i in range(12)))
    monkeypatch.setenv("OMNI_DATA_DIR", str(tmp_path))
    for name in ("rooms", "noises"):
        monkeypatch.setattr(hearing.recordings, name, lambda root: [np.ones(1, np.float32)])

    def run(*overrides: str) -> int:
        stage = {"stage": "ears", "bank": "bank", "out": "run", "workers": 0,
                 "hearing": {"seconds": 1.28, "batch": 2, "clean": 1.0},
                 "encoder": {"dim": 16, "num_layers": 1, "num_heads": 2, "window": 8},
                 "loop": {"steps": 4, "threads": 1, "warmup": 2, "lr": 0.01}}
        (tmp_path / "stage.yaml").write_text(yaml.safe_dump(stage))
        return main(["train", "stage.yaml", *itertools.chain(*(("--set", o) for o in overrides))])

    return run


def test_a_stage_that_was_stopped_goes_on_bit_for_bit_with_its_pieces(room, tmp_path, monkeypatch):
    calls, plain = [], ears.losses

    def stopping(*args, **told):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(*args, **told)

    heads = ("encoder.caption_pieces=60", "encoder.speech=true")
    assert room("out=straight", *heads) == 0
    monkeypatch.setattr(ears, "losses", stopping)
    assert room("out=again", *heads) == 0
    assert json.loads((tmp_path / "again" / "progress.json").read_text())["step"] == 2
    assert room("out=again", *heads) == 0
    straight, again = (load_file(tmp_path / name / "model.safetensors") for name in ("straight", "again"))
    assert straight.keys() == again.keys() and all(torch.equal(straight[n], again[n]) for n in straight)
    config, vocabulary = ears_of_run(tmp_path / "again")
    assert len(vocabulary) == config.caption_pieces == 28, "nothing was said often enough for more than letters"
    assert len(straight["encoder.pieces.out.bias"]) == 29 and config.speech and config.dim == 16


def test_ears_begin_where_others_have_ended_with_heads_of_their_own(room, tmp_path):
    assert room() == 0
    assert ears_of_run(tmp_path / "run") == (EncoderConfig(dim=16, num_layers=1, num_heads=2, window=8), None)
    assert room("out=next", "init=run", "encoder.caption_pieces=60", "loop.lr=0", "encoder.sounds=10") == 0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("run", "next"))
    assert all(torch.equal(second[n], first[n]) for n in first)
    assert {n.split(".")[1] for n in second.keys() - first.keys()} == {"pieces", "sounds"}
    pieces = Vocabulary([*CAPTION_CHARACTERS[1:], "▁", "▁a"])
    pieces.save(tmp_path / "next" / CAPTIONS_FILE)
    assert room("out=third", "init=next", "encoder.caption_pieces=60", "loop.steps=1") == 0
    assert ears_of_run(tmp_path / "third")[1].pieces == pieces.pieces, "of the run that it begins with"


def test_pieces_that_both_know_keep_what_was_learned_and_new_ones_begin_where_their_parts_end(room, tmp_path):
    before = Vocabulary([*CAPTION_CHARACTERS[1:], "▁", "▁a", "in"])
    assert room("encoder.caption_pieces=60") == 0
    run = load_file(tmp_path / "run" / "model.safetensors")
    bias = torch.arange(float(len(before) + 1))
    known = {"encoder.pieces.out.bias": bias.clone(), "encoder.pieces.out.weight": torch.stack([bias, -bias], 1)}
    now = Vocabulary([*CAPTION_CHARACTERS[1:], "▁", "in", "▁in", "▁a"])
    ears._grow(known, before, now)
    was, told = {p: i + 1.0 for i, p in enumerate(before.pieces)}, known["encoder.pieces.out.bias"]
    assert told[0] == 0 and all(told[i + 1] == was[p] for i, p in enumerate(now.pieces) if p in was)
    assert told[now.pieces.index("▁in") + 1] == (was["▁"] + was["in"]) / 2
    assert torch.equal(known["encoder.pieces.out.weight"][:, 1], -told) and "encoder.pieces.out.bias" in run


def test_ears_may_begin_with_weights_by_name():
    known, vocabulary = stages.ears_of("tiny")
    assert len(known["encoder.pieces.out.bias"]) == len(vocabulary) + 1 and "encoder.stem_1.weight" in known


def test_a_longer_throat_moves_bands_down_and_one_of_the_same_length_moves_none():
    mel = torch.zeros(3, 4, 80)
    mel[:, :, 40] = 1.0
    moved = warp(mel, torch.tensor([1.0, 1.25, 0.8]))
    assert torch.equal(moved[0], mel[0])
    assert moved[1].argmax(-1).tolist() == [32] * 4 and moved[2].argmax(-1).tolist() == [50] * 4
    model = _model()
    model.warp = 0.2
    room, own = torch.randn(1, 4 * FRAME).expand(2, -1), torch.zeros(2, 4 * FRAME)
    seen = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ears, "mask", lambda mel: mel)
        torch.manual_seed(1)
        model(room, own, torch.tensor([True, False]))
    plain = model.features(room)
    assert torch.equal(seen[0][0], plain[0]), "over its own voice nothing is moved: the own stream would not fit"
    assert not torch.allclose(seen[0][1], plain[1])


def test_a_batch_may_come_more_than_once(room, monkeypatch):
    made, plain = [], Hearing.collate

    def collate(self, segments, rng):
        made.append(plain(self, segments, rng))
        return made[-1]

    monkeypatch.setattr(Hearing, "collate", collate)
    monkeypatch.setattr("omni.data.numbered.ROUND", 2)
    assert room() == 0 and len(made) == 4
    assert room("out=twice", "echo=2") == 0 and len(made) == 4 + 2
    assert room("out=none", "echo=0") == 2


def test_a_sound_head_has_a_place_for_every_class(room, capsys):
    assert room("encoder.sounds=3") == 2
    assert "encoder.sounds: 3; there are 10 classes" in capsys.readouterr().err


def test_what_cannot_be_learned_from_is_said(room, capsys):
    assert room() == 0
    assert room("out=next", "init=run", "encoder.dim=24") == 2
    assert "init: run has no encoder." in capsys.readouterr().err
    assert room("out=next", "hearing.shares={ann4: 1.0}") == 2
    assert "no source 'ann4'; did you mean 'an4'?" in capsys.readouterr().err
    assert room("out=next", "hearing.shares={an4: 1.0}") == 2
    assert "bank has no words of an4" in capsys.readouterr().err


@pytest.mark.parametrize("told, message", [
    (None, "config.yaml is missing in run"), ("stage: voice", "tells of no ears"), ("[", "tells of no ears"),
    ("encoder: {caption_pieces: 40}", "captions.json is missing in run")])
def test_a_run_without_ears_is_refused(tmp_path, told, message):
    (tmp_path / "run").mkdir()
    if told is not None:
        (tmp_path / "run" / "config.yaml").write_text(told)
    with pytest.raises(WeightsError, match=message):
        ears_of_run(tmp_path / "run")
