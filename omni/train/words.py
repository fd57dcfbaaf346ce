"""Stage "words": the mind learns dialogue from streams of characters, before it has ears.

No sound is made: characters come as a caption head would spell them, with errors, and the connector's character
embeddings turn them into what the language model hears. A conversation costs a tenth of one with sound.

A head on the second layer names each word once it is complete, and is dropped afterwards: words must be put together
from letters before anything can be said back, and the replies alone teach that slowly.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from omni.data import skills
from omni.data.streams import SLOTS_PER_BLOCK, TextConversations
from omni.model.connector import NUM_CHARACTERS
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, THINK, Pieces
from omni.train import loop

HEARD_LAYER, HEARD_WEIGHT = 1, 0.5


def token_loss(logits_BTV: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """Weighted cross-entropy of the tokens, and the loss and recall of each kind apart."""
    target = batch["target"]
    losses = F.cross_entropy(logits_BTV.flatten(0, 1), target.flatten(), reduction="none").view_as(target)
    weight = batch["weight"]
    right = logits_BTV.argmax(-1) == target
    parts = {}
    for name, where in (("think", target == THINK), ("start", target == START_SPEAK), ("end", target == END_SPEAK),
                        ("piece", target >= FIRST_PIECE)):
        if where.any():
            parts[name] = losses[where].mean().item()
            parts[f"{name}_right"] = right[where].float().mean().item()
    return (losses * weight).sum() / weight.sum(), parts


class Reader(nn.Module):
    """The duplex model with characters in place of ears."""

    def __init__(self, model: DuplexModel):
        super().__init__()
        self.model = model
        layers = model.mind.model.get_decoder().layers
        self.heard = nn.Linear(model.token_in.in_features, len(model.pieces))
        layers[min(HEARD_LAYER, len(layers) - 1)].register_forward_hook(self._keep)

    def _keep(self, _module, _inputs, output) -> None:
        self.middle = output[0] if isinstance(output, tuple) else output

    def heard_loss(self, heard_BT: Tensor) -> tuple[Tensor, float]:
        """Cross-entropy of the words heard in the last forward, and the share named right."""
        m = self.model
        hidden = self.middle[:, m.positions - 1::m.positions][heard_BT >= 0]
        logits, target = self.heard(hidden), heard_BT[heard_BT >= 0]
        return F.cross_entropy(logits, target), (logits.argmax(-1) == target).float().mean().item()

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Token logits (B, T, V)."""
        m = self.model
        spelled = F.one_hot(batch["characters"], NUM_CHARACTERS).float()
        spelled = m.connector.silence_free(spelled).unflatten(1, (-1, SLOTS_PER_BLOCK)).flatten(2)
        ears = m.connector.characters(spelled)
        x = m.arrange(ears, torch.zeros_like(ears), m.think_of(batch["fed"], batch["backlog"]))
        offset = int(torch.randint(0, 4000, ())) if self.training else 0
        return m.mind.logits(m.mind(x, offset)[:, m.positions - 1::m.positions])


def freeze_voice(model: DuplexModel) -> None:
    """Voice and embedding table keep their weights, so that the mouth keeps its voice."""
    for p in model.mouth.parameters():
        p.requires_grad_(False)


def load_mouth(model: DuplexModel, folder: Path) -> None:
    """Take the mouth of a voice run."""
    tensors = load_file(folder / "model.safetensors")
    model.mouth.load_state_dict({k.removeprefix("mouth."): v for k, v in tensors.items() if k.startswith("mouth.")})


def main(argv: list[str] | None = None) -> None:
    """Train the mind on text."""
    parser = argparse.ArgumentParser(prog="omni train words", description=__doc__,
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--voice", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    args = parser.parse_args(argv)
    torch.manual_seed(0)
    pieces = Pieces(skills.vocabulary())
    model = DuplexModel(DuplexConfig(), pieces)
    load_mouth(model, args.voice)
    freeze_voice(model)
    for part in (model.encoder, model.own_in):
        for p in part.parameters():
            p.requires_grad_(False)
    reader = Reader(model)
    data = DataLoader(TextConversations(list(pieces.words), 256, 8, 0), batch_size=None, num_workers=1,
                      prefetch_factor=4)

    def loss_of(reader: Reader, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        loss, parts = token_loss(reader(batch), batch)
        named, parts["heard_right"] = reader.heard_loss(batch["heard"])
        return loss + HEARD_WEIGHT * named, {**parts, "heard": named.item()}

    loop.run(reader, iter(data), loss_of, loop.LoopConfig(args.minutes, args.lr, warmup=60, threads=args.threads),
             args.out)


if __name__ == "__main__":
    main()
