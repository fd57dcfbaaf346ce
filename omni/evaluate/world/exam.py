"""The examination: which conversations are held for which row, and what comes of them."""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from omni.data import recordings, skills
from omni.data.closed_loop import ClosedLoop
from omni.data.lines import SoundLine
from omni.data.live_room import LiveRoom
from omni.data.partner import Partner
from omni.data.recordings import Recording, active_span
from omni.data.skills.numbers import DIGITS
from omni.data.skills.talk import Ask
from omni.data.user import BLOCK, RATE_HZ
from omni.evaluate.scenario import normal
from omni.evaluate.senses import stimuli
from omni.evaluate.world import voice
from omni.evaluate.world.examiner import Examiner, Reciter
from omni.evaluate.world.interrupter import Interrupter
from omni.evaluate.world.judge import Judged, judged, paused, remembered
from omni.evaluate.world.pauses import PAUSES, Pausing
from omni.evaluate.world.rememberer import Rememberer
from omni.evaluate.world.resumption import resumed
from omni.model.duplex import DuplexModel

ASKS = 6                # in a conversation; what was said before is part of what is asked
REAL = ("real_orders", "real_orders_12db", "real_strings")
SCENES = {"go_on": Interrupter, "memory": Rememberer}
"""Tasks that have a user of their own."""

_FEWER = {"stories": 2, "floor": 3, "sounds": 4, "go_on": 3, "memory": 3}   # asks that take long
_JUDGES = {**dict.fromkeys(PAUSES, paused), "go_on": resumed, "memory": remembered}
_LONGEST = 4_500        # blocks: 6 minutes


@dataclass(slots=True)
class Sitting:
    """A conversation to be held.

    Attributes:
        task: one of `tasks`.
        case: what is drawn anew for an interval: the conversation, or the recording however often it is heard.
        make: its partner, its room, and by the identity of each ask whether it is kept from lessons.
    """

    task: str
    case: str
    make: Callable[[DuplexModel], tuple[Partner, LiveRoom, dict[int, bool]]]


def tasks() -> list[str]:
    """Everything that can be asked: recordings, every skill there is, scenes, pauses."""
    return [*REAL, *skills.names(), *SCENES, *PAUSES]


def sittings(task: str, most: int, seed: int, voices: voice.Kind = "unseen") -> list[Sitting]:
    """The conversations of a task in which about `most` things are asked. Recordings are heard several times if they
    are fewer, at other moments and over other noise."""
    if task not in REAL:
        count = _FEWER.get(task, ASKS)
        return [Sitting(task, str(i), partial(_held, task=task, count=count, seed=f"{seed}/{task}/{i}", voices=voices))
                for i in range(-(-most // count))]
    found = real_strings() if task == "real_strings" else _dev_orders()
    random.Random(seed).shuffle(found)
    return [Sitting(task, r.path.name, partial(_recorded, record=r, noisy=task.endswith("12db"), seed=f"{seed}/{i}"))
            for i, r in enumerate(itertools.islice(itertools.cycle(found), most))]


def hold(model: DuplexModel, todo: Sequence[Sitting], batch: int, deaf: bool = False,
         tick: Callable[[int], None] = lambda sittings: None) -> Iterator[tuple[Sitting, list[Judged]]]:
    """Hold conversations, `batch` at a time.

    Args:
        deaf: the agent hears nothing, as a control.
        tick: told how many are over, whenever some are.
    """
    for first in range(0, len(todo), batch):
        some = todo[first:first + batch]
        made = [sitting.make(model) for sitting in some]
        partners = [partner for partner, _, _ in made]
        rooms = [_Silence(BLOCK) if deaf else room for _, room, _ in made]
        loop = ClosedLoop(model, partners, rooms)
        active = [True] * len(some)
        for _ in range(_LONGEST):
            loop.step(active)
            over = [partner.user.over for partner in partners]
            if tick and any(a and o for a, o in zip(active, over, strict=True)):
                tick(sum(a and o for a, o in zip(active, over, strict=True)))
            active = [a and not o for a, o in zip(active, over, strict=True)]
            if not any(active):
                break
        for sitting, partner, course, (_, _, apart) in zip(some, partners, loop.courses, made, strict=True):
            judge = _JUDGES.get(sitting.task, judged)
            yield sitting, counted(sitting.task, judge(partner, course, apart))


def counted(task: str, found: list[Judged]) -> list[Judged]:
    """Those that stand for a task: in one about the floor, what was said about it and over speech; what else was asked
    there was only so that there was something."""
    if task == "floor":
        return [j for j in found if j.skill == "floor" or j.over]
    if task == "real_strings":
        return [_exactly(j) for j in found]
    return found


def _exactly(j: Judged) -> Judged:
    right = normal(j.said) == normal(j.expected)
    return replace(j, right=right)


class _Silence:
    """A room in which nothing is heard."""

    def __init__(self, size: int):
        self._zeros = np.zeros(size, np.float32)

    def put(self, heard) -> None:
        """Nobody hears it."""

    def block(self, index: int, own: np.ndarray) -> np.ndarray:
        """Silence."""
        return self._zeros


def _held(model: DuplexModel, task: str, count: int, seed: str, voices: voice.Kind):
    rng = random.Random(seed)
    source = voice.Voiced(voice.draw(rng, voices))
    if task in PAUSES:
        source = Pausing(source, task)
    user = SCENES.get(task, Examiner)(rng, source, task, count)
    partner = Partner(rng, source, model.pieces, user=user)
    return partner, LiveRoom(_LONGEST, rng), source.apart


def _recorded(model: DuplexModel, record: Recording, noisy: bool, seed: str):
    rng = random.Random(seed)
    at = rng.randrange(RATE_HZ // 4, 2 * RATE_HZ)
    samples = stimuli.level(recordings.read(record.path))
    first, last = active_span((samples * 32_767).astype(np.int16))
    num_blocks = (at + len(samples)) // BLOCK + 400
    room = LiveRoom(num_blocks, rng)
    sound = np.pad(samples, (at, num_blocks * BLOCK - at - len(samples)))
    if noisy:
        noise = stimuli.stretch(recordings.noises(recordings.data_dir(), dev=True), len(sound), rng)
        sound = stimuli.at_loudest(sound, noise, 12)
    room.add(sound, 0)
    ask = asked_by(record)
    line = SoundLine(np.zeros(last - first, np.int16), record.text, ask.skill, last - first, ask=ask)
    return Partner(rng, None, model.pieces, user=Reciter(line, at + first)), room, {}


def asked_by(record: Recording) -> Ask:
    """What somebody asks in a recording: an order, or a string to be read back."""
    if record.slots:
        return Ask(record.text or "", "orders", "order", {k: v.strip() for k, v in record.slots.items()}, decisive=3)
    string = " ".join(w.upper() if len(w) == 1 else w for w in record.text.split())
    return Ask(record.text, "readback", "whole", {"string": string}, open=True)


def _dev_orders() -> list[Recording]:
    return [r for r in recordings.speech(recordings.data_dir()) if r.dev and r.source == "coffee_orders"]


def real_strings() -> list[Recording]:
    """Strings of digits and letters by people kept out of training, of two and more items."""
    items = {*DIGITS, "oh"}
    return [r for r in recordings.speech(recordings.data_dir()) if r.dev and r.source in ("an4", "alphanumeric")
            and r.text and len(r.text.split()) > 1 and all(len(w) == 1 or w in items for w in r.text.lower().split())]


__all__ = ["PAUSES", "REAL", "SCENES", "Sitting", "hold", "sittings", "tasks"]
