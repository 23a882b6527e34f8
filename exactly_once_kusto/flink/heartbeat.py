"""Signs of life: a worker that is stopped, or in which a call hangs, falls silent and is killed.

The task counts the silence (`WorkerProcess.java`). A thread of its own beats, so a long call is no
silence; but once a single call has taken longer than any of its own timeouts allows, the beat ends,
after every thread's stack has gone to the log.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import sys
import threading
import time
from collections.abc import Iterator

from exactly_once_kusto.flink.frames import Channel, Kind, ParentGone

log = logging.getLogger("exactly_once_kusto.flink.heartbeat")

EVERY_S_MAX = 5.0
EVERY_S_FIRST = 0.15
"""Until the task has said how long it waits; it waits 1 s at least."""

BEATS_A_TIMEOUT = 6
CALL_S_MORE = 300.0
"""How much longer than the wait for storage a call may take: uploads, a last batch, a slow disk."""


class Pulse:
    """Beats until the channel ends, or until a thread hangs in a call."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._every_s = EVERY_S_FIRST
        self._call_s_max = CALL_S_MORE
        self._calls: dict[int, tuple[str, float]] = {}

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def keep(self, timeout_s: float) -> None:
        """Beat often enough for a task that waits `timeout_s` for a sign of life."""
        self._every_s = min(EVERY_S_MAX, timeout_s / BEATS_A_TIMEOUT)

    def limit(self, storage_wait_s: float) -> None:
        """Take a call for hung that lasts much longer than the sink's own wait for its storage."""
        self._call_s_max = storage_wait_s + CALL_S_MORE

    @contextlib.contextmanager
    def call(self, what: str) -> Iterator[None]:
        """Say that this thread is in a call that must come back."""
        thread = threading.get_ident()
        self._calls[thread] = (what, time.monotonic())
        try:
            yield
        finally:
            del self._calls[thread]

    def _beat(self) -> None:
        never = threading.Event()
        with contextlib.suppress(ParentGone):
            while not never.wait(self._every_s):
                if self._hangs():
                    return
                self._channel.send(Kind.HEARTBEAT)

    def _hangs(self) -> bool:
        now = time.monotonic()
        for what, since in list(self._calls.values()):
            if now - since > self._call_s_max:
                log.error(
                    "%s has not come back for %.0f s: no sign of life any more", what, now - since
                )
                faulthandler.dump_traceback(sys.__stderr__ or sys.stderr, all_threads=True)
                return True
        return False
