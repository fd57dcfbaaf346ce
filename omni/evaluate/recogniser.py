"""An independent ear for what the agent says: pocketsphinx with its own English model, offline.

It shares nothing with the agent: other features, other model, other data. It chooses among what it is told can be said:
words in any order and number, or a grammar. Its general language model knows no orders of coffee and is far too weak
for short answers in a synthetic voice.
"""

from collections.abc import Iterable

import numpy as np

RATE_HZ = 16_000
# the letters' names in its own phones: as words of a text, "a" is an article and the others are not there or are rare
LETTERS = {"a": "EY", "b": "B IY", "c": "S IY", "d": "D IY", "e": "IY", "f": "EH F", "g": "JH IY", "h": "EY CH",
           "i": "AY", "j": "JH EY", "k": "K EY", "l": "EH L", "m": "EH M", "n": "EH N", "o": "OW", "p": "P IY",
           "q": "K Y UW", "r": "AA R", "s": "EH S", "t": "T IY", "u": "Y UW", "v": "V IY", "w": "D AH B AH L Y UW",
           "x": "EH K S", "y": "W AY", "z": "Z IY"}
_LETTER = "letter_"
# How the teacher's lexicon says words of the agent's world where the recogniser's own has another pronunciation; the
# recogniser takes either. Found by comparing both for every word.
_ALSO = {"here": "HH IH R"}
# words of that world that its own lexicon has not, as the teacher says them
_MISSING = {"bratislava": "B R AE T IH S L AA V AH", "cygnet": "S IH G N EH T", "gosling": "G AA S AH L IH NG",
            "kathmandu": "K AE TH M AE N D UW", "oink": "OY NG K", "rabat": "R AE B AA T", "tallinn": "T AA L IY N"}
# With a grammar. The penalty of one word more is 0.65 by default, which is meant to stand beside a language model: it
# hears short words in long vowels. Narrower beams than 1e-48, 7e-29 and 1e-48 take half the time and changed no word.
# Chosen on the teacher's voice, on texts that `omni.evaluate.voice` does not have. The search finds the grammar's best
# path itself; a second pass over its lattice takes minutes where some hundred clauses may follow each other, and may
# leave the grammar.
_BY_GRAMMAR = {"wip": 0.1, "beam": 1e-40, "wbeam": 1e-24, "pbeam": 1e-40, "bestpath": False}


class Recogniser:
    """Words in 16 kHz audio.

    Args:
        words: what may be heard, in any order and number; None for the general language model.
        grammar: in place of words, the right side of a JSGF rule; `letter_a` in it is the letter.

    Raises:
        ImportError: pocketsphinx is not installed (it comes with the extra "bench").
        ValueError: its dictionary lacks a word.
    """

    def __init__(self, words: Iterable[str] | None = None, grammar: str | None = None):
        from pocketsphinx import Decoder

        self._decoder = Decoder(samprate=RATE_HZ, loglevel="FATAL", **(_BY_GRAMMAR if grammar is not None else {}))
        if words is not None:
            grammar = f"({' | '.join(sorted(set(words)))})+"
        if grammar is None:
            return
        for letter, phones in LETTERS.items():
            self._decoder.add_word(_LETTER + letter, phones, letter == "z")
        for word, phones in _MISSING.items():
            self._decoder.add_word(word, phones, False)
        for word, phones in _ALSO.items():
            self._decoder.add_word(f"{word}(2)", phones, False)
        known = set("".join(c if c.isalnum() or c in "_'" else " " for c in grammar).split())
        if missing := sorted(w for w in known if not self._decoder.lookup_word(w)):
            raise ValueError(f"the recogniser cannot pronounce {', '.join(missing)}")
        self._decoder.add_jsgf_string("said", f"#JSGF V1.0; grammar said; public <said> = {grammar} ;")
        self._decoder.activate_search("said")

    def hear(self, samples: np.ndarray) -> str:
        """The words in float32 samples (N,), put on a quiet floor and to one level; empty where none are found.

        Letters are words of one letter.
        """
        x = np.pad(samples.astype(np.float32), (4000, 8000))
        x = x / max(float(np.abs(x).max()), 1e-3) * 0.5
        x += np.random.default_rng(0).standard_normal(len(x)).astype(np.float32) * 1e-3
        self._decoder.start_utt()
        self._decoder.process_raw((np.clip(x, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return found.hypstr.replace(_LETTER, "") if found else ""
