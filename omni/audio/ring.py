"""A bounded queue of samples: fed in any count, read in exact counts.

Resamplers and networks hand over whatever they have (four 20 ms frames are not always 1,280 samples); the model takes
exact blocks. The ring stands between the two.
"""

import numpy as np


class Ring:
    """First in, first out, over one preallocated float32 array.

    Full means: the oldest samples make room for the newest, and `write` says how many were lost.
    """

    def __init__(self, capacity: int):
        """Args:
            capacity: most samples held at once, at least 1.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self._samples = np.zeros(capacity, np.float32)
        self._start = 0
        self._count = 0

    def __len__(self) -> int:
        """Samples waiting."""
        return self._count

    @property
    def capacity(self) -> int:
        """Most samples held at once."""
        return len(self._samples)

    def write(self, samples: np.ndarray) -> int:
        """Append a copy of `samples` (one-dimensional); return how many of the oldest were lost to make room."""
        samples = np.asarray(samples, np.float32)
        if samples.ndim != 1:
            raise ValueError(f"a ring takes one channel, not shape {samples.shape}")
        capacity = self.capacity
        lost = max(0, self._count + len(samples) - capacity)
        samples = samples[-capacity:]
        stay = min(self._count, capacity - len(samples))
        self._start = (self._start + self._count - stay) % capacity
        end = (self._start + stay) % capacity
        head = min(len(samples), capacity - end)
        self._samples[end:end + head] = samples[:head]
        self._samples[:len(samples) - head] = samples[head:]
        self._count = stay + len(samples)
        return lost

    def read(self, count: int) -> np.ndarray:
        """Take exactly `count` samples, oldest first; the caller owns the array.

        Raises:
            ValueError: fewer are waiting.
        """
        if not 0 <= count <= self._count:
            raise ValueError(f"{count} samples asked for, {self._count} are waiting")
        head = min(count, self.capacity - self._start)
        out = np.concatenate((self._samples[self._start:self._start + head], self._samples[:count - head]))
        self._advance(count)
        return out

    def drop(self, count: int) -> int:
        """Forget up to `count` of the oldest samples; return how many."""
        count = min(count, self._count)
        self._advance(count)
        return count

    def clear(self) -> None:
        """Forget everything."""
        self._start = self._count = 0

    def _advance(self, count: int) -> None:
        self._start = (self._start + count) % self.capacity
        self._count -= count
