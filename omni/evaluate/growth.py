"""Does anything grow while conversations are held: the time of a step, the memory of the process?"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PARTS = 10      # the first tenth of the work is compared with the last
MIB = 1 << 20


def resident_mib() -> float | None:
    """Memory of this process in MiB, None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return round(pages * os.sysconf("SC_PAGE_SIZE") / MIB, 1)


class Growth:
    """Told after every step; keeps the times of the first and the last tenth of the blocks, and the memory after each.

    A finished conversation waits for its files between two steps, which is in neither: medians are told.
    """

    def __init__(self, total: int, clock_ns: Callable[[], int] = time.perf_counter_ns):
        """Args:
            total: blocks that are going to pass, over all conversations.
        """
        self._edges = total / PARTS, total - total / PARTS
        self._clock_ns = clock_ns
        self._done = 0
        self._before_ns: int | None = None
        self._times_ns: tuple[list[int], list[int]] = [], []
        self._resident: list[float | None] = [None, None]

    def tick(self, blocks: int) -> None:
        """`blocks` have passed in one step."""
        now_ns = self._clock_ns()
        part = 0 if self._done < self._edges[0] else 1 if self._done >= self._edges[1] else None
        self._done += blocks
        if part is not None and self._before_ns is not None:
            self._times_ns[part].append(now_ns - self._before_ns)
        if part == 0 and self._done >= self._edges[0] or part == 1:
            self._resident[part] = resident_mib()
        self._before_ns = now_ns

    def numbers(self) -> dict:
        """Median milliseconds of a step, and MiB of memory: [after the first tenth, after the last]."""
        steps = [round(float(np.median(t)) / 1e6, 2) if t else None for t in self._times_ns]
        return {"step_ms_p50": steps, "resident_mib": self._resident}
