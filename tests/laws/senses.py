"""Ears with every head behind the face of `streaming`: captions by pieces, sounds, speech, and whole models of them."""

import tiny
from streaming import Ears, Plain, Whole

from omni.model.captions import CaptionBlock, PieceCaptions
from omni.model.encoder import Encoder


class Senses(Ears):
    """An encoder, its heads and their states."""

    def forward(self, inputs):
        frames = self.module(*self._split(inputs))
        return self._heads(frames, self.module.pieces(frames), inputs)

    def step(self, chunk, state, active):
        frames = self.module.step(*self._split(chunk), state, active)
        return self._heads(frames, self.module.pieces.step(frames, state["pieces"], active), chunk)

    def _heads(self, frames, pieces, inputs):
        units = inputs["x"].shape[1]
        return {**self._out(frames, inputs), "pieces": self.unpack(pieces, units),
                "sounds": self.module.sounds(frames), "speech": self.module.speech(frames)}


class WholeSenses(Whole):
    """A duplex model whose captions come by pieces."""

    def forward(self, inputs):
        model = self.module
        frames, _ = model.hear(inputs["room"].flatten(1), self.noted("own").flatten(1))
        return {**super().forward(inputs), "caption": self.caption(model.encoder.pieces(frames))}


MELS = {"units": 9, "shape": (8, 2 * tiny.MELS)}  # past two wraps of the attention's ring

# as `streaming.MODULES`
MODULES = {
    "CaptionBlock": lambda: Plain(tiny.randomise(CaptionBlock(8, 5)), longest=5, units=12, shape=(1, 8)),
    "PieceCaptions": lambda: Plain(tiny.randomise(PieceCaptions(8, 6, 2, 5)), longest=5, units=16, shape=(1, 8)),
    "Encoder, every head": lambda: Senses(tiny.randomise(Encoder(tiny.SENSES)), **MELS),
    "DuplexModel, every head": lambda: WholeSenses(tiny.duplex(seed=0, encoder=tiny.SENSES), units=16),
    "DuplexModel, reads its captions": lambda: WholeSenses(
        tiny.duplex(seed=12, encoder=tiny.SENSES, switches={"read_pieces": True}), units=16),
    "DuplexModel, reads what sounds": lambda: WholeSenses(
        tiny.duplex(seed=13, encoder=tiny.SENSES, switches={"read_sounds": True}), units=16),
    "DuplexModel, reads what sounded lately": lambda: WholeSenses(
        tiny.duplex(seed=14, encoder=tiny.SENSES, switches={"read_sounds": True, "sounds_kept_s": 0.4}), units=16),
    "DuplexModel, implicit and without own stream": lambda: WholeSenses(
        tiny.duplex("interleaved", seed=11, encoder=tiny.SENSES,
                    switches={"read_pieces": True, "thinking": "implicit", "own_stream": False}), units=16),
}
