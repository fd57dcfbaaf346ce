"""The teacher of stage "distil": the encoder of a Whisper checkpoint, as `transformers` has it, which never learns.

    samples, 16 kHz ──► log-mel, 100 Hz, padded to the teacher's length (30 s) ──► two convolutions, 50 Hz ──► hidden
"""

import torch
from torch import Tensor, nn
from transformers import WhisperFeatureExtractor, WhisperModel

from omni.base.errors import WeightsError
from omni.base.timebase import exact_div

SAMPLE_RATE_HZ = 16_000
FRAME = 320         # samples between two of its frames; frame k is centred on sample FRAME * k
_FRAMES_PER_S = SAMPLE_RATE_HZ // FRAME


class Teacher(nn.Module):
    """Speech (B, N) to hidden states (B, N / FRAME, dim), each seeing the whole of it. No gradient passes.

    Attributes:
        dim: width of the hidden states.
        most: samples it can hear at once; what is shorter is padded with silence, as in its own training.
    """

    def __init__(self, encoder: nn.Module):
        """Args:
            encoder: a `transformers` WhisperEncoder.

        Raises:
            ValueError: its length is no whole number of seconds.
        """
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.dim = encoder.config.d_model
        seconds = exact_div(encoder.config.max_source_positions, _FRAMES_PER_S)
        self.most = seconds * SAMPLE_RATE_HZ
        self._features = WhisperFeatureExtractor(feature_size=encoder.config.num_mel_bins, chunk_length=seconds)

    @classmethod
    def load(cls, name: str, revision: str = "main") -> "Teacher":
        """A checkpoint's encoder, by folder or by name on the hub. Reads safetensors only.

        Raises:
            WeightsError: there is none, or it is no Whisper.
        """
        try:
            model, told = WhisperModel.from_pretrained(name, revision=revision, use_safetensors=True,
                                                       output_loading_info=True, dtype=torch.float32)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise WeightsError(f"teacher {name}: no Whisper in safetensors there ({reason})") from error
        missing = sorted(key for key in told["missing_keys"] if key.startswith("encoder."))
        if missing:  # the library would go on with random numbers in their place
            raise WeightsError(f"teacher {name}: no Whisper there, tensor {missing[0]} is missing")
        return cls(model.get_encoder())

    def train(self, mode: bool = True) -> "Teacher":
        """It stays as it is."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, x_BN: Tensor) -> Tensor:
        """Raises:
            ValueError: the speech is longer than `most`.
        """
        if x_BN.shape[1] > self.most:
            raise ValueError(f"{x_BN.shape[1]} samples are more than the teacher's {self.most}")
        device = x_BN.device
        with torch.autocast(device.type, enabled=False):  # the library's features pass through numpy
            mel = self._features(list(x_BN.cpu().numpy()), sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt",
                                 device=str(device)).input_features
        return self.encoder(mel.to(device)).last_hidden_state[:, :exact_div(x_BN.shape[1], FRAME)]
