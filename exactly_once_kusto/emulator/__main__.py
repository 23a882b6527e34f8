"""``python -m exactly_once_kusto.emulator --port 0 --data DIR --database Demo``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import run
from .embedded import LOOPBACK
from .principals import read_principals


def main(arguments: list[str] | None = None) -> int:
    """Runs the emulator until SIGTERM; the exit code."""
    parser = argparse.ArgumentParser(prog="exactly_once_kusto.emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (0: a free one)")
    parser.add_argument("--data", required=True, help="directory that keeps everything")
    parser.add_argument(
        "--database", action="append", dest="databases", help="may be given several times"
    )
    parser.add_argument(
        "--azurite", action="store_true", help="stage in an Azurite that starts and ends with it"
    )
    parser.add_argument(
        "--host", default=LOOPBACK, help="address to listen on (0.0.0.0: all; default: loopback)"
    )
    parser.add_argument(
        "--principals",
        type=Path,
        help='file with {"<token>": "aadapp=<id>;<tenant>", ...}: ask for a bearer token',
    )
    given = parser.parse_args(arguments)
    try:
        principals = read_principals(given.principals)
    except (OSError, ValueError) as error:
        parser.error(f"--principals {given.principals}: {error}")
    return run(
        given.port,
        given.data,
        tuple(given.databases or ("Demo",)),
        azurite=given.azurite,
        host=given.host,
        principals=principals,
    )


if __name__ == "__main__":
    sys.exit(main())
