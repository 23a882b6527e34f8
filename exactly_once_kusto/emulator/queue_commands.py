"""Commands of queued ingestion: where to queue, who one is, how it goes, and calling it off.

Sources: https://learn.microsoft.com/kusto/api/netfx/kusto-ingest-client-rest,
https://learn.microsoft.com/kusto/management/data-ingestion/show-queued-ingestion-operations and
cancel-queued-ingestion-operation-command. ``.ingest-from-storage-queued`` is not there; what they
tell of are the operations that REST requests track.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from .commands import Command
from .errors import KustoError
from .faults import Rule
from .identity import IdentityTokens
from .operations import Request
from .principals import acting
from .queue_messages import CANCELED, FAILED, IN_PROGRESS, SKIPPED, SUCCEEDED
from .queue_store import Tracked
from .queued import QueuedIngestion
from .reader import Reader
from .types import Result, columns

RESOURCE_COLUMNS = columns("ResourceTypeName:string, StorageRoot:string")
TOKEN_COLUMNS = columns("AuthorizationContext:string")
OPERATION_COLUMNS = columns(
    "IngestionOperationId:string, StartedOn:datetime, LastUpdatedOn:datetime, State:string, "
    "Discovered:long, Pending:long, Canceled:long, Ingested:long, Failed:long, "
    "SampleFailedReasons:string, Database:string, Table:string"
)
DETAIL_COLUMNS = columns(
    "IngestionOperationId:string, BlobUrl:string, IngestionStatus:string, StartedAt:datetime, "
    "CompletedAt:datetime, FailedReason:string"
)


@dataclass(frozen=True)
class GetIngestionResources(Command):
    """``.get ingestion resources``."""

    kind: ClassVar[str] = "ingestion-resources"


@dataclass(frozen=True)
class GetIdentityToken(Command):
    """``.get kusto identity token``."""

    kind: ClassVar[str] = "identity-token"


@dataclass(frozen=True)
class ShowQueuedOperations(Command):
    """``.show queued ingestion operations "id" [details]`` and ``... ("id", ...)``."""

    kind: ClassVar[str] = "queued-operations"
    ids: tuple[str, ...]
    details: bool = False


@dataclass(frozen=True)
class CancelQueuedOperation(Command):
    """``.cancel queued ingestion operation 'id'``."""

    kind: ClassVar[str] = "cancel-queued-operation"
    id: str


def read_get(r: Reader) -> Command:
    """``.get``."""
    if r.take("ingestion"):
        r.need("resources")
        return GetIngestionResources()
    if not r.take("kusto"):
        raise r.unknown()
    r.need("identity")
    r.need("token")
    return GetIdentityToken()


def read_show(r: Reader) -> Command:
    """``.show queued``."""
    r.need("ingestion")
    r.need("operations")
    if r.ahead("("):
        return ShowQueuedOperations(r.listed(r.string))
    return ShowQueuedOperations((r.string(),), r.take("details"))


def read_cancel(r: Reader) -> Command:
    """``.cancel queued``."""
    r.need("ingestion")
    r.need("operation")
    return CancelQueuedOperation(r.string())


def known(queued: QueuedIngestion, operation: str) -> list[Tracked]:
    """The blobs of a tracked request. Raises KustoError (404) where there is none of that id."""
    found = queued.store.tracked(operation)
    if not found:
        raise KustoError(
            "BadRequest_EntityNotFound",
            f"Entity ID '{operation[:100]}' of kind 'IngestionOperation' was not found.",
            status=404,
            type_name="Kusto.Data.Exceptions.EntityNotFoundException",
        )
    return found


def handlers(
    queued: QueuedIngestion, tokens: IdentityTokens
) -> dict[type[Command], Callable[[Any, Request, list[Rule]], Result]]:
    """What carries out the commands of this module."""

    def resources(_: object, __: Request, ___: list[Rule]) -> Result:
        return Result(RESOURCE_COLUMNS, list(queued.reports.resources().rows()))

    def show(command: ShowQueuedOperations, _: Request, __: list[Rule]) -> Result:
        found = [queued.store.tracked(each) for each in command.ids]
        if command.details:
            return Result(DETAIL_COLUMNS, [_detail(blob) for blobs in found for blob in blobs])
        return Result(OPERATION_COLUMNS, [_operation(blobs) for blobs in found if blobs])

    def cancel(command: CancelQueuedOperation, _: Request, __: list[Rule]) -> Result:
        known(queued, command.id)
        queued.cancel(command.id)
        return Result(OPERATION_COLUMNS, [_operation(queued.store.tracked(command.id))])

    return {
        GetIngestionResources: resources,
        GetIdentityToken: lambda _, __, ___: _token(tokens),
        ShowQueuedOperations: show,
        CancelQueuedOperation: cancel,
    }


def _token(tokens: IdentityTokens) -> Result:
    return Result(TOKEN_COLUMNS, [(tokens.issue(acting.get()),)])


def _operation(blobs: list[Tracked]) -> tuple[Any, ...]:
    count = {state: sum(b.state == state for b in blobs) for state in (IN_PROGRESS, CANCELED)}
    ingested = sum(b.state in (SUCCEEDED, SKIPPED) for b in blobs)
    failed = [b for b in blobs if b.state == FAILED]
    state = "Completed"
    if count[IN_PROGRESS]:
        state = "InProgress"
    elif count[CANCELED]:
        state = "Canceled"
    elif failed:
        state = "Failed"
    first = blobs[0]
    return (
        *(first.operation, min(b.arrived for b in blobs), max(b.updated for b in blobs), state),
        *(len(blobs), count[IN_PROGRESS], count[CANCELED], ingested, len(failed)),
        *(failed[0].details if failed else "", first.database, first.table),
    )


def _detail(blob: Tracked) -> tuple[Any, ...]:
    state = "Pending" if blob.state == IN_PROGRESS else blob.state
    if state == SKIPPED:
        state = SUCCEEDED
    done = None if blob.state == IN_PROGRESS else blob.updated
    return (blob.operation, blob.path, state, blob.arrived, done, blob.details)
