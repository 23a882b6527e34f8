"""The emulated service without HTTP: a request in, a result table or a KustoError out."""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import commands as c
from . import extents, listing, tables
from .catalog import Table
from .clock import Clock
from .engine import Engine
from .errors import KustoError, bad_request, internal_error, throttled
from .faults import Faults, Rule
from .ingest import Ingestion, Ingestor
from .kql import DEADLINE_S, Queries
from .operations import COMPLETED, IN_PROGRESS, Journal, Operation, Request
from .parser import is_command, parse
from .sources import shown
from .types import Column, Result, columns, encoder

log = logging.getLogger(__name__)

PENDING_MAX = 1000
RUNNING_MAX = 4
STOP_WAIT_S = 10.0

_OPERATION_COLUMNS = (Column("OperationId", "guid"),)


class Service:
    """Databases, tables, extents and operations, durable in a directory."""

    def __init__(self, directory: Path, databases: Sequence[str], faults: Faults) -> None:
        self.clock = Clock()
        self.faults = faults
        self.engine = Engine(directory, databases)
        self.journal = Journal(self.engine)
        self.journal.prune(self.clock.now())
        abandoned = self.journal.abandon(self.clock.now())
        if abandoned:
            log.info("%d operations of an earlier run were abandoned", abandoned)
        self.queries = Queries(self.engine, self.clock)
        self.ingestor = Ingestor(self.engine, self.journal, self.clock, directory)
        self._running = threading.Semaphore(RUNNING_MAX)
        self._pending: set[threading.Thread] = set()
        self._pending_lock = threading.Lock()
        self._stopping = threading.Event()
        self._handlers: dict[type[c.Command], Callable[[Any, Request, list[Rule]], Result]] = {
            c.CreateTable: self._create_table,
            c.DropTables: self._drop_tables,
            c.ClearTable: self._clear_table,
            c.Ingest: self._ingest,
            c.IngestInline: self._ingest_inline,
            c.Append: self._append,
            c.ShowExtents: self._show_extents,
            c.DropExtents: self._drop_extents,
            c.DropExtentTags: self._drop_extent_tags,
            c.ShowOperations: lambda cmd, r, _: self.journal.operations(cmd.ids, self.clock.now()),
            c.ShowOperationDetails: lambda cmd, r, _: self.journal.details(cmd.id),
            c.ShowIngestionFailures: lambda cmd, r, _: self.journal.failures(cmd.operation_id),
            c.ShowCommands: lambda cmd, r, _: self.journal.commands(),
            c.ShowTables: self._show_tables,
            c.ShowTableSchema: self._show_schema,
            c.ShowDatabases: self._show_databases,
            c.ShowVersion: lambda cmd, r, _: listing.version(),
            c.ShowPolicy: self._show_policy,
            c.AlterPolicy: self._alter_policy,
        }

    def stop(self) -> None:
        """Starts nothing more: what a fault still delays stays InProgress, to be abandoned."""
        self._stopping.set()
        self.faults.clear()

    def close(self) -> None:
        """Waits (bounded) for operations that are running, and closes the data."""
        self.stop()
        until = time.monotonic() + STOP_WAIT_S
        with self._pending_lock:
            threads = list(self._pending)
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        self.engine.close()

    def kind(self, text: str) -> tuple[str, c.Parsed | None]:
        """The kind by which faults know a request, and the command if it is one."""
        if not is_command(text):
            return "query", None
        parsed = parse(text)
        return parsed.command.kind, parsed

    def query(
        self, text: str, request: Request, parameters: Mapping[str, Any], deadline_s: float
    ) -> Result:
        """Runs a query."""
        database = self.engine.catalog.database(request.database)
        return self.queries.run(text, database, parameters, deadline_s or DEADLINE_S)

    def command(self, parsed: c.Parsed, request: Request, fired: list[Rule]) -> Result:
        """Carries out a management command, and pipes its result on where it says so."""
        database = self.engine.catalog.database(request.database)
        named = Request(
            database,
            parsed.text,
            request.client_request_id,
            request.activity_id,
            request.application,
        )
        result = self._handlers[type(parsed.command)](parsed.command, named, fired)
        if parsed.pipeline is not None:
            return self.queries.pipe(result, parsed.pipeline, database)
        return result

    # --- tables -----------------------------------------------------------------------------

    def _create_table(self, command: c.CreateTable, request: Request, _: list[Rule]) -> Result:
        table = tables.create(self.engine, request.database, command)
        return Result(listing.SCHEMA_COLUMNS, [listing.schema_row(table, as_json=True)])

    def _drop_tables(self, command: c.DropTables, request: Request, _: list[Rule]) -> Result:
        tables.drop(self.engine, request.database, command.tables, command.if_exists)
        left = self.engine.catalog.of(request.database)
        return Result(listing.DROPPED_TABLE_COLUMNS, [(t.name, t.database) for t in left])

    def _clear_table(self, command: c.ClearTable, request: Request, _: list[Rule]) -> Result:
        with self.engine.write() as tx:
            table = self.engine.catalog.table(request.database, command.table)
            extents.drop(tx, table, None)
        return Result(columns("Status:string"), [("Completed",)])

    def _show_tables(self, command: c.ShowTables, request: Request, _: list[Rule]) -> Result:
        catalog = self.engine.catalog
        if command.names:
            found = [catalog.table(request.database, name) for name in command.names]
        else:
            found = catalog.of(request.database)
        rows = [(t.name, t.database, t.folder, t.docstring) for t in found]
        return Result(listing.TABLE_COLUMNS, rows)

    def _show_schema(self, command: c.ShowTableSchema, request: Request, _: list[Rule]) -> Result:
        table = self.engine.catalog.table(request.database, command.table)
        return Result(listing.SCHEMA_COLUMNS, [listing.schema_row(table, command.json)])

    def _show_databases(self, _: c.ShowDatabases, request: Request, __: list[Rule]) -> Result:
        return listing.databases(self.engine.catalog.databases, request.database)

    # --- policies ---------------------------------------------------------------------------

    def _show_policy(self, command: c.ShowPolicy, request: Request, _: list[Rule]) -> Result:
        catalog = self.engine.catalog
        if command.entity == "database":
            database = catalog.database(command.name)
            names = [database]
        elif command.name == "*":
            database, names = request.database, [t.name for t in catalog.of(request.database)]
        else:
            database = request.database
            names = [catalog.table(database, command.name).name]
        with self.engine.reader() as q:
            rows: list[tuple[Any, ...]] = [
                tables.policy_row(
                    command.entity,
                    database,
                    name,
                    command.policy,
                    tables.policy(q, command.entity, database, name, command.policy),
                )
                for name in names
            ]
        return Result(listing.POLICY_COLUMNS, rows)

    def _alter_policy(self, command: c.AlterPolicy, request: Request, _: list[Rule]) -> Result:
        catalog = self.engine.catalog
        database, name = request.database, command.name
        if command.entity == "database":
            database = name = catalog.database(command.name)
        else:
            catalog.table(database, command.name)
        value = tables.alter_policy(self.engine, database, command)
        row = tables.policy_row(command.entity, database, name, command.policy, value)
        return Result(listing.POLICY_COLUMNS, [row])

    # --- extents ----------------------------------------------------------------------------

    def _show_extents(self, command: c.ShowExtents, request: Request, _: list[Rule]) -> Result:
        catalog = self.engine.catalog
        if command.tables:
            chosen = [catalog.table(request.database, name) for name in command.tables]
        elif command.cluster:
            chosen = list(catalog.tables.values())
        else:
            chosen = catalog.of(catalog.database(command.database or request.database))
        return extents.show(self.engine, chosen, command)

    def _drop_extents(self, command: c.DropExtents, request: Request, _: list[Rule]) -> Result:
        chosen: list[tuple[str, Sequence[str] | None]] = []
        if command.query is not None:
            found = self._inner(command.query, request)
            chosen = _extents_by_table(found)
        elif command.table is not None:
            chosen = [(command.table, command.ids)]
        rows: list[tuple[Any, ...]] = []
        with self.engine.write() as tx:
            for name, ids in chosen:
                table = self.engine.catalog.table(request.database, name)
                rows.extend(extents.drop(tx, table, ids))
        return Result(extents.DROPPED_COLUMNS, rows)

    def _drop_extent_tags(
        self, command: c.DropExtentTags, request: Request, _: list[Rule]
    ) -> Result:
        operation = self._operation(command, command.table, request)
        with self.engine.write() as tx:
            table = self.engine.catalog.table(request.database, command.table)
            rows: list[tuple[Any, ...]] = list(extents.drop_tags(tx, table, command.tags))
            result = Result(extents.RETAGGED_COLUMNS, rows)
            self.journal.keep_result(tx, operation, result)
            self.journal.record(tx, operation, COMPLETED, self.clock.now())
        if command.asynchronous:
            return Result(_OPERATION_COLUMNS, [(operation.id,)])
        return result

    # --- ingestion --------------------------------------------------------------------------

    def _ingest(self, command: c.Ingest, request: Request, fired: list[Rule]) -> Result:
        self.engine.catalog.table(request.database, command.table)
        ingestion = Ingestion(request.database, command.table, command.sources, command.properties)
        return self._start(command, ingestion, request, fired, command.asynchronous)

    def _ingest_inline(
        self, command: c.IngestInline, request: Request, fired: list[Rule]
    ) -> Result:
        self.engine.catalog.table(request.database, command.table)
        ingestion = Ingestion(request.database, command.table, (), command.properties, command.data)
        return self._start(command, ingestion, request, fired, asynchronous=False)

    def _start(
        self,
        command: c.Command,
        ingestion: Ingestion,
        request: Request,
        fired: list[Rule],
        asynchronous: bool,
    ) -> Result:
        operation = self._operation(command, ingestion.table, request)
        if not asynchronous:
            return self._carry_out(ingestion, operation, fired)
        with self._pending_lock:
            if len(self._pending) >= PENDING_MAX:
                raise throttled(f"{PENDING_MAX} operations are waiting")
        # The id is given back only once a restarted emulator would know it too.
        with self.engine.write() as tx:
            self.journal.record(tx, operation, IN_PROGRESS, operation.started)
        thread = threading.Thread(
            target=self._in_background,
            args=(ingestion, operation, fired),
            name=f"ingest-{operation.id}",
            daemon=True,
        )
        with self._pending_lock:
            self._pending.add(thread)
        thread.start()
        return Result(_OPERATION_COLUMNS, [(operation.id,)])

    def _in_background(self, ingestion: Ingestion, operation: Operation, fired: list[Rule]) -> None:
        try:
            self._carry_out(ingestion, operation, fired)
        except KustoError as error:
            log.info("operation %s failed: %s", operation.id, error.code)
        except Exception:
            log.exception("operation %s failed unexpectedly", operation.id)
        finally:
            with self._pending_lock:
                self._pending.discard(threading.current_thread())

    def _carry_out(self, ingestion: Ingestion, operation: Operation, fired: list[Rule]) -> Result:
        by_action = {rule.do: rule for rule in fired}
        failure = by_action.get("fail")
        self._delay(by_action.get("delay-apply"))
        if failure is not None:
            error = KustoError(failure.code, failure.message, permanent=failure.permanent)
            source = shown(ingestion.sources[0]) if ingestion.sources else ""
            self.ingestor.fail(ingestion, operation, error, source)
            raise error
        with self._running:
            return self.ingestor.run(
                ingestion, operation, lambda: self._delay(by_action.get("delay-commit"))
            )

    def _delay(self, rule: Rule | None) -> None:
        if rule is None:
            return
        self.faults.wait(rule)
        if self._stopping.is_set():
            raise internal_error("the emulator is stopping")

    def _append(self, command: c.Append, request: Request, _: list[Rule]) -> Result:
        result = self._inner(command.query, request)
        known = self.engine.catalog.tables.get((request.database, command.table))
        if known is not None and command.must_create:
            raise bad_request(f"table '{command.table}' exists already")
        if known is None:
            if not command.create:
                self.engine.catalog.table(request.database, command.table)
            made = c.CreateTable(command.table, result.columns)
            known = tables.create(self.engine, request.database, made)
        if [x.type for x in known.columns] != [x.type for x in result.columns]:
            raise bad_request(
                f"the query's schema doesn't match that of table '{command.table}': "
                f"{known.cslschema}"
            )
        document = "\n".join(_json_lines(result, known))
        properties = {k: v for k, v in command.properties.items() if k != "format"}
        ingestion = Ingestion(
            request.database, known.name, (), {**properties, "format": "multijson"}, document
        )
        operation = self._operation(command, known.name, request)
        if not result.rows:
            with self.engine.write() as tx:
                self.journal.record(tx, operation, COMPLETED, self.clock.now())
            return Result(
                _OPERATION_COLUMNS if command.asynchronous else columns("ExtentId:guid"), []
            )
        done = self.ingestor.run(ingestion, operation)
        if command.asynchronous:
            return Result(_OPERATION_COLUMNS, [(operation.id,)])
        return done

    def _inner(self, text: str, request: Request) -> Result:
        """The rows of what stands after ``<|``: a query, or a piped show command."""
        if is_command(text):
            return self.command(parse(text), request, [])
        return self.queries.run(text, request.database)

    def _operation(self, command: c.Command, table: str, request: Request) -> Operation:
        return Operation(uuid.uuid4(), command.operation, table, self.clock.now(), request)


def _extents_by_table(result: Result) -> list[tuple[str, Sequence[str] | None]]:
    places = {column.name: i for i, column in enumerate(result.columns)}
    if "ExtentId" not in places or "TableName" not in places:
        raise bad_request("the query must give columns 'ExtentId' and 'TableName'")
    grouped: dict[str, list[str]] = {}
    for row in result.rows:
        grouped.setdefault(str(row[places["TableName"]]), []).append(str(row[places["ExtentId"]]))
    return list(grouped.items())


def _json_lines(result: Result, table: Table) -> list[str]:
    encoders = [encoder(column.type) for column in result.columns]
    names = [column.name for column in table.columns]
    return [
        json.dumps({n: e(v) for n, e, v in zip(names, encoders, row, strict=True)})
        for row in result.rows
    ]
