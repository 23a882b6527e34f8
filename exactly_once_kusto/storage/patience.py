"""Trying again while storage is away: bounded, jittered, and told about now and then.

Only what may be done twice is tried again, so it stands at the lowest calls of a store, where that
is known: a block under its id, bytes at their place in a file, a name created only if absent.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from exactly_once_kusto.errors import StorageUnavailableError

log = logging.getLogger(__name__)

Result = TypeVar("Result")

RETRY_FIRST_S, RETRY_MAX_S = 0.2, 10.0
TELL_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call may be tried again; 0: not at all."""

    wait_s: float = 0.0

    def run(self, call: Callable[[], Result], give_up: threading.Event | None = None) -> Result:
        """Return what `call` does, which may be done more than once; `give_up` ends the tries.

        Raises:
            StorageUnavailableError: as the last try did, after `wait_s`.
        """
        if self.wait_s <= 0:
            return call()
        event = give_up or threading.Event()
        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(StorageUnavailableError),
            wait=tenacity.wait_random_exponential(multiplier=RETRY_FIRST_S, max=RETRY_MAX_S),
            stop=tenacity.stop_any(
                tenacity.stop_after_delay(self.wait_s), tenacity.stop_when_event_set(event)
            ),
            sleep=tenacity.sleep_using_event(event),
            before_sleep=_Teller(self.wait_s),
            reraise=True,
        )
        return tries(call)


class _Teller:
    """Says the first time that something is tried again, and then every half minute."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._told = -TELL_EVERY_S

    def __call__(self, state: tenacity.RetryCallState) -> None:
        now = time.monotonic()
        if self._told > 0 and now - self._told < TELL_EVERY_S:
            return
        self._told = now
        left_s = max(0.0, self._wait_s - (now - state.start_time))
        error = state.outcome.exception() if state.outcome else None
        log.warning("%s; tried again for %.0f s, rows and checkpoints wait", error, left_s)
