"""One conversation in virtual time: the loop that `converse` and `simulate` share.

    user     |  u0  |  u1  |  u2  |        what the recording or script gives, one block at a time
    agent    |silent|  a0  |  a1  |  a2    a_i is decided from room block i and sounds in block i + 1
    room     u0     u1+e(a0) u2+e(a0,a1)   the echo of what sounds now reaches the microphone now

The engine has no clock of its own, so this is the same tick that a live conversation gets, without the waiting.
"""

import time
from collections.abc import Callable, Iterable

import numpy as np

from omni.audio.mixing import Echo
from omni.base.events import BlockInput, BlockResult
from omni.engine.engine import Engine
from omni.evaluate.record import Record


class Conversation:
    """A slot of the engine, fed block by block. Use as a context manager: leaving it gives the slot back.

    Attributes:
        slot: its place in the engine.
        record: floor, words and captions so far.
        compute_us: microseconds each step took.
    """

    def __init__(self, engine: Engine, *, seed: int = 0, instructions: str = "", echo: Echo | None = None,
                 clock_ns: Callable[[], int] = time.perf_counter_ns):
        """Args:
            engine: takes one slot of it.
            seed: of the conversation's random generator.
            instructions: what the model is asked to be.
            echo: the way from the agent's speaker back into its microphone; None for headphones.
            clock_ns: measures compute, and nothing else depends on it.

        Raises:
            CapacityError: the engine is full.
        """
        self.timebase = engine.timebase
        self.record = Record(engine.timebase)
        self.compute_us: list[int] = []
        self._engine = engine
        self._echo = echo
        self._clock_ns = clock_ns
        self.slot = engine.open(seed, instructions)
        self._sounding = np.zeros(self.timebase.block_samples, np.float32)     # output block of the room block to come
        self._sounded: list[np.ndarray] = []

    def __enter__(self) -> "Conversation":
        return self

    def __exit__(self, *exc_info) -> None:
        self._engine.close(self.slot)

    @property
    def now(self) -> int:
        """First sample of the block that comes next."""
        return self.timebase.block_at(len(self._sounded))

    def step(self, user: np.ndarray) -> BlockResult:
        """Let one block pass: `user` is float32 (block_samples,) of what the microphone hears besides the agent."""
        heard = self.hear(user)
        started_ns = self._clock_ns()
        result = self._engine.step({self.slot: heard})[self.slot]
        self.compute_us.append((self._clock_ns() - started_ns) // 1000)
        self.take(result)
        return result

    def hear(self, user: np.ndarray) -> BlockInput:
        """The first half of `step`, for conversations that are stepped together: what the microphone picks up."""
        room = np.array(user, np.float32)
        if self._echo is not None:
            room += self._echo.process(self._sounding)
        return BlockInput(room)

    def take(self, result: BlockResult) -> None:
        """The second half: what the engine made of it."""
        self._sounded.append(self._sounding)
        self._sounding = result.audio
        self.record.add(result)

    def output(self, num_samples: int) -> np.ndarray:
        """What the agent's speaker played in the first `num_samples`, float32; that much must have passed."""
        if num_samples > self.now:
            raise ValueError(f"{num_samples} samples asked for, {self.now} have passed")
        return np.concatenate([*self._sounded, np.zeros(0, np.float32)])[:num_samples]


def run_pass(engine: Engine, user: np.ndarray, *, seed: int = 0, echo: Echo | None = None,
             progress: Callable[[Iterable], Iterable] = iter) -> Conversation:
    """One full-duplex pass over a recording.

    Args:
        user: float32 (samples,) at the model's rate; the last block is filled up with zeros.
        progress: wraps the iteration over blocks, e.g. `tqdm`.

    Returns:
        the conversation, its slot given back; `record` and `output(len(user))` hold what came of it.
    """
    size = engine.timebase.block_samples
    blocks = np.pad(user, (0, -len(user) % size)).reshape(-1, size)
    with Conversation(engine, seed=seed, echo=echo) as conversation:
        for block in progress(blocks):
            conversation.step(block)
    return conversation
