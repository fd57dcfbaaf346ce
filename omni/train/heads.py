"""What the mind is asked while it learns, besides its tokens; dropped afterwards.

Replies teach a small mind slowly that words are made of letters and that a reply is made of words it heard. Two heads
ask for both directly. Both read a layer through a norm of their own and answer through the language model's own output
weights, so that what they bring into the residual stream is there in the terms in which pieces are said.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.model.duplex import DuplexModel
from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, THINK

HEARD_LAYER, PLAN_LAYER = 1, 4


class MindHeads(nn.Module):
    """Heads on two layers of a model's mind; they read what its last `forward` left there.

    The second layer names each word once it is complete; the fifth, at `<start_speak>`, names the pieces of the reply,
    in any order.
    """

    def __init__(self, model: DuplexModel):
        super().__init__()
        width, layers = model.token_in.in_features, model.mind.model.get_decoder().layers
        self.heard_norm, self.plan_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self._model, self._left = [model], {}  # in a list, so that the model is no part of this module
        for name, at in (("heard", HEARD_LAYER), ("plan", PLAN_LAYER)):
            layers[min(at, len(layers) - 1)].register_forward_hook(self._keep(name))

    def _keep(self, name: str):
        def hook(_module, _inputs, output) -> None:
            every = self._model[0].positions
            self._left[name] = (output[0] if isinstance(output, tuple) else output)[:, every - 1::every]
        return hook

    def heard(self) -> Tensor:
        """Logits (B, T, V) of the word that each block completes."""
        return self._model[0].mind.logits(self.heard_norm(self._left["heard"]))

    def named(self, heard_BT: Tensor) -> tuple[Tensor, float]:
        """Cross-entropy of the words complete in known blocks (-1 elsewhere), and the share named right."""
        known = heard_BT >= 0
        logits = self._model[0].mind.logits(self.heard_norm(self._left["heard"][known]))
        return F.cross_entropy(logits, heard_BT[known]), (logits.argmax(-1) == heard_BT[known]).float().mean().item()

    def spelled(self, spans: list[tuple[int, int, int, Tensor]]) -> Tensor:
        """CTC loss a word of stretches (row, first block, one past the last, pieces); `<think>` is the blank."""
        logits = self.heard().log_softmax(-1)
        cut = nn.utils.rnn.pad_sequence([logits[row, first:last] for row, first, last, _ in spans])
        lengths = torch.tensor([last - first for _, first, last, _ in spans])
        words = torch.tensor([len(pieces) for *_, pieces in spans])
        losses = F.ctc_loss(cut, torch.cat([pieces for *_, pieces in spans]), lengths, words, blank=THINK,
                            reduction="none", zero_infinity=True)
        return losses.sum() / words.sum().clamp(min=1)

    def planned(self, target_BT: Tensor) -> tuple[Tensor, float]:
        """Cross-entropy of the pieces of the replies that begin, each piece of a reply weighing the same, and the share
        of pieces among as many most likely ones."""
        found = replies(target_BT)
        if not found:
            return self._left["plan"].sum() * 0, 0.0
        where = torch.tensor([(row, block) for row, block, _ in found])
        logits = self._model[0].mind.logits(self.plan_norm(self._left["plan"][where[:, 0], where[:, 1]]))
        losses, right = [], 0.0
        for scores, (*_, pieces) in zip(logits.log_softmax(-1), found, strict=True):
            losses.append(-scores[pieces].mean())
            right += torch.isin(scores.topk(len(pieces)).indices, pieces).float().mean().item()
        return torch.stack(losses).mean(), right / len(found)


def replies(target_BT: Tensor, most: int = 60) -> list[tuple[int, int, Tensor]]:
    """(row, block of `<start_speak>`, distinct pieces) of the replies that begin, as far as `most` blocks tell."""
    found = []
    for row, block in (target_BT == START_SPEAK).nonzero().tolist():
        rest = target_BT[row, block + 1:block + 1 + most]
        ends = (rest == END_SPEAK).nonzero()
        rest = rest[:int(ends[0])] if len(ends) else rest
        pieces = rest[rest >= FIRST_PIECE].unique()
        if len(pieces):
            found.append((row, block, pieces))
    return found
