"""Captions by pieces of words: frequent words whole, others in parts, letter by letter at worst.

People say up to 29 characters a second but five or six words, so one slot a 25 Hz frame is enough. The head is trained
by CTC (Graves et al., ICML 2006) and keeps a short memory of its own; it may emit a piece some frames after the word's
end, which is all the lookahead there is. Only a model that is told to (`DuplexConfig.read_pieces`) reads what it says.

    frames       | e   i   g   h   t |   |   |   |
    "▁eight"                       ^-------^           any of these, for the least loss

A piece that begins a word starts with "▁". Id 0 is the CTC blank, piece i of the list has id i + 1.
"""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.base.errors import WeightsError
from omni.nn.conv import CausalConv1d
from omni.nn.state import State

CAPTIONS_FILE = "captions.json"
WORD_START = "▁"
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz'"
_UNDONE = 0.3  # share of the joins of a word that is taken apart otherwise than usual


class Vocabulary:
    """A list of pieces, single characters first, each later one a join of two earlier ones.

    A word is taken apart as by byte-pair encoding (arXiv 1508.07909): the two neighbours whose join comes first in
    the list are joined, again and again. So the list is all there is to keep.
    """

    def __init__(self, pieces: Iterable[str]):
        self.pieces = tuple(pieces)
        if len(set(self.pieces)) != len(self.pieces):
            raise ValueError("pieces are not unique")
        for character in (WORD_START, *_CHARACTERS):
            if character not in self.pieces:
                raise ValueError(f"no piece {character!r}, so some words could not be written")
        self._ranks = {piece: i for i, piece in enumerate(self.pieces)}
        self._whole: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.pieces)

    @classmethod
    def learn(cls, texts: Iterable[str], most: int, at_least: int = 20) -> "Vocabulary":
        """Join the pairs that are most frequent in the texts, until there are `most` pieces or no pair is as frequent
        as `at_least`."""
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # a training run needs it, a talk does not

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(WORD_START, prepend_scheme="always")
        trainer = trainers.BpeTrainer(vocab_size=most, min_frequency=at_least, show_progress=False,
                                      initial_alphabet=[WORD_START, *_CHARACTERS])
        tokenizer.train_from_iterator((" ".join(plain_words(text)) for text in texts), trainer)
        ids = tokenizer.get_vocab()
        return cls(sorted(ids, key=ids.__getitem__))

    def encode(self, text: str, dropout: float = 0.0, draw: Callable[[], float] | None = None) -> list[list[int]]:
        """Ids of each word of a text; what has no character is left out.

        Args:
            dropout: share of words some of whose joins are left undone (BPE-dropout, arXiv 1910.13267).
            draw: gives numbers in [0, 1) for that, such as a generator's `random`; needed only with `dropout`.
        """
        words = []
        for word in plain_words(text):
            if dropout and draw() < dropout:
                words.append(self._join(word, draw))
                continue
            if word not in self._whole:
                self._whole[word] = self._join(word)
            words.append(self._whole[word])
        return words

    def _join(self, word: str, draw: Callable[[], float] | None = None) -> list[int]:
        parts, none = [WORD_START, *word], len(self.pieces)
        while len(parts) > 1:
            ranks = [self._ranks.get(a + b, none) for a, b in zip(parts, parts[1:], strict=False)]
            if draw is not None:  # every join may be left undone at every turn
                ranks = [none if draw() < _UNDONE else rank for rank in ranks]
            at = min(range(len(ranks)), key=ranks.__getitem__)
            if ranks[at] == none:
                break
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        return [self._ranks[part] + 1 for part in parts]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, with a space before each word; blanks and negative ids leave nothing."""
        return "".join(self.pieces[i - 1] for i in ids if i > 0).replace(WORD_START, " ")

    def save(self, path: Path) -> None:
        """Write the list as JSON."""
        path.write_text(json.dumps(self.pieces, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read what `save` wrote.

        Raises:
            WeightsError: the file is missing or no such list.
        """
        try:
            pieces = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(pieces, list) or not all(isinstance(p, str) for p in pieces):
                raise ValueError("not a list of strings")
            return cls(pieces)
        except FileNotFoundError as error:
            raise WeightsError(f"{path.name} is missing in {path.parent.name}") from error
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path.name} is no list of pieces ({error})") from error


def plain_words(text: str) -> list[str]:
    """The words of a text in the characters that captions have."""
    return "".join(c if c in _CHARACTERS else " " for c in text.lower()).split()


class CaptionBlock(nn.Module):
    """The encoder's block without attention: depthwise convolution and feed-forward, norm before, residual around."""

    def __init__(self, dim: int, kernel: int):
        super().__init__()
        self.norm_conv, self.norm_ff = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.gate, self.mix = nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.depthwise = CausalConv1d(dim, dim, kernel, groups=dim)
        self.ff_in, self.ff_out = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def init_state(self, num_rows: int) -> State:
        """Of the convolution."""
        return {"conv": self.depthwise.init_state(num_rows)}

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The whole sequence."""
        return self._run(x_BTD, self.depthwise)

    def step(self, x_BTD: Tensor, state: State, active: Tensor) -> Tensor:
        """The next frames."""
        return self._run(x_BTD, lambda x: self.depthwise.step(x, state["conv"], active))

    def _run(self, x: Tensor, convolve) -> Tensor:
        y = convolve(F.glu(self.gate(self.norm_conv(x)), dim=-1))
        x = x + self.mix(F.silu(y))
        return x + self.ff_out(F.silu(self.ff_in(self.norm_ff(x))))


class PieceCaptions(nn.Module):
    """Encoder frames (B, T, dim) to CTC logits (B, T, num_pieces + 1), causal, any number of frames a step."""

    def __init__(self, dim: int, num_pieces: int, num_layers: int, kernel: int):
        super().__init__()
        self.blocks = nn.ModuleList(CaptionBlock(dim, kernel) for _ in range(num_layers))
        self.norm, self.out = nn.LayerNorm(dim), nn.Linear(dim, num_pieces + 1)
        with torch.no_grad():  # most frames are blank: without this the first thousand steps learn nothing else
            self.out.bias[0] = math.log(max(num_pieces, 1)) + 2

    def init_state(self, num_rows: int) -> State:
        """A state for each block."""
        return {f"block_{i}": b.init_state(num_rows) for i, b in enumerate(self.blocks)}

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The whole conversation from a fresh state."""
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return self.out(self.norm(x_BTD))

    def step(self, x_BTD: Tensor, state: State, active: Tensor) -> Tensor:
        """The next frames of every row."""
        for i, block in enumerate(self.blocks):
            x_BTD = block.step(x_BTD, state[f"block_{i}"], active)
        return self.out(self.norm(x_BTD))
