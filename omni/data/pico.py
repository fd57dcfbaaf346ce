"""SVOX Pico: statistical voices of two women, American and British, that know no times of words and phones.

Training only, and only where a bank asks for it: `pip install omni-duplex[voices]` builds the package `ttspico`, which
has the engine and its voices inside (Android's, Apache-2.0; it needs a C compiler).
"""

import threading

import numpy as np

from omni.base.errors import OmniError
from omni.data.espeak import Speech

RATE_HZ = 16_000
VOICES = ("en-US", "en-GB")


class Pico:
    """One voice. Calls are serialised: the library takes a callback at a time.

    Raises:
        OmniError: the package is not installed, or has no such voice.
    """

    _lock = threading.Lock()

    def __init__(self, voice: str):
        try:
            import ttspico
        except ImportError as error:
            raise OmniError("ttspico is not installed (pip install 'omni-duplex[voices]')") from error
        if voice not in VOICES:
            raise OmniError(f"pico has no voice {voice!r}; it has {', '.join(VOICES)}")
        self._engine = ttspico.TtsEngine(voice)

    def speak(self, text: str, rate: int = 100, pitch: int = 100) -> Speech:
        """Synthesise `text`, of which ASCII is kept.

        Args:
            rate: of speaking, in percent of the voice's own; pitch: likewise.
        """
        # "<" would begin a tag
        plain = text.encode("ascii", "ignore").decode().replace("<", " ").replace("&", " and ")
        with self._lock:
            self._engine.rate, self._engine.pitch = rate, pitch
            sound = self._engine.speak(plain) or b""
        return Speech(np.frombuffer(sound, "<i2").astype(np.float32) / 32768, RATE_HZ, (), ())
