"""Queries: KQL to SQL with duckdb-kql, run on a cursor of its own under a deadline."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb
from duckdb_kql import ir
from duckdb_kql.errors import KqlError, KqlSchemaError, KqlSyntaxError, KqlUnsupportedError
from duckdb_kql.lower import lower
from duckdb_kql.params import bind
from duckdb_kql.translate import CLOCK_SLOT, clock, to_sql

from .catalog import quote
from .clock import Clock
from .engine import Engine
from .errors import KustoError, bad_request, semantic_error, syntax_error, timed_out
from .rewrite import HIDDEN, PIPED, Scope, rewrite
from .types import STORED_AS, Column, Result, kusto_type

QUERY_LENGTH_MAX = 2 * 1024 * 1024
SQL_LENGTH_MAX = 1024 * 1024
DEADLINE_S = 240.0  # documented default of queries
_PIPED_TABLE = '"$piped"'


class Queries:
    """Runs queries against what is committed; safe to call from several threads."""

    def __init__(self, engine: Engine, clock_: Clock) -> None:
        self._engine = engine
        self._clock = clock_

    def run(
        self,
        text: str,
        database: str,
        parameters: Mapping[str, Any] | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> Result:
        """The result of a query. Raises KustoError for whatever goes wrong."""
        with self._engine.reader() as cursor:
            return self._run(cursor, text, database, None, parameters, deadline_s)

    def pipe(self, result: Result, pipeline: str, database: str) -> Result:
        """The result of a command, piped into the rest of a query (without its first ``|``)."""
        with self._engine.reader() as cursor:
            source = _as_table(cursor, result)
            return self._run(cursor, f"{PIPED} | {pipeline}", database, source, None, DEADLINE_S)

    def _run(
        self,
        cursor: duckdb.DuckDBPyConnection,
        text: str,
        database: str,
        piped: ir.CommandSource | None,
        parameters: Mapping[str, Any] | None,
        deadline_s: float,
    ) -> Result:
        if len(text) > QUERY_LENGTH_MAX:
            raise bad_request(f"query is longer than {QUERY_LENGTH_MAX} characters")
        with _kusto_errors(), _deadline(cursor, deadline_s):
            sql, bound = self._translate(text, database, piped, parameters)
            if len(sql) > SQL_LENGTH_MAX:
                raise bad_request("query is too complex for this emulator")
            cursor.execute(sql, bound or None)
            spec = tuple(Column(d[0], kusto_type(str(d[1]))) for d in cursor.description or ())
            return Result(spec, cursor.fetchall())

    def _translate(
        self,
        text: str,
        database: str,
        piped: ir.CommandSource | None,
        parameters: Mapping[str, Any] | None,
    ) -> tuple[str, dict[str, Any]]:
        scope = Scope(self._engine.catalog, database, piped)
        with clock(self._clock.now()) as active, _translator_errors():
            query = rewrite(lower(text, None, None, database, None), scope)
            sql = to_sql(query, _schema(scope))
            values: dict[str, Any] = {}
            if query.parameters or parameters:
                given, unbound = bind(query.parameters, dict(parameters or {}))
                if unbound:
                    raise semantic_error(f"query parameter '{unbound[0]}' has no value")
                values = {slot: v for slot, v in given.items() if slot in sql.slots}
            if active.used:
                values[CLOCK_SLOT] = active.moment
        return str(sql), values


def _schema(scope: Scope) -> dict[str, list[str]]:
    """Columns by qualified table name, as duckdb-kql wants them."""
    schema: dict[str, list[str]] = {}
    for table in scope.catalog.tables.values():
        names = [c.name for c in table.columns]
        schema[f"{table.database}.{table.name}"] = names
        if table in scope.extended:
            schema[f"{table.database}.{table.name}$x"] = [*names, *HIDDEN]
    return schema


def _as_table(cursor: duckdb.DuckDBPyConnection, result: Result) -> ir.CommandSource:
    listed = ", ".join(f"c{i} VARCHAR" for i in range(len(result.columns)))
    cursor.execute(f"CREATE TEMP TABLE {_PIPED_TABLE} ({listed})")
    if result.rows:
        places = ", ".join("?" for _ in result.columns)
        cursor.executemany(
            f"INSERT INTO {_PIPED_TABLE} VALUES ({places})",
            [[None if v is None else str(v) for v in row] for row in result.rows],
        )
    shown = ", ".join(
        f"{_typed(column, i)} AS {quote(column.name)}" for i, column in enumerate(result.columns)
    )
    return ir.CommandSource(
        f"SELECT {shown} FROM {_PIPED_TABLE}", tuple(c.name for c in result.columns), "command"
    )


def _typed(column: Column, index: int) -> str:
    # Python writes a duration as '1 day, 0:00:01', which DuckDB reads without the comma.
    if column.type == "timespan":
        return f"CAST(replace(c{index}, ',', '') AS INTERVAL)"
    if column.type == "decimal":
        return f"CAST(c{index} AS DECIMAL(38, 10))"
    return f"CAST(c{index} AS {STORED_AS[column.type]})"


@contextmanager
def _deadline(cursor: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    fired = threading.Event()

    def interrupt() -> None:
        fired.set()
        cursor.interrupt()

    timer = threading.Timer(seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        if fired.is_set():
            raise timed_out(seconds) from error
        raise
    finally:
        timer.cancel()


@contextmanager
def _translator_errors() -> Iterator[None]:
    """A translator that stumbles is a query that it can't do, not a fault of the service."""
    try:
        yield
    except (KustoError, KqlError, RecursionError, MemoryError):
        raise
    except Exception as error:
        raise bad_request(
            f"the query's translation failed ({type(error).__name__}: {error})"
        ) from error


@contextmanager
def _kusto_errors() -> Iterator[None]:
    """Whatever a translation or DuckDB raises, as the service would say it."""
    try:
        yield
    except KustoError:
        raise
    except KqlSyntaxError as error:
        raise syntax_error(str(error)) from error
    except KqlUnsupportedError as error:
        raise bad_request(f"not supported by this emulator: {error}") from error
    except (KqlSchemaError, duckdb.BinderException, duckdb.CatalogException) as error:
        raise semantic_error(_first(error)) from error
    except KqlError as error:
        raise bad_request(str(error)) from error
    except (RecursionError, MemoryError) as error:
        raise bad_request("query is too complex for this emulator") from error
    except duckdb.Error as error:
        raise bad_request(_first(error)) from error


def _first(error: Exception) -> str:
    return str(error).split("\n\n", 1)[0]
