"""The ears' stage: its losses ask for what they say, its labels are true, and what it has learned is taken whole."""

import itertools
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from learning import learn, tones
from safetensors.torch import load_file

from omni.audio.mixing import active_level
from omni.base.errors import WeightsError
from omni.cli import main
from omni.data import bank, hearing
from omni.data.augment import Augment, recorded, revoice
from omni.data.hearing import BLOCK, FRAME, SOUNDS, Hearing, HearingConfig, Said
from omni.data.own_voice import NOMINAL_LEVEL, OwnVoice, echo_at
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


# ---- what is heard ---------------------------------------------------------------------------------------------------


def _buzz(count: int, hz: int = 150) -> np.ndarray:
    return (0.3 * np.sign(np.sin(2 * np.pi * hz * np.arange(count) / 16_000)) * 32767).astype(np.int16)


@pytest.fixture(scope="module")
def own_voice() -> OwnVoice:
    return OwnVoice("tiny", count=2)


def _hearing(utterances: list[bank.Utterance], **config) -> Hearing:
    """Segments of two seconds from these utterances, dry and with next to no noise, if not told otherwise."""
    lessons = Hearing(Path("."), HearingConfig(**{"seconds": 2.0, "clean": 1.0, "batch": 3, **config}), 0,
                      ["f:ae", "f:k"], VOCABULARY)
    lessons.pools, lessons.clips, lessons.voice = {"synthetic": utterances}, [], None
    hiss = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    lessons.augment = Augment([np.ones(1, np.float32)], [hiss], [utterances[0].samples])
    return lessons


TIMED = bank.Utterance(_buzz(6400), "a ab", "", "words", "flite:rms", False,
                       phones=[("f:k", 0, 3200), ("f:ae", 3200, 6400)], words=[("a", 0, 3200), ("ab", 3200, 6400)])
REAL = bank.Utterance(_buzz(6400), "ab ba", "", "words", "an4", False)


def test_segments_carry_the_phone_that_sounded_before_each_frames_end():
    for seed in range(5):
        segment = _hearing([TIMED]).segment(random.Random(seed))
        phones, count = segment["phones"], len(segment["said"])
        assert segment["room"].shape == segment["own"].shape == (25 * BLOCK,) and count
        runs = [int(phones[0]), *(int(b) for a, b in zip(phones, phones[1:], strict=False) if a != b)]
        assert runs == [0, *[2, 1, 0] * count], "each utterance is k, then ae, then silence"
        assert (phones == 2).sum() == 5 * count == (phones == 1).sum(), "200 ms are five frames"
    phones = _hearing([REAL]).segment(random.Random(3))["phones"]
    assert -1 in phones and set(phones) <= {0, -1}, "nobody knows when a real speaker's phones were"


def test_a_word_may_be_written_from_its_beginning_to_160_ms_after_its_end():
    said = [Said("a ab", 0, 6400, [("a", 0, 3200), ("ab", 3200, 6400)])]
    ids, classes, late = hearing.timed_pieces(said, VOCABULARY, 20, 0.0, random.Random(0))
    assert VOCABULARY.decode(classes[i - 1] for i in ids) == " a ab" and late.shape == (20, 2)
    assert late[:, 0].tolist() == [0] * 9 + list(range(1, 12)), "frames 0 to 4, and four more"
    assert late[:, 1].tolist() == [5, 4, 3, 2, 1] + [0] * 9 + list(range(1, 7))
    later = hearing.timed_pieces(said, VOCABULARY, 20, 0.0, random.Random(0), 7)[2]
    assert later[:, 0].tolist() == [0] * 12 + list(range(1, 9))


def test_a_real_speakers_words_may_be_written_anywhere_in_the_utterance_and_240_ms_after():
    ids, classes, late = hearing.timed_pieces([Said("ab ba", 1280, 6400, [])], VOCABULARY, 20, 0.0, random.Random(0))
    assert VOCABULARY.decode(classes[i - 1] for i in ids) == " ab ba"
    assert all(late[:, i].tolist() == [2, 1] + [0] * 14 + [1, 2, 3, 4] for i in range(late.shape[1]))


def test_a_piece_of_several_words_is_in_time_for_each_of_them():
    said = [Said("a", 0, 640, [("a", 0, 640)]), Said("a", 12 * 640, 13 * 640, [("a", 12 * 640, 13 * 640)])]
    ids, classes, late = hearing.timed_pieces(said, VOCABULARY, 20, 0.0, random.Random(0))
    assert ids == [1, 1] and len(classes) == 1
    assert late[:, 0].tolist() == [0] * 5 + [1, 2, 3, 4, 3, 2, 1] + [0] * 5 + [1, 2, 3]


def test_a_sound_is_labelled_where_it_is_audible():
    """Of class 3 from block 2 to 7 with a pause in 5; the noise drowns block 7."""
    track, noise = np.zeros(12 * BLOCK, np.float32), np.full(12 * BLOCK, 1e-3, np.float32)
    track[2 * BLOCK:8 * BLOCK] = 0.1
    track[5 * BLOCK:6 * BLOCK] = 1e-6
    noise[7 * BLOCK:8 * BLOCK] = 1.0
    labels = hearing.sound_labels([(3, track)], noise, 12)
    assert labels[:, 3].tolist() == [0, 0, -1, -1, 1, -1, 1, -1, -1, 0, 0, 0]
    assert (np.delete(labels, 3, 1) == 0).all()
    both = hearing.sound_labels([(3, track), (4, track[::-1])], noise, 12)
    assert (both[:, 3] == labels[:, 3]).all() and (both[:, 4] == 1).any(), "several at once"


def test_speech_is_labelled_but_for_the_blocks_of_its_edges():
    labels = hearing.speech_labels([Said("a", 2 * BLOCK + 100, 5 * BLOCK, []), Said("b", 7 * BLOCK, 9 * BLOCK, [])], 10)
    assert labels.tolist() == [0, 0, -1, 1, -1, 0, 0, -1, -1, 0]


@pytest.mark.parametrize("ratio_db", [-6.0, 0.0, 20.0])
def test_the_user_is_as_far_above_the_echo_as_was_asked(ratio_db):
    rng = random.Random(1)
    user, own = (_buzz(32_000, hz).astype(np.float32) / 32768 for hz in (170, 310))
    augment = _hearing([TIMED]).augment
    echo = echo_at(own, user, ratio_db, augment, rng)
    assert 20 * math.log10(active_level(user) / active_level(echo)) == pytest.approx(ratio_db, abs=0.01)
    nobody = echo_at(own, np.zeros_like(user), ratio_db, augment, rng)
    assert 20 * math.log10(NOMINAL_LEVEL / active_level(nobody)) == pytest.approx(ratio_db, abs=0.01)
    assert not echo_at(np.zeros_like(own), user, ratio_db, augment, rng).any()


def _lag(echo: np.ndarray, own: np.ndarray) -> float:
    """Samples by which `echo` is late, to a tenth: where the cross-correlation has its peak."""
    size = 2 * len(own)
    spectrum = np.fft.rfft(echo, size) * np.fft.rfft(own, size).conj()
    return float(np.abs(np.fft.irfft(spectrum, 8 * size)[:8 * 12_000]).argmax()) / 8


def test_own_stream_and_echo_differ_by_delay_and_drift():
    """Ten seconds of noise: the lag is the delay that was drawn, and in some it moves from beginning to end."""
    own = np.random.default_rng(0).standard_normal(160_000).astype(np.float32) * 0.1
    augment, moves = _hearing([TIMED]).augment, []
    for seed in range(24):
        with recorded() as notes:
            echo = echo_at(own, own, 0.0, augment, random.Random(seed))
        drawn = next(n for n in notes if n["what"] == "echo")
        first, last = (_lag(echo[part], own[part]) for part in (slice(0, 40_000), slice(120_000, 160_000)))
        assert abs((first + last) / 2 - 16 * drawn["delay_ms"]) < 16 + 25, "and up to 1 ms in room and loudspeaker"
        moves.append(abs(last - first))
    assert max(moves) <= 100e-6 * 120_000 + 2, "100 ppm at most"
    assert 2 <= sum(move > 1 for move in moves) <= 14, "three in ten, some by little"


def test_what_is_to_be_written_is_the_users_and_nobody_elses(own_voice):
    config = {"own": 1.0, "headphones": 0.0, "seconds": 4.0}
    lessons, alone = _hearing([TIMED], **config, alone=0.0), _hearing([TIMED], **config, alone=1.0)
    lessons.voice = alone.voice = own_voice
    for seed in range(3):
        segment = lessons.segment(random.Random(seed))
        assert segment["mine"] and segment["said"] and {u.text for u in segment["said"]} == {"a ab"}
    heard = [alone.segment(random.Random(seed)) for seed in range(6)]
    assert any(np.abs(s["own"]).max() > 0.01 and active_level(s["room"]) > 0.01 for s in heard), "there was an echo"
    batch = alone.collate(heard, random.Random(0))
    assert all(len(ids) == 0 for ids in (*batch["characters"], *batch["pieces"]))
    assert (batch["speech"] == 0).all() and (batch["phones"] == 0).all() and batch["late"].shape == (6, 100, 1)


def test_the_own_stream_is_a_reply_of_the_agents(own_voice):
    own = own_voice.track(64_000, random.Random(2))
    assert own.shape == (64_000,) and own.dtype == np.float32 and np.abs(own).max() > 0.01
    again = OwnVoice("tiny", count=2)
    assert np.array_equal(own_voice.reply(1), again.reply(1)), "by its number alone"


def test_sounds_are_heard_with_and_without_speech():
    lessons = _hearing([TIMED], sounds=1.0, quiet=0.5, seconds=4.0)
    lessons.clips = [(7, _buzz(48_000, 400))]
    segments = [lessons.segment(random.Random(seed)) for seed in range(8)]
    assert {bool(s["said"]) for s in segments} == {True, False}
    for s in segments:
        assert (s["sounds"][:, 7] == 1).any() and (np.delete(s["sounds"], 7, 1) == 0).all()


def test_what_is_heard_of_a_clip_has_its_loudest_moment():
    """Half a second of a sound in five: the rest of the clip says nothing of its class."""
    clip = np.zeros(80_000, np.int16)
    clip[50_000:58_000] = _buzz(8_000, 400)
    lessons = _hearing([TIMED], seconds=5.12)
    lessons.clips = [(7, clip)]
    for seed in range(40):
        _, track = lessons._sound(np.zeros(lessons.count, np.float32), random.Random(seed))
        loudest = float(np.abs(track).max())
        assert loudest > 0.005 and (np.abs(track) > 0.5 * loudest).sum() > 1_000


def test_a_sounds_weight_is_what_the_stage_says():
    batch, model = _batch(SENSES), _model(SENSES)
    model.eval()
    with torch.no_grad():
        (light, parts), (heavy, _) = (ears.losses(model, batch, sound_weight=w) for w in (0.0, 8.0))
    assert heavy.item() - light.item() == pytest.approx(8 * parts["sounds"], rel=1e-4)


def test_a_batch_is_what_its_generator_makes_it_and_tells_of_every_row():
    lessons = _hearing([TIMED, REAL], clean=0.5)
    first, again = (lessons.collate([lessons.segment(rng), lessons.segment(rng)], rng)
                    for rng in (random.Random(4), random.Random(4)))
    for name, value in first.items():
        same = zip(value, again[name], strict=True)
        assert all(torch.equal(a, b) for a, b in same), name
    assert first["room"].shape == (2, 25 * BLOCK) and first["phones"].shape == (2, 50)
    assert first["sounds"].shape == (2, 25, len(SOUNDS)) and first["speech"].shape == (2, 25)
    assert first["late"].shape == (2, 50, first["classes"].shape[1])
    for ids, classes, characters in zip(first["pieces"], first["classes"], first["characters"], strict=True):
        said = VOCABULARY.decode(classes[ids - 1].tolist())
        assert said.split() == "".join(CAPTION_CHARACTERS[i - 1] for i in characters).split()


# ---- the stage -------------------------------------------------------------------------------------------------------


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A folder with a bank of buzzes and recordings to go with it, and what runs the stage there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bank").mkdir()
    np.tile(_buzz(6400), 12).tofile(tmp_path / "bank" / "audio.i16")
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


def test_another_throat_says_the_same_at_the_same_times():
    t = np.arange(2 * 16_000) / 16_000
    x = (np.sin(2 * np.pi * 200 * t) * (t > 1)).astype(np.float32)
    pitches = []
    for seed in range(6):
        y = revoice(x, random.Random(seed))
        assert len(y) == len(x) and y.dtype == np.float32
        assert np.abs(y[:15_000]).max() < 0.05 < 0.5 < np.abs(y[17_000:30_000]).max()
        pitches.append(np.abs(np.fft.rfft(y[17_000:29_000])).argmax() * 16_000 / 12_000)
    assert min(pitches) < 190 and max(pitches) > 215 and all(150 < p < 260 for p in pitches)


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
