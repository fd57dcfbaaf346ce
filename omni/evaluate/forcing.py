"""Floor and pieces given to a model in use, for `omni bench` alone: whether weights answer noise is theirs, and what a
block costs while they speak must not hang on it.

The logits of two tokens a row are overruled, nothing else. Ears, language model and its output layer run in full, and
grammar, queue, synthesizer, vocoder, own stream and engine go on from the token as from one of the model's own. Nothing
on the serving path knows of it.

    a round of 50 blocks    0                   20       25                                   50
    room                    | noise is loud     | noise is low                                |
    agent, share 0.5        | <think>                    | <start_speak> piece ... <end_speak> |

A piece comes as soon as fewer than two wait, `<think>` until then, and `<end_speak>` once all of them have sounded.
Rounds are short, so that what else a machine does falls on both of their halves.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from omni.base.events import BlockResult
from omni.model.duplex import DuplexModel
from omni.model.tokens import END_SPEAK, FIRST_PIECE, START_SPEAK, THINK

ROUND = 50          # blocks: 4 s
APART = 3           # blocks from one row's round to the next one's, so that rows do not all speak at once
_BEGINS = 25        # in the round, 0.4 s after what was loud
_RINGS = 10         # blocks that a reply goes on, about, after the last block in which a piece may come
_FIRST, _SECOND = 2_000.0, 1_000.0      # logits beyond all others


class Forcing:
    """Rows of one model that speak in a given share of blocks, while it is entered.

    Every block: `tell` before the engine's step, `see` after it. One at a time for a model.
    """

    def __init__(self, model: DuplexModel, num_rows: int, share: float = 0.5, seed: int = 0):
        """Args:
            model: the one that the engine steps.
            num_rows: the engine's capacity.
            share: of each round in which the agent is to have the floor, about; 0 for never, 1 for always.
            seed: of the pieces, drawn of all that the model has.

        Raises:
            ValueError: that is no share.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"a share of blocks is from 0 to 1, not {share:g}")
        blocks = round(share * ROUND)
        self._gives = blocks if blocks in (0, ROUND) else max(blocks - _RINGS, 2)
        self._model, self._rng = model, np.random.default_rng(seed)
        self._speaking, self._unsaid = [False] * num_rows, [0] * num_rows
        # (rows, 1) what every row is to decide; `<think>` where the grammar forbids that
        self._token = torch.full((num_rows, 1), THINK, device=model.backlog.weight.device)
        self._hook = None

    def __enter__(self) -> "Forcing":
        self._hook = self._model.mind.model.get_output_embeddings().register_forward_hook(self._overrule)
        return self

    def __exit__(self, *exception) -> None:
        self._hook.remove()

    def tell(self, block: int) -> None:
        """Say what every row decides in the next step, which is number `block` for all of them."""
        wished = [self._wish(row, block) for row in range(len(self._speaking))]
        self._token.copy_(torch.tensor(wished)[:, None])

    def see(self, results: Mapping[int, BlockResult]) -> None:
        """Note what became of it, by row."""
        for row, result in results.items():
            self._speaking[row] = result.speaking
            self._unsaid[row] += (result.token >= FIRST_PIECE) - len(result.ended)

    def _wish(self, row: int, block: int) -> int:
        gives = (block + APART * row - _BEGINS) % ROUND < self._gives
        if not self._speaking[row]:
            return START_SPEAK if gives else THINK
        if gives:
            return int(self._rng.integers(FIRST_PIECE, len(self._model.pieces)))
        return THINK if self._unsaid[row] else END_SPEAK

    def _overrule(self, module, inputs, logits_BV: Tensor) -> Tensor:
        logits_BV = logits_BV.clone()
        logits_BV[:, THINK] = _SECOND
        return logits_BV.scatter_(1, self._token, _FIRST)
