"""Text pieces, floor tokens, and the grammar that forbids the impossible.

A piece is something that can be sounded and timed: a word, a letter's name, or a pause ("," "." "?"). A word without
a piece of its own is spelled by letters, so that every text has pieces.
"""

import json
from pathlib import Path

import torch
from torch import Tensor

from omni.base.errors import WeightsError

THINK, START_SPEAK, END_SPEAK, CUT_0, CUT_1, CUT_2 = range(6)
SPECIALS = ("<think>", "<start_speak>", "<end_speak>", "<cut_0>", "<cut_1>", "<cut_2>")
PAUSES = (",", ".", "?")
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
FIRST_PIECE = len(SPECIALS)
MAX_WAITING = 2  # pieces that may be emitted before they sound


class Pieces:
    """The vocabulary: special tokens, pauses, letters, words, in this order."""

    def __init__(self, words: list[str]):
        if len(set(words)) != len(words):
            raise ValueError("words are not unique")
        self.words = tuple(words)
        self._symbols = (*SPECIALS, *PAUSES, *LETTERS, *words)
        self._ids = {symbol: i for i, symbol in enumerate(self._symbols)}

    def __len__(self) -> int:
        return len(self._symbols)

    def __contains__(self, symbol: object) -> bool:
        """Whether a symbol, as it is written in traces, has a token."""
        return symbol in self._ids

    def symbol(self, token: int) -> str:
        """A token as it is written in traces."""
        return self._symbols[token]

    def text(self, token: int) -> str:
        """A piece as it stands in a transcript, with its leading space; empty for floor tokens."""
        if token < FIRST_PIECE:
            return ""
        symbol = self._symbols[token]
        return symbol if symbol in PAUSES else " " + symbol

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; unknown words are spelled, unknown characters left out."""
        ids: list[int] = []
        for pause in PAUSES:
            text = text.replace(pause, f" {pause} ")
        for word in text.split():
            if word in self._ids and word not in SPECIALS:
                ids.append(self._ids[word])
            else:
                ids.extend(self._ids[c] for c in word.upper() if c in self._ids)
        return ids

    def knows(self, text: str) -> bool:
        """Whether every word of a text has a piece of its own."""
        for pause in PAUSES:
            text = text.replace(pause, " ")
        return all(word in self._ids for word in text.split())

    def decode(self, tokens: list[int]) -> str:
        """The text of pieces; floor tokens leave nothing."""
        return "".join(self.text(t) for t in tokens).strip()

    def save(self, path: Path) -> None:
        """Write the words as JSON."""
        path.write_text(json.dumps({"words": self.words}, indent=0) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Pieces":
        """Read what `save` wrote.

        Raises:
            WeightsError: the file is not such a list.
        """
        try:
            words = json.loads(path.read_text(encoding="utf-8"))["words"]
            return cls([str(w) for w in words])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"{path.name} is no list of pieces") from error


def allowed(speaking_B: Tensor, waiting_B: Tensor, sounding_B: Tensor, num_tokens: int) -> Tensor:
    """The grammar mask (B, num_tokens), from past tokens and the queue's length alone.

                                    <think>   <start_speak>   <end_speak>   a piece
        listening                     yes          yes            no          no
        speaking, the queue empty     no           no             yes         yes
        one sounds or waits           yes          no             yes         while fewer than `MAX_WAITING` wait

    Whoever holds the floor and has nothing left to sound says something or lets go of it. No lesson thinks there, so
    that whoever does has no way back: of 4,250 replies five ended so, all of them begun before the user had ended, and
    that agent was silent for good. `<cut_j>` is the engine's to feed, never the model's to say.

    Args:
        speaking_B: whether it holds the floor; waiting_B: pieces that have not begun to sound; sounding_B: whether one
            sounds. All of them when the block begins.
    """
    ids = torch.arange(num_tokens, device=speaking_B.device)[None]
    speaking, room = speaking_B[:, None], (waiting_B < MAX_WAITING)[:, None]
    busy = (sounding_B | (waiting_B > 0))[:, None]
    think, piece = (ids == THINK) & (busy | ~speaking), (ids >= FIRST_PIECE) & speaking & room
    return think | ((ids == START_SPEAK) & ~speaking) | ((ids == END_SPEAK) & speaking) | piece
