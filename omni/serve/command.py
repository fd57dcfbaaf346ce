"""`omni serve`: load the model, bind the address, say where the page is, and end properly."""

import argparse
import asyncio
import datetime
import errno
import json
import logging
import os
import signal
import ssl
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from omni.base.config import load
from omni.base.errors import ConfigError, OmniError
from omni.base.memory import settled_heap
from omni.base.ports import EnginePort
from omni.serve.app import Server
from omni.serve.config import ServeConfig, is_loopback
from omni.serve.limits import machine_addresses, machine_names
from omni.serve.tls import self_signed, server_context

logger = logging.getLogger(__name__)


class BindError(OmniError):
    """The address cannot be bound."""

    code = "address_in_use"


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code.

    Raises:
        ConfigError, WeightsError, BindError: before anything is served.
    """
    logging.basicConfig(level=logging.INFO if args.verbose else logging.WARNING,
                        format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = resolve(args, os.environ)
    # Torch is imported here and not at the top: a wrong flag is told at once, not after seconds of loading.
    from omni.engine.engine import Engine
    from omni.engine.worker import EngineWorker
    from omni.model.weights import load_model

    model = load_model(config.model, device=config.device, packed=True)
    engine = Engine(model, capacity=config.limits.sessions, device=config.device, threads=config.threads)
    return asyncio.run(serve_forever(config, lambda: EngineWorker(engine)))


def resolve(args: argparse.Namespace, environment) -> ServeConfig:
    """The configuration after file, --set, environment and flags, the later ones winning.

    Raises:
        ConfigError: naming the key.
    """
    flags = {"host": args.host, "port": args.port, "https": args.https, "model": args.model,
             "token": args.token if args.token is not None else environment.get("OMNI_TOKEN"),
             "limits.sessions": args.sessions}
    # JSON is YAML: quoted this way a token of digits stays text.
    overrides = [*args.set, *(f"{key}={json.dumps(value)}" for key, value in flags.items() if value is not None)]
    try:
        return load(ServeConfig, args.config, overrides)
    except ConfigError as error:
        raise ConfigError(str(error).removeprefix(f"{args.config.split('/')[-1]}.yaml: ")) from error


async def serve_forever(config: ServeConfig, make_worker: Callable[[], EnginePort]) -> int:
    """Serve until SIGINT or SIGTERM, then end every conversation within the deadline; returns the exit code.

    Args:
        make_worker: called on the event loop; gives an asynchronous context manager.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    with settled_heap():        # before the clock of the blocks begins
        async with make_worker() as worker:
            async with serving(config, worker, stats=worker.stats) as address:
                print(address, flush=True)
                await stopped.wait()
                print("omni serve: ending conversations", flush=True)
    return 0


class serving:
    """A running server: `async with serving(config, engine) as address`. Leaving it ends every conversation.

    Raises:
        BindError: the address is in use or not of this machine.
    """

    def __init__(self, config: ServeConfig, engine: EnginePort, stats: Callable[[], object] | None = None):
        self.config = config
        self.server = Server(engine, config, model=Path(config.model).name, stats=stats)
        self._runner = web.AppRunner(self.server.app(), access_log=None, keepalive_timeout=15, shutdown_timeout=1,
                                     handle_signals=False)

    async def __aenter__(self) -> str:
        config = self.config
        await self._runner.setup()
        site = web.TCPSite(self._runner, config.host, config.port, ssl_context=_tls(config) if config.https else None)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise BindError(_why(error, config)) from error
        self.port = self._runner.addresses[0][1]
        return page_address(config, self.port)

    async def __aexit__(self, *_) -> None:
        await self._runner.cleanup()


def page_address(config: ServeConfig, port: int) -> str:
    """Where a person opens the page. The token stands in the fragment, which browsers do not send."""
    scheme = "https" if config.https else "http"
    secret = f"#token={config.token}" if config.token else ""
    host = config.host
    if host in ("0.0.0.0", "::", ""):
        fours = [str(address) for address in machine_addresses() if address.version == 4]
        host = fours[0] if fours else "localhost"
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}:{port}/{secret}"


def _tls(config: ServeConfig) -> ssl.SSLContext:
    names = {"localhost", "127.0.0.1", "::1", *config.allowed_hosts}
    names |= machine_names() if not is_loopback(config.host) else set()
    return server_context(*self_signed(names, datetime.datetime.now(datetime.UTC)))


def _why(error: OSError, config: ServeConfig) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {config.port} of {config.host} is in use; choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {config.port} needs more rights; choose one above 1023 with --port"
    return f"cannot bind {config.host} port {config.port}: {error.strerror or error}"
