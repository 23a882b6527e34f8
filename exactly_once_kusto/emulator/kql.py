"""Queries: translated by a process of its own, run on a cursor of its own under a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb

from .clock import Clock
from .engine import Engine
from .errors import bad_request, result_too_large, semantic_error, timed_out
from .translate_job import PIPED_TABLE, TOO_COMPLEX, Job, piped_query
from .translator import borrow, give_back
from .types import Column, Result, kusto_type

QUERY_LENGTH_MAX = 2 * 1024 * 1024
FETCHED_ROWS = 10_000
DEADLINE_S = 240.0  # documented default of queries
# https://learn.microsoft.com/kusto/concepts/result-truncation
RECORDS_MAX = 500_000
RESULT_BYTES_MAX = 64 * 1024 * 1024
WIDER = ("HUGEINT", "UBIGINT", "UHUGEINT")
LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1


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
        """The result of a query. Raises KustoError for whatever goes wrong.

        Without ``parameters`` it is the query of a command, whose rows no client gets: their
        number isn't limited then.
        """
        job = Job(text, database, None, tuple((parameters or {}).items()))
        return self._run(job, None, deadline_s, limited=parameters is not None)

    def pipe(self, result: Result, pipeline: str, database: str) -> Result:
        """The result of a command, piped into the rest of a query (without its first ``|``)."""
        job = Job(piped_query(pipeline), database, result.columns)
        return self._run(job, result, DEADLINE_S, limited=False)

    def close(self) -> None:
        """Gives the translator back; no query may run after it. Idempotent."""
        if not self._closed:
            self._closed = True
            give_back(self._translator)

    def _run(self, job: Job, piped: Result | None, deadline_s: float, limited: bool) -> Result:
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
            wide = [i for i, d in enumerate(cursor.description or ()) if str(d[1]) in WIDER]
            return Result(spec, _fetched(cursor, spec, wide, limited))


def _fetched(
    cursor: duckdb.DuckDBPyConnection, spec: Sequence[Column], wide: Sequence[int], limited: bool
) -> list[tuple[Any, ...]]:
    """The rows, values of Kusto's types. DuckDB makes them as they are fetched."""
    texts = [i for i, column in enumerate(spec) if column.type in ("string", "dynamic")]
    times = [i for i, column in enumerate(spec) if column.type == "datetime"]
    rows: list[tuple[Any, ...]] = []
    size = 0
    while more := cursor.fetchmany(FETCHED_ROWS):
        if any(not LONG_MIN <= (row[i] or 0) <= LONG_MAX for i in wide for row in more):
            raise bad_request("the result holds a number that is no long: an overflow")
        # DuckDB's client has no datetime for what is outside the years 1 to 9999.
        if any(isinstance(row[i], str) for i in times for row in more):
            raise bad_request("the result holds a datetime outside the years 1 to 9999")
        rows += more
        if not limited:
            continue
        if len(rows) > RECORDS_MAX:
            raise result_too_large(f"record count limit {RECORDS_MAX}")
        size += len(more) * 8 * len(spec)
        size += sum(len(row[i]) for i in texts for row in more if isinstance(row[i], str))
        if size > RESULT_BYTES_MAX:
            raise result_too_large(f"data size limit {RESULT_BYTES_MAX}")
    return rows


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
