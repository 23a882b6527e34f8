"""The only place that waits for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from exactly_once_kusto.cluster.errors import RestUnreachableError

Found = TypeVar("Found")


def wait_until(
    condition: Callable[[], Found | None], timeout_s: float, what: str, poll_s: float = 0.1
) -> Found:
    """Returns the first value of `condition` that is true.

    A JobManager that does not answer counts as 'not yet'; any other exception ends the wait.

    Args:
        condition: Asked again and again; must itself come back in bounded time.
        timeout_s: After this many seconds no further question is asked.
        what: What is awaited, for the message.
        poll_s: Pause between two questions; grows up to ten times of it.

    Raises:
        TimeoutError: With `what`, the seconds waited, and what was seen last.
    """
    begun = time.monotonic()
    pause_s = poll_s
    while True:
        last: object
        try:
            found = condition()
            if found:
                return found
            last = found
        except RestUnreachableError as error:
            last = error
        left_s = timeout_s - (time.monotonic() - begun)
        if left_s <= 0:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}; last seen: {last!r}")
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.2, poll_s * 10)
