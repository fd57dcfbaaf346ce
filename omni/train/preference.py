"""Preference training on decisions about the floor: DPO (arXiv 2305.18290) where two courses part in one token.

    block        t-3      t-2      t-1      t
    chosen     <think>  <think>  <think>  <start_speak>     what the oracle has
    rejected   <start>  <start>  <start>  <think>           the other decision, after the same past

A pair's two courses share everything up to the block in which they part, and only that block is compared: both
likelihoods are there after one forward. For `<end_speak>` the other decision is what the starting mind would most
likely have said instead, a piece or `<think>`. Compared are blocks in which a change of floor is due, up to `within`
blocks before it, and wherever the starting mind would have decided otherwise about the floor. The four kinds of pairs
weigh the same: otherwise waiting, of which there is most, would win.

The reference is the mind as this training began. With weight 0 the same steps are taken without preference: what it is
to be compared with.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from omni.model.cuts import is_cut
from omni.model.duplex import DuplexModel
from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, THINK

KINDS = ("start", "early_start", "end", "early_end")


@dataclass(frozen=True, slots=True)
class PreferenceSettings:
    """Attributes:
        beta: how far the mind may go from where it began; the smaller, the farther.
        weight: of the preference loss beside the others, which go on as they are.
        within: blocks before a change of floor in which it would be too early.
    """

    beta: float = 0.1
    weight: float = 1.0
    within: int = 12

    def __post_init__(self) -> None:
        if self.beta <= 0 or self.weight < 0 or self.within < 0:
            raise ValueError("beta must be positive, weight and within not negative")


def has_floor(fed_BT: Tensor) -> Tensor:
    """(B, T) bool, whether the agent has the floor as each block begins, from the tokens fed.

    Rows may begin in the middle of a conversation: what the floor was then is told by what becomes of it.
    """
    gave = (fed_BT == END_SPEAK) | is_cut(fed_BT)
    event = gave | (fed_BT == START_SPEAK)
    index = torch.arange(fed_BT.shape[1], device=fed_BT.device).expand_as(fed_BT)
    last = torch.where(event, index, -1).cummax(1).values
    first = event.long().argmax(1, keepdim=True)
    speaks = (fed_BT >= FIRST_PIECE).any(1, keepdim=True)
    before = torch.where(event.any(1, keepdim=True), gave.gather(1, first), speaks)
    return torch.where(last >= 0, fed_BT.gather(1, last.clamp(min=0)) == START_SPEAK, before)


def pairs(target_BT: Tensor, fed_BT: Tensor, reference_BTV: Tensor, within: int) -> tuple[Tensor, Tensor, Tensor]:
    """What is chosen and what is rejected in each block, (B, T) int64 each, and the kind of pair it is as an index into
    `KINDS`, -1 where there is none.

    Args:
        reference_BTV: logits of the starting mind.
    """
    speaking = has_floor(fed_BT)
    change = torch.where(speaking, END_SPEAK, START_SPEAK)
    due = target_BT == change
    stays = torch.full_like(reference_BTV, float("-inf"))
    stays[..., THINK] = reference_BTV[..., THINK]
    stays[..., FIRST_PIECE:] = reference_BTV[..., FIRST_PIECE:].masked_fill(~speaking[..., None], float("-inf"))
    best, stay = stays.max(-1)
    chosen, rejected = target_BT, torch.where(due, stay, change)
    soon = F.max_pool1d(F.pad(due.float(), (0, within)), within + 1, stride=1) > 0
    would_change = reference_BTV.gather(-1, change[..., None])[..., 0] > best
    # where the floor is another than the target knows of, nothing is compared
    sensible = torch.where(speaking, (target_BT >= FIRST_PIECE) | (target_BT == THINK), target_BT == THINK) | due
    kind = 2 * speaking + (~due).long()
    return chosen, rejected, torch.where((soon | (would_change != due)) & sensible, kind, -1)


class Preference:
    """The loss, and the mind that it is measured from.

    Args:
        model: as it is now; it is copied.
    """

    def __init__(self, settings: PreferenceSettings, model: DuplexModel, device: str = "cpu"):
        self.settings = settings
        # built anew: a copy would keep the hooks of the mind's heads and leave in them what it sees
        self._reference = DuplexModel(model.config, model.pieces, model.vocabulary)
        self._reference.load_state_dict(model.state_dict())
        self._reference.eval().requires_grad_(False).to(device)

    def __call__(self, logits_BTV: Tensor, heard: tuple[Tensor, Tensor] | None, batch: dict[str, Tensor],
                 offset: int) -> tuple[Tensor, dict[str, float]]:
        """The weighted loss, and what is to be logged.

        Args:
            logits_BTV: of the mind that learns.
            heard: what `DuplexModel.hear` gave, if its ears are still those of the reference; else it hears anew.
            batch: a lesson's, with `room`, `own`, `fed`, `backlog`, `target` and `weight`; blocks of weight 0 are left
                out.
            offset: of the language model's positions.
        """
        with torch.no_grad():
            heard = heard or self._reference.hear(batch["room"], batch["own"])
            before = self._reference.decide(*heard, batch["fed"], batch["backlog"], offset)[0].float()
            chosen, rejected, kind = pairs(batch["target"], batch["fed"], before, self.settings.within)
            kind = kind.masked_fill(batch["weight"] == 0, -1)
        gained = _margin(logits_BTV.float(), chosen, rejected) - _margin(before, chosen, rejected)
        losses = -F.logsigmoid(self.settings.beta * gained)
        found = [(name, kind == i) for i, name in enumerate(KINDS) if (kind == i).any()]
        if not found:
            return logits_BTV.sum() * 0, {}
        loss = torch.stack([losses[where].mean() for _, where in found]).mean()
        parts = {f"gained_{name}": gained[where].mean().item() for name, where in found}
        right = (_margin(logits_BTV, chosen, rejected) > 0)[kind >= 0].float().mean().item()
        return self.settings.weight * loss, {"preference": loss.item(), "preferred_right": right, **parts}


def _margin(logits_BTV: Tensor, chosen_BT: Tensor, rejected_BT: Tensor) -> Tensor:
    """Log-likelihood of what is chosen less that of what is rejected."""
    both = logits_BTV.gather(-1, torch.stack([chosen_BT, rejected_BT], -1))
    return both[..., 0] - both[..., 1]
