"""Ingestion: read the sources, then check the tag, append and journal in one transaction.

Sources: https://learn.microsoft.com/kusto/management/data-ingestion/ingest-into-command, its
ingestion properties, https://learn.microsoft.com/kusto/management/extent-tags.
"""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from . import extents, mappings, policies, tables
from .catalog import DecimalWidth, Table
from .clock import Clock
from .course import CanceledError, Course, StoppingError
from .engine import Engine
from .errors import KustoError
from .formats import load_error, select
from .operations import (
    CANCELED,
    COMPLETED,
    FAILED,
    PARTIALLY_SUCCEEDED,
    SKIPPED,
    Journal,
    Operation,
)
from .properties import Plan
from .properties import plan as read_plan
from .sources import Source, SourceError, fetch, shown, size_of
from .types import Result, columns

RESULT_COLUMNS = columns(
    "ExtentId:guid, ItemLoaded:string, Duration:timespan, HasErrors:bool, OperationId:guid"
)
RUNNING_MAX = 4
"""So many ingestions hold their rows in memory at once; the others wait."""
SCRATCH = "scratch"
"""A folder beside the data for what is fetched; emptied at each start."""


@dataclass(frozen=True)
class Ingestion:
    """What to ingest: sources or inline data, and the command's properties (names lower case)."""

    database: str
    table: str
    sources: tuple[str, ...]
    properties: Mapping[str, str]
    inline: str | None = None


@dataclass(frozen=True)
class Loaded:
    """A source whose rows are in a temporary table."""

    source: str
    place: str
    rows: int
    size: float
    seconds: float


class Ingestor:
    """Carries out ingestions; safe to call from several threads."""

    def __init__(self, engine: Engine, journal: Journal, clock: Clock, directory: Path) -> None:
        self._scratch = directory / SCRATCH
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        self._engine = engine
        self._journal = journal
        self._clock = clock
        self._running = threading.Semaphore(RUNNING_MAX)

    def run(
        self, ingestion: Ingestion, operation: Operation, course: Course | None = None
    ) -> Result:
        """Ingests all sources or nothing, and journals how it ended.

        What it gives is also what ``.show operation details`` will give. ``course`` is what goes
        wrong on purpose. Raises KustoError after journaling ``Failed`` (or ``Canceled``).
        """
        try:
            return self._run(ingestion, operation, course or Course())
        except SourceError as failure:
            self.fail(ingestion, operation, failure.error, failure.source)
            raise failure.error from failure
        except KustoError as error:
            self.fail(ingestion, operation, error, "")
            raise
        except duckdb.Error as error:
            wrapped = KustoError("General_InternalServerError", str(error), permanent=False)
            self.fail(ingestion, operation, wrapped, "")
            raise wrapped from error

    def fail(
        self,
        ingestion: Ingestion,
        operation: Operation,
        error: KustoError,
        source: str,
        state: str = FAILED,
    ) -> None:
        """Journals the operation as failed (or in the state), durably.

        Not so where the emulator stops: what hasn't ended then is abandoned by the next run.
        """
        if isinstance(error, StoppingError):
            return
        if isinstance(error, CanceledError):
            state = CANCELED
        now = self._clock.now()
        properties = ";".join(f"{k}={v}" for k, v in ingestion.properties.items())[:4096]
        count = max(1, len(ingestion.sources))
        with self._engine.write() as tx:
            told = error.message if state == CANCELED else f"{error.code}: {error.message}"
            self._journal.record(tx, operation, state, now, told)
            if state == FAILED:
                self._journal.record_failure(tx, operation, error, now, source, properties, count)

    def _run(self, ingestion: Ingestion, operation: Operation, course: Course) -> Result:
        table = self._engine.catalog.table(ingestion.database, ingestion.table)
        connection = self._engine.cursor()
        with ExitStack() as held:
            held.callback(connection.close)
            plan = read_plan(table, mappings.resolved(connection, table, ingestion.properties))
            keeps = self._keeps(connection, table, plan)
            running = held.enter_context(ExitStack())
            running.enter_context(self._running)
            with tempfile.TemporaryDirectory(dir=self._scratch) as scratch:
                loaded = self._load(connection, table, plan, ingestion, Path(scratch), course)
            course.crash("after-read")
            if course.waits_before_commit():
                running.close()  # or it would keep out those that it waits for
                course.delay("delay-commit")
                plan = self._raced(connection, table, plan, course)
            done = self._commit(connection, table, plan, loaded if keeps else [], operation, course)
        course.crash("after-commit")
        return done

    def _raced(
        self, q: duckdb.DuckDBPyConnection, table: Table, plan: Plan, course: Course
    ) -> Plan:
        """The plan, without its check where a race was set and the check would pass now.

        The service promises no atomicity of check and commit; a race takes it away.
        """
        if not plan.if_not_exists or extents.any_tagged(q, table, plan.if_not_exists) is not None:
            return plan
        return replace(plan, if_not_exists=()) if course.race() else plan

    def _keeps(self, q: duckdb.DuckDBPyConnection, table: Table, plan: Plan) -> bool:
        period = policies.soft_delete(q, table)
        if period is None:
            return True
        if period == dt.timedelta(0):
            if policies.feeds_an_update_policy(q, table):
                return False
            raise KustoError(
                "BadRequest_ZeroRetentionPolicyWithNoUpdatePolicy",
                f"Table '{table.name}' has zero retention policy and isn't the source table for "
                "any update policy",
            )
        if plan.created is not None and plan.created < self._clock.now() - period:
            raise KustoError(
                "BadRequest_CreationTimeEarlierThanSoftDeletePeriod",
                f"creationTime {plan.created.isoformat()} isn't within the SoftDeletePeriod of "
                f"table '{table.name}'",
            )
        return True

    def _load(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: Table,
        plan: Plan,
        ingestion: Ingestion,
        scratch: Path,
        course: Course,
    ) -> list[Loaded]:
        if ingestion.inline is not None:
            file = scratch / "inline"
            file.write_text(ingestion.inline, "utf-8", newline="")
            sources = [Source("inline", file)]
        else:
            for i, name in enumerate(ingestion.sources):
                if (unreadable := course.unreadable(i)) is not None:
                    raise SourceError(unreadable, shown(name))
            sources = [
                Source(source.shown, course.cut(source.file, scratch / f"cut-{i}"))
                for i, source in enumerate(fetch(ingestion.sources, scratch))
            ]
        return [
            self._load_one(connection, table, plan, source, f"loaded{i}")
            for i, source in enumerate(sources)
        ]

    def _load_one(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: Table,
        plan: Plan,
        origin: Source,
        place: str,
    ) -> Loaded:
        begun = time.monotonic()
        source = origin.shown
        try:
            size = size_of(origin)
            query = select(connection, table, plan.reading, origin.file, source)
            listed = ", ".join(f"c{i}" for i in range(len(table.columns)))
            try:
                created = f"CREATE TEMP TABLE {place} AS {_named(query, listed)}"
                counted = connection.execute(created).fetchone()
            except duckdb.Error as error:
                raise load_error(error, plan.reading, source) from error
        except KustoError as error:
            raise SourceError(error, source) from error
        rows: int = counted[0] if counted else 0
        if rows == 0 and plan.reading.format != "parquet":
            empty = KustoError(
                "BadRequest_NoRecordsOrWrongFormat",
                f"'{source}' is empty, or not of format {plan.reading.format}",
            )
            raise SourceError(empty, source)
        return Loaded(source, place, rows, float(size), time.monotonic() - begun)

    def _commit(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: Table,
        plan: Plan,
        loaded: list[Loaded],
        operation: Operation,
        course: Course,
    ) -> Result:
        widths = _widths(connection, table, loaded)
        engine = self._engine
        with engine.write(connection) as tx:
            now = self._clock.now()
            current = engine.catalog.table(table.database, table.name)
            if current.id != table.id or current.columns != table.columns:
                raise KustoError(
                    "General_TransientSchemaMismatch",
                    f"table '{table.name}' changed while its data was read; try again",
                    permanent=False,
                )
            course.seal()
            rows: list[tuple[object, ...]] = []
            state, status = COMPLETED, "Extent(s) created; metadata updated; cluster map updated"
            wider = current.widened(widths)
            # Check and append under one lock: no other command can come between them.
            tagged = extents.any_tagged(tx, table, plan.if_not_exists)
            if tagged is not None:
                state = SKIPPED
                status = f"Skipped: table '{table.name}' has an extent tagged 'ingest-by:{tagged}'"
            else:
                if wider != current:
                    tables.widen(engine, tx, wider)
                partial = course.rule("partial")
                taken = loaded if partial is None else loaded[: partial.extents]
                rows.extend(
                    self._append(tx, table, plan, part, operation, now)
                    for part in taken
                    if part.rows
                )
                if partial is not None:
                    state, status = PARTIALLY_SUCCEEDED, partial.message
                    error = KustoError(partial.code, partial.message, permanent=partial.permanent)
                    rows.extend(self._refused(tx, operation, error, loaded[len(taken) :], now))
            if not rows:
                # "If no data shards were generated, a single record is returned with an empty
                # (zero-valued) extent ID."
                rows = [(extents.NO_EXTENT, "", now - operation.started, False, operation.id)]
            result = Result(RESULT_COLUMNS, rows)
            self._journal.keep_result(tx, operation, result)
            self._journal.record(tx, operation, state, now, status)
            course.crash("before-commit")
        return result

    def _refused(
        self,
        tx: duckdb.DuckDBPyConnection,
        operation: Operation,
        error: KustoError,
        parts: list[Loaded],
        now: dt.datetime,
    ) -> list[tuple[object, ...]]:
        """Journals the sources that were left out on purpose; their rows of the result."""
        for part in parts:
            self._journal.record_failure(tx, operation, error, now, part.source, "", 1)
        spent = now - operation.started
        return [(extents.NO_EXTENT, part.source, spent, True, operation.id) for part in parts]

    def _append(
        self,
        tx: duckdb.DuckDBPyConnection,
        table: Table,
        plan: Plan,
        part: Loaded,
        operation: Operation,
        now: dt.datetime,
    ) -> tuple[object, ...]:
        extent = extents.NewExtent(
            uuid.uuid4(), f"SELECT * FROM {part.place}", part.rows, part.size
        )
        extents.append(tx, self._engine, table, extent, plan.tags, plan.created or now, now)
        duration = dt.timedelta(seconds=part.seconds)
        return (extent.id, part.source, duration, False, operation.id)


def _named(query: str, listed: str) -> str:
    return f"SELECT * FROM ({query}) AS loaded({listed})"


def _widths(
    q: duckdb.DuckDBPyConnection, table: Table, loaded: list[Loaded]
) -> tuple[DecimalWidth, ...]:
    widths = [DecimalWidth() for _ in table.columns]
    for i, column in enumerate(table.columns):
        if column.type != "decimal":
            continue
        for part in loaded:
            found = q.execute(
                f"SELECT max(length(ltrim(split_part(c{i}, '.', 1), '-'))), "
                f"max(length(split_part(c{i}, '.', 2))) FROM {part.place}"
            ).fetchone()
            digits, scale = found if found else (0, 0)
            widths[i] = DecimalWidth(
                max(widths[i].digits, digits or 0), max(widths[i].scale, scale or 0)
            )
    return tuple(widths)
