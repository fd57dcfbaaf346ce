"""Stage "distil": a causal encoder learns to say what a Whisper encoder says, which has heard everything.

After SALMONN-omni (arXiv 2505.17060, section 3.1): L1 between the student's frames, widened by one linear layer, and
the teacher's hidden states, two neighbours of which stand beside one student frame. The teacher hears the whole
segment; the student hears what has been, and the rest of its own block.

    ms              0         20        40        60        80        100       120
    teacher, 50 Hz  0         1         2         3         4         5         6       frame k is centred on 20 k ms
    student, 25 Hz  [-------- 0 -------][-------- 1 -------][-------- 2 -------]        frame j has heard 40 (j + 1) ms
    pairs           (0,1)               (2,3)               (4,5)                       frame j says 2 j and 2 j + 1
    connector       [-------- 0 ---------------------------][-------- 1 ...             block b says 4 b to 4 b + 3

So the later half of a pair is centred 20 ms before the student frame's end (its convolutions reach 12.5 ms past that).
With `shift` s, frame j says what stands beside frame j - s: it has heard 40 s ms more when it is asked, and the first s
frames are asked nothing. An encoder of 50 Hz (SALMONN's) says one teacher frame a frame: frame j says frame j.

CTC on characters may run beside it. Only the student's tensors are stored; stages "ears" and "duplex" take its
`encoder.*`, and a connector that learned here has its tensors under `connector.*`.
"""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from omni.base.errors import ConfigError
from omni.base.timebase import Timebase, exact_div
from omni.data.numbered import loader
from omni.data.segments import Segments, listing
from omni.model.ears import EarsConfig, build_connector, build_encoder, embeddings_per_block
from omni.model.encoder import EncoderConfig, caption_ids
from omni.model.features import EAR_FLOOR, LogMel
from omni.model.teacher import FRAME, Teacher
from omni.train import loop, stages
from omni.train.ears_losses import ctc
from omni.train.loop import LoopConfig
from omni.train.team import leads

BLOCK = Timebase().block_samples
TEACHER_FRAMES = exact_div(BLOCK, FRAME)    # in a block: 4
DEV_BATCHES = 4


class Student(nn.Module):
    """Ears, and the linear layer that gives their frames the teacher's width; it is dropped afterwards.

    Attributes:
        group: teacher frames beside one student frame.
    """

    def __init__(self, config: EarsConfig, at: str, width: int, teacher_dim: int):
        """Args:
            at: "encoder", whose frames are taught, or "connector", what it gives for a block as one vector.
            width: of the connector's embeddings.
        """
        super().__init__()
        self.features = LogMel(num_mels=config.num_mels, floor=EAR_FLOOR)
        self.encoder = build_encoder(config)
        self.connector = build_connector(config, width) if at == "connector" else None
        per_block = config.block_frames if self.connector is None else 1
        self.group = exact_div(TEACHER_FRAMES, per_block)
        dim = config.dim if self.connector is None else width * embeddings_per_block(config)
        self.project = nn.Linear(dim, self.group * teacher_dim)

    def forward(self, x_BN: Tensor) -> tuple[Tensor, Tensor]:
        """Of whole blocks of speech: what the teacher would say (B, T, group * teacher dim), and caption logits."""
        mel, own = self.features(x_BN), self.features(torch.zeros_like(x_BN))
        frames = self.encoder(mel, own)
        told = frames
        if self.connector is not None:
            told = self.connector(frames).view(len(x_BN), x_BN.shape[1] // BLOCK, -1)
        return self.project(told), self.encoder.captions(frames)


def pair(teacher_BTD: Tensor, group: int) -> Tensor:
    """Teacher frames (B, group * T, D) as they stand beside student frames, (B, T, group * D)."""
    return teacher_BTD.unflatten(1, (-1, group)).flatten(2)


def distance(told_BTD: Tensor, taught_BTD: Tensor, shift: int = 0) -> tuple[Tensor, dict[str, float]]:
    """Mean absolute difference of frame j and what stood beside frame j - shift.

    The second number logged is its share of what a constant would be off: one is nothing learned.
    """
    told, taught = told_BTD[:, shift:].float(), taught_BTD[:, :taught_BTD.shape[1] - shift].float()
    loss = F.l1_loss(told, taught)
    flat = (taught - taught.mean((0, 1))).abs().mean()
    return loss, {"l1": loss.item(), "l1_share": (loss / flat.clamp(min=1e-9)).item()}


def losses(student: Student, teacher: Teacher, batch: tuple[Tensor, list[str]], shift: int,
           ctc_weight: float) -> tuple[Tensor, dict[str, float]]:
    """What is minimised over a batch of segments and their words, and its parts."""
    x_BN, texts = batch
    told, captions = student(x_BN)
    loss, parts = distance(told, pair(teacher(x_BN), student.group), shift)
    if ctc_weight:
        spelled = ctc(captions, [torch.tensor(caption_ids(text), dtype=torch.long) for text in texts])
        loss, parts["ctc"] = loss + ctc_weight * spelled, spelled.item()
    return loss, parts


def validator(segments: Segments, teacher: Teacher, shift: int, device: str):
    """A function that gives the distance on development speech, or None if there is none."""
    if not len(segments.clips()):
        return None
    batches = [x for x, _ in itertools.islice(segments, DEV_BATCHES)]

    def validate(student: Student) -> dict[str, float]:
        scores: dict[str, float] = {}
        for x in batches:
            x = x.to(device)
            for name, value in distance(student(x)[0], pair(teacher(x), student.group), shift)[1].items():
                scores[f"{name}_dev"] = scores.get(f"{name}_dev", 0.0) + value / len(batches)
        return {name: round(value, 4) for name, value in scores.items()}

    return validate


@dataclass(frozen=True, slots=True)
class DistilStage:
    """Attributes:
        teacher: a Whisper checkpoint in safetensors: a folder, or a name on the hub.
        out: folder of the run.
        bank: folder of stage "bank", or
        audio: a folder of audio files of any rate, searched to its depth; keep what you measure with elsewhere.
        init: folder of an earlier run of this stage or of the ears, whose tensors to start from.
        revision: of the teacher on the hub.
        at: what is taught, the encoder's frames or the connector's embeddings.
        width: of the connector's embeddings: the language model's.
        shift: student frames by which the teacher's are late.
        ctc: weight of CTC beside L1; a bank has the words for it.
        seconds: of a segment, at most what the teacher can hear (30); it costs the teacher the same if shorter.
        batch: segments in a batch.
        workers: processes that make batches.
    """

    stage: Literal["distil"]
    teacher: str
    out: str
    bank: str | None = None
    audio: str | None = None
    init: str | None = None
    revision: str = "main"
    at: Literal["encoder", "connector"] = "encoder"
    width: int = 256
    shift: int = 0
    ctc: float = 0.0
    seconds: float = 28.0
    batch: int = 4
    seed: int = 0
    workers: int = 1
    encoder: EarsConfig = field(default_factory=EncoderConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self):
        if (self.bank is None) == (self.audio is None):
            raise ValueError("give either bank or audio")
        if self.ctc and self.bank is None:
            raise ValueError("ctc needs words: give bank in place of audio")
        if not 0 <= self.shift < self.count // BLOCK:
            raise ValueError(f"shift {self.shift} leaves nothing of segments of {self.seconds} s")

    @property
    def count(self) -> int:
        """Samples of a segment: whole blocks."""
        return int(self.seconds * 16_000) // BLOCK * BLOCK


def train(stage: DistilStage) -> None:
    """Teach an encoder, and with it a connector where that is asked."""
    teacher = Teacher.load(stage.teacher, stage.revision)
    if stage.count > teacher.most:
        raise ConfigError(f"seconds: {stage.seconds}: this teacher hears {teacher.most // 16_000} s at most")

    def segments(dev: bool) -> Segments:
        return Segments(Path(stage.bank or stage.audio), stage.audio is not None, stage.count, stage.batch, stage.seed,
                        dev, transcribed=bool(stage.ctc))

    sources = _sources(stage)
    segments(dev=False).open()     # says at once if there is nothing to hear
    folder = stages.begin(stage, sources)
    torch.manual_seed(stage.seed)
    student = Student(stage.encoder, stage.at, stage.width, teacher.dim)
    if stage.init:
        _start_from(student, Path(stage.init))
    device = loop.own_device(stage.loop.device)
    teacher.to(device)

    def loss_of(student: Student, batch) -> tuple[Tensor, dict[str, float]]:
        return losses(student, teacher, batch, stage.shift, stage.ctc)

    loop.run(student, loader(segments(dev=False), stage.workers), loss_of, stage.loop, folder,
             validator(segments(dev=True), teacher, stage.shift, device))


def _sources(stage: DistilStage) -> list[Path]:
    """What the run's result comes from, as files and folders to be told by their hash."""
    teacher = sorted(Path(stage.teacher).glob("*.safetensors")) if Path(stage.teacher).is_dir() else []
    if stage.bank:
        return [Path(stage.bank), *teacher]
    if not Path(stage.audio).is_dir():
        raise ConfigError(f"audio: {stage.audio} is no folder")
    heard = Path(stage.out) / "audio.txt"
    if leads():
        heard.parent.mkdir(parents=True, exist_ok=True)
        heard.write_text(listing(Path(stage.audio)), encoding="utf-8")
    return [heard, *teacher]


def _start_from(student: Student, folder: Path) -> None:
    """Take every tensor of an earlier run that is there under the same name; the encoder must be there whole.

    Raises:
        ConfigError: it is not, or has other sizes.
    """
    known, own = load_file(folder / "model.safetensors"), student.state_dict()
    for name, tensor in own.items():
        if name.startswith("encoder.") and (name not in known or known[name].shape != tensor.shape):
            raise ConfigError(f"init: {folder} has no {name} of shape {tuple(tensor.shape)}")
    student.load_state_dict({n: known[n] for n in own.keys() & known.keys() if known[n].shape == own[n].shape},
                            strict=False)
