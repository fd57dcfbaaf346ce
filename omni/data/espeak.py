"""espeak-ng as a library: speech with the time of every word and phoneme.

Training only: nothing on the serving path speaks through a text-to-speech program. Debian: `libespeak-ng1`
(https://github.com/espeak-ng/espeak-ng, `speak_lib.h`). The library keeps its state in globals: it is started once a
process, and whoever speaks holds its lock.
"""

import ctypes
import threading
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from omni.base.errors import OmniError

_SYNCHRONOUS, _PHONEME_EVENTS = 2, 1
_LIST_END, _WORD, _END, _MESSAGE_END, _PHONEME = 0, 1, 5, 6, 7
_RATE, _PITCH = 1, 3
_UTF8 = 1
_IPA = 2     # phonememode of espeak_TextToPhonemes


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
                ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
                ("user_data", ctypes.c_void_p), ("id", _Id)]


@dataclass(frozen=True, slots=True)
class Speech:
    """One utterance.

    Attributes:
        samples: float32 (N,), -1 to 1, at `rate_hz`.
        words: (word as in the text, start_s, end_s) in order.
        phonemes: (mnemonic, start_s, end_s) in order; pauses are empty or begin with "_".
    """

    samples: np.ndarray
    rate_hz: int
    words: tuple[tuple[str, float, float], ...]
    phonemes: tuple[tuple[str, float, float], ...]


_lock = threading.Lock()
_read = threading.Event()   # phones were asked for since something was last said
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@lru_cache(maxsize=1)
def _start() -> tuple[ctypes.CDLL, int]:
    """The library and its rate in Hz, started once: a second start would leak the first one's tables."""
    try:
        lib = ctypes.CDLL("libespeak-ng.so.1")
    except OSError as error:
        raise OmniError("espeak-ng is not installed (Debian: apt-get install espeak-ng)") from error
    rate = lib.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS)
    if rate <= 0:
        raise OmniError("espeak-ng could not start")
    return lib, rate


class Espeak:
    """A speaker with the one library of this process; several may stand side by side, in threads too.

    Raises:
        OmniError: libespeak-ng is not installed.
    """

    def __init__(self):
        with _lock:
            self._lib, self.rate_hz = _start()
        self._callback = _Callback(self._collect)  # kept: the library only borrows it
        self._sound: list[np.ndarray] = []
        self._events: list[tuple[int, float, int, int, str]] = []

    def _collect(self, wave, count: int, events) -> int:
        if wave and count > 0:
            self._sound.append(np.ctypeslib.as_array(wave, (count,)).copy())
        i = 0
        while events[i].type not in (_LIST_END, _MESSAGE_END):
            e = events[i]
            name = e.id.string.decode("utf-8", "replace") if e.type == _PHONEME else ""
            self._events.append((e.type, e.audio_position / 1000, e.text_position, e.length, name))
            i += 1
        return 0

    def speak(self, text: str, voice: str, rate: int = 160, pitch: int = 50) -> Speech:
        """Synthesise `text` in a voice such as "en-us+f3", `rate` in words a minute, `pitch` 0 to 99.

        Raises:
            OmniError: no such voice.
        """
        lib, data = self._lib, text.encode()
        with _lock:
            self._sound, self._events = [], []
            lib.espeak_SetSynthCallback(self._callback)  # another speaker's may be gone by now
            if lib.espeak_SetVoiceByName(voice.encode()):
                raise OmniError(f"espeak-ng has no voice {voice!r}")
            lib.espeak_SetParameter(_RATE, rate, 0)
            lib.espeak_SetParameter(_PITCH, pitch, 0)
            if _read.is_set():  # after some 25 texts read for their phones, what is said next has no first word event
                lib.espeak_Synth(b"a", ctypes.c_size_t(2), 0, 1, 0, _UTF8, None, None)
                self._sound, self._events = [], []
                _read.clear()
            lib.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None)
            sound, events = self._sound, self._events
        samples = np.concatenate(sound).astype(np.float32) / 32768 if sound else np.zeros(0, np.float32)
        end = len(samples) / self.rate_hz
        starts = [(at, name) for kind, at, _, _, name in events if kind == _PHONEME]
        phonemes = [(name, at, after) for (at, name), (after, _) in zip(starts, [*starts[1:], (end, "")], strict=True)]
        stops = [at for kind, at, *_ in events if kind in (_WORD, _END)] + [end]
        words = []
        for kind, at, position, length, _ in events:
            if kind == _WORD:
                after = min((s for s in stops if s > at), default=end)
                words.append((text[position - 1:position - 1 + length], at, after))
        return Speech(samples, self.rate_hz, tuple(words), tuple(phonemes))

    def ipa(self, text: str, voice: str) -> str:
        """The phones of `text` in the International Phonetic Alphabet, with stress; clauses are parted by a space.

        Raises:
            OmniError: no such voice.
        """
        lib, told = self._lib, []
        lib.espeak_TextToPhonemes.restype = ctypes.c_char_p
        rest = ctypes.c_char_p(text.encode())
        with _lock:
            if lib.espeak_SetVoiceByName(voice.encode()):
                raise OmniError(f"espeak-ng has no voice {voice!r}")
            _read.set()
            while rest.value:   # a clause a call; then it points to nothing
                told.append((lib.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _IPA) or b"").decode().strip())
        return " ".join(clause for clause in told if clause)
