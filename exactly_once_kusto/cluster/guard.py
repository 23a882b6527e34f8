"""The guard: a process that ends a cluster's processes when the cluster's owner is gone.

Run by path, isolated (`python -I guard.py OWNER_PID`), so that it loads nothing but the standard
library. Its stdin is a pipe. Every process of the cluster writes `+PID` into it before it becomes a
JVM, in a session of its own, so PID is its process group too; the owner writes `-PID` when a whole
group has ended. The owner's death, however it comes, is seen as end-of-file, or as a change of the
parent (a child that the owner forked may hold the pipe open).
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

_LOOK_EVERY_S = 0.5
# How long a process that was just being started may still write its number after the owner died.
_LATE_S = 3.0


def _end(groups: set[int]) -> None:
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    groups.clear()


def _note(line: bytes, groups: set[int]) -> None:
    sign, number = line[:1], line[1:].strip()
    if number.isdigit() and int(number) > 1:
        (groups.add if sign == b"+" else groups.discard)(int(number))


def watch(owner: int, pipe: int) -> None:
    """Returns after the owner is gone and every process group that was named has been killed."""
    groups: set[int] = set()
    rest = b""
    late_until: float | None = None
    while late_until is None or time.monotonic() < late_until:
        if late_until is None and os.getppid() != owner:
            late_until = time.monotonic() + _LATE_S
        if select.select([pipe], [], [], _LOOK_EVERY_S)[0]:
            read = os.read(pipe, 65536)
            if not read:
                break
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                _note(line, groups)
        if late_until is not None:
            _end(groups)
    _end(groups)


if __name__ == "__main__":
    # A Ctrl-C or a closed terminal is the owner's business; the guard outlives it on purpose.
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(ignored, signal.SIG_IGN)
    watch(int(sys.argv[1]), sys.stdin.fileno())
