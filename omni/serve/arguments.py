"""Flags of `omni serve`, apart from what carries them out, so that the command line starts without loading that."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; those left out keep what the configuration says."""
    parser.add_argument("--config", default="serve/default", help="YAML file, or one of the project's own by name")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="change one value of it")
    parser.add_argument("--host", help="address to bind (127.0.0.1); any other needs --token and --https")
    parser.add_argument("--port", type=int, help="TCP port (8765); 0 takes a free one")
    parser.add_argument("--https", action="store_true", default=None, help="TLS with a self-signed certificate")
    parser.add_argument("--token", help="secret that clients must show (better: the environment's OMNI_TOKEN)")
    parser.add_argument("--model", help="shipped weights by name, or a folder of weights (tiny)")
    parser.add_argument("--sessions", type=int, help="conversations at once (4)")
    parser.add_argument("--verbose", action="store_true", help="log more; never audio, never what was said")
