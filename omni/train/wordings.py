"""Stage "wordings": real orders come with slots and without words; the ears choose the words that fit best.

For each recording every part of an order (opening, article, order of the slots, closing ...) is tried in turn against
the caption head's CTC score until nothing fits better. Clear winners are written beside the bank, and every later
stage reads them as the recording's words. Development speakers are left alone.
"""

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from omni.base.config import LATER
from omni.data import bank
from omni.data.skills import orders
from omni.model.encoder import Encoder, EncoderConfig, caption_ids
from omni.model.features import EAR_FLOOR, LogMel
from omni.train import stages
from omni.train.ears_scores import padded


def score(log_probs_TC: Tensor, texts: list[str]) -> Tensor:
    """(len(texts),) CTC loss of each text, in nats."""
    ids = [torch.tensor(caption_ids(text)) for text in texts]
    lengths = torch.tensor([len(i) for i in ids])
    frames = torch.full((len(ids),), len(log_probs_TC))
    return F.ctc_loss(log_probs_TC[:, None].expand(-1, len(ids), -1), torch.cat(ids), frames, lengths, reduction="none")


def best(log_probs_TC: Tensor, slots: dict[str, str], rounds: int = 3) -> tuple[str, float, float]:
    """The wording of these slots that fits best, one part changed at a time; its loss a character; and by how many nats
    it fits better than the next one (infinite if there is no other)."""
    choices = orders.alternatives(slots)
    now = orders.Wording(**{name: values[0] for name, values in choices.items()})
    loss = float(score(log_probs_TC, [now.text()])[0])
    for _ in range(rounds):
        before = loss
        for name, values in choices.items():
            tried = [replace(now, **{name: value}) for value in values]
            losses = score(log_probs_TC, [w.text() for w in tried])
            now, loss = tried[int(losses.argmin())], float(losses.min())
        if loss >= before:
            break
    others = {w.text() for name, values in choices.items() for w in (replace(now, **{name: v}) for v in values)}
    others -= {now.text()}
    margin = float(score(log_probs_TC, sorted(others)).min()) - loss if others else math.inf
    return now.text(), loss / len(now.text()), margin


@dataclass(frozen=True, slots=True)
class WordingsStage:
    """Attributes:
        bank: folder whose orders get words; out: the same (the words are written beside the lines).
        ears: folder of a run of the ears, or weights by name or folder.
        most: nats a character above which no wording is a winner.
        margin: nats by which a winner fits better than any wording with one part changed; below it, no word of the
            recording is taken for known.
    """

    stage: Literal["wordings"]
    bank: str
    ears: str
    out: str = ""
    threads: int = 2
    most: float = 2.2
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    margin: float = field(default=0.0, metadata=LATER)


@torch.no_grad()
def train(stage: WordingsStage) -> None:
    """Write the wordings of a bank's real orders."""
    folder = Path(stage.out or stage.bank)
    torch.set_num_threads(stage.threads)
    features, encoder = LogMel(floor=EAR_FLOOR), Encoder(stage.encoder)
    known, _ = stages.ears_of(stage.ears)
    encoder.load_state_dict({n: known[f"encoder.{n}"] for n in encoder.state_dict()})  # other heads are not asked
    encoder.eval()
    found, kept = [], 0
    for u in tqdm([u for u in bank.load(Path(stage.bank)) if u.source == "coffee_orders" and not u.dev],
                  unit="orders"):
        x_BN = torch.from_numpy(padded(u.samples))[None]
        mel, own = features(x_BN), features(torch.zeros_like(x_BN))
        text, loss, margin = best(encoder.captions(encoder(mel, own))[0].log_softmax(-1), u.facts)
        clear = loss < stage.most and margin >= stage.margin
        kept += clear
        found.append({"name": u.name, "best": text, "text": text if clear else None,
                      "nats_a_character": round(loss, 3),
                      "margin": round(margin, 2) if math.isfinite(margin) else None})
    (folder / bank.WORDINGS).write_text("".join(json.dumps(line) + "\n" for line in found), encoding="utf-8")
    middle = np.median([line["nats_a_character"] for line in found])
    print(f"{kept} of {len(found)} orders have words now; median {middle:.2f} nats a character")
