"""The journal: operations and their states, results kept for 'details', failures, commands.

Rows are only added. ``.show operations`` without an id gives every row, with an id the latest.
Sources: https://learn.microsoft.com/kusto/management/show-operations, show-operation-details,
ingestion-failures and show-commands.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import duckdb

from .engine import Engine
from .errors import KustoError, bad_request
from .inserts import Inserts, put
from .types import Column, Result, columns, encoder

IN_PROGRESS = "InProgress"
COMPLETED = "Completed"
FAILED = "Failed"
SKIPPED = "Skipped"
ABANDONED = "Abandoned"
THROTTLED = "Throttled"
SCHEDULED = "Scheduled"
CANCELED = "Canceled"
BAD_INPUT = "BadInput"
PARTIALLY_SUCCEEDED = "PartiallySucceeded"
_RUNNING = (IN_PROGRESS, SCHEDULED)

RECENT = dt.timedelta(hours=6)
"""So long ``.show operations`` knows an operation by its id."""
LISTED = dt.timedelta(days=14)
"""So long its list, and ``.show ingestion failures``, go back."""
COMMANDS_LISTED = dt.timedelta(days=30)
_KEPT = (("operation", "updated", 14), ("failure", "failed", 14), ("command", "updated", 30))
OPERATION_COLUMNS = columns(
    "OperationId:string, Operation:string, NodeId:string, StartedOn:datetime, "
    "LastUpdatedOn:datetime, Duration:timespan, State:string, Status:string, RootActivityId:guid"
)
FAILURE_COLUMNS = columns(
    "OperationId:string, Database:string, Table:string, FailedOn:datetime, "
    "IngestionSourcePath:string, Details:string, FailureKind:string, RootActivityId:string, "
    "OperationKind:string, OriginatesFromUpdatePolicy:bool, ErrorCode:string, Principal:string, "
    "User:string, IngestionProperties:string, NumberOfSources:int, ShouldRetry:bool"
)
COMMAND_COLUMNS = columns(
    "ClientActivityId:string, CommandType:string, Text:string, Database:string, "
    "StartedOn:datetime, LastUpdatedOn:datetime, Duration:timespan, State:string, "
    "RootActivityId:guid, User:string, FailureReason:string, Application:string, "
    "Principal:string, TotalCpu:timespan, ResourceUtilization:dynamic, WorkloadGroup:string"
)


@dataclass(frozen=True)
class Request:
    """Who asked: ids for correlation, and the text as logs may keep it."""

    database: str
    text: str = ""
    client_request_id: str = ""
    activity_id: str = ""
    application: str = ""


@dataclass(frozen=True)
class Operation:
    """One operation while it runs."""

    id: uuid.UUID
    kind: str
    table: str
    started: dt.datetime
    request: Request
    late_s: float = 0.0
    """So long after they were written its records show (a fault)."""
    late_end_s: float = 0.0
    """The same for the record of its end."""
    keeps_result: bool = True
    """Whether ``.show operation details`` will know its result."""


class Journal:
    """Writes into the journal within the caller's transaction, and reads it back.

    What is written goes into ``tx`` at once, or with all else that the ``Inserts`` hold.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(
        self,
        tx: duckdb.DuckDBPyConnection | Inserts,
        operation: Operation,
        state: str,
        now: dt.datetime,
        status: str = "",
        command: bool = True,
    ) -> None:
        """Adds a state of an operation; a terminal one closes the command's own record too."""
        sequence = self._engine.sequence.take()
        late_s = operation.late_s if state in _RUNNING else operation.late_end_s or operation.late_s
        if late_s:
            shows = now + dt.timedelta(seconds=late_s)
            put(tx, "late", [sequence, shows])
        put(
            tx,
            "operation",
            [
                sequence,
                operation.id,
                operation.kind,
                operation.request.database,
                operation.table,
                operation.started,
                now,
                state,
                status,
                operation.request.activity_id,
            ],
        )
        if state not in _RUNNING and command:
            r = operation.request
            put(
                tx,
                "command",
                [
                    r.client_request_id,
                    operation.kind,
                    r.text[:65536],
                    r.database,
                    operation.started,
                    now,
                    state,
                    r.activity_id,
                    "" if state in (COMPLETED, SKIPPED) else status,
                    r.application,
                ],
            )

    def keep_result(
        self, tx: duckdb.DuckDBPyConnection | Inserts, operation: Operation, result: Result
    ) -> None:
        """Keeps what ``.show operation details`` gives back, if it is to."""
        if not operation.keeps_result:
            return
        encoders = [encoder(c.type) for c in result.columns]
        rows = [[e(v) for e, v in zip(encoders, row, strict=True)] for row in result.rows]
        spec = [[c.name, c.type] for c in result.columns]
        put(tx, "result", [operation.id, json.dumps(spec), json.dumps(rows)])

    def record_failure(
        self,
        tx: duckdb.DuckDBPyConnection | Inserts,
        operation: Operation,
        error: KustoError,
        now: dt.datetime,
        source: str,
        properties: str,
        sources: int,
    ) -> None:
        """Adds a row to ``.show ingestion failures``."""
        put(
            tx,
            "failure",
            [
                operation.id,
                operation.request.database,
                operation.table,
                now,
                source,
                error.message,
                error.permanent,
                operation.request.activity_id,
                operation.kind,
                error.code,
                properties,
                sources,
            ],
        )

    def prune(self, now: dt.datetime) -> None:
        """Forgets what is older than the documentation says that the service keeps.

        Takes the writer's lock only where there is such a thing: it is called every few seconds.
        """
        if not self._any_old(now):
            return
        with self._engine.write() as tx:
            for table, column, days in _KEPT:
                tx.execute(
                    f'DELETE FROM "$emulator".{table} WHERE {column} < ?',
                    [now - dt.timedelta(days=days)],
                )
            tx.execute(
                'DELETE FROM "$emulator".result '
                'WHERE id NOT IN (SELECT id FROM "$emulator".operation)'
            )
            tx.execute('DELETE FROM "$emulator".late WHERE shows < ?', [now])

    def _any_old(self, now: dt.datetime) -> bool:
        with self._engine.reader() as q:
            for table, column, days in (*_KEPT, ("late", "shows", 0)):
                limit = now - dt.timedelta(days=days)
                where = f'"$emulator".{table} WHERE {column} < ?'
                if q.execute(f"SELECT 1 FROM {where} LIMIT 1", [limit]).fetchone():
                    return True
        return False

    def abandon(self, now: dt.datetime) -> int:
        """Ends what a killed emulator left running as ``Abandoned``; none of it was committed."""
        status = "The operation was abandoned: the engine was restarted before it completed"
        with self._engine.write() as tx:
            rows = tx.execute(
                "SELECT id, max_by(operation, seq), max_by(db, seq), max_by(tbl, seq), "
                'max_by(started, seq), max_by(activity, seq) FROM "$emulator".operation '
                f"GROUP BY id HAVING max_by(state, seq) IN {_RUNNING}"
            ).fetchall()
            for ident, kind, database, table, started, activity in rows:
                request = Request(database, activity_id=activity)
                operation = Operation(ident, kind, table, started, request)
                self.record(tx, operation, ABANDONED, now, status, command=False)
            return len(rows)

    def operations(self, ids: Iterable[str] | None, now: dt.datetime) -> Result:
        """Rows of ``.show operations``: all, oldest first, or the latest of each recent id."""
        select = (
            "SELECT id::VARCHAR, operation, 'emulator', started, updated, updated - started, "
            "state, status, nullif(activity, '') FROM "
            '"$emulator".operation WHERE updated > ? '
            'AND seq NOT IN (SELECT seq FROM "$emulator".late WHERE shows > ?)'
        )
        with self._engine.reader() as q:
            if ids is None:
                rows = q.execute(f"{select} ORDER BY seq", [now - LISTED, now]).fetchall()
            else:
                rows = q.execute(
                    f"{select} AND id IN (SELECT unnest(?::UUID[])) "
                    "QUALIFY row_number() OVER (PARTITION BY id ORDER BY seq DESC) = 1",
                    [now - RECENT, now, list(ids)],
                ).fetchall()
        return Result(OPERATION_COLUMNS, rows)

    def state(self, ident: uuid.UUID) -> str:
        """The latest state of an operation, also where its record is late."""
        with self._engine.reader() as q:
            found = q.execute(
                'SELECT state FROM "$emulator".operation WHERE id = ? ORDER BY seq DESC LIMIT 1',
                [ident],
            ).fetchone()
        return "" if found is None else str(found[0])

    def details(self, ident: str, now: dt.datetime) -> Result:
        """What the operation gave. Raises KustoError unless it completed (or was skipped).

        Records that are late are as little known here as to ``operations``.
        """
        with self._engine.reader() as q:
            state = q.execute(
                'SELECT state FROM "$emulator".operation WHERE id = ?::UUID '
                'AND seq NOT IN (SELECT seq FROM "$emulator".late WHERE shows > ?) '
                "ORDER BY seq DESC LIMIT 1",
                [ident, now],
            ).fetchone()
            kept = q.execute(
                'SELECT "columns", "rows" FROM "$emulator".result WHERE id = ?::UUID', [ident]
            ).fetchone()
        if state is None:
            raise bad_request(f"operation '{ident}' was not found")
        if kept is None or state[0] in _RUNNING:
            raise bad_request(
                f"operation '{ident}' has no results to show: its state is {state[0]}"
            )
        spec = tuple(Column(name, scalar) for name, scalar in json.loads(kept[0]))
        return Result(spec, [tuple(_revive(spec, row)) for row in json.loads(kept[1])])

    def failures(self, ident: str | None, now: dt.datetime) -> Result:
        """Rows of ``.show ingestion failures``: those of the last 14 days."""
        where = "AND id = ?::UUID" if ident else ""
        with self._engine.reader() as q:
            rows = q.execute(
                "SELECT id::VARCHAR, db, tbl, failed, source, details, "
                "CASE WHEN permanent THEN 'Permanent' ELSE 'Transient' END, activity, operation, "
                "false, code, '', '', properties, sources, NOT permanent "
                f'FROM "$emulator".failure WHERE failed > ? {where} ORDER BY failed',
                [now - LISTED, ident] if ident else [now - LISTED],
            ).fetchall()
        return Result(FAILURE_COLUMNS, rows)

    def commands(self, now: dt.datetime) -> Result:
        """Rows of ``.show commands``: what has ended in the last 30 days, oldest first."""
        with self._engine.reader() as q:
            rows = q.execute(
                "SELECT client_request, operation, text, db, started, updated, "
                "updated - started, state, activity, '', failure, application, '', "
                "to_microseconds(0), '{}'::JSON, 'default' "
                'FROM "$emulator".command WHERE updated > ? ORDER BY updated',
                [now - COMMANDS_LISTED],
            ).fetchall()
        return Result(COMMAND_COLUMNS, rows)


def _revive(spec: tuple[Column, ...], row: list[Any]) -> list[Any]:
    # Kept in wire form; only what a piped query must calculate with is read back.
    revived: list[Any] = []
    for column, value in zip(spec, row, strict=True):
        if column.type == "guid" and value is not None:
            value = uuid.UUID(value)
        revived.append(value)
    return revived
