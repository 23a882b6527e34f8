"""Columns and types of pipelines, asked of a DuckDB that holds the tables' shapes and no rows.

duckdb-kql knows names only. Where a type decides what a query means, the pipeline so far is
translated and described here: the planner's word, so it can't differ from what will be executed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
from duckdb_kql import ir
from duckdb_kql.schema import output_columns
from duckdb_kql.translate import CLOCK_SLOT, Clock, to_sql

from .catalog import Catalog, Table, quote
from .rewrite import HIDDEN
from .types import EXACT_DECIMAL, STORED_AS, Column, kusto_type

MEMORY_MAX = "256MB"
_HIDDEN_TYPES = ("UUID", "JSON", "TIMESTAMP")

Lets = tuple[tuple[str, ir.Query | ir.Expr], ...]


@dataclass
class Shapes:
    """Describes pipelines of one query; ``connection`` has the tables that it reads."""

    connection: duckdb.DuckDBPyConnection
    schema: dict[str, list[str]]
    clock: Clock
    values: Mapping[str, Any] = field(default_factory=dict)

    def names(self, query: ir.Query) -> list[str]:
        """Output columns of a pipeline. Raises KqlError for what isn't there."""
        return list(output_columns(query, self._with_lets(query)))

    def types(self, query: ir.Query) -> dict[str, str]:
        """DuckDB's type of each output column. Raises KqlError or duckdb.Error."""
        sql = to_sql(query, self.schema)
        given = {slot: value for slot, value in self.values.items() if slot in sql.slots}
        if f"${CLOCK_SLOT}" in str(sql):
            given[CLOCK_SLOT] = self.clock.moment
        rows = self.connection.execute(f"DESCRIBE {sql}", given or None).fetchall()
        return {row[0]: row[1] for row in rows}

    def _with_lets(self, query: ir.Query) -> dict[str, list[str]]:
        schema = dict(self.schema)
        for name, bound in query.lets:
            if isinstance(bound, ir.Query):
                schema[name] = list(output_columns(bound, schema))
        return schema


def kusto_of(duckdb_type: str) -> str:
    """The Kusto type that a DuckDB type of a column stands for."""
    return kusto_type(duckdb_type)


def empty_store() -> duckdb.DuckDBPyConnection:
    """A DuckDB for `Shapes`: small, of one thread, without rows."""
    store = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": MEMORY_MAX})
    # A name that no Kusto database has: '$' keeps it apart, as the store's own does.
    store.execute('ATTACH \':memory:\' AS "emulator$shapes"; USE "emulator$shapes"')
    store.execute("SET enable_external_access = false; SET TimeZone = 'UTC'")
    return store


def lay_out(connection: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Makes a view without rows for every table of the catalog, with and without extents."""
    for database in catalog.databases:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(database)}")
    for table in catalog.tables.values():
        for name, extra in ((table.name, ()), (table.name + "$x", HIDDEN)):
            listed = [
                f"CAST(NULL AS {kind}) AS {quote(column)}"
                for column, kind in zip(
                    [*(c.name for c in table.columns), *extra],
                    [*_types(table), *_HIDDEN_TYPES[: len(extra)]],
                    strict=True,
                )
            ]
            place = f"{quote(table.database)}.{quote(name)}"
            connection.execute(
                f"CREATE OR REPLACE VIEW {place} AS SELECT {', '.join(listed)} WHERE false"
            )


def lay_out_piped(connection: duckdb.DuckDBPyConnection, columns: Sequence[Column]) -> None:
    """Makes the table that a command's result is piped from, without rows."""
    listed = ", ".join(f"c{i} VARCHAR" for i in range(len(columns)))
    connection.execute(f'CREATE OR REPLACE TEMP TABLE "$piped" ({listed})')


def _types(table: Table) -> list[str]:
    kinds = []
    for column, width in zip(table.columns, table.widths, strict=True):
        kind = STORED_AS[column.type]
        if column.type == "decimal":
            fits = width.digits + width.scale <= 38
            kind = f"DECIMAL(38, {width.scale})" if fits else EXACT_DECIMAL
        kinds.append(kind)
    return kinds
