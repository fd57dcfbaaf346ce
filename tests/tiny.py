"""Models small enough that a test of all their parts takes a moment, with weights that make every part matter.

Several layers of the real ones begin at zero, so that training starts from something plain; a law that holds because
a layer adds nothing says little. `randomise` gives each parameter a share in the output.
"""

import dataclasses
import math

import torch
from torch import nn

from omni.model.captions import WORD_START, Vocabulary
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.ears import EarsConfig
from omni.model.encoder import CAPTION_CHARACTERS, EncoderConfig
from omni.model.language_model import LanguageModelConfig
from omni.model.mouth import Mouth, MouthConfig
from omni.model.synthesizer import ABSENT, SynthesizerConfig
from omni.model.tokens import END_SPEAK, START_SPEAK, Pieces
from omni.model.vocoder import VocoderConfig

WORDS = ["one", "two", "three", "four"]
WIDTH = 16
MELS = 16

ENCODER = EncoderConfig(num_mels=MELS, dim=16, num_layers=1, num_heads=2, kernel=3, window=4, block_frames=2)
MOUTH = MouthConfig(SynthesizerConfig(drive_dim=WIDTH, dim=16, num_layers=2, kernel=3, phone_dim=6, colour_dim=5,
                                      hidden_dim=12, num_mels=MELS, max_phones=4, max_frames=7),
                    VocoderConfig(num_mels=MELS, dim=16, num_layers=1, kernel=3, noise_samples=5_000))


def language_model(model_type: str = "llama", window: int = 5, pinned: int = 0, num_layers: int = 1,
                   **settings) -> LanguageModelConfig:
    """A stock class at a size of nothing."""
    sizes = {"hidden_size": WIDTH, "intermediate_size": 24, "num_hidden_layers": num_layers, "num_attention_heads": 2,
             "num_key_value_heads": 1, "max_position_embeddings": 4096, "tie_word_embeddings": False}
    return LanguageModelConfig(model_type, {**sizes, **settings}, window, pinned)


def randomise(module: nn.Module, seed: int = 0, std: float = 0.35) -> nn.Module:
    """Draw every parameter anew; gains of norms stay near one. In eval mode, in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_(std=std, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.mul_(0.3).add_(1)
    return module.eval()


def steady(mouth: Mouth, hz: float = 170.0, level: float = -3.0) -> Mouth:
    """One pitch and voicing always, far from clipping.

    The number of harmonics is a floor of the pitch: two ways to sum a network differ in its last bit, and a sound in a
    whole harmonic. Where sums are compared, the pitch stands still. In place.
    """
    leave = mouth.synthesizer.leave
    with torch.no_grad():
        leave.weight[MELS:] = 0.0
        leave.bias[:MELS] += level
        leave.bias[MELS], leave.bias[MELS + 1] = math.log2(hz / 200), 1.0
    return mouth


def even(mouth: Mouth, frames: int) -> Mouth:
    """Every piece is one phone of so many frames. In place."""
    synthesizer = mouth.synthesizer
    synthesizer.config = dataclasses.replace(synthesizer.config, max_frames=frames)
    with torch.no_grad():
        synthesizer.spell_out.bias.view(synthesizer.config.max_phones, -1)[1:, ABSENT] = 1e4
        synthesizer.timing[-1].bias.fill_(1e4)
    return mouth


def duplex(layout: str = "summed", temperature: float = 0.0, seed: int = 0, restless: bool = True,
           encoder: EarsConfig = ENCODER, switches: dict | None = None, **mind) -> DuplexModel:
    """A whole duplex model with random weights.

    Restless, it takes the floor and gives it up more often than chance would have it, so that replies are cut too.
    `switches` are further fields of its configuration.
    """
    config = DuplexConfig(encoder=encoder, language_model=language_model(**mind), mouth=MOUTH, layout=layout,
                          temperature=temperature, **(switches or {}))
    vocabulary = VOCABULARY if encoder.caption_pieces else None
    model = randomise(DuplexModel(config, Pieces(WORDS), vocabulary), seed)
    with torch.no_grad():  # random frames are so loud that everything would be clipped
        model.mouth.synthesizer.leave.bias[:MELS] -= 2.0
    if restless:
        plain, lift = model.mind.logits, torch.zeros(len(model.pieces))
        lift[START_SPEAK], lift[END_SPEAK] = 2.0, 1.5
        model.mind.logits = lambda hidden: plain(hidden) + lift
    return model


# ears with every head that there is
VOCABULARY = Vocabulary([*CAPTION_CHARACTERS[1:], WORD_START, WORD_START + "t", "wo", WORD_START + "two", "ee"])
SENSES = dataclasses.replace(ENCODER, caption_pieces=len(VOCABULARY), caption_layers=1, sounds=3, speech=True)
