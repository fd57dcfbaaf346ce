"""LoRA (arXiv 2106.09685) on a frozen language model, by `peft`; afterwards its weights are plain ones again.

    q_proj ─► q_proj (frozen) + alpha / rank * B A     in training; B begins at zero
           ─► q_proj + alpha / rank * B A              merged: the names, shapes and class of before

What leads into the language model goes on learning: connector, own voice, token, queue. This is how SALMONN connects
ears to a language model that someone else has trained (arXiv 2310.13289).
"""

import warnings
from dataclasses import dataclass

from torch import nn

from omni.base.errors import ConfigError
from omni.model.duplex import DuplexModel


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Attributes:
        rank: of each update; alpha: it is scaled by alpha / rank.
        dropout: of what the update is given.
        targets: names of the layers that are adapted.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q_proj", "v_proj")

    def __post_init__(self) -> None:
        if self.rank < 1 or not 0 <= self.dropout < 1 or not self.targets:
            raise ValueError("rank must be 1 or more, dropout within 0 and 1, and at least one target named")


def adapt(model: DuplexModel, settings: LoraSettings) -> None:
    """Freeze the model's language model and let adapters learn in its place. In place; says the same as before.

    Raises:
        ConfigError: it has no layers of these names.
    """
    import peft  # here, since it takes seconds that stages without adapters need not wait for

    mind = model.mind.model
    mind.requires_grad_(False)
    config = peft.LoraConfig(r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout,
                             target_modules=list(settings.targets))
    try:
        with warnings.catch_warnings():  # peft 0.21 still asks transformers by an older name
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            peft.inject_adapter_in_model(config, mind)
    except ValueError as error:
        names = ", ".join(settings.targets)
        raise ConfigError(f"lora.targets: this language model has no layers called {names}") from error


def merge(model: DuplexModel) -> None:
    """Add what the adapters have learned to the weights that they adapt, and take them away. In place."""
    from peft.tuners.lora import LoraLayer

    mind: nn.Module = model.mind.model
    for name, layer in list(mind.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge()
            parent, _, child = name.rpartition(".")
            setattr(mind.get_submodule(parent), child, layer.get_base_layer())
