"""Phase two, `direct`: one `.ingest` command for all parts of a transaction, and its operation."""

from __future__ import annotations

from exactly_once_kusto.errors import (
    ConfigurationError,
    StorageUnavailableError,
    TargetError,
)
from exactly_once_kusto.kusto import command
from exactly_once_kusto.kusto.client import Client, redact
from exactly_once_kusto.kusto.destination import Destination
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
from exactly_once_kusto.storage.access import readable

RUNNING = ("InProgress", "Scheduled")
PERMANENT = ("BadInput",)
TRANSIENT = ("Throttled", "Abandoned", "Canceled")
"""The states of management/show-operations.md that say by themselves whether to try again.

Canceled: by a person, who can't make it unsent; whoever wants the job to stop, stops the job.
`Failed` and `PartiallySucceeded` have a record that says it (management/ingestion-failures.md).
"""


def submit(
    client: Client, destination: Destination, transaction: Transaction, until: float
) -> Submission:
    """Send the one command of an attempt, whose access to the parts ends at `until`.

    Nothing is sent if a part is not what was sealed.
    """
    try:
        changed = find_changed(transaction.parts)
        sources = [readable(part.address, until) for part in transaction.parts]
    except StorageUnavailableError as error:
        return NotSent(f"staging can't be looked at: {error}")
    except ConfigurationError as error:
        return Refused(str(error), permanent=True)
    if changed is not None:
        return Refused(changed, permanent=True)
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


def poll(client: Client, destination: Destination, operation: str) -> OperationStatus:
    """Return how an operation stands.

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
    if state in PERMANENT or state in TRANSIENT:
        return Failed(message, permanent=state in PERMANENT)
    return _failed(client, destination, operation, message)


def _failed(
    client: Client, destination: Destination, operation: str, message: str
) -> OperationStatus:
    try:
        rows = client.read(destination.database, command.show_failures(operation))
    except TargetError:
        rows = []  # no right to see them: then it is tried again, with back-off
    details = [redact(f"{row['ErrorCode']}: {row['Details']}") for row in rows[:3]]
    permanent = any(row["FailureKind"] == "Permanent" for row in rows)
    return Failed("; ".join([message, *details]), permanent)
