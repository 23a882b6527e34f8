"""The emulated service without HTTP: a request in, a result table or a KustoError out."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import (
    access,
    extents,
    listing,
    mappings,
    policies,
    principals,
    queue_commands,
    table_details,
    tables,
)
from . import commands as c
from . import extent_commands as e
from .catalog import Table
from .clock import Clock
from .course import Course, turn
from .engine import Engine
from .errors import KustoError, bad_request, throttled
from .extent_service import ExtentService
from .faults import Faults, Rule, Scope
from .identity import IdentityTokens
from .ingest import Ingestor
from .kql import DEADLINE_S, Queries
from .loading import Ingestion
from .operations import COMPLETED, FAILED, Journal, Operation, Request
from .parser import is_command, parse
from .queued import QueuedIngestion
from .retention import Upkeep
from .runner import Runner, Work
from .sources import shown
from .streaming import StreamingIngestion
from .types import Result, columns, encoder

log = logging.getLogger(__name__)

PERSIST = "persistdetails"
"""Property of ingestions from queries: whether ``.show operation details`` knows their result."""


class Service:
    """Databases, tables, extents and operations, durable in a directory.

    Attributes:
        clock: the time, which tests may turn.
        faults: what is to go wrong.
        upkeep: retention and merges, in the background or when asked.
    """

    def __init__(
        self,
        directory: Path,
        databases: Sequence[str],
        faults: Faults,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.faults = faults
        self.engine = Engine(directory, databases)
        self.clock.restore(self.engine.turned())
        self.clock.on_turn(self._keep_turn)
        self.journal = Journal(self.engine)
        self.journal.prune(self.clock.now())
        abandoned = self.journal.abandon(self.clock.now())
        if abandoned:
            log.info("%d operations of an earlier run were abandoned", abandoned)
        self.queries = Queries(self.engine, self.clock)
        self.ingestor = Ingestor(self.engine, self.journal, self.clock, directory)
        self.tokens = IdentityTokens(directory)
        self.queued = QueuedIngestion(
            self.engine, self.clock, self.faults, self.ingest, self.tokens
        )
        self.streaming = StreamingIngestion(self.engine, self.ingest)
        self.runner = Runner(self.engine, self.journal, self.clock, faults)
        self.upkeep = Upkeep(self.engine, self.journal, self.clock)
        self.upkeep.start()
        moved = ExtentService(self.engine, self.journal, self.clock, self.runner, self._inner)
        self._handlers: dict[type[c.Command], Callable[[Any, Request, list[Rule]], Result]] = {
            c.CreateTable: self._create_table,
            c.DropTables: self._drop_tables,
            c.ClearTable: self._clear_table,
            c.Ingest: self._ingest,
            c.IngestInline: self._ingest_inline,
            c.Append: self._append,
            **moved.handlers,
            e.CancelOperation: lambda cmd, r, _: self.runner.cancel(cmd.id, cmd.reason),
            c.ShowOperations: lambda cmd, r, _: self.journal.operations(cmd.ids, self.clock.now()),
            c.ShowOperationDetails: lambda cmd, r, _: self.journal.details(
                cmd.id, self.clock.now()
            ),
            c.ShowIngestionFailures: lambda cmd, r, _: self.journal.failures(
                cmd.operation_id, self.clock.now()
            ),
            c.ShowCommands: lambda cmd, r, _: self.journal.commands(self.clock.now()),
            c.ShowTables: self._show_tables,
            c.ShowTableSchema: self._show_schema,
            c.ShowDatabases: self._show_databases,
            c.ShowVersion: lambda cmd, r, _: listing.version(),
            c.ShowPolicy: self._show_policy,
            c.AlterPolicy: self._alter_policy,
            **mappings.handlers(self.engine),
            **table_details.handlers(self.engine),
            **principals.handlers(self.engine),
            **queue_commands.handlers(self.queued, self.tokens),
        }

    def stop(self) -> None:
        """Starts nothing more: what a fault still delays stays InProgress, to be abandoned."""
        self.queued.stop()
        self.runner.stop()

    def close(self) -> None:
        """Waits (bounded) for operations that are running, and closes the data."""
        self.stop()
        self.upkeep.stop()
        self.queued.close()
        self.runner.close()
        self.clock.off_turn(self._keep_turn)
        self.queries.close()
        self.engine.close()

    def _keep_turn(self) -> None:
        # Turns come one after the other: the last one written is the last one made.
        self.engine.keep_turned(self.clock.offset)

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
        access.check_query(self.engine, database)
        return self.queries.run(text, database, parameters, deadline_s or DEADLINE_S)

    def command(self, parsed: c.Parsed, request: Request, fired: list[Rule]) -> Result:
        """Carries out a management command, and pipes its result on where it says so."""
        database = self.engine.catalog.database(request.database)
        access.check(self.engine, parsed.command, database)
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

    def ingest(
        self, ingestion: Ingestion, request: Request, operation_id: uuid.UUID
    ) -> tuple[str, Result]:
        """An ingest command of the service's own: its operation's last state, and its rows.

        Queued and streaming ingestion come to this; faults on ``ingest`` hit it too.
        """
        access.check_ingest(self.engine, ingestion.database, ingestion.table)
        scope = Scope(ingestion.database, (ingestion.table,))
        fired = self.faults.take(c.Ingest.kind, request.text, scope)
        if any(rule.do == "throttle" for rule in fired):
            raise throttled()
        turn(self.clock, fired)
        operation = self.runner.operation(c.Ingest, ingestion.table, request, fired)
        operation = replace(operation, id=operation_id)
        result = self.runner.run(self._work(ingestion), operation, fired, asynchronous=False)
        return self.journal.state(operation_id), result

    # --- tables -----------------------------------------------------------------------------

    def _create_table(self, command: c.CreateTable, request: Request, _: list[Rule]) -> Result:
        known = (request.database, command.table) in self.engine.catalog.tables
        table = tables.create(self.engine, request.database, command)
        if not known:
            principals.own(self.engine, request.database, table)
        return Result(listing.SCHEMA_COLUMNS, [listing.schema_row(table, as_json=True)])

    def _drop_tables(self, command: c.DropTables, request: Request, _: list[Rule]) -> Result:
        tables.drop(self.engine, request.database, command.tables, command.if_exists)
        left = self.engine.catalog.of(request.database)
        return Result(listing.DROPPED_TABLE_COLUMNS, [(t.name, t.database) for t in left])

    def _clear_table(self, command: c.ClearTable, request: Request, _: list[Rule]) -> Result:
        with self.engine.write() as tx:
            table = self.engine.catalog.table(request.database, command.table)
            extents.drop(tx, table, extents.find(tx, table))
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
                policies.row(
                    command.entity,
                    database,
                    name,
                    command.policy,
                    policies.of(q, command.entity, database, name, command.policy),
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
        value = policies.alter(self.engine, database, command)
        row = policies.row(command.entity, database, name, command.policy, value)
        return Result(listing.POLICY_COLUMNS, [row])

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
        operation = self.runner.operation(type(command), ingestion.table, request, fired)
        operation = replace(operation, keeps_result=asynchronous)
        return self.runner.run(self._work(ingestion), operation, fired, asynchronous)

    def _work(self, ingestion: Ingestion) -> Work:
        def fail(operation: Operation, error: KustoError, state: str) -> None:
            source = shown(ingestion.sources[0]) if ingestion.sources else ""
            self.ingestor.fail(ingestion, operation, error, source, state)

        def do(operation: Operation, course: Course) -> Result:
            return self.ingestor.run(ingestion, operation, course)

        return Work(do, fail)

    def _append(self, command: c.Append, request: Request, fired: list[Rule]) -> Result:
        exists = (request.database, command.table) in self.engine.catalog.tables
        if exists and command.must_create:
            raise bad_request(f"table '{command.table}' exists already")
        if not exists and not command.create:
            self.engine.catalog.table(request.database, command.table)
        given = {k: v for k, v in command.properties.items() if k not in ("format", PERSIST)}
        named = Ingestion(request.database, command.table, (), given)

        def fail(operation: Operation, error: KustoError, state: str) -> None:
            self.ingestor.fail(named, operation, error, "", state)

        def do(operation: Operation, course: Course) -> Result:
            try:
                ingestion = self._from_query(command, request, given)
            except KustoError as error:
                fail(operation, error, FAILED)
                raise
            if ingestion.inline:
                return self.ingestor.run(ingestion, operation, course)
            course.seal()
            with self.engine.write() as tx:
                self.journal.record(tx, operation, COMPLETED, self.clock.now())
            return Result(columns("ExtentId:guid"), [])

        operation = self.runner.operation(type(command), command.table, request, fired)
        keeps = command.properties.get(PERSIST, "false").lower() == "true"
        operation = replace(operation, keeps_result=keeps)
        work = Work(do, fail, cancelable=True)
        return self.runner.run(work, operation, fired, command.asynchronous)

    def _from_query(
        self, command: c.Append, request: Request, properties: Mapping[str, str]
    ) -> Ingestion:
        """What the command's query gives, as data to ingest into its table (made if need be)."""
        result = self._inner(command.query, request)
        known = self.engine.catalog.tables.get((request.database, command.table))
        if known is None:
            made = c.CreateTable(command.table, result.columns)
            known = tables.create(self.engine, request.database, made)
            principals.own(self.engine, request.database, known)
        if [x.type for x in known.columns] != [x.type for x in result.columns]:
            raise bad_request(
                f"the query's schema doesn't match that of table '{command.table}': "
                f"{known.cslschema}"
            )
        document = "\n".join(_json_lines(result, known))
        properties = {**properties, "format": "multijson"}
        return Ingestion(request.database, known.name, (), properties, document)

    def _inner(self, text: str, request: Request) -> Result:
        """The rows of what stands after ``<|``: a query, or a piped show command."""
        if is_command(text):
            return self.command(parse(text), request, [])
        return self.queries.run(text, request.database)


def _json_lines(result: Result, table: Table) -> list[str]:
    encoders = [encoder(column.type) for column in result.columns]
    names = [column.name for column in table.columns]
    return [
        json.dumps({n: e(v) for n, e, v in zip(names, encoders, row, strict=True)})
        for row in result.rows
    ]
