"""smart-turn v3.2 (https://github.com/pipecat-ai/smart-turn, BSD-2-Clause): is what was said finished, by its sound?

Pipecat's default way of taking turns, version 1.14: Silero VAD ends a stretch of speech after 0.2 s of quiet, and the
network, a Whisper encoder with a head, is asked once about the turn so far. If it says no, the turn goes on until the
user has been quiet for 3 s more, or until it is asked again after further speech.

Of pipecat's own code nothing runs: its wheel is where the network is published as a package. Left out are its wait
for a transcript, its least loudness, and its reset of Silero's state in long silences.
"""

from functools import lru_cache

import numpy as np

from omni.base.timebase import TINY
from omni.evaluate.baselines.detector import Event, SpeechTimer
from omni.evaluate.baselines.models import load_session
from omni.evaluate.baselines.silero import WINDOW, SpeechProbability

_MODEL = "audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
# The file's name is that of this version. None of the package's own dependencies is used.
INSTALL = "pip install --no-deps pipecat-ai==1.14.0"

_VOICE = 0.7                            # VAD_CONFIDENCE of pipecat
_START_MS = _STOP_MS = 192              # its 0.2 s, rounded to windows of 32 ms as it does
_BEFORE = TINY.from_ms(500 + 200)       # samples kept from before speech is certain: PRE_SPEECH_MS and the VAD's start
_LONGEST = TINY.from_ms(8_000)          # samples the network hears: the last 8 s


class SmartTurn:
    """Silero VAD for speech, smart-turn for the end of the turn, a silence timer for what it does not believe."""

    def __init__(self, threshold: float = 0.5, patience_ms: int = 3_000):
        """Args:
            threshold: the turn has ended if the network's probability of that is above.
            patience_ms: quiet after which it has ended whatever the network says, from when the network was asked.

        Raises:
            OmniError: a model or onnxruntime is not installed.
        """
        self._threshold, self._patience = threshold, TINY.from_ms(patience_ms)
        self._session = load_session("pipecat", _MODEL, INSTALL)
        self._probability = SpeechProbability()
        self._timer = SpeechTimer(WINDOW, _START_MS, _STOP_MS)
        self._turn = np.zeros(0, np.float32)    # the turn so far, with what came just before it
        self._open = False                      # a turn has begun and not ended
        self._waited = 0                        # samples since the network was asked

    def hear(self, block: np.ndarray) -> Event | None:
        """See `Detector.hear`."""
        self._turn = np.concatenate((self._turn, block))[-(_LONGEST if self._open else _BEFORE):]
        self._waited += len(block)
        event: Event | None = None
        for probability in self._probability.hear(block):
            heard = self._timer.pass_frame(probability >= _VOICE)
            if heard == "user_started":
                self._open, event = True, heard
            elif heard == "turn_ended":
                self._waited = 0
                event = self._end() if self.finished(self._turn) > self._threshold else None
        if self._open and not self._timer.speaking and self._waited >= self._patience:
            event = self._end()
        return event

    def finished(self, turn: np.ndarray) -> float:
        """The probability that a turn, float32 (samples,), ends here; of more than 8 s the last count.

        Shorter ones are padded in front, and all is brought to zero mean and unit variance, as in training.
        """
        padded = np.pad(turn[-_LONGEST:], (max(_LONGEST - len(turn), 0), 0))
        features = _extractor()(padded, sampling_rate=TINY.sample_rate_hz, do_normalize=True, return_tensors="np")
        logits, = self._session.run(None, {"input_features": features.input_features.astype(np.float32)})
        return float(logits[0, 0])      # a probability: the exported graph ends in a sigmoid, whatever its name says

    def _end(self) -> Event:
        self._open, self._turn = False, self._turn[:0]
        return "turn_ended"


@lru_cache(maxsize=1)
def _extractor():
    """Whisper's log-mel of 8 s: float32 (1, 80, 800)."""
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(chunk_length=8)
