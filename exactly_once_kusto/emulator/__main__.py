"""``python -m exactly_once_kusto.emulator --port 0 --data DIR --database Demo``."""

from __future__ import annotations

import argparse
import sys

from . import run


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
    given = parser.parse_args(arguments)
    return run(given.port, given.data, tuple(given.databases or ("Demo",)), azurite=given.azurite)


if __name__ == "__main__":
    sys.exit(main())
