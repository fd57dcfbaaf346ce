"""The only owner of the device, of torch's threads and of the model's state. Numbers go in, numbers come out."""

import numpy as np
import torch

from omni.engine.scheduler import Batch
from omni.engine.slot import Row

_FIELDS = ("token", "speaking", "audio", "tail", "stopped", "unheard", "begun_token", "begun_at", "ended_at",
           "ended_cut", "caption")


class Runner:
    """Runs one model over a batch whose shape never changes.

    Rows that do not take part are masked: the model leaves their state as it is. Because the shape is the same
    whoever takes part, a row's numbers do not depend on its neighbours. All calls come from one thread.
    """

    def __init__(self, model, capacity: int, device: str = "cpu", threads: int | None = None):
        """Args:
            model: a `DuplexModel`, or anything with its `init_state`, `reset_rows`, `step` and `caption_text`.
            capacity: rows of the batch.
            device: a torch device, "cpu" or "cuda" or "cuda:1".
            threads: torch's threads within one operation, for the whole process; None leaves them as they are.

        Raises:
            ValueError: the device is not there.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        self._device = torch.device(device)
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError("there is no CUDA device here")
        self._model = model.to(self._device).eval() if isinstance(model, torch.nn.Module) else model
        size = model.timebase.block_samples
        # What one tick hears, filled row by row: room (rows, samples), discarded samples (rows,), who takes part.
        self._room = torch.zeros(capacity, size)
        self._unplayed = torch.zeros(capacity, dtype=torch.int64)
        self._active = torch.zeros(capacity, dtype=torch.bool)
        self._seeds = torch.zeros(capacity, dtype=torch.int64)
        self._reset = torch.zeros(capacity, dtype=torch.bool)
        with torch.inference_mode():
            self._state = self._model.init_state(capacity)
            self._step()    # nobody takes part: allocates what the first tick would otherwise wait for

    def run(self, batch: Batch) -> list[Row]:
        """One block for every slot of the batch, rows in its order.

        Raises:
            ValueError: a room block has another shape than (block_samples,).
        """
        self._fill(batch)
        with torch.inference_mode():
            if batch.fresh:
                self._model.reset_rows(self._state, self._on_device(self._reset), self._on_device(self._seeds))
            out = self._step()
        return [self._row(out, slot.index) for slot in batch.slots]

    def _fill(self, batch: Batch) -> None:
        self._active.zero_()
        self._reset.zero_()
        self._room.zero_()
        self._unplayed.zero_()
        for slot, block in zip(batch.slots, batch.inputs, strict=True):
            if block.room.shape != self._room.shape[1:]:
                raise ValueError(f"a block has shape {tuple(self._room.shape[1:])}, not {block.room.shape}")
            self._room[slot.index] = torch.from_numpy(np.ascontiguousarray(block.room, np.float32))
            self._unplayed[slot.index] = block.unplayed
            self._active[slot.index] = True
        for slot in batch.fresh:
            self._reset[slot.index] = True
            self._seeds[slot.index] = slot.seed

    def _step(self) -> dict[str, np.ndarray]:
        out = self._model.step(self._on_device(self._room), self._on_device(self._unplayed),
                               self._on_device(self._active), self._state)
        return {name: getattr(out, name).cpu().numpy() for name in _FIELDS}

    def _on_device(self, tensor: torch.Tensor) -> torch.Tensor:
        # On the CPU a copy as well: what the model is given is never written to again.
        return tensor.to(self._device, copy=True)

    def _row(self, out: dict[str, np.ndarray], index: int) -> Row:
        begun = zip(out["begun_token"][index].tolist(), out["begun_at"][index].tolist(), strict=True)
        ended = zip(out["ended_at"][index].tolist(), out["ended_cut"][index].tolist(), strict=True)
        characters = [i for i in out["caption"][index].tolist() if i >= 0]
        return Row(token=int(out["token"][index]), speaking=bool(out["speaking"][index]),
                   audio=out["audio"][index].copy(), tail=int(out["tail"][index]), stopped=int(out["stopped"][index]),
                   unheard=int(out["unheard"][index]), begun=tuple((t, at) for t, at in begun if t >= 0),
                   ended=tuple((at, cut) for at, cut in ended if at >= 0),
                   caption=self._model.caption_text(characters) if characters else "")
