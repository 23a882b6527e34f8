"""Queries: translated by a process of its own, run on a cursor of its own under a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb

from .clock import Clock
from .engine import Engine
from .errors import bad_request, semantic_error, timed_out
from .translate_job import PIPED_TABLE, TOO_COMPLEX, Job, piped_query
from .translator import borrow, give_back
from .types import Column, Result, kusto_type

QUERY_LENGTH_MAX = 2 * 1024 * 1024
DEADLINE_S = 240.0  # documented default of queries


class Queries:
    """Runs queries against what is committed; safe to call from several threads."""

    def __init__(self, engine: Engine, clock_: Clock) -> None:
        self._engine = engine
        self._clock = clock_
        self._translator = borrow()
        self._closed = False

    def run(
        self,
        text: str,
        database: str,
        parameters: Mapping[str, Any] | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> Result:
        """The result of a query. Raises KustoError for whatever goes wrong."""
        job = Job(text, database, None, tuple((parameters or {}).items()))
        return self._run(job, None, deadline_s)

    def pipe(self, result: Result, pipeline: str, database: str) -> Result:
        """The result of a command, piped into the rest of a query (without its first ``|``)."""
        return self._run(Job(piped_query(pipeline), database, result.columns), result, DEADLINE_S)

    def close(self) -> None:
        """Gives the translator back; no query may run after it. Idempotent."""
        if not self._closed:
            self._closed = True
            give_back(self._translator)

    def _run(self, job: Job, piped: Result | None, deadline_s: float) -> Result:
        if len(job.text) > QUERY_LENGTH_MAX:
            raise bad_request(f"query is longer than {QUERY_LENGTH_MAX} characters")
        until = time.monotonic() + deadline_s
        translation = self._translator.translate(job, self._engine.catalog, deadline_s)
        values = dict(translation.values)
        if translation.clock_slot is not None:
            values[translation.clock_slot] = self._clock.now()
        left_s = max(0.0, until - time.monotonic())
        with (
            self._engine.reader() as cursor,
            _kusto_errors(),
            _deadline(cursor, left_s, deadline_s),
        ):
            if piped is not None:
                _store_piped(cursor, piped)
            cursor.execute(translation.sql, values or None)
            spec = tuple(Column(d[0], kusto_type(str(d[1]))) for d in cursor.description or ())
            return Result(spec, cursor.fetchall())


def _store_piped(cursor: duckdb.DuckDBPyConnection, result: Result) -> None:
    listed = ", ".join(f"c{i} VARCHAR" for i in range(len(result.columns)))
    cursor.execute(f"CREATE TEMP TABLE {PIPED_TABLE} ({listed})")
    if result.rows:
        places = ", ".join("?" for _ in result.columns)
        cursor.executemany(
            f"INSERT INTO {PIPED_TABLE} VALUES ({places})",
            [[None if v is None else str(v) for v in row] for row in result.rows],
        )


@contextmanager
def _deadline(cursor: duckdb.DuckDBPyConnection, left_s: float, whole_s: float) -> Iterator[None]:
    fired = threading.Event()

    def interrupt() -> None:
        fired.set()
        cursor.interrupt()

    timer = threading.Timer(left_s, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        if fired.is_set():
            raise timed_out(whole_s) from error
        raise
    finally:
        timer.cancel()


@contextmanager
def _kusto_errors() -> Iterator[None]:
    """Whatever DuckDB raises, as the service would say it."""
    try:
        yield
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise semantic_error(_first(error)) from error
    except (RecursionError, MemoryError) as error:
        raise bad_request(TOO_COMPLEX) from error
    except duckdb.Error as error:
        raise bad_request(_first(error)) from error


def _first(error: Exception) -> str:
    return str(error).split("\n\n", 1)[0]
