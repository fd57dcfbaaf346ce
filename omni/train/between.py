"""Weights between two of one family: part of what a run learned, with part of what it forgot.

    before ────────●──────── after         every tensor: (1 - share) * before + share * after
                share 0.5

After Wortsman et al. 2022 (arXiv 2109.01903): on the straight line from a model to what it became by going on, there is
often one that does the new nearly as well as the latter and the old nearly as well as the former.
"""

import argparse
import sys
from pathlib import Path

import torch

from omni.base.errors import OmniError, WeightsError
from omni.model.duplex import DuplexModel
from omni.model.weights import fingerprint, load_model, save_model
from omni.train.growing import CUT, TABLE, bring_sounds

_GROWN = {name.removeprefix("model.") for name in (TABLE, CUT)}    # runs that go on begin these with zeros, and sounds


@torch.no_grad()
def between(before: DuplexModel, after: DuplexModel, share: float) -> DuplexModel:
    """`after`, changed in place: what both have in common stays bit for bit.

    Args:
        share: 0 gives the tensors of `before`, 1 those of `after`.

    Raises:
        ValueError: the share is not from 0 to 1.
        WeightsError: they say other pieces, or a tensor is in one of them alone or of another shape.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; it is from 0 to 1")
    if before.pieces.words != after.pieces.words:
        raise WeightsError("the two say other pieces, so that their rows are not of the same words")
    known = bring_sounds({f"model.{name}": t for name, t in before.state_dict().items()}, after)
    old = {name.removeprefix("model."): t for name, t in known.items()}
    new = {name: t.clone() for name, t in after.state_dict().items()}
    for name in old.keys() - new.keys() | (new.keys() - old.keys() - _GROWN):
        raise WeightsError(f"tensor {name} is in one of the two alone")
    for name, tensor in after.state_dict().items():
        was = old.get(name, torch.zeros_like(tensor))
        if was.shape != tensor.shape:
            raise WeightsError(f"tensor {name} is of shape {list(was.shape)} before and {list(tensor.shape)} after")
        if tensor.is_floating_point() and not torch.equal(was, new[name]):
            tensor.copy_((1 - share) * was + share * new[name])
    return after


def main() -> int:
    """Write the weights between two."""
    parser = argparse.ArgumentParser(prog="python -m omni.train.between", description="Write the weights between two "
                                     "of one family, such as those that a run began with and those that it came to.")
    parser.add_argument("before", help="weights by name or folder")
    parser.add_argument("after", help="likewise; those that have what the others may lack")
    parser.add_argument("--share", type=float, default=0.5, metavar="S", help="0: those before, 1: those after "
                        "(default: %(default)s)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="gets the weights")
    args = parser.parse_args()
    try:
        model = between(load_model(args.before), load_model(args.after), args.share)
    except (OmniError, ValueError) as error:
        parser.error(str(error))
    save_model(model, args.out)
    print(f"{args.out}: {fingerprint(args.out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
