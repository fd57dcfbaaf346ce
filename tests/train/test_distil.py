"""A causal encoder learns from a Whisper of random weights: frames stand beside the right ones, and only it learns."""

import itertools
import json
import random

import numpy as np
import pytest
import tiny
import torch
import yaml
from safetensors.torch import load_file
from transformers import BertConfig, BertModel, WhisperConfig, WhisperFeatureExtractor, WhisperModel

from omni.audio.files import write_wav
from omni.base.config import data_path, load
from omni.base.errors import WeightsError
from omni.cli import main
from omni.data.segments import Segments
from omni.model.encoder import EncoderConfig
from omni.model.salmonn_ears import QFormerConfig, SalmonnConfig, TransformerConfig
from omni.model.teacher import FRAME, Teacher
from omni.train import distil, ears, stages
from omni.train.distil import DistilStage, Student, distance, losses, pair

PLAIN = EncoderConfig(dim=16, num_layers=1, num_heads=2, kernel=3, window=8)
SIZES = TransformerConfig(8, 1, 2, window=8)
SALMONN = SalmonnConfig("salmonn", 80, SIZES, SIZES, QFormerConfig(2, dim=8, num_layers=1, num_heads=2))
SECOND = 16_000


def whisper(num_layers: int = 1, seconds: int = 2) -> WhisperModel:
    """A Whisper at a size of nothing that hears two seconds."""
    return tiny.randomise(WhisperModel(WhisperConfig(
        vocab_size=20, d_model=12, encoder_layers=num_layers, encoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=16, max_source_positions=50 * seconds,
        max_target_positions=8, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    whisper().save_pretrained(folder)
    return folder


def _speech(rows: int = 2, seconds: float = 1.6, seed: int = 0) -> torch.Tensor:
    """Sums of tones that come and go, above a little noise."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(int(seconds * SECOND)) / SECOND
    hz, rate = (torch.rand(rows, 3, 1, generator=generator) * k for k in (3000, 5))
    x = (torch.sin(2 * torch.pi * hz * time) * torch.sin(2 * torch.pi * rate * time).clamp(min=0)).mean(1) * 0.3
    return x + 1e-3 * torch.randn(x.shape, generator=generator)


# ---- the teacher -----------------------------------------------------------------------------------------------------


def test_the_teacher_is_the_librarys_encoder_on_speech_padded_with_silence(checkpoint):
    teacher, x = Teacher.load(str(checkpoint)), _speech()
    mel = WhisperFeatureExtractor(chunk_length=2)(list(x.numpy()), sampling_rate=SECOND, return_tensors="pt")
    with torch.no_grad():
        expected = whisper().eval().encoder(mel.input_features).last_hidden_state
    assert expected.shape[1] == 100 and teacher.most == 2 * SECOND and teacher.dim == 12
    assert torch.equal(teacher(x), expected[:, :80])
    teacher.train()
    assert not teacher.encoder.training and not any(p.requires_grad for p in teacher.parameters())
    with pytest.raises(ValueError, match="more than the teacher's 32000"):
        teacher(torch.zeros(1, 33_280))


def test_what_is_no_whisper_in_safetensors_is_refused(checkpoint, tmp_path):
    with pytest.raises(WeightsError, match="no Whisper in safetensors there"):
        Teacher.load(str(tmp_path))
    for name in ("pickled", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text((checkpoint / "config.json").read_text())
    torch.save(whisper().state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="no Whisper in safetensors there"):
        Teacher.load(str(tmp_path / "pickled"))
    other = BertModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                                 intermediate_size=8))
    other.save_pretrained(tmp_path / "bert")
    (tmp_path / "bert" / "model.safetensors").rename(tmp_path / "other" / "model.safetensors")
    with pytest.raises(WeightsError, match="tensor encoder.conv1.bias is missing"):
        Teacher.load(str(tmp_path / "other"))


# ---- frames side by side ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at, group", [("encoder", 2), ("connector", 4)])
@pytest.mark.parametrize("frame", [4, 5, 6, 7, 38, 51])
def test_an_impulse_is_where_teacher_and_student_frames_stand_side_by_side(at, group, frame):
    """Without attention both show where it is: at the centre of a teacher's frame it moves that one and as many to each
    side; the student's frame that hears it first is the one that this teacher's frame stands beside."""
    teacher = Teacher(whisper(num_layers=0).encoder)
    student = tiny.randomise(Student(EncoderConfig(dim=16, num_layers=0, window=2), at, 8, teacher.dim))
    quiet = 1e-3 * torch.randn(1, 20 * 1280, generator=torch.Generator().manual_seed(0))
    clicked = quiet.clone()
    clicked[0, frame * FRAME] += 0.5
    with torch.no_grad():
        taught = pair(teacher(clicked), group) - pair(teacher(quiet), group)
        told = student(clicked)[0] - student(quiet)[0]
    assert taught.shape == told.shape == (1, 80 // group, group * teacher.dim)
    moved = (taught.unflatten(2, (group, -1)).abs().amax(3).flatten() > 1e-3).nonzero().flatten().tolist()
    assert moved == [frame - 1, frame, frame + 1], "a teacher's frame k is centred on sample 320 k"
    heard = (told[0].abs().amax(1) > 1e-4).nonzero().flatten()
    assert heard[0] == frame // group


def test_pairs_stand_in_the_order_of_time_at_every_rate():
    frames = torch.arange(8.0)[None, :, None] + torch.tensor([0.0, 0.5])
    assert pair(frames, 1)[0, 3].tolist() == [3, 3.5]
    assert pair(frames, 2)[0, 3].tolist() == [6, 6.5, 7, 7.5]
    assert pair(frames, 4)[0, 1].tolist() == [4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5]


def test_a_shift_asks_for_what_stood_that_many_frames_before():
    taught = torch.randn(2, 10, 3, generator=torch.Generator().manual_seed(0))
    told = torch.cat([torch.full((2, 3, 3), 99.0), taught[:, :-3]], 1)
    assert distance(told, taught, shift=3) == (0, {"l1": 0, "l1_share": 0})
    assert distance(told, taught)[0] > 1
    constant = taught.mean((0, 1)).expand_as(taught)
    assert distance(constant, taught)[1]["l1_share"] == pytest.approx(1)


@pytest.mark.parametrize("config, at, group, frames", [
    (PLAIN, "encoder", 2, 40), (PLAIN, "connector", 4, 20), (SALMONN, "encoder", 1, 80), (SALMONN, "connector", 4, 20)])
def test_every_ears_frames_have_their_teacher_frames(config, at, group, frames):
    student = Student(config, at, 16, 12).eval()
    with torch.no_grad():
        told, captions = student(_speech())
    assert student.group == group and told.shape == (2, frames, group * 12) and captions.shape[1] == 80
    assert pair(torch.zeros(2, 80, 12), group).shape == told.shape


# ---- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config, at, ctc", [(PLAIN, "encoder", 0.5), (PLAIN, "connector", 0.0),
                                             (SALMONN, "encoder", 0.0), (SALMONN, "connector", 0.5)])
def test_the_loss_falls_and_only_the_student_learns(checkpoint, config, at, ctc):
    teacher, batch = Teacher.load(str(checkpoint)), (_speech(), ["ab", "c"])
    torch.manual_seed(0)
    student = Student(config, at, 16, teacher.dim).train()
    before = [p.clone() for p in teacher.parameters()]
    optimiser, course = torch.optim.AdamW(student.parameters(), lr=0.01), []
    for _ in range(60):
        loss, parts = losses(student, teacher, batch, 1, ctc)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        course.append(parts)
    assert course[0]["l1_share"] > 1 and course[-1]["l1_share"] < 0.8, "better than any constant"
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, teacher.parameters(), strict=True))
    untouched = {n.split(".")[1] for n, p in student.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    assert ("ctc" in course[0]) == bool(ctc) and untouched <= ({"qformer"} if ctc else {"caption", "qformer"})


def test_bfloat16_learns_too(checkpoint):
    """As the loop computes on CUDA: parameters in float32, the rest as autocast sees fit."""
    teacher = Teacher.load(str(checkpoint))
    student = Student(SALMONN, "connector", 16, teacher.dim).train()
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = losses(student, teacher, (_speech(), ["ab", "c"]), 0, 0.5)
    loss.backward()
    assert loss.dtype == torch.float32 and torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in student.parameters())


# ---- the stage -------------------------------------------------------------------------------------------------------


@pytest.fixture
def room(tmp_path, monkeypatch, checkpoint):
    """A folder to work in with a bank of twelve utterances, and what writes a stage's file and runs it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(stages.STAGES, "distil", ("omni.train.distil", "DistilStage"))
    samples = (_speech(12, 0.5).numpy() * 32767).astype(np.int16)
    (tmp_path / "bank").mkdir()
    samples.tofile(tmp_path / "bank" / "audio.i16")
    (tmp_path / "bank" / "lines.jsonl").write_text("".join(json.dumps(
        {"start": 8000 * i, "count": 8000, "text": "ab c", "reply": "", "skill": "words", "source": "made",
         "dev": i % 4 == 0, "facts": {}}) + "\n" for i in range(12)))

    def run(*overrides: str, **settings) -> int:
        stage = {"stage": "distil", "teacher": str(checkpoint), "out": "run", "bank": "bank", "seconds": 1.6,
                 "batch": 2, "workers": 0, "encoder": {"dim": 16, "num_layers": 1, "num_heads": 2, "window": 8},
                 "loop": {"steps": 5, "threads": 1, "warmup": 2, "lr": 0.01}}
        merged = {k: v for k, v in {**stage, **settings}.items() if v is not None}
        (tmp_path / "stage.yaml").write_text(yaml.safe_dump(merged))
        return main(["train", "stage.yaml", *itertools.chain(*(("--set", o) for o in overrides))])

    return run


def test_a_stage_that_was_stopped_goes_on_bit_for_bit(room, tmp_path, monkeypatch):
    calls, plain = [], distil.losses

    def stopping(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(*args)

    assert room("out=straight", "ctc=0.5") == 0
    monkeypatch.setattr(distil, "losses", stopping)
    assert room("out=again", "ctc=0.5") == 0
    assert json.loads((tmp_path / "again" / "progress.json").read_text())["step"] == 2
    assert room("out=again", "ctc=0.5") == 0
    straight, again = (load_file(tmp_path / name / "model.safetensors") for name in ("straight", "again"))
    assert straight.keys() == again.keys() and all(torch.equal(straight[n], again[n]) for n in straight)
    assert not any("teacher" in n for n in load_file(tmp_path / "again" / "resume.safetensors"))
    told = json.loads((tmp_path / "again" / "run.json").read_text())
    assert len(told) == 2 and set(told[0]["data"]) == {"bank", "model.safetensors"}


def test_it_is_scored_on_development_speech_and_its_encoder_is_an_encoder(room, tmp_path):
    assert room("loop.checkpoint_minutes=0") == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    scores = [line for line in lines if "l1_dev" in line]
    assert len(scores) == 5 and scores[0]["l1_dev"] > 0 and "ctc" not in lines[-1]
    found = ears.load_encoder(tmp_path / "run")
    student = Student(EncoderConfig(dim=16, num_layers=1, num_heads=2, window=8), "encoder", 8, 12)
    student.encoder.load_state_dict(found)


def test_a_folder_of_audio_will_do_and_a_run_begins_from_another(room, tmp_path):
    (tmp_path / "speech" / "deep").mkdir(parents=True)
    for i in range(3):
        write_wav(tmp_path / "speech" / "deep" / f"{i}.flac", _speech(1, 2.5, i)[0].numpy(), 8_000 + 8_000 * i)
    assert room(bank=None, audio="speech") == 0
    assert (tmp_path / "run" / "audio.txt").read_text().split()[1::2] == [f"deep/{i}.flac" for i in range(3)]
    assert room("loop.steps=1", "loop.lr=0", out="next", init="run", at="connector", width=24) == 0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("run", "next"))
    assert all(torch.equal(second[n], first[n]) for n in first if n.startswith("encoder."))
    assert second["project.weight"].shape == (4 * 12, 24) and "connector.spell.weight" in second


@pytest.mark.parametrize("settings, told", [
    ({"audio": "bank"}, "give either bank or audio"), ({"bank": None}, "give either bank or audio"),
    ({"bank": None, "audio": "bank", "ctc": 1.0}, "ctc needs words"), ({"shift": 40}, "leaves nothing"),
    ({"bank": None, "audio": "nowhere"}, "is no folder"), ({"bank": None, "audio": "bank"}, "holds no speech"),
    ({"seconds": 3.0}, "hears 2 s at most"), ({"teacher": "no/such/folder"}, "no Whisper in safetensors there"),
    ({"seconds": 0.56}, "holds no speech"), ({"encoder": {"dim": 16, "layers": 1}}, "unknown key 'layers'")])
def test_what_cannot_be_learned_from_is_said_at_once(room, settings, told, capsys):
    assert room(**settings) == 2
    assert told in capsys.readouterr().err


def test_another_encoders_tensors_are_no_beginning(room, capsys):
    assert room() == 0
    assert room(out="next", init="run", encoder={"dim": 24, "num_layers": 1, "num_heads": 2, "window": 8}) == 2
    assert "run has no encoder." in capsys.readouterr().err


def test_the_projects_own_stages_are_valid_and_the_large_one_is_large():
    small, large = (load(DistilStage, data_path("configs", "train", size, "distil.yaml")) for size in ("tiny", "large"))
    assert small.bank == "runs/bank" and small.ctc and large.audio and large.count == 30 * SECOND
    with torch.device("meta"):
        count = sum(p.numel() for p in Student(large.encoder, large.at, large.width, 1280).encoder.parameters())
    assert 500e6 < count < 620e6


# ---- segments --------------------------------------------------------------------------------------------------------


def test_segments_hold_whole_utterances_with_pauses_and_their_words(room, tmp_path):
    lessons = Segments(tmp_path / "bank", False, 40_960, 3, seed=0)
    x, texts = lessons.open()(random.Random(1))
    again, _ = lessons.open()(random.Random(1))
    assert x.shape == (3, 40_960) and x.dtype == torch.float32 and torch.equal(x, again)
    assert all(2 <= len(t.split()) / 2 <= 4 for t in texts) and set(" ".join(texts).split()) == {"ab", "c"}
    assert (x.abs().amax(1) <= 1).all() and (x.abs().amax(1) > 0.08).all()
    dev = Segments(tmp_path / "bank", False, 40_960, 3, seed=0, dev=True).clips()
    assert len(dev) == 3 and len(lessons.clips()) == 9
