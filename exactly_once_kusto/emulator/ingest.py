"""Ingestion: read the sources, then check the tag, append and journal in one transaction.

Sources: https://learn.microsoft.com/kusto/management/data-ingestion/ingest-into-command, its
ingestion properties, https://learn.microsoft.com/kusto/management/extent-tags.
"""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb

from . import extents, mappings, policies
from .appending import Appender, Arrival, asked, first_tagged
from .catalog import Table
from .clock import Clock
from .course import CanceledError, Course, StoppingError
from .engine import Engine
from .errors import KustoError
from .loading import Ingestion, load
from .operations import CANCELED, FAILED, Journal, Operation
from .properties import Plan
from .properties import plan as read_plan
from .sources import SourceError
from .types import Result

RUNNING_MAX = 4
"""So many ingestions read their sources at once, or hold more than a little; the others wait."""
SMALL_MAX = 32
"""So many more may hold the little that they have read, to be committed together."""
SCRATCH = "scratch"
"""A folder beside the data for what is fetched; emptied at each start."""


class Ingestor:
    """Carries out ingestions; safe to call from several threads."""

    def __init__(self, engine: Engine, journal: Journal, clock: Clock, directory: Path) -> None:
        self._scratch = directory / SCRATCH
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        self._engine = engine
        self._journal = journal
        self._clock = clock
        self._soft_delete = policies.SoftDelete(engine)
        self._appender = Appender(engine, journal, clock)
        self._running = threading.Semaphore(RUNNING_MAX)
        self._small = threading.Semaphore(SMALL_MAX)

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
            with self._folder() as folder:
                loaded = load(connection, table, plan, ingestion, folder, course)
            course.crash("after-read")
            if course.waits_before_commit():
                running.close()  # or it would keep out those that it waits for
                course.delay("delay-commit")
                plan = self._raced(connection, table, plan, course)
            elif all(part.in_memory for part in loaded):
                held.enter_context(self._small)
                running.close()
            arrival = Arrival(table, plan, loaded if keeps else [], operation, course)
            done = self._appender.append(arrival, connection)
        course.crash("after-commit")
        return done

    @contextmanager
    def _folder(self) -> Iterator[Callable[[], Path]]:
        """Gives a folder to whoever asks for it; most don't."""
        with ExitStack() as stack:
            made: list[Path] = []

            def folder() -> Path:
                if not made:
                    scratch = tempfile.TemporaryDirectory(dir=self._scratch)
                    made.append(Path(stack.enter_context(scratch)))
                return made[0]

            yield folder

    def _raced(
        self, q: duckdb.DuckDBPyConnection, table: Table, plan: Plan, course: Course
    ) -> Plan:
        """The plan, without its check where a race was set and the check would pass now.

        The service promises no atomicity of check and commit; a race takes it away.
        """
        if not plan.if_not_exists or first_tagged(table, plan, extents.bearing(q, asked(plan))):
            return plan
        return replace(plan, if_not_exists=()) if course.race() else plan

    def _keeps(self, q: duckdb.DuckDBPyConnection, table: Table, plan: Plan) -> bool:
        period = self._soft_delete.of(q, table)
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
