"""Batches by number: batch k of a stream is a function of its seed and k alone.

So a run that stopped after k batches goes on with batch k, whatever number of workers makes them, and several processes
take every n-th batch each.

    seed, k ──► generator ──► batch k         worker 0: 0 2 4 ...   worker 1: 1 3 5 ...   loader: 0 1 2 3 4 5 ...
"""

import random
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset


class Numbered(IterableDataset):
    """A stream without end. A subclass opens what it reads from once a worker, and makes a batch from a generator.

    Attributes:
        seed: of the stream.
        first, every: the numbers it gives are first, first + every, first + 2 every, ...
    """

    seed = 0
    first, every = 0, 1

    @abstractmethod
    def open(self) -> Callable[[random.Random], Any]:
        """Read what batches are made from; gives what makes one."""

    def __iter__(self) -> Iterator[Any]:
        worker = torch.utils.data.get_worker_info()
        index, count = (worker.id, worker.num_workers) if worker else (0, 1)
        make, number = self.open(), self.first + index * self.every
        while True:
            yield make(random.Random(f"{self.seed}/{number}"))
            number += count * self.every


class Mixed(Numbered):
    """Batches of two streams: a share of them, by their number alone, of the second one."""

    def __init__(self, first: Numbered, second: Numbered, share: float, seed: int):
        self._streams, self._share, self.seed = (first, second), share, seed

    def open(self) -> Callable[[random.Random], Any]:
        """See `Numbered`."""
        makers = [stream.open() for stream in self._streams]
        return lambda rng: makers[rng.random() < self._share](rng)


def loader(stream: Numbered, workers: int = 1, prefetch: int = 3) -> Callable[[int, int], Iterator[Any]]:
    """A function of (first, every) that gives the stream's batches in order, made by worker processes."""

    def batches(first: int, every: int) -> Iterator[Any]:
        stream.first, stream.every = first, every
        return iter(DataLoader(stream, batch_size=None, num_workers=workers,
                               prefetch_factor=prefetch if workers else None))

    return batches
