"""Row of compute: what one block of one conversation costs, ears, mind and voice each for itself.

Each part is timed where `DuplexModel.step` runs it, in a conversation in which the agent always speaks and somebody
always makes a noise, on one thread. Measured on whatever else the machine does.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from tqdm import tqdm

from omni.base.memory import settled_heap
from omni.evaluate.metrics.metric import quantile
from omni.evaluate.senses.goals import Row, measured
from omni.evaluate.senses.listener import Listener
from omni.evaluate.senses.subject import MIND, Subject
from omni.evaluate.senses.talker import Talker
from omni.model.tokens import FIRST_PIECE

NUM_BLOCKS = 400
_WARM_UP = 20
_TOGETHER = 20      # blocks that are drawn anew together: neighbours share what else the machine does


def compute(subject: Subject, most: int | None, seed: int, clock_ns: Callable[[], int] = time.perf_counter_ns,
            cpu_ns: Callable[[], int] = time.thread_time_ns) -> list[Row]:
    """Row "compute"; in its details the parts, and the time that the thread itself was running.

    The number of threads is put to one and back.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with settled_heap():    # as where it serves
            wall, cpu = _timed(subject, most or NUM_BLOCKS, seed, clock_ns, cpu_ns)
    finally:
        torch.set_num_threads(threads)
    both = wall["ears"] + wall["voice"]
    parts = {name: {"p50_ms": _ms(ns, 50), "p95_ms": _ms(ns, 95), "cpu_p95_ms": _ms(cpu[name], 95)}
             for name, ns in wall.items()}
    parts["ears and voice"] = {"p50_ms": _ms(both, 50), "p95_ms": _ms(both, 95),
                               "cpu_p95_ms": _ms(cpu["ears"] + cpu["voice"], 95)}
    note = ", ".join(f"{name} {p['p95_ms']:.1f}" for name, p in parts.items() if name in ("ears", "voice"))
    note += f", mind {parts['mind']['p95_ms']:.1f} ms besides" if "mind" in parts else ""
    note += f"; {parts['ears and voice']['cpu_p95_ms']:.1f} of its own time"
    groups = [list(both[i:i + _TOGETHER] / 1e6) for i in range(0, len(both), _TOGETHER)]
    return [measured("compute", quantile(groups, 95), "blocks", note, parts)]


def _ms(ns: np.ndarray, percent: float) -> float:
    return round(float(np.percentile(ns, percent)) / 1e6, 2)


@torch.inference_mode()
def _timed(subject: Subject, blocks: int, seed: int, clock_ns, cpu_ns) -> tuple[dict, dict]:
    """int64 (blocks,) of nanoseconds of each part: by the clock, and by the thread's own."""
    model, listener, talker = subject.model, Listener(subject.model), Talker(subject.model)
    rng = np.random.default_rng(seed)
    ears, mouth, fresh = listener.init_state(1), model.mouth.init_state(1), model.mouth.init_state(1)
    mind = model.mind.init_state(1)
    active, own = torch.ones(1, dtype=torch.bool), torch.zeros(1, listener.block)
    symbols = range(FIRST_PIECE, len(model.pieces))
    names = ["ears", "voice", *(["mind"] if MIND in subject.has else [])]
    wall, cpu = ({name: np.zeros(blocks, np.int64) for name in names} for _ in range(2))
    for block in tqdm(range(_WARM_UP + blocks), desc="compute", unit="block", leave=False, disable=None):
        room = torch.from_numpy((0.1 * rng.standard_normal((1, listener.block))).astype(np.float32))
        marks = [(clock_ns(), cpu_ns())]
        frames, _ = listener.step(room, own, ears, active)
        heard = model.connector(frames)
        marks.append((clock_ns(), cpu_ns()))
        own = talker.step([int(rng.choice(symbols))], mouth, fresh)
        marks.append((clock_ns(), cpu_ns()))
        if "mind" in names:
            width = heard.shape[-1]
            given = model.arrange(heard, heard.new_zeros(1, 1, width), heard.new_zeros(1, 1, width))
            model.mind.logits(model.mind.step(given, mind, active)[:, -1])
            marks.append((clock_ns(), cpu_ns()))
        if block >= _WARM_UP:
            for name, before, after in zip(names, marks, marks[1:], strict=False):
                wall[name][block - _WARM_UP] = after[0] - before[0]
                cpu[name][block - _WARM_UP] = after[1] - before[1]
    return wall, cpu


