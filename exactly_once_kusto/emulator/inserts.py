"""Rows on their way into the store, gathered so that many of them cost one statement a table.

To plan a statement costs DuckDB more than to insert its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_MAX = 200
"""So many rows at most go into one statement."""


class Inserts:
    """What is to be inserted; nothing of it is anywhere before ``insert``."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Sequence[object]]] = {}
        self._tables: dict[str, list[pa.Table]] = {}

    def add(self, place: str, row: Sequence[object]) -> None:
        """Adds a row of a table of the journal, one value a column."""
        self._rows.setdefault(place, []).append(row)

    def add_rows(self, storage: str, number: int, rows: pa.Table) -> None:
        """Adds the rows of an extent with that number; ``rows`` has the storage's columns."""
        import pyarrow as pa

        numbers = pa.repeat(pa.scalar(number, pa.int64()), rows.num_rows)
        self._tables.setdefault(storage, []).append(rows.add_column(0, "n", numbers))

    def extend(self, other: Inserts) -> None:
        """Adds all that another one has."""
        for place, rows in other._rows.items():
            self._rows.setdefault(place, []).extend(rows)
        for storage, tables in other._tables.items():
            self._tables.setdefault(storage, []).extend(tables)

    def insert(self, tx: duckdb.DuckDBPyConnection) -> None:
        """Inserts everything within the caller's transaction. Raises duckdb.Error."""
        for storage, tables in self._tables.items():
            _insert_tables(tx, storage, tables)
        for place, rows in self._rows.items():
            for first in range(0, len(rows), ROWS_MAX):
                _insert_rows(tx, place, rows[first : first + ROWS_MAX])


def put(to: duckdb.DuckDBPyConnection | Inserts, place: str, row: Sequence[object]) -> None:
    """Inserts a row of a table of the journal now, or adds it to what will be inserted."""
    if isinstance(to, Inserts):
        to.add(place, row)
    else:
        _insert_rows(to, place, [row])


def _insert_rows(
    tx: duckdb.DuckDBPyConnection, place: str, rows: Sequence[Sequence[object]]
) -> None:
    marks = f"({','.join('?' * len(rows[0]))})"
    tx.execute(
        f'INSERT INTO "$emulator".{place} VALUES {",".join([marks] * len(rows))}',
        [value for row in rows for value in row],
    )


def _insert_tables(tx: duckdb.DuckDBPyConnection, storage: str, tables: list[pa.Table]) -> None:
    import pyarrow as pa

    # In one chunk: DuckDB plans and scans each one by itself.
    _insert_table(tx, storage, pa.concat_tables(tables).combine_chunks())


def _insert_table(tx: duckdb.DuckDBPyConnection, storage: str, arrow_rows: pa.Table) -> None:
    # DuckDB finds `arrow_rows` among the variables of its caller. To register it under a name
    # would cost as much again as to insert it.
    tx.execute(f"INSERT INTO {storage} SELECT * FROM arrow_rows")
