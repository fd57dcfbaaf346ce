"""Stage "adversary": the vocoder's last lessons, against judges that tell its sound from the teacher's.

Spectral distances are averages, and what is least wrong on average is smooth. Judges look at log magnitudes at three
resolutions, patch by patch (the discriminator of UnivNet, arXiv 2106.07889), by least squares (arXiv 1611.04076), and
lend their inner layers as a further distance (arXiv 1910.06711). They see no waveforms: the phase of the vocoder's
pulses is its own. Pieces, pointer and acoustic network stay as they are, so the result takes the place of the voice it
began from, without anything else being trained.

Both sides learn in one step: the vocoder's terms pass through judges that are held still, the judges' terms end at the
samples.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from omni.base.errors import ConfigError
from omni.data.numbered import loader
from omni.model.features import LogMel
from omni.model.mouth import Mouth, MouthConfig
from omni.model.synthesizer import Course
from omni.model.tokens import Pieces
from omni.train import loop, stages
from omni.train.loop import LoopConfig
from omni.train.team import leads
from omni.train.voice import Lessons, sounded, stft_loss

RESOLUTIONS = ((256, 64), (512, 128), (1024, 256))  # samples of a window, and between windows
_FLOOR = 1e-3


class Judge(nn.Module):
    """Samples (B, N) to verdicts on patches of their spectrogram, 1 for the teacher's and 0 for the vocoder's, and the
    layers before."""

    def __init__(self, n_fft: int, hop: int, channels: int):
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        shapes = [(1, (3, 9), (1, 1)), (channels, (3, 9), (1, 2)), (channels, (3, 9), (1, 2)),
                  (channels, (3, 5), (1, 2))]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(inputs, channels, kernel, stride, (kernel[0] // 2, kernel[1] // 2)))
            for inputs, kernel, stride in shapes)
        self.verdict = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, x_BN: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Verdicts (B, 1, T, bands), and what led to them."""
        spectrum = torch.stft(x_BN, self.n_fft, self.hop, window=self.window, return_complex=True).abs()
        y, layers = (spectrum + _FLOOR).log().transpose(1, 2)[:, None] / 4 + 0.5, []
        for layer in self.layers:
            y = F.leaky_relu(layer(y), 0.1)
            layers.append(y)
        return self.verdict(y), layers


class Contest(nn.Module):
    """The mouth, of which the vocoder learns, and its judges.

    Args:
        weight, matching: of the verdicts and of the judges' layers, beside the spectral distance.
    """

    def __init__(self, mouth: Mouth, channels: int, weight: float, matching: float):
        super().__init__()
        self.mouth, self.features = mouth, LogMel()
        self.judges = nn.ModuleList(Judge(n_fft, hop, channels) for n_fft, hop in RESOLUTIONS)
        self.weight, self.matching = weight, matching
        mouth.requires_grad_(False)
        mouth.vocoder.requires_grad_(True)

    def losses(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The vocoder's loss and the judges', added up."""
        with torch.no_grad():
            course = Course(*(batch[k] for k in ("window", "token", "place", "elapsed", "due")))
            frames = self.mouth.synthesizer(course, self.mouth.drives(course.token))
        made, real = sounded(self.mouth, self.features(batch["audio"]), frames, batch["f0"], batch["audio"])
        spectral, fooled, matched = stft_loss(made, real), made.new_zeros(()), made.new_zeros(())
        told = made.new_zeros(())
        for judge in self.judges:
            known, wanted = judge(real)
            told = told + judge(made.detach())[0].square().mean() + (known - 1).square().mean()
            judge.requires_grad_(False)  # what is asked of the vocoder teaches the judge nothing
            verdict, layers = judge(made)
            judge.requires_grad_(True)
            fooled = fooled + (verdict - 1).square().mean()
            pairs = [(a, b.detach()) for a, b in zip(layers, wanted, strict=True)]
            apart = [(a - b).abs().mean() / b.abs().mean().clamp(min=1e-3) for a, b in pairs]
            matched = matched + sum(apart) / len(apart)
        count = len(self.judges)
        parts = {"spectral": spectral, "fooled": fooled / count, "matched": matched / count, "told": told / count}
        loss = spectral + self.weight * parts["fooled"] + self.matching * parts["matched"] + parts["told"]
        return loss, {name: part.item() for name, part in parts.items()}


@dataclass(frozen=True, slots=True)
class AdversaryStage:
    """Attributes:
        lessons: file of the teacher's speech, of stage "voice".
        init: folder of a run of stage "voice".
        out: folder of the run, to be used as one of stage "voice".
        weight, matching: of `Contest`; channels: of a judge.
        blocks, batch: of a batch.
    """

    stage: Literal["adversary"]
    lessons: str
    init: str
    out: str
    weight: float = 0.05
    matching: float = 0.2
    channels: int = 16
    blocks: int = 16
    batch: int = 6
    seed: int = 0
    workers: int = 1
    mouth: MouthConfig = field(default_factory=MouthConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)


def train(stage: AdversaryStage) -> None:
    """Train the vocoder of a finished voice.

    Raises:
        ConfigError: there are no lessons, or `init` has another mouth.
    """
    if not Path(stage.lessons).exists():
        raise ConfigError(f"lessons: no file {stage.lessons}; stage \"voice\" makes it")
    pieces, before = Pieces.load(Path(stage.init) / "pieces.json"), Path(stage.init) / "model.safetensors"
    folder = stages.begin(stage, [Path(stage.lessons), before])
    torch.manual_seed(stage.seed)
    contest = Contest(Mouth(stage.mouth, len(pieces)), stage.channels, stage.weight, stage.matching)
    for name in stages.take(contest, load_file(before)):
        if name.startswith("mouth."):
            raise ConfigError(f"init: {stage.init} has no {name} of this shape")
    stream = Lessons(Path(stage.lessons), stage.blocks, stage.batch, stage.seed)
    loop.run(contest, loader(stream, stage.workers), lambda model, batch: model.losses(batch), stage.loop, folder)
    if leads():
        pieces.save(folder / "pieces.json")
