"""The `omni` command: parse, load, call. Everything else lives in the packages below it.

Exit codes: 0 done, 1 failed, 2 bad input or usage, 130 interrupted (what was done is kept).
"""

import argparse
import sys

from omni import __version__
from omni.base.errors import OmniError


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="omni", description="A full-duplex realtime voice agent that is one neural "
                                     "model: it listens, thinks and speaks in every 80 ms block.")
    parser.add_argument("--version", action="version", version=f"omni {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_serve, _add_talk, _add_converse, _add_simulate, _add_train, _add_bench):
        add(commands)
    args = parser.parse_args(argv)
    try:
        return args.call(args)
    except OmniError as error:
        print(f"omni {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"omni {args.command}: interrupted", file=sys.stderr)
        return 130


def _add_serve(commands) -> None:
    parser = commands.add_parser("serve", help="serve the page and the protocols")
    parser.set_defaults(call=lambda args: 1)


def _add_talk(commands) -> None:
    parser = commands.add_parser("talk", help="talk through microphone and speaker")
    parser.set_defaults(call=lambda args: 1)


def _add_converse(commands) -> None:
    parser = commands.add_parser("converse", help="one full-duplex pass over a recording")
    parser.set_defaults(call=lambda args: 1)


def _add_simulate(commands) -> None:
    parser = commands.add_parser("simulate", help="run scripted conversations in virtual time")
    parser.set_defaults(call=lambda args: 1)


def _add_train(commands) -> None:
    parser = commands.add_parser("train", help="train a model")
    parser.set_defaults(call=lambda args: 1)


def _add_bench(commands) -> None:
    parser = commands.add_parser("bench", help="measure compute per block")
    parser.set_defaults(call=lambda args: 1)
