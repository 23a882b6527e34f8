"""How a process that was started here is ended: asked, waited for, and killed if it does not go."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from typing import Any

STOP_WAIT_S = 30.0


def end(process: subprocess.Popen[Any], number: signal.Signals) -> int:
    """Send a signal, wait, and SIGKILL after ``STOP_WAIT_S``; the exit code."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)  # a paused one hears no SIGTERM
    try:
        return process.wait(STOP_WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(STOP_WAIT_S)
