"""Stage "duplex": ears and mind together, on whole conversations with sound, own voice and echo."""

import argparse
import random
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from omni.data import skills
from omni.data.numbered import loader
from omni.data.streams import SoundConversations
from omni.model.duplex import DuplexConfig, DuplexModel
from omni.model.tokens import Pieces
from omni.model.weights import save_model
from omni.train import loop
from omni.train.ears import ctc, load_encoder
from omni.train.heads import MindHeads
from omni.train.words import freeze_voice, load_mouth, token_loss

SLOTS = 4  # caption slots in a block
HEARD_WEIGHT, PLAN_WEIGHT = 0.1, 0.2


class Lesson(nn.Module):
    """The whole model, and the heads of its mind."""

    def __init__(self, model: DuplexModel):
        super().__init__()
        self.model, self.heads = model, MindHeads(model)


def losses(lesson: Lesson, batch: dict) -> tuple[Tensor, dict[str, float]]:
    """Token loss, the heads' losses, and CTC on the stretches whose words are known."""
    offset = random.randrange(4000)
    logits, captions, _ = lesson.model(batch["room"], batch["own"], batch["fed"], batch["backlog"], offset)
    loss, parts = token_loss(logits, batch)
    plan, parts["plan_right"] = lesson.heads.planned(batch["target"])
    parts["plan"] = plan.item()
    loss = loss + PLAN_WEIGHT * plan
    spans = [(row, *span) for row, found in enumerate(batch["captions"]) for span in found]
    if spans:
        heard = lesson.heads.spelled([(row, first, last, words) for row, first, last, _, words in spans])
        parts["heard"] = heard.item()
        loss = loss + HEARD_WEIGHT * heard
        longest = max(last - first for _, first, last, *_ in spans) * SLOTS
        cut = [captions[row, first * SLOTS:last * SLOTS] for row, first, last, *_ in spans]
        blank = torch.zeros(longest, captions.shape[-1])
        blank[:, 0] = 12.0  # padding says blank
        padded = torch.stack([torch.cat([c, blank[len(c):]]) for c in cut])
        spelled = ctc(padded, [ids for *_, ids, _ in spans])
        parts["ctc"] = spelled.item()
        loss = loss + 0.3 * spelled
    return loss, parts


def main(argv: list[str] | None = None) -> None:
    """Join ears, mind and voice, and train on sound."""
    parser = argparse.ArgumentParser(prog="omni train duplex", description=__doc__,
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--ears", type=Path)
    parser.add_argument("--words", type=Path)
    parser.add_argument("--voice", type=Path, help="take the mouth of this run instead of the words run's")
    parser.add_argument("--init", type=Path, help="go on from this run of the stage, with a new schedule")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lr", type=float, default=8e-4)
    parser.add_argument("--blocks", type=int, default=250)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0, help="of the conversations")
    parser.add_argument("--drills", type=int, default=2, help="rows of each batch that are turn upon turn")
    args = parser.parse_args(argv)
    torch.manual_seed(1)
    random.seed(1)
    pieces = Pieces(skills.vocabulary())
    model = DuplexModel(DuplexConfig(), pieces)
    lesson = Lesson(model)
    if args.words:
        tensors = load_file(args.words / "model.safetensors")
        lesson.load_state_dict(tensors)
        for p in model.own_in.parameters():  # its own voice says nothing to the mind yet, rather than noise
            nn.init.zeros_(p)
    if args.voice:
        load_mouth(model, args.voice)
    if args.ears:
        model.encoder.load_state_dict(load_encoder(args.ears))
        with torch.no_grad():
            model.connector.spell.weight.copy_(model.encoder.caption.weight)
            model.connector.spell.bias.copy_(model.encoder.caption.bias)
    if args.init:
        lesson.load_state_dict(load_file(args.init / "model.safetensors"))
    freeze_voice(model)
    stream = SoundConversations(args.bank, model.mouth.eval(), list(pieces.words), args.blocks, args.batch, args.seed,
                                drills=args.drills)
    config = loop.LoopConfig(args.minutes, args.lr, warmup=60, threads=args.threads, checkpoint_minutes=4)
    loop.run(lesson, loader(stream), losses, config, args.out)
    save_model(model, args.out / "weights")


if __name__ == "__main__":
    main()
