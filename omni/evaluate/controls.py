"""Agents whose numbers must collapse: if they do not, a suite measures something else than listening.

    swapped         every conversation hears another one's microphone
    deaf            hears nothing but digital silence
    random_weights  the same model, never trained
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from omni.base.events import BlockInput, BlockResult
from omni.engine.engine import Engine
from omni.model.duplex import DuplexModel

CONTROLS = ("swapped", "deaf", "random_weights")


class Rewired:
    """An engine whose conversations hear something else than their own rooms; otherwise as `Engine`.

    Args:
        engine: does the work.
        deaf: whether they hear silence; if not, each hears the room of the conversation in the slot before it that
            goes on now (the last one left hears silence).
    """

    def __init__(self, engine: Engine, deaf: bool):
        self.timebase, self.capacity = engine.timebase, engine.capacity
        self.open, self.close = engine.open, engine.close
        self._engine, self._deaf = engine, deaf

    @property
    def num_open(self) -> int:
        """Conversations open now."""
        return self._engine.num_open

    def step(self, inputs: Mapping[int, BlockInput]) -> dict[int, BlockResult]:
        """One block for the conversations in `inputs`."""
        slots = sorted(inputs)
        alone = self._deaf or len(slots) == 1
        rooms = [np.zeros_like(inputs[s].room) if alone else inputs[slots[i - 1]].room for i, s in enumerate(slots)]
        return self._engine.step({s: BlockInput(room.copy(), inputs[s].unplayed)
                                  for s, room in zip(slots, rooms, strict=True)})


def random_weights(model: DuplexModel, seed: int = 0) -> DuplexModel:
    """The same model as it was before it learned anything."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = DuplexModel(model.config, model.pieces, model.vocabulary)
    return fresh.eval()


def random_captions(model: DuplexModel, seed: int = 0) -> None:
    """Scramble every head of the ears in place, captions, sounds and speech: what is decided must not move by a bit.

    Captions by pieces and sounds stay where the mind reads them (`read_pieces`, `read_sounds`): there they are no mere
    by-product.
    """
    encoder = model.encoder
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        read = (model.reader and encoder.pieces, model.sound_reader and encoder.sounds)
        for head in (encoder.caption, encoder.pieces, encoder.sounds, encoder.speech):
            for parameter in head.parameters() if head is not None and head not in read else ():
                nn.init.normal_(parameter)
