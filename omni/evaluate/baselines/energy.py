"""The oldest detector: louder than the noise is speech."""

from collections import deque

import numpy as np

from omni.evaluate.baselines.detector import Event, SpeechTimer

_FRAME = 320            # 20 ms
_MEMORY = 150           # frames the noise floor is sought in: 3 s
_LOWEST_DB = -60.0      # a floor below that is no room


class EnergyGate:
    """A threshold above an adaptive noise floor, and a silence timer.

    The floor is the least level among the frames of the last 3 s (minimum statistics, Martin 2001, in a single band):
    speech has dips, steady noise has none. Levels are root mean squares of 20 ms below full scale.
    """

    def __init__(self, threshold_db: float = 10.0, start_ms: int = 100, silence_ms: int = 700):
        """Args:
            threshold_db: a frame this far above the floor has voice.
            start_ms, silence_ms: as in `SpeechTimer`.
        """
        self._threshold_db = threshold_db
        self._timer = SpeechTimer(_FRAME, start_ms, silence_ms)
        self._levels_db: deque[float] = deque(maxlen=_MEMORY)

    def hear(self, block: np.ndarray) -> Event | None:
        """See `Detector.hear`."""
        event = None
        energies = np.mean(np.square(block.reshape(-1, _FRAME), dtype=np.float64), axis=1)
        for level_db in (10 * np.log10(np.maximum(energies, 1e-12))).tolist():
            self._levels_db.append(max(level_db, _LOWEST_DB))
            event = self._timer.pass_frame(level_db > min(self._levels_db) + self._threshold_db) or event
        return event
