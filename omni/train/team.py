"""The processes that torchrun has started, which train together and have one file system in common.

    first    bank ──► meet    voice: lessons ──► step ─► step ─► ... ─► saves ──► meet    next stage
    others   ..........►|     ..............►|   step ─► step ─► ... ─► ..........►|     next stage

They are one group for the whole command (`together`). The first one writes; what it makes alone the others wait for,
however long it takes (`meet`, `first_alone`), and what it finds they are told (`told_by_first`). A process that is
alone waits for nobody. If one fails, torchrun ends the others.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")

PATIENCE = timedelta(days=7)
LOOK_S = 0.05  # between two looks at whether all are there, so that a signal is heeded in between

_waiting: "dist.ProcessGroup | None" = None  # beside the default group, over gloo and with `PATIENCE`


def leads() -> bool:
    """Whether this process is the only one, or the first of those that torchrun has started: the one that writes."""
    return int(os.environ.get("RANK", 0)) == 0


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Inside, the processes that torchrun has started are one group, and they leave it together. In a process that is
    alone, or is in the group already, nothing happens.

    A group is made once in a process: a second one would find the first one's addresses in torchrun's store.
    """
    global _waiting
    if "RANK" not in os.environ or not dist.is_available() or dist.is_initialized():
        yield
        return
    cuda = torch.cuda.is_available() and dist.is_nccl_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    _waiting = dist.new_group(backend="gloo", timeout=PATIENCE)
    yield
    meet()  # not after a failure: the others may never come
    _waiting = None
    dist.destroy_process_group()


def meet() -> None:
    """Wait until all processes are here. Ctrl-C ends the waiting."""
    if _waiting is None:
        return
    work = dist.barrier(_waiting, async_op=True)
    while not work.is_completed():
        time.sleep(LOOK_S)
    work.wait()


@contextlib.contextmanager
def first_alone() -> Iterator[None]:
    """The first process runs what is inside, and then the others do, who find there what it has written."""
    if not leads():
        meet()
    yield
    if leads():
        meet()


def told_by_first(find: Callable[[], T]) -> T:
    """What the first process finds, in all of them; the others only wait for it."""
    found = [find() if leads() else None]
    if _waiting is not None:
        meet()
        dist.broadcast_object_list(found, 0, _waiting)
    return found[0]


class Team:
    """What processes that share a step tell each other.

    Args:
        device: of this process, and of its gradients.
    """

    def __init__(self, device: str):
        if device.startswith("cuda:"):
            torch.cuda.set_device(device)  # nccl takes the current one
        several = dist.is_available() and dist.is_initialized()
        self.rank, self.size = (dist.get_rank(), dist.get_world_size()) if several else (0, 1)
        self._device = device

    def agree(self, seconds: float) -> float:
        """The first process's clock, for all."""
        if self.size == 1:
            return seconds
        told = torch.tensor([seconds], dtype=torch.float64, device=self._device)
        dist.broadcast(told, 0)
        return told.item()

    def any(self, asked: bool) -> bool:
        """Whether one of them says so."""
        if self.size == 1:
            return asked
        told = torch.tensor([float(asked)], device=self._device)
        dist.all_reduce(told)
        return told.item() > 0

    def average(self, parameters: list[nn.Parameter]) -> None:
        """Gradients become their mean over the processes; one that a process has none of counts as zero."""
        if self.size == 1:
            return
        for p in parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        whole: Tensor = torch.cat([p.grad.flatten() for p in parameters])
        dist.all_reduce(whole)
        whole /= self.size
        for p, part in zip(parameters, whole.split([p.numel() for p in parameters]), strict=True):
            p.grad.copy_(part.view_as(p))
