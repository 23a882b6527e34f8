"""The end of an ingestion: check the tag, append and journal in one transaction.

Ingestions that wait for the writer go into one transaction together: what costs most is a
transaction and its statements, not the rows. Each of them still is in whole or not at all, and has
an outcome of its own.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

import duckdb

from . import extents, tables
from .catalog import DecimalWidth, Table
from .clock import Clock
from .course import Course
from .engine import Engine
from .errors import KustoError
from .group import Group, Seat, Take
from .inserts import Inserts
from .loading import Loaded, widths
from .operations import COMPLETED, PARTIALLY_SUCCEEDED, SKIPPED, Journal, Operation
from .properties import Plan
from .types import Result, columns

RESULT_COLUMNS = columns(
    "ExtentId:guid, ItemLoaded:string, Duration:timespan, HasErrors:bool, OperationId:guid"
)


@dataclass(frozen=True)
class Arrival:
    """An ingestion whose sources are read."""

    table: Table
    plan: Plan
    loaded: list[Loaded]
    operation: Operation
    course: Course


class _SpoiltError(Exception):
    """What a group wanted to insert can't be; nothing of it is in, and COMMIT was not tried."""


class Appender:
    """Appends what has arrived; safe to call from several threads.

    Attributes:
        group: what waits to be committed together.
    """

    def __init__(self, engine: Engine, journal: Journal, clock: Clock) -> None:
        self._engine = engine
        self._journal = journal
        self._clock = clock
        self.group: Group[Arrival, Result] = Group(self._serve)

    def append(self, arrival: Arrival, connection: duckdb.DuckDBPyConnection) -> Result:
        """Commits the ingestion with its journal; the rows of its result.

        ``connection`` is the one that has its temporary tables. Raises KustoError or duckdb.Error,
        and then nothing of it is in.
        """
        if arrival.course.undisturbed and all(part.in_memory for part in arrival.loaded):
            return self.group.run(arrival)
        room = widths(connection, arrival.table, arrival.loaded)
        with self._engine.write(connection) as tx:
            bears = extents.bearing(tx, asked(arrival.plan))
            inserts = Inserts()
            result = self._apply(tx, arrival, room, bears, inserts)
            inserts.insert(tx)
            arrival.course.crash("before-commit")
        return result

    def _serve(self, take: Take[Arrival, Result]) -> None:
        """Commits those who wait, together; one by one if together they can't be."""
        seats: list[Seat[Arrival, Result]] = []
        try:
            with self._engine.write() as tx:
                seats = take()
                results = self._apply_all(tx, seats)
        except _SpoiltError as spoilt:
            if len(seats) == 1 and spoilt.__cause__ is not None:
                raise spoilt.__cause__ from None
            for seat in seats:
                if not seat.over:
                    self._serve_one(seat)
            return
        for seat, result in results:
            seat.done(result)

    def _serve_one(self, seat: Seat[Arrival, Result]) -> None:
        try:
            self._serve(lambda: [seat])
        except Exception as error:
            seat.failed(error)

    def _apply_all(
        self, tx: duckdb.DuckDBPyConnection, seats: list[Seat[Arrival, Result]]
    ) -> list[tuple[Seat[Arrival, Result], Result]]:
        bears = extents.bearing(tx, asked(*(seat.item.plan for seat in seats)))
        inserts = Inserts()
        results = []
        for seat in seats:
            own = Inserts()
            try:
                room = tuple(DecimalWidth() for _ in seat.item.table.columns)
                result = self._apply(tx, seat.item, room, bears, own)
            except KustoError as error:
                seat.failed(error)  # it has changed nothing
            else:
                inserts.extend(own)
                results.append((seat, result))
        try:
            inserts.insert(tx)
        except Exception as error:
            raise _SpoiltError from error
        return results

    def _apply(
        self,
        tx: duckdb.DuckDBPyConnection,
        arrival: Arrival,
        room: tuple[DecimalWidth, ...],
        bears: set[tuple[int, str]],
        inserts: Inserts,
    ) -> Result:
        """Under the writer lock: what is to be inserted, and what the command will answer.

        ``bears`` is which of the asked tags are there; what this one brings is added to it.
        """
        table, plan = arrival.table, arrival.plan
        operation, course = arrival.operation, arrival.course
        now = self._clock.now()
        wider = self._current(table).widened(room)
        course.seal()
        rows: list[tuple[object, ...]] = []
        state, status = COMPLETED, "Extent(s) created; metadata updated; cluster map updated"
        # Check and append under one lock: no other command can come between them.
        tagged = first_tagged(table, plan, bears)
        if tagged is not None:
            state = SKIPPED
            status = f"Skipped: table '{table.name}' has an extent tagged 'ingest-by:{tagged}'"
        else:
            if wider != self._current(table):
                tables.widen(self._engine, tx, wider)
            partial = course.rule("partial")
            taken = arrival.loaded if partial is None else arrival.loaded[: partial.extents]
            rows.extend(
                self._append(tx, arrival, part, inserts, now) for part in taken if part.rows
            )
            if rows:
                bears.update((table.id, tag) for tag in plan.tags)
            if partial is not None:
                state, status = PARTIALLY_SUCCEEDED, partial.message
                error = KustoError(partial.code, partial.message, permanent=partial.permanent)
                left = arrival.loaded[len(taken) :]
                rows.extend(self._refused(inserts, operation, error, left, now))
        if not rows:
            # "If no data shards were generated, a single record is returned with an empty
            # (zero-valued) extent ID."
            rows = [(extents.NO_EXTENT, "", now - operation.started, False, operation.id)]
        result = Result(RESULT_COLUMNS, rows)
        self._journal.keep_result(inserts, operation, result)
        self._journal.record(inserts, operation, state, now, status)
        return result

    def _current(self, table: Table) -> Table:
        """The table as it is now. Raises KustoError where it is another than when it was read."""
        current = self._engine.catalog.table(table.database, table.name)
        if current.id != table.id or current.columns != table.columns:
            raise KustoError(
                "General_TransientSchemaMismatch",
                f"table '{table.name}' changed while its data was read; try again",
                permanent=False,
            )
        return current

    def _refused(
        self,
        inserts: Inserts,
        operation: Operation,
        error: KustoError,
        parts: list[Loaded],
        now: dt.datetime,
    ) -> list[tuple[object, ...]]:
        """Journals the sources that were left out on purpose; their rows of the result."""
        for part in parts:
            self._journal.record_failure(inserts, operation, error, now, part.source, "", 1)
        spent = now - operation.started
        return [(extents.NO_EXTENT, part.source, spent, True, operation.id) for part in parts]

    def _append(
        self,
        tx: duckdb.DuckDBPyConnection,
        arrival: Arrival,
        part: Loaded,
        inserts: Inserts,
        now: dt.datetime,
    ) -> tuple[object, ...]:
        table, plan = arrival.table, arrival.plan
        number = self._engine.extent_numbers.take()
        if isinstance(part.held, str):
            tx.execute(f"INSERT INTO {table.storage} SELECT {number}, * FROM {part.held}")
        else:
            inserts.add_rows(table.storage, number, part.held)
        extent = extents.NewExtent(number, uuid.uuid4(), part.rows, part.size)
        extents.append(inserts, table, extent, plan.tags, plan.created or now, now)
        duration = dt.timedelta(seconds=part.seconds)
        return (extent.id, part.source, duration, False, arrival.operation.id)


def asked(*plans: Plan) -> list[str]:
    """The tags of which the ingestions must know whether an extent bears them."""
    return [f"ingest-by:{v}" for plan in plans for v in plan.if_not_exists]


def first_tagged(table: Table, plan: Plan, bears: set[tuple[int, str]]) -> str | None:
    """The first value under which the table has an extent already.

    Several values mean 'any' here; the documentation doesn't say, and shows only one.
    """
    return next((v for v in plan.if_not_exists if (table.id, f"ingest-by:{v}") in bears), None)
