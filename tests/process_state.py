"""Whether a process is still there, seen from outside."""

from __future__ import annotations

from pathlib import Path


def is_gone(pid: int) -> bool:
    """No such process, or one that is dead and only waits to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"
