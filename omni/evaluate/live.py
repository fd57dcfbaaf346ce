"""`--server URL` of `omni simulate` and `omni evaluate`: the same scripts in real time, against a server that speaks
the project's protocol.

    user ─► 20 ms frames ─► Line ─► WebSocket or WebRTC ─► server ─► Line ─► Playout ─► what the user hears
              ▲                                                                │
              └──────── turns that wait for the floor, a word, a silence ◄─────┘

There is one clock, the client's: sample t of both tracks is what sounded on the user's side t / 16,000 s after the
session had started. The user's track holds what was said (a frame leaves when it is complete), the agent's what a
client with a small jitter buffer played (`omni.evaluate.playout`), and turns react to the agent as it is heard, within
20 ms. So delays of the way and of the server are in every measured time, as they are for a person.

What a poor network does is up to the line (`omni.evaluate.lines`). Loss and jitter are drawn from the conversation's
seed; the server's own chance is its own.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from omni.audio.files import replacing
from omni.base.errors import ConfigError, OmniError
from omni.base.events import AudioReady
from omni.base.memory import settled_heap
from omni.evaluate.lines import CLEAN, FRAMES, CallLine, SocketLine
from omni.evaluate.listen import write_page
from omni.evaluate.outcome import Outcome, conclude
from omni.evaluate.playout import Playout, Told
from omni.evaluate.scenario import Scenario
from omni.evaluate.simulate import Task, plan, tell, write_outcome
from omni.evaluate.user import User, make_echo
from omni.transport.loopback import LinkConditions
from omni.transport.remote import ServerError, public

REPORT_FRAMES = 10          # 200 ms
MAX_CALL_DELAY_MS = 240     # each way: aioice takes a peer for gone whose answers to its checks take over 0.5 s
GIVE_UP = 10                # conversations one after the other that could not be held: the server is gone

Write = Callable[[Path, Task, Outcome, dict], None]
"""Takes a conversation that is over, its folder, and `Call.numbers`."""


class Call:
    """One script under way on a server."""

    def __init__(self, task: Task, url: str, *, webrtc: bool = False, conditions: LinkConditions = CLEAN,
                 token: str | None = None, insecure: bool = False,
                 clock_ns: Callable[[], int] = time.monotonic_ns):
        """Args:
            task: `seed` is of loss and jitter.
            url, token, insecure: see `RemoteSession`.
            webrtc: over WebRTC instead of a WebSocket.
            conditions: of each of the two directions.

        Raises:
            ServerError: `url` is no address.
        """
        self._task = task
        self._clock_ns = clock_ns
        self._line = (CallLine if webrtc else SocketLine)(
            url, self._hear, conditions=conditions, seed=task.seed, clock_ns=clock_ns, token=token,
            instructions=task.scenario.instructions, insecure=insecure)
        self._playout: Playout | None = None
        self._over = False
        self._started_ns = 0

    async def hold(self) -> Outcome:
        """Connect, let the script pass, hang up. Cancelled, it hangs up and nothing is left of the conversation.

        Raises:
            ServerError: the server cannot be reached, refuses, or ends the conversation before its time.
            ScriptError, MediaError: a recording is missing or cannot be used.
        """
        task = self._task
        user, echo = await asyncio.to_thread(self._prepare)     # recordings are read beside the other conversations
        size = FRAMES.block_samples
        count = -(-user.num_samples // size)
        await self._line.start()
        self._started_ns = self._clock_ns()
        playout = self._playout = Playout(count * size, extended=self._line.remote.extended)
        closed = asyncio.create_task(self._line.wait_closed(), name="live-closed")
        try:
            for frame in range(count):
                at = frame * size
                microphone = user.block(at, playout.record).copy()
                due_ns = self._started_ns + (frame + 1) * FRAMES.block_ms * 1_000_000
                await asyncio.wait({closed}, timeout=max(0, due_ns - self._clock_ns()) / 1e9)
                if closed.done():
                    end = closed.result()
                    raise ServerError(f"the conversation ended after {FRAMES.to_seconds(at):.1f} of "
                                      f"{task.scenario.length_s:g} s: {end.detail or end.reason}")
                if echo is not None:
                    microphone += echo.process(playout.track[at:at + size])
                self._line.say(microphone)
                if frame % REPORT_FRAMES == REPORT_FRAMES - 1:
                    self._line.report(playout.position(self._now()))
        finally:
            self._over = True
            closed.cancel()
            await asyncio.gather(closed, return_exceptions=True)
            await self._line.close()
        return conclude(task.scenario, user, playout.record, playout.track, self._line.heard.texts())

    def numbers(self) -> dict:
        """What the way did, and milliseconds and blocks of 80 ms by which audio came late."""
        return {**self._line.numbers(), "late_ms": FRAMES.to_ms(self._playout.late) if self._playout else 0,
                "late_blocks_of_server": self._line.late_blocks}

    def _prepare(self) -> tuple[User, object]:
        task = self._task
        return (User(task.scenario, task.script, FRAMES), make_echo(task.scenario, task.script, FRAMES))

    def _now(self) -> int:
        return (self._clock_ns() - self._started_ns) * FRAMES.sample_rate_hz // 1_000_000_000

    def _hear(self, told: list[Told], audio: AudioReady) -> None:
        if not self._over:
            self._playout.take(told, audio, self._now())


async def hold(scenario: Scenario, script: Path, url: str, *, seed: int = 0, **options) -> Outcome:
    """One conversation in real time; see `Call`."""
    return await Call(Task(scenario, script, seed), url, **options).hold()


@dataclass(frozen=True, slots=True)
class Server:
    """Where conversations are held, and over which way; the fields are those of `Call`."""

    url: str
    webrtc: bool
    conditions: LinkConditions
    token: str | None
    insecure: bool

    @property
    def model(self) -> str:
        """Who it is in files: the address without secrets, and the way to it.

        Raises:
            ServerError: `url` is no address.
        """
        told = ["WebRTC"] if self.webrtc else []
        told += [f"{name} {value:g}" for name, value in asdict(self.conditions).items() if value]
        return public(self.url) + (f" ({', '.join(told)})" if told else "")

    def call(self, task: Task) -> Call:
        """A script under way there."""
        return Call(task, self.url, webrtc=self.webrtc, conditions=self.conditions, token=self.token,
                    insecure=self.insecure)


def chosen_server(args) -> Server:
    """The server that a command's flags name.

    Raises:
        ConfigError: a flag is out of its range.
    """
    return Server(args.server, args.webrtc, _conditions(args), args.token or os.environ.get("OMNI_TOKEN"),
                  args.insecure)


def main(args) -> int:
    """The command: 0 if every expectation was met, 1 if not, 2 if a conversation could not be held."""
    server = chosen_server(args)
    model = server.model    # an address that is none is told first
    work = plan(args, lambda: model)
    outcomes: list[tuple[Task, Outcome]] = []

    def write(folder: Path, task: Task, outcome: Outcome, numbers: dict) -> None:
        write_call(folder, task, outcome, numbers, model=model)
        if args.listen:
            write_page(folder, task.scenario.title)
        outcomes.append((task, outcome))

    failed = hold_all(server, work.todo, write, at_once=args.batch or 1, command="simulate", alone=work.alone)
    code = tell(work, outcomes)
    return 2 if failed else code


def _conditions(args) -> LinkConditions:
    if args.seed < 0:
        raise ConfigError("--seed must not be negative")
    if not 0 <= args.loss < 1:
        raise ConfigError("--loss is a share, from 0 to less than 1")
    if not (0 <= args.delay_ms <= 5_000 and 0 <= args.jitter_ms <= 5_000):
        raise ConfigError("--delay-ms and --jitter-ms go from 0 to 5000")
    if args.webrtc and args.delay_ms + args.jitter_ms > MAX_CALL_DELAY_MS:
        raise ConfigError(f"with --webrtc, --delay-ms and --jitter-ms together go to {MAX_CALL_DELAY_MS}: a call over "
                          f"a longer way breaks off")
    return LinkConditions(args.delay_ms, args.jitter_ms, args.loss)


def hold_all(server: Server, todo: Sequence[tuple[Path, Task]], write: Write, *, at_once: int, command: str,
             alone: bool = False) -> int:
    """Hold conversations, so many at once; each is handed to `write`, in a thread, as soon as it is over.

    One that cannot be held is a line on stderr, and the others go on, until GIVE_UP in a row could not. Broken off
    (KeyboardInterrupt), it hangs up, and what was written is there.

    Args:
        command: begins the lines on stderr.
        alone: it is the only conversation of its script, and there is no progress to be shown.

    Returns:
        how many were not held.
    """
    with settled_heap():
        return asyncio.run(_hold_all(server, todo, write, at_once, command, alone))


async def _hold_all(server: Server, todo: Sequence[tuple[Path, Task]], write: Write, at_once: int, command: str,
                    alone: bool) -> int:
    """Cancelled, it keeps what is written."""
    waiting = iter(todo)
    held = in_a_row = 0

    async def work_off() -> None:
        nonlocal held, in_a_row
        for folder, task in waiting:
            call = server.call(task)
            try:
                outcome = await call.hold()
                # Pictures and long recordings take a second: in a thread, or the other conversations would stand still.
                await asyncio.to_thread(write, folder, task, outcome, call.numbers())
            except OmniError as error:
                in_a_row += 1
                name = task.script.stem if alone else f"{task.script.stem}/{folder.name}"
                bar.write(f"omni {command}: {name}: {' '.join(str(error).split())}", file=sys.stderr)
            else:
                held, in_a_row = held + 1, 0
            bar.update()
            if in_a_row >= GIVE_UP:
                return

    with tqdm(total=len(todo), unit="conversation", disable=alone, leave=False) as bar:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, len(todo))):
                group.create_task(work_off())
    return len(todo) - held


def write_call(folder: Path, task: Task, outcome: Outcome, numbers: dict, *, model: str, picture: bool = True) -> None:
    """The files of a simulation, and way.json with what the network did.

    Raises:
        MediaError: the folder cannot be made or written to.
    """
    write_outcome(folder, task.scenario, outcome, seed=task.seed, model=model, picture=picture)
    with replacing(folder / "way.json") as path:
        path.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
