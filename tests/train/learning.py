"""What tests of several stages share: a short course of lessons, and speech that is nothing but tones."""

import numpy as np
import torch

from omni.model.encoder import caption_ids


def learn(parameters, loss_of, steps: int = 25, lr: float = 0.01) -> list[float]:
    """The losses of some steps on `loss_of`, which gives a loss and its parts; every number in them is finite."""
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


def tones(text: str, count: int) -> torch.Tensor:
    """A tone for each character, 80 ms long, after 100 ms of silence."""
    x = torch.zeros(count)
    for i, c in enumerate(caption_ids(text)):
        at = 1600 + 1280 * i
        x[at:at + 1280] = 0.3 * torch.sin(2 * torch.pi * (300 + 120 * c) * torch.arange(1280) / 16_000)
    return x
