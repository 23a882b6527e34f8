"""The queues seen from the service: messages to take in, and reports of how blobs ended.

Where the emulator has no Azurite there are none, and REST is the only way in.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from .errors import KustoError, not_supported
from .queue_messages import (
    FAILED,
    FAILURES_AND_SUCCESSES,
    REPORT_NOTHING,
    TO_QUEUE,
    TO_QUEUE_AND_TABLE,
    TO_TABLE,
    Blob,
    End,
    entity_of,
    parse,
    report,
)

if TYPE_CHECKING:
    from .queue_resources import QueueResources

log = logging.getLogger(__name__)

REPORTS_MAX = 10_000
"""So many reports wait for an Azurite that doesn't answer; then the oldest are dropped."""
REFUSALS_MAX = 5
"""So often a report is sent that an Azurite which answers does not take."""
SILENCE_S = 2.0
"""So long nothing is asked of an Azurite that did not answer."""


class SilentError(Exception):
    """Azurite did not answer as it should; the text has no address in it."""


class RefusedError(SilentError):
    """Azurite answered that it does not take what was sent; ``final`` where it never will."""

    def __init__(self, told: str, final: bool) -> None:
        super().__init__(told)
        self.final = final


@dataclass
class _Report:
    blob: Blob
    end: End
    path: str
    refusals: int = 0


@dataclass(frozen=True)
class Announced:
    """A blob that a message announces; ``done`` takes the message off its queue."""

    blob: Blob
    text: str
    done: Callable[[], None]


class Reports:
    """All methods are quiet where there are no queues, or where those don't answer."""

    def __init__(self) -> None:
        self._resources: QueueResources | None = None
        self._silent_until = 0.0
        self._send_after = 0.0
        self._outbox: deque[_Report] = deque(maxlen=REPORTS_MAX)
        self._sending = threading.Lock()

    def connect(self, resources: QueueResources) -> None:
        """From now on there are queues."""
        self._resources = resources

    def resources(self) -> QueueResources:
        """The queues. Raises KustoError where the emulator has none."""
        if self._resources is None:
            raise not_supported(
                "Queued ingestion through queues without storage (start it with '--azurite', or "
                "queue blobs by REST)"
            )
        return self._resources

    def containers(self) -> list[str]:
        """Addresses of the containers for what is to be ingested; empty where there are none."""
        return [] if self._resources is None else self._resources.containers()

    def messages(self) -> Iterator[Announced]:
        """The next messages; what is no message is logged and thrown away."""
        resources = self._resources
        if resources is None or time.monotonic() < self._silent_until:
            return
        try:
            for received in resources.receive():
                try:
                    blob = parse(received.content)
                except KustoError as error:
                    log.warning("a message in %s is thrown away: %s", received.queue, error.message)
                    resources.done(received)
                    continue
                text = json.dumps([blob.url, blob.database, blob.table, dict(blob.properties)])
                yield Announced(blob, text, partial(resources.done, received))
        except SilentError as error:
            self._silence("queues", error)

    def tell(self, blob: Blob, end: End, path: str) -> None:
        """Reports an end as the message asked for it: now, or when Azurite answers again."""
        wanted = blob.report_level != REPORT_NOTHING and (
            end.status == FAILED or blob.report_level == FAILURES_AND_SUCCESSES
        )
        if self._resources is not None and wanted and not blob.operation:
            self._outbox.append(_Report(blob, end, path))
            self.flush()

    def flush(self) -> None:
        """Sends the reports that are due."""
        with self._sending:
            while self._outbox and self._resources and time.monotonic() >= self._send_after:
                told = self._outbox.popleft()
                try:
                    _send(self._resources, told)
                except RefusedError as error:
                    self._refused(told, error)
                except SilentError as error:
                    self._outbox.appendleft(told)
                    self._silence("a report", error)

    def _refused(self, told: _Report, error: RefusedError) -> None:
        """Drops the report, or sends it once more after all others: it is in nobody's way."""
        told.refusals += 1
        if error.final or told.refusals >= REFUSALS_MAX:
            log.warning("the report of blob %s is dropped: %s", told.blob.id[:40], error)
            return
        self._outbox.append(told)
        if told.refusals > 1 or len(self._outbox) == 1:
            self._send_after = time.monotonic() + SILENCE_S

    def delete(self, url: str) -> None:
        """Deletes a blob that was not to be retained."""
        if self._resources is None:
            return
        try:
            self._resources.delete_blob(url)
        except SilentError as error:
            self._silence("deleting a blob", error)

    def close(self) -> None:
        """Closes the connections."""
        if self._resources is not None:
            self._resources.close()
            self._resources = None

    def _silence(self, what: str, error: SilentError) -> None:
        log.warning("Azurite did not answer (%s: %s)", what, error)
        self._silent_until = self._send_after = time.monotonic() + SILENCE_S


def _send(resources: QueueResources, told: _Report) -> None:
    blob, end, path = told.blob, told.end, told.path
    if blob.report_method in (TO_TABLE, TO_QUEUE_AND_TABLE):
        place = blob.entity or (blob.id, blob.id)
        resources.show_status(place, entity_of(blob, end, path))
    if blob.report_method in (TO_QUEUE, TO_QUEUE_AND_TABLE):
        send = resources.failed if end.status == FAILED else resources.succeeded
        send(report(blob, end, path))
