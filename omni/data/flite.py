"""flite as a library: speech with the exact time of every word and phone, and the voice's own pitch track.

Training only: nothing on the serving path speaks through a text-to-speech program. Debian: `libflite1`
(https://github.com/festvox/flite). Voices: slt (the agent's own, and no one else's), rms, awb, kal16 (users').
"""

import ctypes
import threading
import zlib
from dataclasses import dataclass

import numpy as np

from omni.base.errors import OmniError

_PITCH = b"int_f0_target_mean"
MISREAD = {"latte": "lottay"}  # words that it says wrongly, and what it says rightly in their place


class _Wave(ctypes.Structure):
    _fields_ = [("type", ctypes.c_char_p), ("sample_rate", ctypes.c_int), ("num_samples", ctypes.c_int),
                ("num_channels", ctypes.c_int), ("samples", ctypes.POINTER(ctypes.c_short))]


class _Track(ctypes.Structure):
    _fields_ = [("type", ctypes.c_char_p), ("num_frames", ctypes.c_int), ("num_channels", ctypes.c_int),
                ("times", ctypes.POINTER(ctypes.c_float)),
                ("frames", ctypes.POINTER(ctypes.POINTER(ctypes.c_float)))]


@dataclass(frozen=True, slots=True)
class Speech:
    """One utterance.

    Attributes:
        samples: float32 (N,), -1 to 1, at `rate_hz`.
        words: (word, start_s, end_s) in order; silences are left out.
        phones: (phone, start_s, end_s) in order, `pau` for silence.
        f0_hz: float32 (frames,) every 5 ms, 0 where unvoiced; None if the voice has no such track.
    """

    samples: np.ndarray
    rate_hz: int
    words: tuple[tuple[str, float, float], ...]
    phones: tuple[tuple[str, float, float], ...]
    f0_hz: np.ndarray | None


class Flite:
    """One loaded voice. Calls are serialised: the library keeps state in globals.

    Raises:
        OmniError: libflite or the voice is not installed.
    """

    _lock = threading.Lock()

    def __init__(self, voice: str = "slt", stretch: float = 1.0, pitch_hz: float | None = None):
        try:
            self._lib = lib = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
            for name in ("usenglish", "cmulex"):
                ctypes.CDLL(f"libflite_{name}.so.1", mode=ctypes.RTLD_GLOBAL)
            module = ctypes.CDLL(f"libflite_cmu_us_{voice}.so.1")
            self._seed = ctypes.CDLL(None).srand    # of the C library's `rand`, which its noise is drawn from
        except OSError as error:
            raise OmniError(f"flite voice {voice!r} is not installed (Debian: apt-get install flite)") from error
        p, s = ctypes.c_void_p, ctypes.c_char_p
        for name, result, args in (
            ("flite_synth_text", p, [s, p]), ("utt_wave", ctypes.POINTER(_Wave), [p]), ("delete_utterance", None, [p]),
            ("utt_relation", p, [p, s]), ("relation_head", p, [p]), ("item_next", p, [p]),
            ("item_feat_float", ctypes.c_float, [p, s]), ("item_feat_string", s, [p, s]),
            ("item_as", p, [p, s]), ("item_parent", p, [p]), ("feat_set_float", None, [p, s, ctypes.c_float]),
            ("feat_float", ctypes.c_float, [p, s]),
            ("feat_present", ctypes.c_int, [p, s]), ("feat_val", p, [p, s]), ("val_track", ctypes.POINTER(_Track), [p]),
            ("flite_init", ctypes.c_int, []),
        ):
            function = getattr(lib, name)
            function.restype, function.argtypes = result, args
        register = getattr(module, f"register_cmu_us_{voice}")
        register.restype, register.argtypes = p, [s]
        with self._lock:
            lib.flite_init()
            self._voice = register(None)
        # struct cst_voice: const char *name; cst_features *features; ...
        self._features = ctypes.cast(self._voice, ctypes.POINTER(ctypes.c_void_p))[1]
        told = lib.feat_present(self._features, _PITCH)  # statistical voices have it in their model
        self._own_pitch_hz = lib.feat_float(self._features, _PITCH) if told else None
        self.configure(stretch, pitch_hz)

    def configure(self, stretch: float, pitch_hz: float | None = None) -> None:
        """Set speaking rate (1.0 natural, above slower) and mean pitch (None: the voice's own) of what comes next."""
        self._lib.feat_set_float(self._features, b"duration_stretch", stretch)
        if pitch_hz or self._own_pitch_hz:
            self._lib.feat_set_float(self._features, _PITCH, pitch_hz or self._own_pitch_hz)

    def speak(self, text: str) -> Speech:
        """Synthesise `text` (ASCII). It sounds the same whatever was said before."""
        lib = self._lib
        with self._lock:
            self._seed(ctypes.c_uint(zlib.crc32(text.encode())))
            utterance = lib.flite_synth_text(text.encode("ascii", "ignore"), self._voice)
            try:
                wave = lib.utt_wave(utterance).contents
                samples = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).astype(np.float32) / 32768
                rate = wave.sample_rate
                phones, words = self._segments(utterance)
                f0 = self._pitch(utterance)
            finally:
                lib.delete_utterance(utterance)
        return Speech(samples, rate, tuple(words), tuple(phones), f0)

    def _segments(self, utterance) -> tuple[list, list]:
        lib, phones, words = self._lib, [], []
        item, start, last = lib.relation_head(lib.utt_relation(utterance, b"Segment")), 0.0, None
        while item:
            end = lib.item_feat_float(item, b"end")
            name = lib.item_feat_string(item, b"name").decode()
            phones.append((name, start, end))
            if name != "pau":
                # phone -> syllable -> word; the address of the item tells the same word said twice apart
                word = lib.item_parent(lib.item_parent(lib.item_as(item, b"SylStructure")))
                if word == last:
                    words[-1] = (words[-1][0], words[-1][1], end)
                else:
                    words.append((lib.item_feat_string(word, b"name").decode(), start, end))
                last = word
            start, item = end, lib.item_next(item)
        return phones, words

    def _pitch(self, utterance) -> np.ndarray | None:
        # struct cst_utterance: cst_features *features; ...
        features = ctypes.cast(utterance, ctypes.POINTER(ctypes.c_void_p))[0]
        if not self._lib.feat_present(features, b"param_track"):
            return None
        track = self._lib.val_track(self._lib.feat_val(features, b"param_track")).contents
        return np.array([track.frames[i][0] for i in range(track.num_frames)], np.float32)
