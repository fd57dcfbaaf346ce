"""Silero VAD (https://github.com/snakers4/silero-vad, version 6) and a silence timer: what voice frameworks do."""

import numpy as np

from omni.audio.ring import Ring
from omni.base.timebase import TINY
from omni.evaluate.baselines.detector import Event, SpeechTimer
from omni.evaluate.baselines.models import load_session

WINDOW = 512            # samples the network takes at 16 kHz: 32 ms, so 2.5 of them are a block
_CONTEXT = 64           # samples of the window before that it is given again
_RELEASE = 0.15         # once it is speech, it is so down to this much below the threshold (Silero's own hysteresis)


class SpeechProbability:
    """The network over one conversation: blocks in, a probability of speech for each whole window out.

    Raises:
        OmniError: the model or onnxruntime is not installed.
    """

    def __init__(self):
        self._session = load_session("silero_vad", "data/silero_vad.onnx")
        self._waiting = Ring(WINDOW + TINY.block_samples)
        self._context = np.zeros(_CONTEXT, np.float32)
        self._state = np.zeros((2, 1, 128), np.float32)

    def hear(self, block: np.ndarray) -> list[float]:
        """Probabilities of the windows that became whole, in order; float32 (1280,) gives two or three."""
        self._waiting.write(block)
        return [self._judge(self._waiting.read(WINDOW)) for _ in range(len(self._waiting) // WINDOW)]

    def _judge(self, window: np.ndarray) -> float:
        heard = np.concatenate((self._context, window))[None]
        probability, self._state = self._session.run(
            None, {"input": heard, "state": self._state, "sr": np.array(TINY.sample_rate_hz, np.int64)})
        self._context = window[-_CONTEXT:]
        return float(probability[0, 0])


class SileroVad:
    """Silero's usual settings: threshold 0.5, released at 0.35, 250 ms of speech (`get_speech_timestamps`).

    The silence that ends a turn is that of LiveKit's plugin, 0.55 s (`livekit.plugins.silero.VAD.load`:
    activation_threshold 0.5, min_silence_duration 0.55). Its endpointing delay of 0.5 s adds nothing: with a detector
    alone the longer of the two counts. What begins a turn also makes it yield (LiveKit takes 0.5 s, pipecat 0.2 s).
    """

    def __init__(self, threshold: float = 0.5, start_ms: int = 250, silence_ms: int = 550):
        """Args:
            threshold: a window of at least this probability has voice.
            start_ms, silence_ms: as in `SpeechTimer`.

        Raises:
            OmniError: the model or onnxruntime is not installed.
        """
        self._threshold = threshold
        self._probability = SpeechProbability()
        self._timer = SpeechTimer(WINDOW, start_ms, silence_ms)

    def hear(self, block: np.ndarray) -> Event | None:
        """See `Detector.hear`."""
        event = None
        for probability in self._probability.hear(block):
            voiced = probability >= self._threshold - _RELEASE * self._timer.speaking
            event = self._timer.pass_frame(voiced) or event
        return event
