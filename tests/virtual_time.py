"""An event loop whose clock jumps: a minute of conversation takes milliseconds, and comes out the same every time.

The clock is an integer count of nanoseconds; it moves only when nothing is ready to run, and then exactly to the next
timer. Nothing here may wait for a real thread or a real socket.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    """Does not wait: it moves the loop's clock by what it was to wait."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None):
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("virtual time stands still: every task waits and no timer is set")
        self.loop.now_ns += max(1, round(timeout * 1e9))
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`loop.clock_ns` is the clock for whatever takes one."""

    def __init__(self) -> None:
        self.now_ns = 0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now_ns / 1e9

    def clock_ns(self) -> int:
        return self.now_ns


def run_virtual(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run `main(loop)` to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        return runner.run(main(loop))


class VirtualThread(Executor):
    """One thread that computes in no time and takes `cost_ns(call number)` of virtual time for each `step`.

    Calls run in the order they came; other calls than steps cost nothing.
    """

    def __init__(self, loop: VirtualLoop, cost_ns: Callable[[int], int] = lambda number: 10_000_000):
        self.num_steps = 0
        self._loop = loop
        self._cost_ns = cost_ns
        self._free_at_ns = 0

    def submit(self, function, /, *args, **kwargs) -> Future:
        future: Future = Future()
        cost_ns = 0
        if function.__name__ == "step":
            cost_ns = self._cost_ns(self.num_steps)
            self.num_steps += 1
        self._free_at_ns = max(self._free_at_ns, self._loop.now_ns) + cost_ns
        try:
            outcome, error = function(*args, **kwargs), None
        except Exception as raised:
            outcome, error = None, raised
        self._loop.call_at(self._free_at_ns / 1e9, self._finish, future, outcome, error)
        return future

    @staticmethod
    def _finish(future: Future, outcome, error: Exception | None) -> None:
        if not future.set_running_or_notify_cancel():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(outcome)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass
