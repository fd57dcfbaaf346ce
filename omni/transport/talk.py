"""`omni talk`: one conversation through this machine's microphone and speaker, with a model here or on a server."""

import argparse
import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext

from omni.base.events import AudioReady, SessionClosed, SessionEvent
from omni.base.memory import settled_heap
from omni.base.ports import EnginePort
from omni.base.timebase import TINY, Timebase
from omni.session.session import Session
from omni.transport import microphone
from omni.transport.captions import Captions
from omni.transport.remote import RemoteConversation

REPORT_S = 0.2
DAY_S = 86_400


def main(args: argparse.Namespace, make_worker: Callable[[], AbstractAsyncContextManager[EnginePort]]) -> int:
    """Talk until Ctrl-C, or until the other side ends it; returns the exit code.

    Args:
        args: the flags of `omni talk`.
        make_worker: gives the engine for a conversation in this process; called after the devices were found, since
            loading a model takes seconds.

    Raises:
        DeviceError: PortAudio or a device is missing or fails.
        ServerError: the server cannot be reached or refuses.
        WeightsError: the model cannot be loaded.
    """
    if args.list_devices:
        print(microphone.list_devices())
        return 0
    input_device, output_device = _device(args.input), _device(args.output)
    for kind, device in (("input", input_device), ("output", output_device)):
        microphone.find(kind, device, TINY.sample_rate_hz)
    terminal = sys.stdout.isatty()
    captions = Captions(_print, live=terminal, columns=shutil.get_terminal_size().columns)
    print(microphone.HEADPHONES, file=sys.stderr)
    worker = nullcontext() if args.server else make_worker()
    try:
        closed = asyncio.run(_talk(args, worker, captions))
    except KeyboardInterrupt:   # where signals cannot be handled on the loop
        return 0
    finally:
        captions.clear()
    return 0 if closed.reason == "close_requested" else 1


async def _talk(args: argparse.Namespace, worker: AbstractAsyncContextManager, captions: Captions) -> SessionClosed:
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(worker)

        def make(sink: Callable[[SessionEvent], None]) -> "Session | RemoteConversation":
            if args.server:
                return RemoteConversation(args.server, sink, token=args.token or os.environ.get("OMNI_TOKEN"),
                                          instructions=args.instructions, insecure=args.insecure)
            return Session(engine, sink, instructions=args.instructions, stamped=True, idle_s=None, length_s=DAY_S,
                           seed=args.seed)
        timebase = engine.timebase if engine is not None else TINY
        with settled_heap():
            return await converse(make, timebase, captions.feed, input_device=_device(args.input),
                                  output_device=_device(args.output))


async def converse(make: "Callable[[Callable[[SessionEvent], None]], Session | RemoteConversation]",
                   timebase: Timebase, show: Callable[[SessionEvent], None], *, input_device: int | str | None = None,
                   output_device: int | str | None = None, backend=None) -> SessionClosed:
    """One conversation between a sound card and whatever `make(sink)` gives, until SIGINT, SIGTERM or its end.

    Cancelling it ends the conversation and closes the devices.

    Args:
        show: takes every event but audio.
        backend: the sounddevice module, or a stand-in.

    Raises:
        DeviceError: a device cannot be opened, or has stopped.
        ServerError, CapacityError: the conversation cannot start.
    """
    def take(event: SessionEvent) -> None:
        if isinstance(event, AudioReady):
            card.play(event)
        else:
            show(event)

    live = False

    def heard(samples, at: int) -> None:
        if live:
            conversation.receive_audio(samples, at)

    conversation = make(take)
    card = microphone.SoundCard(timebase, heard=heard, discarded=conversation.discard, input_device=input_device,
                                output_device=output_device, backend=backend)
    async with card:
        await conversation.start()
        live = True
        with _stop_signals() as stop:
            waiting = [asyncio.create_task(conversation.wait_closed()), asyncio.create_task(stop.wait()),
                       asyncio.create_task(_report(conversation, card))]
            try:
                await asyncio.wait([*waiting, card.failed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
                await conversation.close()
    if card.failed.done():
        raise card.failed.result()
    return await conversation.wait_closed()


async def _report(conversation: "Session | RemoteConversation", card: microphone.SoundCard) -> None:
    while True:
        await asyncio.sleep(REPORT_S)
        conversation.report_played(card.played_at)


class _stop_signals:
    """An event that SIGINT and SIGTERM set, as long as the context lasts."""

    def __enter__(self) -> asyncio.Event:
        self._loop = asyncio.get_running_loop()
        self._handled: list[int] = []
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._loop.add_signal_handler(number, stop.set)
                self._handled.append(number)
            except (NotImplementedError, RuntimeError, ValueError):
                pass    # Windows, or not the main thread: Ctrl-C raises KeyboardInterrupt then
        return stop

    def __exit__(self, *_) -> None:
        for number in self._handled:
            self._loop.remove_signal_handler(number)


def _device(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdigit() else text


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
