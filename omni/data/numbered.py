"""Batches by number: batch k of a stream is a function of its seed and k alone.

So a run that stopped after k batches goes on with batch k, whatever number of workers makes them, and several processes
take every n-th batch each.

    seed, k ──► generator ──► batch k         worker 0: 0 2 4 ...   worker 1: 1 3 5 ...   loader: 0 1 2 3 4 5 ...
"""

import atexit
import copy
import multiprocessing
import random
import signal
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset


class Stream(IterableDataset):
    """Batches by number, without end.

    Attributes:
        first, every: the numbers it gives are first, first + every, first + 2 every, ...
    """

    first, every = 0, 1

    @abstractmethod
    def by_number(self) -> Callable[[int], Any]:
        """Begin in a worker; gives what makes batch number n."""

    def __iter__(self) -> Iterator[Any]:
        worker = torch.utils.data.get_worker_info()
        index, count = (worker.id, worker.num_workers) if worker else (0, 1)
        make, number = self.by_number(), self.first + index * self.every
        while True:
            yield make(number)
            number += count * self.every


class Numbered(Stream):
    """A stream that opens what it reads from once a worker, and makes a batch from a generator.

    Attributes:
        seed: of the stream.
    """

    seed = 0

    @abstractmethod
    def open(self) -> Callable[[random.Random], Any]:
        """Read what batches are made from; gives what makes one."""

    def by_number(self) -> Callable[[int], Any]:
        """See `Stream`."""
        make = self.open()
        return lambda number: make(random.Random(f"{self.seed}/{number}"))


ROUND = 192  # batches; a multiple of the usual numbers of processes and workers, so that each meets the same ones again


class Mixed(Stream):
    """Batches of two streams: a share of them, by their place in a round alone, of the second one.

    Four in a row are of one stream, so that processes that share a step take equally long.
    """

    def __init__(self, first: Stream, second: Stream, share: float, seed: int):
        self._streams, self._share, self._seed = (first, second), share, seed

    def by_number(self) -> Callable[[int], Any]:
        """See `Stream`."""
        makers = [stream.by_number() for stream in self._streams]
        fours = range(ROUND // 4)
        second = set(random.Random(f"{self._seed}/second").sample(fours, round(self._share * len(fours))))
        return lambda n: makers[n % ROUND // 4 in second](n)


class Echoed(Stream):
    """Batches of a stream, each of them several times: data echoing (Choi et al. 2019, arXiv 1907.05550), for batches
    that take longer to make than to learn from.

        twice, in rounds of three:  0 1 2  0 1 2  3 4 5  3 4 5  ...

    A worker keeps those of a round that fall to it, and gives copies: what it gives moves to shared memory, where each
    tensor holds a file open.
    """

    def __init__(self, stream: Stream, times: int):
        self._stream, self._times = stream, times

    def by_number(self) -> Callable[[int], Any]:
        """See `Stream`."""
        make, kept = self._stream.by_number(), {}

        def again(number: int) -> Any:
            first = number // (ROUND * self._times) * ROUND
            fresh = first + number % ROUND
            if kept and min(kept) < first:
                kept.clear()
            if fresh not in kept:
                kept[fresh] = make(fresh)
            return copy.deepcopy(kept[fresh])

        return again


class Through(Stream):
    """Batches of a stream, each put through a function where it is made."""

    def __init__(self, stream: Stream, function: Callable[[Any], Any]):
        self._stream, self._function = stream, function

    def by_number(self) -> Callable[[int], Any]:
        """See `Stream`."""
        make = self._stream.by_number()
        return lambda number: self._function(make(number))


def _keep_working(worker: int) -> None:
    """A signal to a terminal's or torchrun's whole group is the trainer's, who still needs a batch for its last step;
    a worker ends when it is told to, or the trainer is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _end_workers() -> None:
    """At exit those who wait for more are ended: they heed no signal of the kind that Python would send them then."""
    for child in multiprocessing.active_children():
        child.kill()


def loader(stream: Stream, workers: int = 1, prefetch: int = 3) -> Callable[[int, int], Iterator[Any]]:
    """A function of (first, every) that gives the stream's batches in order, made by worker processes."""

    if workers:  # before what Python does at exit, and so registered after it
        atexit.unregister(_end_workers)
        atexit.register(_end_workers)

    def batches(first: int, every: int) -> Iterator[Any]:
        stream.first, stream.every = first, every
        return iter(DataLoader(stream, batch_size=None, num_workers=workers, worker_init_fn=_keep_working,
                               prefetch_factor=prefetch if workers else None))

    return batches
