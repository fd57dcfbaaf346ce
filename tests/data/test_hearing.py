"""What ears learn from: segments of speech, sounds, echo and noise, and what is to be heard in each."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from omni.audio.mixing import active_level
from omni.data import bank, hearing
from omni.data.augment import Augment, recorded, revoice
from omni.data.hearing import BLOCK, SOUNDS, Hearing, HearingConfig, Said
from omni.data.own_voice import NOMINAL_LEVEL, OwnVoice, echo_at
from omni.model.captions import Vocabulary
from omni.model.encoder import CAPTION_CHARACTERS

VOCABULARY = Vocabulary([*CAPTION_CHARACTERS[1:], "▁", "▁a", "▁ab", "ba"])


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
