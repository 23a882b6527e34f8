"""Phase two, `direct`: one `.ingest` command for all parts of a transaction, and its operation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from exactly_once_kusto.errors import (
    ConfigurationError,
    StorageUnavailableError,
    TargetError,
)
from exactly_once_kusto.kusto import command
from exactly_once_kusto.kusto.client import redact
from exactly_once_kusto.kusto.destination import Destination
from exactly_once_kusto.kusto.outside import Outside, Requests
from exactly_once_kusto.kusto.staged import find_changed
from exactly_once_kusto.protocol.outcome import (
    Accepted,
    Completed,
    Failed,
    Lost,
    Missing,
    NotSent,
    OperationStatus,
    Refused,
    Running,
    Skipped,
    Submission,
    Transaction,
)

RUNNING = ("InProgress", "Scheduled")
PERMANENT = ("BadInput",)
TRANSIENT = ("Throttled", "Abandoned", "Canceled")
"""The states of management/show-operations.md that say by themselves whether to try again.

Canceled: by a person, who can't make it unsent; whoever wants the job to stop, stops the job.
`Failed` and `PartiallySucceeded` have a record that says it (management/ingestion-failures.md).
"""


FORBIDDEN = "Download_Forbidden"
"""What an expired access is answered with; for Kusto a permanent failure (error-codes.md)."""


@dataclass(frozen=True, slots=True)
class Window:
    """When an attempt's access to the parts may be used, in seconds since the epoch.

    Until `half` its command may be sent; what is forbidden after that was too late, not without
    right: clocks differ. At `end` the access expires.
    """

    half: float
    end: float


ALWAYS = Window(math.inf, math.inf)


def submit(
    outside: Outside,
    client: Requests,
    destination: Destination,
    transaction: Transaction,
    window: Window,
) -> Submission:
    """Send the one command of an attempt.

    Nothing is sent if a part is not what was sealed, or too little of the access is left.
    """
    try:
        changed = find_changed(outside, transaction.parts)
        sources = [outside.readable(part.address, window.end) for part in transaction.parts]
    except StorageUnavailableError as error:
        return NotSent(f"staging can't be looked at: {error}")
    except ConfigurationError as error:
        return Refused(str(error), permanent=True)
    if changed is not None:
        return Refused(changed, permanent=True)
    if outside.now() > window.half:
        return NotSent("its access was half over before it was sent: staging answers slowly")
    text = command.ingest_command(
        destination.table,
        destination.columns,
        sources,
        transaction.id,
        destination.format,
    )
    answer = client.submit(destination.database, text)
    if not isinstance(answer, list):
        return answer
    operation = str(answer[0].get("OperationId", "")) if answer else ""
    if not command.GUID.fullmatch(operation):
        return Lost("the cluster's answer names no operation")
    return Accepted(operation)


def poll(
    outside: Outside,
    client: Requests,
    destination: Destination,
    operation: str,
    window: Window,
) -> OperationStatus:
    """Return how an operation stands; `window`: of the attempt that it belongs to.

    Raises:
        TargetUnavailableError: nothing could be known.
    """
    rows = client.read(destination.database, command.show_operation(operation))
    if not rows:
        return Missing()
    # With an id there is one row, the latest; should there be more, an end outweighs the rest.
    row = next((r for r in rows if r["State"] not in RUNNING), rows[0])
    state = str(row["State"])
    if state in RUNNING:
        return Running()
    if state == "Completed":
        return Completed()
    if state == "Skipped":
        return Skipped()
    message = f"operation {operation} ended as {state}: {redact(str(row['Status'] or 'no text'))}"
    if state in TRANSIENT:
        return Failed(message, permanent=False)
    codes, message, permanent = _failures(client, destination, operation, message)
    if FORBIDDEN in codes and outside.now() > window.half:
        hint = "the access had expired by then; if it happens again, raise option 'access-lifetime'"
        return Failed(f"{message}; {hint}", permanent=False)
    return Failed(message, permanent or state in PERMANENT)


def _failures(
    client: Requests, destination: Destination, operation: str, message: str
) -> tuple[set[str], str, bool]:
    """Return the codes of an operation's failures, the message with them, and if one is for good.

    Without a right to see them it is tried again, with back-off.
    """
    try:
        rows = client.read(destination.database, command.show_failures(operation))
    except TargetError:
        rows = []
    details = [redact(f"{row['ErrorCode']}: {row['Details']}") for row in rows[:3]]
    codes = {str(row["ErrorCode"]) for row in rows}
    permanent = any(row["FailureKind"] == "Permanent" for row in rows)
    return codes, "; ".join([message, *details]), permanent
