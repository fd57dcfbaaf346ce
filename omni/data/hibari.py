"""hibari: a small neural voice, an American woman's, distilled from Kokoro-82M. It tells no times of words and phones.

Training only, and only where a bank asks for it: `pip install omni-duplex[voices]` (the package `hibari-tts` has the
voice inside; Apache-2.0).
"""

import threading
import zlib

import numpy as np

from omni.base.errors import OmniError
from omni.data.espeak import Speech

VOICES = ("heart",)     # the one that the package has; others it would download


class Hibari:
    """One voice.

    Raises:
        OmniError: the package is not installed, or has no such voice inside.
    """

    _lock = threading.Lock()

    def __init__(self, voice: str = "heart"):
        try:
            import hibari
        except ImportError as error:
            raise OmniError("hibari-tts is not installed (pip install 'omni-duplex[voices]')") from error
        if voice not in VOICES:
            raise OmniError(f"hibari has no voice {voice!r} inside; it has {', '.join(VOICES)}")
        self._engine, self.rate_hz = hibari.Hibari(voice), hibari.SAMPLE_RATE

    def speak(self, text: str, rate: int = 100) -> Speech:
        """Synthesise `text`, the same every time.

        Args:
            rate: of speaking, in percent of the voice's own.
        """
        with self._lock:
            sound = self._engine(text, speed=rate / 100, seed=zlib.crc32(text.encode()))
        return Speech(sound.astype(np.float32), self.rate_hz, (), ())
