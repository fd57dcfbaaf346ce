"""An independent ear for what the agent says: pocketsphinx with its own English model, offline.

It shares nothing with the agent: other features, other model, other data. Given words, it chooses freely among them in
any order and number (a loop, no sentences), so that an answer is only found where it was said. Its general language
model knows no orders of coffee and is far too weak for short answers in a synthetic voice.
"""

from collections.abc import Iterable

import numpy as np

RATE_HZ = 16_000


class Recogniser:
    """Words in 16 kHz audio.

    Args:
        words: what may be heard; None for the general language model.

    Raises:
        ImportError: pocketsphinx is not installed (it comes with the extra "bench").
        ValueError: its dictionary lacks a word.
    """

    def __init__(self, words: Iterable[str] | None = None):
        from pocketsphinx import Decoder

        self._decoder = Decoder(samprate=RATE_HZ, loglevel="FATAL")
        if words is not None:
            words = sorted(set(words))
            if missing := [w for w in words if not self._decoder.lookup_word(w)]:
                raise ValueError(f"the recogniser cannot pronounce {', '.join(missing)}")
            self._decoder.add_jsgf_string("loop", f"#JSGF V1.0; grammar loop; public <said> = ({' | '.join(words)})+ ;")
            self._decoder.activate_search("loop")

    def hear(self, samples: np.ndarray) -> str:
        """The words in float32 samples (N,), put on a quiet floor and to one level; empty where none are found."""
        x = np.pad(samples.astype(np.float32), (4000, 8000))
        x = x / max(float(np.abs(x).max()), 1e-3) * 0.5
        x += np.random.default_rng(0).standard_normal(len(x)).astype(np.float32) * 1e-3
        self._decoder.start_utt()
        self._decoder.process_raw((np.clip(x, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return found.hypstr if found else ""
