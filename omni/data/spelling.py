"""What captions by pieces of words would say of a conversation, written without any sound.

    words    | two         | cappuccinos                  |
    frames   |   |   |   |   |   |   |   |   |   |   |   |   |   |   |
    pieces                     ▁two      ▁capp       ucc         inos         the last 40-200 ms after its word's end

A caption head is late by times that vary, leaves pieces out, takes words for others that sound or look like them,
takes words apart in more than one way, and now and then says a piece in two frames. So do these lines, and some are
heard worse than others: whoever learns to read from them has met that before any ears.
"""

import random
from difflib import SequenceMatcher, get_close_matches

import numpy as np
import torch

from omni.data.conversations import Conversation
from omni.data.user import BLOCK, RATE_HZ
from omni.model.captions import WORD_START, Vocabulary, plain_words
from omni.model.tokens import Pieces

FRAMES_PER_BLOCK = 2
EARLIEST_S, LATEST_S = 0.04, 0.2        # from a word's end to its last piece
ERRORS = (0.0, 0.0, 0.02, 0.05, 0.1, 0.22)  # shares of words heard wrong, from a quiet room to the far end of it
APART, TWICE = 0.1, 0.15                # shares of words taken apart otherwise, and of pieces said in two frames
_FRAME = BLOCK // FRAMES_PER_BLOCK
# letters that sound alike within words, by the one that stands for them; what is missing is passed over
_SOUNDS = {c: group[0] for group in ("bp", "dt", "gkcq", "szx", "fv", "mn", "lr", "j") for c in group}
_DIGRAPHS = (("ph", "f"), ("kn", "n"), ("wr", "r"), ("gh", ""), ("ck", "k"), ("sh", "s"), ("th", "t"), ("ch", "j"))
_NAMES = ("bcdegptvz", "ajkh", "fsx", "mn", "quw", "iyr", "lo")  # letters whose names sound alike


class Speller:
    """Spells conversations in the pieces of a vocabulary.

    Args:
        vocabulary: of the caption head.
        pieces: what the agent says, whose words others are taken for.
    """

    def __init__(self, vocabulary: Vocabulary, pieces: Pieces):
        self.vocabulary, self.pieces = vocabulary, pieces
        self._words = sorted({w for word in pieces.words for w in plain_words(word)})
        self._sounding: dict[str, list[str]] = {}
        self._alike: dict[str, list[str]] = {}
        self._whole = set(vocabulary.pieces)
        self._joined: dict[str, tuple[str, str] | None] = {}
        for word in self._words:
            self._sounding.setdefault(_sound(word), []).append(word)

    def __call__(self, talk: Conversation, rng: random.Random) -> tuple[torch.Tensor, torch.Tensor]:
        """What is said in each frame, and the words that it says.

        Returns:
            (T * FRAMES_PER_BLOCK,) int64 ids of pieces, 0 the blank; (T,) int64, in each block the agent's piece of the
            word that was complete by its end, right or wrong, -1 where there was none or the word is no piece.
        """
        frames, words = np.zeros(talk.num_blocks * FRAMES_PER_BLOCK, np.int64), np.full(talk.num_blocks, -1)
        error = rng.choice(ERRORS)
        for heard in talk.heard:
            late, at = rng.uniform(EARLIEST_S, LATEST_S - 0.06), -1
            for word, first, last in heard.line.words:
                said = self.said(word, error, rng)
                due = heard.at + last + (late + rng.uniform(0, 0.06)) * RATE_HZ
                for i, piece in enumerate(said, 1):  # the last one comes when it is due, those before in their turn
                    place = int((due - (last - first) * (1 - i / len(said))) // _FRAME)
                    at = max(place, at + 1)
                    while at < len(frames) and frames[at]:  # somebody else is heard there
                        at += 1
                    if at < len(frames):
                        frames[at] = piece
                        if at + 1 < len(frames) and not frames[at + 1] and rng.random() < TWICE:
                            at += 1
                            frames[at] = piece
                block, known = at // FRAMES_PER_BLOCK, self.pieces.encode(word)
                if said and block < len(words) and len(known) == 1:
                    words[block] = known[0]
        return torch.from_numpy(frames), torch.from_numpy(words)

    def said(self, word: str, error: float, rng: random.Random) -> list[int]:
        """Ids of the pieces that are said of a word, none if it is missed; `error` is its chance to be heard wrong."""
        if rng.random() >= error:
            return self._apart(word, rng)
        kind, alike = rng.random(), self.alike(word)
        if kind < 0.3 or not self._words:
            pieces = self._apart(word, rng)
            if pieces:
                del pieces[rng.randrange(len(pieces))]
            return pieces
        return self._apart(rng.choice(alike) if kind < 0.85 and alike else rng.choice(self._words), rng)

    def alike(self, word: str) -> list[str]:
        """Words that sound or are spelled much like a word, without itself."""
        if word not in self._alike:
            plain = "".join(plain_words(word))
            if len(plain) < 2:
                found = [c for group in _NAMES if plain and plain in group for c in group]
            else:
                found = [w for w in self._sounding.get(_sound(plain), ())
                         if SequenceMatcher(None, w, plain).ratio() >= 0.4]
                found += get_close_matches(plain, self._words, n=6, cutoff=0.6)
            self._alike[word] = [w for w in dict.fromkeys(found) if w != plain]
        return self._alike[word]

    def _two(self, word: str) -> tuple[str, str] | None:
        """The two words that a word is made of and that captions know, where they do not know the word itself: ears
        write "light house"."""
        if word not in self._joined:
            known = [(word[:i], word[i:]) for i in range(3, len(word) - 2)
                     if {WORD_START + word[:i], WORD_START + word[i:]} <= self._whole]
            self._joined[word] = known[0] if known and WORD_START + word not in self._whole else None
        return self._joined[word]

    def _apart(self, word: str, rng: random.Random) -> list[int]:
        if (two := self._two(word)) and rng.random() < 0.5:
            return [i for part in two for i in self._apart(part, rng)]
        return [i for part in self.vocabulary.encode(word, APART, rng.random) for i in part]


def _sound(word: str) -> str:
    """The consonants of a word as they sound, about, and whether it begins with one."""
    for letters, other in _DIGRAPHS:
        word = word.replace(letters, other)
    sounds = [s for s in map(_SOUNDS.get, word) if s]
    once = [s for s, before in zip(sounds, ["", *sounds], strict=False) if s != before]
    return "-" * (word[:1] in "aeiou") + "".join(once)


__all__ = ["EARLIEST_S", "ERRORS", "FRAMES_PER_BLOCK", "LATEST_S", "Speller"]
