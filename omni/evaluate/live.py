"""`omni simulate --server URL`: the same scripts in real time, against a server that speaks the project's protocol.

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
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from omni.audio.files import replacing
from omni.base.errors import ConfigError, OmniError
from omni.base.events import AudioReady
from omni.evaluate.lines import CLEAN, FRAMES, CallLine, SocketLine
from omni.evaluate.listen import write_page
from omni.evaluate.outcome import Outcome, conclude
from omni.evaluate.playout import Playout, Told
from omni.evaluate.scenario import Scenario
from omni.evaluate.simulate import Task, Work, plan, tell, write_outcome
from omni.evaluate.user import User, make_echo
from omni.transport.loopback import LinkConditions
from omni.transport.remote import ServerError, public

REPORT_FRAMES = 10          # 200 ms
MAX_CALL_DELAY_MS = 240     # each way: aioice takes a peer for gone whose answers to its checks take over 0.5 s


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


def main(args) -> int:
    """The command: 0 if every expectation was met, 1 if not, 2 if a conversation could not be held."""
    conditions = _conditions(args)
    told = ["WebRTC"] if args.webrtc else []
    told += [f"{name} {value:g}" for name, value in asdict(conditions).items() if value]
    model = public(args.server) + (f" ({', '.join(told)})" if told else "")
    work = plan(args, model)
    outcomes, failed = asyncio.run(_hold_all(args, work, conditions, model))
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


async def _hold_all(args, work: Work, conditions: LinkConditions,
                    model: str) -> tuple[list[tuple[Task, Outcome]], int]:
    """Hold what is to be held, `args.batch` at once (one if not given), and write each as soon as it is over.

    Cancelled, it keeps what is written.

    Returns:
        tasks with what came of them, and how many could not be held; why was said on stderr, a line each.
    """
    outcomes: list[tuple[Task, Outcome]] = []
    failed = 0
    waiting = iter(work.todo)
    token = args.token or os.environ.get("OMNI_TOKEN")

    async def work_off() -> None:
        nonlocal failed
        for folder, task in waiting:
            call = Call(task, args.server, webrtc=args.webrtc, conditions=conditions, token=token,
                        insecure=args.insecure)
            try:
                outcome = await call.hold()
                # The picture takes a second: in a thread, or the other conversations would stand still.
                await asyncio.to_thread(_write, folder, task, outcome, model, call.numbers(), args.listen)
            except OmniError as error:
                failed += 1
                name = task.script.stem if work.alone else f"{task.script.stem}/{folder.name}"
                bar.write(f"omni simulate: {name}: {' '.join(str(error).split())}", file=sys.stderr)
            else:
                outcomes.append((task, outcome))
            bar.update()

    with tqdm(total=len(work.todo), unit="conversation", disable=work.alone, leave=False) as bar:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(args.batch or 1, len(work.todo))):
                group.create_task(work_off())
    return outcomes, failed


def _write(folder: Path, task: Task, outcome: Outcome, model: str, numbers: dict, listen: bool) -> None:
    """The files of a simulation, and way.json with what the network did."""
    write_outcome(folder, task.scenario, outcome, seed=task.seed, model=model)
    with replacing(folder / "way.json") as path:
        path.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    if listen:
        write_page(folder, task.scenario.title)
