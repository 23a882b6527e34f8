"""The second phase put together: a `protocol.ports.Target` over the stations. No logic of its own.

What a transaction needs is taken from its own destination, not from the options: they may have
changed since its slices were sealed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from exactly_once_kusto.kusto import evidence, ingest, preflight, staged
from exactly_once_kusto.kusto.client import ANSWER_TIMEOUT_S
from exactly_once_kusto.kusto.columns import PlannedColumn
from exactly_once_kusto.kusto.destination import Destination, parse_destination
from exactly_once_kusto.kusto.outside import Outside, RealOutside, Requests
from exactly_once_kusto.protocol.outcome import (
    Access,
    NotSent,
    OperationStatus,
    Sighting,
    Submission,
    Transaction,
)
from exactly_once_kusto.protocol.slices import Part

if TYPE_CHECKING:
    from exactly_once_kusto.kusto.sink import KustoSink


class KustoTarget:
    """Commits staged parts with one `.ingest` command a transaction, and counts the rows.

    Every method may raise TargetUnavailableError or StorageUnavailableError: try again later.
    """

    def __init__(
        self,
        sink: KustoSink,
        plan: Sequence[PlannedColumn],
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        outside: Outside | None = None,
    ) -> None:
        self._sink = sink
        self._outside = outside or RealOutside()
        self._answer_timeout_s = answer_timeout_s
        self._plan = tuple(plan)
        self._clients: dict[str, Requests] = {}
        self._lock = threading.Lock()
        self._access = ("", 0, 0.0)
        """Transaction, attempt and end of the access that was minted last: one is under way."""

    def preflight(self) -> None:
        """Check staging, table, columns and retention before the first row is taken.

        Raises:
            TargetError: what can be known to be unfit, with both sides named.
        """
        preflight.check_staging(self._outside, self._sink.staging, self._sink.name)
        destination = Destination.of(self._sink, self._plan)
        preflight.check_target(self._client(destination), destination, self._plan)

    def mint(self, transaction: Transaction, attempt: int) -> Access:
        """Return the access of an attempt: a directory is open for ever, blobs until it expires.

        Only its end is kept here; the secret itself is made when the request is.
        """
        if not self._expires(transaction):
            return Access(principal="local", expires_at=None)
        until = self._outside.now() + self._sink.access_lifetime_s
        self._access = (transaction.id, attempt, until)
        return Access(principal="account key", expires_at=until)

    def submit(self, transaction: Transaction, attempt: int) -> Submission:
        """Send exactly one request."""
        window = self._window(transaction, attempt)
        if window is None:
            return NotSent(f"no access was minted for attempt {attempt}")
        destination = parse_destination(transaction.destination)
        client = self._client(destination)
        return ingest.submit(self._outside, client, destination, transaction, window)

    def poll(self, transaction: Transaction, operation: str) -> OperationStatus:
        """Say how the operation stands."""
        destination = parse_destination(transaction.destination)
        # An attempt of another process is never taken for refused: any window will do.
        window = self._window(transaction) or ingest.ALWAYS
        client = self._client(destination)
        return ingest.poll(self._outside, client, destination, operation, window)

    def look(
        self,
        transaction: Transaction,
        operations: Sequence[str],
        since: float,
        until: float = math.inf,
    ) -> Sighting:
        """Find the extents that bear the transaction's tag or that `operations` name."""
        destination = parse_destination(transaction.destination)
        client = self._client(destination)
        return evidence.look(client, destination, transaction, operations, since, until)

    def delete(self, parts: Sequence[Part]) -> None:
        """Delete staged parts; those that are gone are fine."""
        staged.delete(self._outside, parts)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _client(self, destination: Destination) -> Requests:
        with self._lock:
            if destination.cluster not in self._clients:
                self._clients[destination.cluster] = self._outside.requests(
                    destination.cluster, self._answer_timeout_s
                )
            return self._clients[destination.cluster]

    def _window(self, transaction: Transaction, attempt: int | None = None) -> ingest.Window | None:
        """Return when the access that was minted last may be used; None if it is another's."""
        if not self._expires(transaction):
            return ingest.ALWAYS
        identity, number, end = self._access
        if identity != transaction.id or attempt not in (None, number):
            return None
        return ingest.Window(end - self._sink.access_lifetime_s / 2, end)

    def _expires(self, transaction: Transaction) -> bool:
        return any(self._outside.expires(part.address) for part in transaction.parts)
